//! Deploying, and looking at deployments.

use std::path::Path;

use futures_util::StreamExt;
use lab_core::{
    AppName, AppView, DeploymentId, GitUrl, UrlPolicy,
    deploy::{DeployEvent, DeployEventKind, DeployState, Deployment},
};
use serde_json::json;

use super::apps::secret_from_stdin;
use crate::{
    args::Deploy,
    client::Client,
    error::CliError,
    output::{Output, table},
};

pub(crate) async fn deploy(client: &Client, what: Deploy, output: &Output) -> Result<(), CliError> {
    let token = if what.token_stdin { Some(secret_from_stdin("Token", output)?) } else { None };
    let (mut repository, mut branch) = (what.repository, what.branch.map(|b| b.to_string()));
    if repository.is_none() && (what.name.is_none() || !is_known(client, what.name.as_ref()).await?) {
        let checkout = Checkout::here()?;
        for warning in &checkout.warnings {
            output.note(&format!("warning: {warning}"));
        }
        branch = branch.or(checkout.branch);
        repository = Some(checkout.origin);
    }
    let name = match (what.name, &repository) {
        (Some(name), _) => name,
        (None, Some(repository)) => guess_name(repository)?,
        (None, None) => return Err(CliError::Usage("say what to deploy: an address, or --name of an app".to_owned())),
    };
    let body = json!({"subdomain": name, "repository": repository, "branch": branch, "token": token});
    let view: AppView = client.post("/api/deploy", Some(&body)).await?;
    let Some(deployment) = view.deployment.clone() else {
        return Err(CliError::Usage("the server began no deployment".to_owned()));
    };
    if what.detach {
        output.data(&view, || format!("{name} is being deployed; `lab log {name}` shows how it goes"));
        return Ok(());
    }
    let path = format!("/api/apps/{name}/deployments/{}", deployment.id);
    let follow = follow(client, &path, output);
    tokio::select! {
        ended = follow => ended?,
        _ = tokio::signal::ctrl_c() => {
            output.done();
            output.note(&format!("the deployment goes on; `lab cancel {name}` ends it, `lab log {name}` shows it"));
            return Ok(());
        }
    }
    let view: AppView = client.get(&format!("/api/apps/{name}")).await?;
    output.done();
    output.data(&view, || format!("{name} is live at {}", view.url));
    Ok(())
}

/// Shows a deployment to its end. A connection that breaks is taken up where it broke.
async fn follow(client: &Client, path: &str, output: &Output) -> Result<(), CliError> {
    let (mut after, mut failures) = (0, 0);
    loop {
        let mut events = client.events::<DeployEvent>(&format!("{path}/events?after={after}")).await?;
        while let Some(event) = events.next().await {
            let Ok(event) = event else { break };
            (after, failures) = (event.seq, 0);
            output.event(&event);
            if let DeployEventKind::Finished { state, problem } = event.kind {
                return match problem {
                    None => Ok(()),
                    Some(problem) => Err(CliError::Deployment {
                        state: state.to_string(),
                        code: problem.code,
                        message: problem.message,
                    }),
                };
            }
        }
        failures += 1;
        if failures > 5 {
            let reason = "the connection breaks again and again".to_owned();
            return Err(CliError::Unreachable { place: client.place.clone(), reason });
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
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

/// The checkout that `lab` stands in.
struct Checkout {
    origin: String,
    branch: Option<String>,
    warnings: Vec<String>,
}

impl Checkout {
    fn here() -> Result<Self, CliError> {
        Self::of(Path::new("."))
    }

    fn of(folder: &Path) -> Result<Self, CliError> {
        let usage = |text: &str| CliError::Usage(text.to_owned());
        let repository = git2::Repository::discover(folder)
            .map_err(|_| usage("this folder is no git checkout: say what to deploy, such as `lab deploy https://…`"))?;
        let origin = repository.find_remote("origin").ok().and_then(|remote| remote.url().ok().map(str::to_owned));
        let origin =
            origin.ok_or_else(|| usage("this checkout has no remote `origin` that the server could fetch from"))?;
        let head = repository.head().ok();
        let branch =
            head.as_ref().filter(|head| head.is_branch()).and_then(|head| head.shorthand().ok().map(str::to_owned));
        let mut warnings = Vec::new();
        let mut options = git2::StatusOptions::new();
        options.include_untracked(false).include_ignored(false);
        if repository.statuses(Some(&mut options)).is_ok_and(|changes| !changes.is_empty()) {
            warnings.push("there are changes here that are not committed; they are not deployed".to_owned());
        }
        if let (Some(branch), Some(head)) = (&branch, head.and_then(|head| head.target())) {
            let pushed = repository.refname_to_id(&format!("refs/remotes/origin/{branch}")).ok();
            if pushed != Some(head) {
                warnings.push(format!("`{branch}` here is not what `origin` was last seen to have; push first"));
            }
        }
        Ok(Self { origin, branch, warnings })
    }
}

pub(crate) async fn deployments(client: &Client, app: &AppName, output: &Output) -> Result<(), CliError> {
    let all: Vec<Deployment> = client.get(&format!("/api/apps/{app}/deployments")).await?;
    output.data(&all, || {
        table(
            ["ID", "STATE", "STARTED", "COMMIT", "PROBLEM"],
            all.iter().map(|deployment| {
                let commit = deployment.commit.as_ref();
                [
                    deployment.id.to_string(),
                    deployment.state.to_string(),
                    format!("{:.0}", deployment.started_at),
                    commit.map(|c| format!("{:.10} {:.40}", c.hash, c.message)).unwrap_or_default(),
                    deployment.problem.as_ref().map(|p| p.code.clone()).unwrap_or_default(),
                ]
            }),
        )
    });
    Ok(())
}

async fn newest(client: &Client, app: &AppName, id: Option<DeploymentId>) -> Result<DeploymentId, CliError> {
    if let Some(id) = id {
        return Ok(id);
    }
    let all: Vec<Deployment> = client.get(&format!("/api/apps/{app}/deployments")).await?;
    let newest = all.first().map(|deployment| deployment.id);
    newest.ok_or_else(|| CliError::Usage(format!("`{app}` has no deployments")))
}

pub(crate) async fn log(
    client: &Client,
    app: &AppName,
    id: Option<DeploymentId>,
    output: &Output,
) -> Result<(), CliError> {
    let id = newest(client, app, id).await?;
    let text = client.text(&format!("/api/apps/{app}/deployments/{id}/log")).await?;
    output.data(&json!({"id": id, "log": text}), || text.clone());
    Ok(())
}

pub(crate) async fn cancel(
    client: &Client,
    app: &AppName,
    id: Option<DeploymentId>,
    output: &Output,
) -> Result<(), CliError> {
    let id = newest(client, app, id).await?;
    let ended: Deployment = client.post(&format!("/api/apps/{app}/deployments/{id}/cancel"), None).await?;
    output.data(&ended, || match ended.state {
        DeployState::Cancelled => format!("the deployment of {app} is cancelled"),
        other => format!("the deployment of {app} had {other} before"),
    });
    Ok(())
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
}
