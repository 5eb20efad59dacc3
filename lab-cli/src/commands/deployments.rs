//! Looking at deployments, and cancelling them.

use futures_util::StreamExt;
use lab_core::{
    AppName, DeploymentId,
    deploy::{DeployEvent, DeployEventKind, DeployState, Deployment},
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
            ["ID", "WHAT", "STATE", "STARTED", "COMMIT", "PROBLEM"],
            all.iter().map(|deployment| {
                let commit = deployment.commit.as_ref();
                [
                    deployment.id.to_string(),
                    deployment.action.to_string(),
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

pub(crate) async fn releases(client: &Client, app: &AppName, output: &Output) -> Result<(), CliError> {
    let all: Vec<ReleaseView> = client.get(&format!("/api/apps/{app}/releases")).await?;
    output.data(&all, || {
        table(
            ["RELEASE", "", "BUILT", "POCKETBASE", "SIZE", "BY", "COMMIT"],
            all.iter().map(|ReleaseView { serves, release }| {
                [
                    release.id.to_string(),
                    if *serves { "serves".to_owned() } else { String::new() },
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
    // of a deployment under way the lines come as they are made
    let mut events = client.events::<DeployEvent>(&format!("/api/apps/{app}/deployments/{id}/events")).await?;
    while let Some(event) = events.next().await {
        if let DeployEventKind::Log { line } = event?.kind {
            output.data(&json!({"id": id, "line": line}), || line.clone());
        }
    }
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
