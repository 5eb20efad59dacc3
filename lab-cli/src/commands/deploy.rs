//! Deploying, and watching it.

use std::{path::Path, time::Duration};

use futures_util::StreamExt;
use lab_core::{
    AppName, AppView, GitUrl, InvalidGitUrl, ReleaseId, UrlPolicy,
    deploy::{DeployEvent, DeployEventKind, DeployState, Deployment, Problem},
};
use serde_json::json;

use super::{apps::secret_from_stdin, checkout::Checkout, env};
use crate::{args::Deploy, client::Client, error::CliError, output::Output};

/// How often, and how long after one another, a stream that broke is taken up again before its server is given up.
const RETRIES: u32 = 20;
const RETRY: Duration = Duration::from_millis(500);

pub(crate) async fn deploy(client: &Client, what: Deploy, output: &Output) -> Result<(), CliError> {
    let token = if what.token_stdin { Some(secret_from_stdin("Token", output)?) } else { None };
    let env = what.env_file.as_deref().map(env::from_file).transpose()?.unwrap_or_default();
    let (detach, root, rehearsal) = (what.detach, what.root.clone(), what.rehearse);
    let (seed_data, accept_loss) = (what.seed_data, what.accept_loss);
    let Chosen { name, repository, branch } = choose(client, what, output).await?;
    let body = json!({
        "subdomain": name,
        "repository": repository,
        "branch": branch,
        "token": token,
        "root": root,
        "rehearsal": rehearsal,
        "seed_data": seed_data,
        "accept_loss": accept_loss,
        "env": env,
    });
    let view: AppView = client.post("/api/deploy", Some(&body)).await?;
    to_its_end(client, &name, view, detach, output).await
}

pub(crate) async fn rollback(
    client: &Client,
    name: &AppName,
    release: Option<ReleaseId>,
    with_data: bool,
    detach: bool,
    output: &Output,
) -> Result<(), CliError> {
    let body = json!({"release": release, "with_data": with_data});
    let view: AppView = client.post(&format!("/api/apps/{name}/rollback"), Some(&body)).await?;
    to_its_end(client, name, view, detach, output).await
}

/// Shows the deployment that began, unless it is not to be waited for.
pub(super) async fn to_its_end(
    client: &Client,
    name: &AppName,
    view: AppView,
    detach: bool,
    output: &Output,
) -> Result<(), CliError> {
    let Some(deployment) = view.deployment.clone() else {
        return Err(CliError::Usage("the server began no deployment".to_owned()));
    };
    if detach {
        output.data(&view, || format!("{name} is being deployed; `lab log {name}` shows how it goes"));
        return Ok(());
    }
    let path = format!("/api/apps/{name}/deployments/{}", deployment.id);
    tokio::select! {
        ended = follow(client, &path, output) => ended?,
        // the server does not notice: the deployment is its own. A second Ctrl-C has nothing left to end
        _ = tokio::signal::ctrl_c() => {
            return Err(CliError::Left(format!(
                "the deployment goes on; `lab log {name}` shows it, `lab cancel {name}` ends it"
            )));
        }
    }
    let view: AppView = client.get(&format!("/api/apps/{name}")).await?;
    output.done();
    output.data(&view, || format!("{name} is live at {}", view.url));
    Ok(())
}

/// What is deployed as what.
struct Chosen {
    name: AppName,
    repository: Option<String>,
    branch: Option<String>,
}

async fn choose(client: &Client, what: Deploy, output: &Output) -> Result<Chosen, CliError> {
    let mut branch = what.branch.map(|branch| branch.to_string());
    let repository = match what.repository.as_deref() {
        Some(".") => None,
        Some(text) => Some(address(text)?),
        None => None,
    };
    let is_of_app = what.repository.is_none() && is_known(client, what.name.as_ref()).await?;
    if let (Some(name), true) = (&what.name, is_of_app) {
        return Ok(Chosen { name: name.clone(), repository: None, branch });
    }
    let repository = if let Some(repository) = repository {
        repository
    } else {
        let checkout = Checkout::here()?;
        for warning in &checkout.warnings {
            output.note(&format!("warning: {warning}"));
        }
        branch = branch.or(checkout.branch);
        checkout.origin
    };
    let name = match what.name {
        Some(name) => name,
        None => guess_name(&repository)?,
    };
    Ok(Chosen { name, repository: Some(repository), branch })
}

