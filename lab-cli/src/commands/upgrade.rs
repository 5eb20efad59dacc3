//! Giving apps another PocketBase: one, or all of them in waves.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use lab_core::{
    AppName, AppView, DeploymentId,
    deploy::{DeployState, Deployment},
};
use semver::Version;
use serde::Serialize;
use serde_json::json;

use super::deploy::to_its_end;
use crate::{
    client::Client,
    error::CliError,
    output::{Output, table},
};

/// So many apps are tried or upgraded at once.
const WAVE: usize = 4;
/// How often a deployment is asked for.
const POLL: Duration = Duration::from_millis(300);

pub(crate) async fn one(
    client: &Client,
    app: &AppName,
    to: Option<&Version>,
    detach: bool,
    output: &Output,
) -> Result<(), CliError> {
    let body = json!({"to": to});
    let view: AppView = client.post(&format!("/api/apps/{app}/upgrade"), Some(&body)).await?;
    to_its_end(client, app, view, detach, output).await
}

/// What came of one app.
#[derive(Debug, Clone, Serialize)]
struct Tried {
    app: AppName,
    /// `passed`, `failed`, `skipped`, `upgraded`
    outcome: &'static str,
    /// Why not, or what it changes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// First a rehearsal of each, then the upgrade of those that passed.
pub(crate) async fn all(client: &Client, to: Option<&Version>, yes: bool, output: &Output) -> Result<(), CliError> {
    let apps: Vec<AppView> = client.get("/api/apps").await?;
    let names: Vec<AppName> = apps.into_iter().map(|view| view.app.name).collect();
    output.note(&format!("rehearsing the upgrade of {} apps, {WAVE} at a time", names.len()));
    let mut tried = in_waves(client, names, to, true, output).await?;
    let passed: Vec<AppName> = tried.iter().filter(|it| it.outcome == "passed").map(|it| it.app.clone()).collect();
    output.note(&shown(&tried));
    if passed.is_empty() {
        output.data(&tried, || "nothing was upgraded".to_owned());
        return Ok(());
    }
    let is_wanted =
        yes || (output.is_interactive() && output.asks(&format!("Upgrade the {} that passed?", passed.len())));
    if !is_wanted {
        return Err(CliError::Usage("nothing was upgraded; give --yes to upgrade those that passed".to_owned()));
    }
    for done in in_waves(client, passed, to, false, output).await? {
        if let Some(known) = tried.iter_mut().find(|it| it.app == done.app) {
            *known = done;
        }
    }
    output.data(&tried, || shown(&tried));
    let failed = tried.iter().filter(|it| it.outcome == "failed").count();
    if failed == 0 {
        Ok(())
    } else {
        Err(CliError::local("not every app was upgraded")(format!("{failed} failed").into()))
    }
}

fn shown(tried: &[Tried]) -> String {
    table(
        ["APP", "OUTCOME", ""],
        tried.iter().map(|it| [it.app.to_string(), it.outcome.to_owned(), it.notes.join("; ")]),
    )
}

async fn in_waves(
    client: &Client,
    apps: Vec<AppName>,
    to: Option<&Version>,
    trial: bool,
    output: &Output,
) -> Result<Vec<Tried>, CliError> {
    let each = apps.into_iter().map(|app| async move {
        let tried = try_one(client, &app, to, trial).await;
        if let Ok(tried) = &tried {
            output.note(&format!("{app}: {}", tried.outcome));
        }
        tried
    });
    let all: Vec<Result<Tried, CliError>> = stream::iter(each).buffered(WAVE).collect().await;
    all.into_iter().collect()
}

async fn try_one(client: &Client, app: &AppName, to: Option<&Version>, trial: bool) -> Result<Tried, CliError> {
    let body = json!({"to": to, "trial": trial});
    let begun = client.post::<AppView>(&format!("/api/apps/{app}/upgrade"), Some(&body)).await;
    let view = match begun {
        Ok(view) => view,
        // it has that version, is written in Go, is being deployed …
        Err(CliError::Server { detail, .. }) => {
            return Ok(Tried { app: app.clone(), outcome: "skipped", notes: vec![detail] });
        }
        Err(error) => return Err(error),
    };
    let Some(id) = view.deployment.map(|deployment| deployment.id) else {
        return Err(CliError::Usage("the server began no deployment".to_owned()));
    };
    let ended = ended(client, app, id).await?;
    let (outcome, mut notes) = match (ended.state, &ended.problem) {
        (DeployState::Succeeded, _) => (if trial { "passed" } else { "upgraded" }, Vec::new()),
        (_, Some(problem)) => ("failed", vec![problem.message.lines().next().unwrap_or_default().to_owned()]),
        (state, None) => ("failed", vec![state.to_string()]),
    };
    notes.extend(ended.warnings);
    Ok(Tried { app: app.clone(), outcome, notes })
}

async fn ended(client: &Client, app: &AppName, id: DeploymentId) -> Result<Deployment, CliError> {
    loop {
        let record: Deployment = client.get(&format!("/api/apps/{app}/deployments/{id}")).await?;
        if record.state.is_final() {
            return Ok(record);
        }
        tokio::time::sleep(POLL).await;
    }
}
