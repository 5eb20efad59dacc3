//! One module per verb, or per few that belong together.

use clap::CommandFactory;

use crate::{
    args::{Arguments, Command},
    client::Client,
    error::CliError,
    output::Output,
};

mod apps;
mod checkout;
mod data;
mod deploy;
mod deployments;
mod doctor;
mod domains;
mod env;
mod plan;
mod routes;
mod upgrade;

/// Does what the command line says.
pub(crate) async fn run(arguments: Arguments, output: &Output) -> Result<(), CliError> {
    let place = &arguments.place;
    let client = || {
        let client = Client::new(place)?;
        if let Some(warning) = &client.warning {
            output.note(&format!("warning: {warning}"));
        }
        Ok::<_, CliError>(client)
    };
    match arguments.command {
        Command::Deploy(what) => deploy::deploy(&client()?, what, output).await,
        Command::Deployments { app } => deployments::ls(&client()?, &app, output).await,
        Command::Releases { app } => deployments::releases(&client()?, &app, output).await,
        Command::Rollback { app, release, with_data, yes, detach } => {
            let client = client()?;
            if with_data && !yes {
                data::ask_for_rollback(&client, &app, release, output).await?;
            }
            deploy::rollback(&client, &app, release, with_data, detach, output).await
        }
        Command::Upgrade { app: Some(app), to, accept_loss, detach, .. } => {
            upgrade::one(&client()?, &app, to.as_ref(), accept_loss, detach, output).await
        }
        Command::Upgrade { app: None, to, accept_loss, yes, .. } => {
            upgrade::all(&client()?, to.as_ref(), accept_loss, yes, output).await
        }
        Command::Env { app, what } => env::env(&client()?, &app, what, output).await,
        Command::Domains { app, what } => domains::domains(&client()?, &app, what, output).await,
        Command::Data { app, what } => data::data(&client()?, &app, what, output).await,
        Command::Log { app, id } => deployments::log(&client()?, &app, id, output).await,
        Command::Cancel { app, id } => deployments::cancel(&client()?, &app, id, output).await,
        Command::Ls => apps::ls(&client()?, output).await,
        Command::Show { app } => apps::show(&client()?, &app, output).await,
        Command::Logs { app, follow, lines } => apps::logs(&client()?, &app, lines, follow, output).await,
        Command::Restart { app } => apps::act(&client()?, &app, "restart", output).await,
        Command::Stop { app } => apps::act(&client()?, &app, "stop", output).await,
        Command::Start { app } => apps::act(&client()?, &app, "start", output).await,
        Command::Rm { app, purge, yes } => apps::rm(&client()?, &app, purge, yes, output).await,
        Command::Superuser { app, email, password_stdin } => {
            apps::superuser(&client()?, &app, &email, password_stdin, output).await
        }
        Command::Open { app } => apps::open(&client()?, &app, output).await,
        Command::Plan { source, root, branch } => plan::plan(&source, root, branch, output).await,
        Command::Routes { caddyfile: false } => routes::ls(&client()?, output).await,
        Command::Routes { caddyfile: true } => routes::caddyfile(&client()?, output).await,
        Command::ClearCache => apps::clear_cache(&client()?, output).await,
        Command::Doctor => doctor::doctor(place, output).await,
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "lab", &mut text);
            output.raw(&String::from_utf8_lossy(&text));
            Ok(())
        }
    }
}
