//! Deployments: beginning them, looking at them, cancelling them.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use lab_core::{
    DeployStarted,
    deploy::{DeployEvent, DeployEventKind, Deployment},
};

use super::{
    Answer, Api,
    extract::{Asked, Body, By, Chosen, DeployBody, EventQuery, LastEvent, Named, RollbackBody, UpgradeBody},
};

pub(super) async fn deploy(
    State(api): State<Api>,
    By(by): By,
    Body(body): Body<DeployBody>,
) -> Answer<impl IntoResponse> {
    let mut request = body.into_request(&api.lab)?;
    request.by = by;
    Ok(accepted(api.lab.deploy(request).await?))
}

pub(super) async fn rollback(
    State(api): State<Api>,
    Named(name): Named,
    By(by): By,
    Body(body): Body<RollbackBody>,
) -> Answer<impl IntoResponse> {
    Ok(accepted(api.lab.rollback(&name, body.release, body.with_data, by).await?))
}

pub(super) async fn upgrade(
    State(api): State<Api>,
    Named(name): Named,
    By(by): By,
    Body(body): Body<UpgradeBody>,
) -> Answer<impl IntoResponse> {
    Ok(accepted(api.lab.upgrade(&name, body.to, body.trial, body.accept_loss, by).await?))
}

fn accepted(started: DeployStarted) -> impl IntoResponse {
    let place = format!("/api/apps/{}/deployments/{}", started.app.app.name, started.deployment);
    (StatusCode::ACCEPTED, [(header::LOCATION, place)], Json(started.app))
}

pub(super) async fn list(State(api): State<Api>, Named(name): Named) -> Answer<Json<Vec<Deployment>>> {
    Ok(Json(api.lab.deployments(&name).await?))
}

pub(super) async fn show(State(api): State<Api>, Chosen(name, id): Chosen) -> Answer<Json<Deployment>> {
    Ok(Json(api.lab.deployment(&name, id).await?))
}

pub(super) async fn cancel(State(api): State<Api>, Chosen(name, id): Chosen) -> Answer<Json<Deployment>> {
    Ok(Json(api.lab.cancel(&name, id).await?))
}

pub(super) async fn events(
    State(api): State<Api>,
    Chosen(name, id): Chosen,
    Asked(query): Asked<EventQuery>,
    LastEvent(last): LastEvent,
) -> Answer<Response> {
    let events = api.lab.deployment_events(&name, id, last.unwrap_or(query.after)).await?;
    api.events("deployment", events, |event| Some(event.seq))
}

/// The build's log as text. Of a deployment under way it goes on until that ends.
pub(super) async fn log(State(api): State<Api>, Chosen(name, id): Chosen) -> Answer<Response> {
    let events = api.lab.deployment_events(&name, id, 0).await?;
    api.text(events.filter_map(|event| std::future::ready(line(event))))
}

fn line(event: DeployEvent) -> Option<String> {
    match event.kind {
        DeployEventKind::Log { line } => Some(format!("{line}\n")),
        _ => None,
    }
}
