//! Apps: looking at them, starting and stopping them, removing them.

use std::collections::BTreeSet;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use lab_core::{AppName, AppView, CustomDomain, Secret, release::ReleaseView, router::RouteTable};
use serde_json::json;

use super::{
    Answer, Api,
    extract::{Asked, Body, Chosen, LogQuery, Named, RemoveQuery, SuperuserBody, VariablesBody},
};

pub(super) async fn list(State(api): State<Api>) -> Answer<Json<Vec<AppView>>> {
    Ok(Json(api.lab.list().await?))
}

pub(super) async fn show(State(api): State<Api>, Named(name): Named) -> Answer<Json<AppView>> {
    Ok(Json(api.lab.get(&name).await?))
}

pub(super) async fn remove(
    State(api): State<Api>,
    Named(name): Named,
    Asked(query): Asked<RemoveQuery>,
) -> Answer<StatusCode> {
    api.lab.remove(&name, query.purge).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn restart(State(api): State<Api>, Named(name): Named) -> Answer<Json<AppView>> {
    Ok(Json(api.lab.restart(&name).await?))
}

pub(super) async fn start(State(api): State<Api>, Named(name): Named) -> Answer<Json<AppView>> {
    Ok(Json(api.lab.start(&name).await?))
}

pub(super) async fn stop(State(api): State<Api>, Named(name): Named) -> Answer<Json<AppView>> {
    Ok(Json(api.lab.stop(&name).await?))
}

pub(super) async fn logs(
    State(api): State<Api>,
    Named(name): Named,
    Asked(query): Asked<LogQuery>,
) -> Answer<Response> {
    printed(&api, &name, &query).await
}

/// The one route with two forms of answer: a list, or a stream that goes on.
async fn printed(api: &Api, name: &AppName, query: &LogQuery) -> Answer<Response> {
    if query.follow {
        return api.events("log", api.lab.follow(name, query.lines()).await?, |_| None);
    }
    Ok(Json(api.lab.logs(name, query.lines()).await?).into_response())
}

pub(super) async fn superuser(
    State(api): State<Api>,
    Named(name): Named,
    Body(body): Body<SuperuserBody>,
) -> Answer<impl IntoResponse> {
    let password = api.lab.create_superuser(&name, &body.email, body.password.map(Secret::new)).await?;
    Ok(Json(json!({"email": body.email, "password": password.expose()})))
}

pub(super) async fn variables(State(api): State<Api>, Named(name): Named) -> Answer<Json<Vec<String>>> {
    Ok(Json(api.lab.variables(&name).await?))
}

pub(super) async fn change_variables(
    State(api): State<Api>,
    Named(name): Named,
    Body(body): Body<VariablesBody>,
) -> Answer<Json<Vec<String>>> {
    Ok(Json(api.lab.change_variables(&name, body.into()).await?))
}

pub(super) async fn domains(State(api): State<Api>, Named(name): Named) -> Answer<Json<BTreeSet<CustomDomain>>> {
    Ok(Json(api.lab.domains(&name).await?))
}

pub(super) async fn add_domain(
    State(api): State<Api>,
    Chosen(name, domain): Chosen<CustomDomain>,
) -> Answer<Json<BTreeSet<CustomDomain>>> {
    Ok(Json(api.lab.add_domain(&name, domain).await?))
}

pub(super) async fn remove_domain(
    State(api): State<Api>,
    Chosen(name, domain): Chosen<CustomDomain>,
) -> Answer<Json<BTreeSet<CustomDomain>>> {
    Ok(Json(api.lab.remove_domain(&name, domain).await?))
}

pub(super) async fn releases(State(api): State<Api>, Named(name): Named) -> Answer<Json<Vec<ReleaseView>>> {
    Ok(Json(api.lab.releases(&name).await?))
}

pub(super) async fn routes(State(api): State<Api>) -> Answer<Json<RouteTable>> {
    Ok(Json(api.lab.backends().router.table().await.map_err(lab_core::Error::from)?))
}
