//! Looking at deployments, and cancelling them.

use futures_util::StreamExt;
use lab_core::{
    AppName, DeploymentId,
    deploy::{DeployEvent, DeployEventKind, DeployState, Deployment, StepOutcome},
    release::ReleaseView,
};
use serde_json::json;

use crate::{
    client::Client,
    error::CliError,
    output::{Output, table},
};

pub(crate) async fn ls(client: &Client, app: &AppName, output: &Output) -> Result<(), CliError> {
    let all: Vec<Deployment> = client.get(&format!("/api/apps/{app}/deployments")).await?;
    output.data(&all, || {
        table(
            ["ID", "WHAT", "STATE", "STARTED", "COMMIT", "PROBLEM", "STEPS", "TAKEN BACK"],
            all.iter().map(|deployment| {
                let commit = deployment.commit.as_ref();
                [
                    deployment.id.to_string(),
                    deployment.action.to_string(),
                    deployment.state.to_string(),
                    format!("{:.0}", deployment.started_at),
                    commit.map(|c| format!("{:.10} {:.40}", c.hash, c.message)).unwrap_or_default(),
                    deployment.problem.as_ref().map(|p| p.code.clone()).unwrap_or_default(),
                    steps(deployment),
                    deployment.undone.join("; "),
                ]
            }),
        )
    });
    Ok(())
}

pub(crate) async fn releases(client: &Client, app: &AppName, output: &Output) -> Result<(), CliError> {
    let all: Vec<ReleaseView> = client.get(&format!("/api/apps/{app}/releases")).await?;
    output.data(&all, || {
        table(
            ["RELEASE", "", "BUILT", "POCKETBASE", "SIZE", "BY", "COMMIT"],
            all.iter().map(|ReleaseView { serves, is_before, release }| {
                [
                    release.id.to_string(),
                    match (serves, is_before) {
                        (true, _) => "serves".to_owned(),
                        (_, true) => "before it".to_owned(),
                        _ => String::new(),
                    },
                    format!("{:.0}", release.created_at),
                    release.run.pocketbase.clone().unwrap_or_default(),
                    release.bytes.map(|bytes| format!("{} MB", bytes.div_ceil(1_000_000))).unwrap_or_default(),
                    [release.action.to_string(), release.by.clone().unwrap_or_default()].join(", "),
                    format!(
                        "{:.10} {:.40} ({:.20})",
                        release.commit.hash, release.commit.message, release.commit.author
                    ),
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
    let say = |line: String| output.data(&json!({"id": id, "line": line}), || line.clone());
    // of a deployment under way the lines come as they are made
    let mut events = client.events::<DeployEvent>(&format!("/api/apps/{app}/deployments/{id}/events")).await?;
    let mut told = 0;
    while let Some(event) = events.next().await {
        let event = event?;
        told += usize::from(matches!(event.kind, DeployEventKind::Undone { .. }));
        if let Some(line) = line(event.kind) {
            say(line);
        }
    }
    // what was taken back after the server had ended is not in the log of events, which had ended too
    let record: Deployment = client.get(&format!("/api/apps/{app}/deployments/{id}")).await?;
    for what in record.undone.iter().skip(told) {
        say(format!("taken back: {what}"));
    }
    Ok(())
}

/// What an event tells, as a line.
fn line(kind: DeployEventKind) -> Option<String> {
    Some(match kind {
        DeployEventKind::StepStarted { step } => format!("— {step}"),
        DeployEventKind::StepFinished { step, millis } => format!("— {step}: done in {}", seconds(millis)),
        DeployEventKind::StepFailed { step, millis } => format!("— {step}: failed after {}", seconds(millis)),
        DeployEventKind::Undone { what } => format!("taken back: {what}"),
        DeployEventKind::Log { line } => line,
        DeployEventKind::Amount { .. } => return None,
        DeployEventKind::Finished { state, problem: None } => state.to_string(),
        DeployEventKind::Finished { state, problem: Some(problem) } => format!("{state}: {}", problem.message),
    })
}

fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}

/// Each step with its time, and with how it ended unless that was well.
fn steps(deployment: &Deployment) -> String {
    let each = deployment.steps.iter().map(|record| {
        let took = record.millis.map(|millis| format!(" {}", seconds(millis))).unwrap_or_default();
        match record.outcome {
            Some(outcome) if outcome != StepOutcome::Done => format!("{}{took} {outcome}", record.step),
            _ => format!("{}{took}", record.step),
        }
    });
    each.collect::<Vec<_>>().join(", ")
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