/// A repository's address. The server could not know what a path is relative to.
fn address(text: &str) -> Result<String, CliError> {
    let is_relative = text.starts_with("./") || text.starts_with("../") || text == "..";
    if !is_relative && (text.starts_with('/') || text.contains(':') || !Path::new(text).exists()) {
        return match (GitUrl::parse(text, UrlPolicy::LocalAllowed), text.parse::<AppName>()) {
            (Err(error @ InvalidGitUrl::NoAddress), Ok(name)) => Err(CliError::Usage(format!(
                "`{name}`: {error}; an app that is there is deployed again by `lab deploy --name {name}`"
            ))),
            // what else there is to say of it the server says
            _ => Ok(text.to_owned()),
        };
    }
    let place = Path::new(text).canonicalize().unwrap_or_default();
    Err(CliError::Usage(format!(
        "give a repository on the server's disk by its absolute path, such as `{}`; `lab deploy .` deploys the origin of \
         the checkout you stand in",
        place.display()
    )))
}

/// Shows a deployment to its end. A connection that breaks is taken up where it broke.
async fn follow(client: &Client, path: &str, output: &Output) -> Result<(), CliError> {
    let (mut after, mut failures) = (0, 0);
    loop {
        let seen = after;
        match tell(client, path, &mut after, output).await {
            Ok(Some((state, problem))) => return ended(state, problem),
            // the server ended, or began anew
            Ok(None) | Err(CliError::Unreachable { .. }) if failures < RETRIES => {}
            Ok(None) => {
                let reason = "the connection breaks again and again".to_owned();
                return Err(CliError::Unreachable { place: client.place.clone(), reason });
            }
            Err(error) => return Err(error),
        }
        failures = if after > seen { 0 } else { failures + 1 };
        tokio::time::sleep(RETRY).await;
    }
}

/// Shows what a deployment tells until its end, or until the stream's, when the record says how it is.
async fn tell(
    client: &Client,
    path: &str,
    after: &mut u64,
    output: &Output,
) -> Result<Option<(DeployState, Option<Problem>)>, CliError> {
    let mut events = client.events::<DeployEvent>(&format!("{path}/events?after={after}")).await?;
    while let Some(event) = events.next().await {
        let event = event?;
        *after = event.seq;
        output.event(&event);
        if let DeployEventKind::Finished { state, problem } = event.kind {
            return Ok(Some((state, problem)));
        }
    }
    let record: Deployment = client.get(path).await?;
    Ok(record.state.is_final().then_some((record.state, record.problem)))
}

fn ended(state: DeployState, problem: Option<Problem>) -> Result<(), CliError> {
    if state == DeployState::Succeeded {
        return Ok(());
    }
    let (code, message) = problem
        .map_or_else(|| (state.to_string(), "its log says more".to_owned()), |problem| (problem.code, problem.message));
    Err(CliError::Deployment { state, code, message })
}

async fn is_known(client: &Client, name: Option<&AppName>) -> Result<bool, CliError> {
    let Some(name) = name else { return Ok(false) };
    match client.get::<AppView>(&format!("/api/apps/{name}")).await {
        Ok(_) => Ok(true),
        Err(CliError::Server { status: 404, .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The repository's name as an app's name.
fn guess_name(repository: &str) -> Result<AppName, CliError> {
    let url = GitUrl::parse(repository, UrlPolicy::LocalAllowed).map_err(|e| CliError::Usage(e.to_string()))?;
    let text: String = url
        .repository_name()
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(40)
        .collect();
    text.trim_matches('-')
        .parse()
        .map_err(|e| CliError::Usage(format!("`{text}` cannot be the app's name ({e}); give one with --name")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_guessed_from_addresses() {
        for (address, name) in [
            ("https://github.com/me/My_App.git", "my-app"),
            ("git@github.com:me/guestbook", "guestbook"),
            ("/srv/repos/notes.git", "notes"),
        ] {
            assert_eq!(guess_name(address).expect(address).as_str(), name);
        }
        assert!(guess_name("https://github.com/me/admin").is_err());
    }

    #[test]
    fn a_relative_path_is_no_address() {
        for address in ["https://h/x", "git@h:x", "/srv/x", "nowhere/to-be-found"] {
            assert_eq!(super::address(address).expect(address), address);
        }
        for path in ["./x", "..", "../x", "src"] {
            assert!(super::address(path).is_err(), "{path}");
        }
    }

    #[test]
    fn an_apps_name_is_no_address_and_the_right_words_are_told() {
        let error = super::address("guestbook").expect_err("no address").to_string();
        assert!(error.contains("`lab deploy --name guestbook`"), "{error}");
    }

    #[test]
    fn only_a_deployment_that_succeeded_is_a_success() {
        assert!(ended(DeployState::Succeeded, None).is_ok());
        let problem = Problem { code: "build_failed".to_owned(), message: "no".to_owned() };
        let failed = ended(DeployState::Failed, Some(problem)).expect_err("failed");
        assert_eq!((failed.code(), failed.exit_code()), ("build_failed", 5));
        assert_eq!(ended(DeployState::Interrupted, None).expect_err("interrupted").code(), "interrupted");
    }
}
