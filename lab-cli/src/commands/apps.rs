//! Looking at apps, starting and stopping them, removing them.

use std::io::Read;

use futures_util::StreamExt;
use lab_core::{
    AppName, AppView,
    supervisor::{LogLine, ProcessState},
};
use serde_json::{Value, json};

use crate::{
    client::Client,
    error::CliError,
    output::{Output, table},
};

pub(crate) async fn ls(client: &Client, output: &Output) -> Result<(), CliError> {
    let apps: Vec<AppView> = client.get("/api/apps").await?;
    output.data(&apps, || {
        if apps.is_empty() {
            return "no apps yet: `lab deploy <repository>` brings the first".to_owned();
        }
        table(
            ["NAME", "STATUS", "URL", "LAST DEPLOY"],
            apps.iter().map(|view| {
                let last = view.app.last_deploy.map_or_else(|| "never".to_owned(), |time| format!("{time:.0}"));
                [view.app.name.to_string(), view.app.status.to_string(), view.url.clone(), last]
            }),
        )
    });
    Ok(())
}

pub(crate) async fn show(client: &Client, app: &AppName, output: &Output) -> Result<(), CliError> {
    let view: AppView = client.get(&format!("/api/apps/{app}")).await?;
    output.data(&view, || describe(&view));
    Ok(())
}

fn describe(view: &AppView) -> String {
    let app = &view.app;
    let mut lines = vec![format!("{}  {}", app.name, app.status), format!("  url         {}", view.url)];
    lines.extend(app.domains.iter().map(|domain| format!("  domain      {domain}")));
    lines.push(format!(
        "  repository  {}{}",
        app.repository,
        app.branch.as_ref().map(|b| format!(" ({b})")).unwrap_or_default()
    ));
    if let Some(port) = app.port {
        lines.push(format!("  port        {port}"));
    }
    match &view.process {
        Some(ProcessState::Running { pid, since, .. }) => lines.push(format!("  process     {pid}, since {since:.0}")),
        Some(ProcessState::Failed { reason, last_lines }) => {
            lines.push(format!("  process     failed: {reason}"));
            lines.extend(last_lines.iter().map(|line| format!("    {line}")));
        }
        _ => {}
    }
    if let Some(deployment) = &view.deployment {
        let commit = deployment.commit.as_ref();
        let commit = commit.map(|c| format!(" of {:.10} “{}”", c.hash, c.message)).unwrap_or_default();
        lines.push(format!("  deployment  {} {}{commit}", deployment.id, deployment.state));
        if let Some(problem) = &deployment.problem {
            lines.push(format!("    {}", problem.message));
        }
    }
    lines.join("\n")
}

pub(crate) async fn logs(
    client: &Client,
    app: &AppName,
    lines: usize,
    follow: bool,
    output: &Output,
) -> Result<(), CliError> {
    let text = |line: &LogLine| format!("{:.3} {}", line.time, line.text);
    if !follow {
        let all: Vec<LogLine> = client.get(&format!("/api/apps/{app}/logs?lines={lines}")).await?;
        output.data(&all, || all.iter().map(text).collect::<Vec<_>>().join("\n"));
        return Ok(());
    }
    let mut all = client.events::<LogLine>(&format!("/api/apps/{app}/logs?lines={lines}&follow=true")).await?;
    while let Some(line) = all.next().await {
        let line = line?;
        output.data(&line, || text(&line));
    }
    output.note("the server ended the log: it stops, or the app was removed");
    Ok(())
}

pub(crate) async fn act(client: &Client, app: &AppName, verb: &str, output: &Output) -> Result<(), CliError> {
    let view: AppView = client.post(&format!("/api/apps/{app}/{verb}"), None).await?;
    output.data(&view, || format!("{app} is {}", view.app.status));
    Ok(())
}

pub(crate) async fn rm(
    client: &Client,
    app: &AppName,
    purge: bool,
    yes: bool,
    output: &Output,
) -> Result<(), CliError> {
    if !yes {
        if !output.is_interactive() {
            return Err(CliError::Usage("give --yes to remove an app without being asked".to_owned()));
        }
        // it must be there to be asked about
        let view: AppView = client.get(&format!("/api/apps/{app}")).await?;
        let fate = if purge { "its data will be DELETED" } else { "its data goes to the trash" };
        if !output.asks(&format!("Remove {app} ({})? {fate}.", view.url)) {
            return Err(CliError::Usage("nothing was removed".to_owned()));
        }
    }
    client.delete(&format!("/api/apps/{app}?purge={purge}")).await?;
    output.data(&json!({"name": app, "purged": purge}), || format!("{app} is removed"));
    Ok(())
}

pub(crate) async fn clear_cache(client: &Client, output: &Output) -> Result<(), CliError> {
    let cleared: Value = client.post("/api/cache/clear", None::<&Value>).await?;
    let megabytes = cleared["freed_bytes"].as_u64().unwrap_or_default() / 1_000_000;
    output.data(&cleared, || {
        format!("{megabytes} MB are free again; the next build of each app takes as long as its first")
    });
    Ok(())
}

pub(crate) async fn superuser(
    client: &Client,
    app: &AppName,
    email: &str,
    from_stdin: bool,
    output: &Output,
) -> Result<(), CliError> {
    let password = if from_stdin { Some(secret_from_stdin("Password", output)?) } else { None };
    let body = json!({"email": email, "password": password});
    let mut made: Value = client.post(&format!("/api/apps/{app}/superuser"), Some(&body)).await?;
    if let (Some(_), Some(made)) = (&password, made.as_object_mut()) {
        // who gave it knows it
        made.remove("password");
    }
    output.data(&made, || match made["password"].as_str() {
        Some(new) => format!("superuser {email} of {app}\npassword {new}\nit is not shown again"),
        None => format!("superuser {email} of {app} has the password you gave"),
    });
    Ok(())
}

/// One line: typed unseen on a terminal, read from a pipe otherwise.
pub(crate) fn secret_from_stdin(what: &str, output: &Output) -> Result<String, CliError> {
    let failed = |e: std::io::Error| CliError::local("standard input cannot be read")(e.into());
    let text = if output.is_interactive() {
        rpassword::prompt_password(format!("{what}: ")).map_err(failed)?
    } else {
        let mut text = String::new();
        std::io::stdin().take(4096).read_to_string(&mut text).map_err(failed)?;
        text
    };
    let text = text.trim_end_matches(['\r', '\n']).to_owned();
    if text.is_empty() { Err(CliError::Usage("standard input was empty".to_owned())) } else { Ok(text) }
}

pub(crate) async fn open(client: &Client, app: &AppName, output: &Output) -> Result<(), CliError> {
    let view: AppView = client.get(&format!("/api/apps/{app}")).await?;
    output.data(&json!({"url": view.url}), || view.url.clone());
    // it comes from the server: only what a browser opens is given to the desktop
    if output.is_terminal() && (view.url.starts_with("http://") || view.url.starts_with("https://")) {
        // no browser here is fine: the address is printed
        let _ = std::process::Command::new("xdg-open")
            .arg(&view.url)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn();
    }
    Ok(())
}
