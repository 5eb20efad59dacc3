//! Giving apps another PocketBase: one, or all of them in waves.

use std::{collections::VecDeque, time::Duration};

use futures_util::{StreamExt, stream};
use lab_core::{
    AppName, AppView, DeploymentId,
    deploy::{DeployState, Deployment},
    rehearsal::Rehearsal,
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

/// So many apps are rehearsed at once, and upgraded at once after the first.
const WAVE: usize = 4;
/// How often a deployment is asked for.
const POLL: Duration = Duration::from_millis(300);

/// What is asked of each app.
#[derive(Debug, Clone, Copy, Serialize)]
struct Asked<'a> {
    to: Option<&'a Version>,
    trial: bool,
    accept_loss: bool,
}

pub(crate) async fn one(
    client: &Client,
    app: &AppName,
    to: Option<&Version>,
    accept_loss: bool,
    detach: bool,
    output: &Output,
) -> Result<(), CliError> {
    let asked = json!(Asked { to, trial: false, accept_loss });
    let view: AppView = client.post(&format!("/api/apps/{app}/upgrade"), Some(&asked)).await?;
    to_its_end(client, app, view, detach, output).await
}

/// What came of one app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Outcome {
    #[serde(rename = "passed")]
    Passed,
    #[serde(rename = "not rehearsed")]
    NotRehearsed,
    #[serde(rename = "failed")]
    Failed,
    #[serde(rename = "skipped")]
    Skipped,
    #[serde(rename = "upgraded")]
    Upgraded,
    #[serde(rename = "left")]
    Left,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::NotRehearsed => "not rehearsed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Upgraded => "upgraded",
            Self::Left => "left",
        }
    }
}

#[derive(Debug, Clone, Serialize)]
struct Tried {
    app: AppName,
    outcome: Outcome,
    /// Why not, or what it changes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// First a rehearsal of each, then the upgrade of those that passed: one of them, then some at a time, until one fails.
pub(crate) async fn all(
    client: &Client,
    to: Option<&Version>,
    accept_loss: bool,
    yes: bool,
    output: &Output,
) -> Result<(), CliError> {
    let apps: Vec<AppView> = client.get("/api/apps").await?;
    let names: Vec<AppName> = apps.into_iter().map(|view| view.app.name).collect();
    output.note(&format!("rehearsing the upgrade of {} apps, {WAVE} at a time", names.len()));
    let mut tried = at_once(client, names, Asked { to, trial: true, accept_loss }, output).await?;
    let passed: Vec<AppName> =
        tried.iter().filter(|it| it.outcome == Outcome::Passed).map(|it| it.app.clone()).collect();
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
    let (mut left, mut size, mut has_failed) = (VecDeque::from(passed), 1, false);
    while !left.is_empty() && !has_failed {
        let wave: Vec<AppName> = left.drain(..size.min(left.len())).collect();
        let names: Vec<&str> = wave.iter().map(AppName::as_str).collect();
        output.note(&format!("upgrading {}", names.join(", ")));
        for done in at_once(client, wave, Asked { to, trial: false, accept_loss }, output).await? {
            has_failed |= done.outcome == Outcome::Failed;
            replace(&mut tried, done);
        }
        size = WAVE;
    }
    for app in left {
        let notes = vec![format!("not begun, as another app failed; `lab upgrade {app}` goes on")];
        replace(&mut tried, Tried { app, outcome: Outcome::Left, notes });
    }
    output.data(&tried, || shown(&tried));
    let count = |outcome| tried.iter().filter(|it| it.outcome == outcome).count();
    match (count(Outcome::Failed), count(Outcome::Left)) {
        (0, 0) => Ok(()),
        (failed, left) => {
            Err(CliError::local("not every app was upgraded")(format!("{failed} failed, {left} left").into()))
        }
    }
}

fn replace(tried: &mut [Tried], by: Tried) {
    if let Some(known) = tried.iter_mut().find(|it| it.app == by.app) {
        *known = by;
    }
}

fn shown(tried: &[Tried]) -> String {
    table(
        ["APP", "OUTCOME", ""],
        tried.iter().map(|it| [it.app.to_string(), it.outcome.word().to_owned(), it.notes.join("; ")]),
    )
}

async fn at_once(
    client: &Client,
    apps: Vec<AppName>,
    asked: Asked<'_>,
    output: &Output,
) -> Result<Vec<Tried>, CliError> {
    let each = apps.into_iter().map(|app| async move {
        let tried = try_one(client, &app, asked).await;
        if let Ok(tried) = &tried {
            output.note(&format!("{app}: {}", tried.outcome.word()));
        }
        tried
    });
    let all: Vec<Result<Tried, CliError>> = stream::iter(each).buffered(WAVE).collect().await;
    all.into_iter().collect()
}

async fn try_one(client: &Client, app: &AppName, asked: Asked<'_>) -> Result<Tried, CliError> {
    let begun = client.post::<AppView>(&format!("/api/apps/{app}/upgrade"), Some(&json!(asked))).await;
    let view = match begun {
        Ok(view) => view,
        // it has that version, is written in Go, is being deployed …
        Err(CliError::Server { detail, .. }) => {
            return Ok(Tried { app: app.clone(), outcome: Outcome::Skipped, notes: vec![detail] });
        }
        Err(error) => return Err(error),
    };
    let Some(id) = view.deployment.map(|deployment| deployment.id) else {
        return Err(CliError::Usage("the server began no deployment".to_owned()));
    };
    let ended = ended(client, app, id).await?;
    let (outcome, mut notes) = match (ended.state, &ended.problem) {
        (DeployState::Succeeded, _) if !asked.trial => (Outcome::Upgraded, Vec::new()),
        // its warnings say why
        (DeployState::Succeeded, _) if matches!(ended.rehearsal, Some(Rehearsal::Skipped { .. })) => {
            (Outcome::NotRehearsed, Vec::new())
        }
        (DeployState::Succeeded, _) => (Outcome::Passed, Vec::new()),
        (_, Some(problem)) => (Outcome::Failed, vec![problem.message.lines().next().unwrap_or_default().to_owned()]),
        (state, None) => (Outcome::Failed, vec![state.to_string()]),
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
