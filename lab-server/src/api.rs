//! The HTTP API. A handler extracts, calls [`Lab`] and maps: whatever needs more belongs into `Lab`.

use std::convert::Infallible;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    middleware,
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use futures_util::StreamExt;
use lab_core::{AppName, AppView, DeployRequest, DeploymentId, GitUrl, Lab, Secret, deploy::DeployEventKind};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    access::{Access, guard},
    problem::Problem,
    stream,
};

/// The most bytes of a request's body.
const MAX_BODY: usize = 64 << 10;
/// The most lines of a log that are sent at once.
const MAX_LINES: usize = 10_000;

/// What handlers work with.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    lab: Lab,
    /// Ends the streams when the server ends.
    stopping: CancellationToken,
}

/// The API for one door.
pub fn router(lab: Lab, access: Access, stopping: CancellationToken) -> Router {
    let app = Router::new()
        .route("/", get(show).delete(remove))
        .route("/restart", post(restart))
        .route("/start", post(start))
        .route("/stop", post(stop))
        .route("/logs", get(logs))
        .route("/superuser", post(superuser))
        .route("/deployments", get(deployments))
        .route("/deployments/{id}", get(deployment))
        .route("/deployments/{id}/events", get(deployment_events))
        .route("/deployments/{id}/log", get(deployment_log))
        .route("/deployments/{id}/cancel", post(cancel));
    Router::new()
        .route("/", get(home))
        .route("/health", get(health))
        .route("/api/apps", get(list))
        .route("/api/deploy", post(deploy))
        .route("/api/events", get(lab_events))
        .nest("/api/apps/{name}", app)
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "no_such_path", "the API has no such path"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take that method")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(access, guard))
        .with_state(Api { lab, stopping })
}

type Answer<T> = Result<T, Problem>;

/// An app's name from the path.
struct Named(AppName);

/// An app's name and a deployment's id from the path.
struct Chosen(AppName, DeploymentId);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        #[derive(Deserialize)]
        struct Names {
            name: String,
        }
        let Path(Names { name }) = Path::from_request_parts(parts, state).await?;
        Ok(Self(name.parse()?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Chosen {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        #[derive(Deserialize)]
        struct Names {
            name: String,
            id: String,
        }
        let Path(Names { name, id }) = Path::from_request_parts(parts, state).await?;
        Ok(Self(name.parse()?, id.parse()?))
    }
}

/// A JSON body, or a problem.
#[derive(FromRequest)]
#[from_request(via(Json), rejection(Problem))]
struct Body<T>(T);

/// The query, or a problem.
#[derive(FromRequestParts)]
#[from_request(via(Query), rejection(Problem))]
struct Asked<T>(T);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeployBody {
    repository: Option<String>,
    #[serde(alias = "name")]
    subdomain: String,
    branch: Option<String>,
    token: Option<String>,
}

impl DeployBody {
    fn into_request(self, lab: &Lab) -> Answer<DeployRequest> {
        let policy = lab.settings().repositories;
        Ok(DeployRequest {
            name: self.subdomain.parse()?,
            repository: self.repository.map(|text| GitUrl::parse(&text, policy)).transpose()?,
            branch: self.branch.map(|text| text.parse()).transpose()?,
            token: self.token.map(Secret::new),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SuperuserBody {
    email: String,
    password: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveQuery {
    #[serde(default)]
    purge: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogQuery {
    #[serde(default = "hundred")]
    lines: usize,
    #[serde(default)]
    follow: bool,
}

fn hundred() -> usize {
    100
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventQuery {
    #[serde(default)]
    after: u64,
}

async fn home(State(api): State<Api>) -> Html<String> {
    Html(format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Lab</title>\
         <body style='font:16px/1.5 system-ui;max-width:40rem;margin:4rem auto;padding:0 1rem'>\
         <h1>Lab</h1><p>This server hosts PocketBase apps, each at its own name below <code>{}</code>.\
         <p>Its API is for the <code>lab</code> command.",
        api.lab.settings().domain
    ))
}

async fn health() -> Json<Value> {
    Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

async fn list(State(api): State<Api>) -> Answer<Json<Vec<AppView>>> {
    Ok(Json(api.lab.list().await?))
}

async fn deploy(State(api): State<Api>, Body(body): Body<DeployBody>) -> Answer<Response> {
    let started = api.lab.deploy(body.into_request(&api.lab)?).await?;
    let place = format!("/api/apps/{}/deployments/{}", started.app.app.name, started.deployment);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, place)], Json(started.app)).into_response())
}

async fn show(State(api): State<Api>, Named(name): Named) -> Answer<Json<AppView>> {
    Ok(Json(api.lab.get(&name).await?))
}

async fn remove(State(api): State<Api>, Named(name): Named, Asked(query): Asked<RemoveQuery>) -> Answer<StatusCode> {
    api.lab.remove(&name, query.purge).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn restart(State(api): State<Api>, Named(name): Named) -> Answer<Json<AppView>> {
    Ok(Json(api.lab.restart(&name).await?))
}

async fn start(State(api): State<Api>, Named(name): Named) -> Answer<Json<AppView>> {
    Ok(Json(api.lab.start(&name).await?))
}

async fn stop(State(api): State<Api>, Named(name): Named) -> Answer<Json<AppView>> {
    Ok(Json(api.lab.stop(&name).await?))
}

async fn logs(State(api): State<Api>, Named(name): Named, Asked(query): Asked<LogQuery>) -> Answer<Response> {
    let lines = query.lines.min(MAX_LINES);
    if query.follow {
        let lines = api.lab.follow(&name, lines).await?;
        return Ok(stream::events(lines, api.stopping, "log", |_| None));
    }
    Ok(Json(api.lab.logs(&name, lines).await?).into_response())
}

async fn superuser(
    State(api): State<Api>,
    Named(name): Named,
    Body(body): Body<SuperuserBody>,
) -> Answer<impl IntoResponse> {
    let password = api.lab.create_superuser(&name, &body.email, body.password.map(Secret::new)).await?;
    let shown = Json(json!({"email": body.email, "password": password.expose()}));
    Ok(([(header::CACHE_CONTROL, "no-store")], shown))
}

async fn deployments(State(api): State<Api>, Named(name): Named) -> Answer<impl IntoResponse> {
    Ok(Json(api.lab.deployments(&name).await?))
}

async fn deployment(State(api): State<Api>, Chosen(name, id): Chosen) -> Answer<impl IntoResponse> {
    Ok(Json(api.lab.deployment(&name, id).await?))
}

async fn deployment_events(
    State(api): State<Api>,
    Chosen(name, id): Chosen,
    Asked(query): Asked<EventQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    // a browser that lost the connection says how far it was
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let events = api.lab.deployment_events(&name, id, last.unwrap_or(query.after)).await?;
    Ok(stream::events(events, api.stopping, "deployment", |event| Some(event.seq)))
}

async fn deployment_log(State(api): State<Api>, Chosen(name, id): Chosen) -> Answer<Response> {
    let events = api.lab.deployment_events(&name, id, 0).await?;
    let lines = events.take_until(api.stopping.cancelled_owned()).filter_map(async |event| match event.kind {
        DeployEventKind::Log { line } => Some(Ok::<_, Infallible>(format!("{line}\n"))),
        _ => None,
    });
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((kind, axum::body::Body::from_stream(lines)).into_response())
}

async fn cancel(State(api): State<Api>, Chosen(name, id): Chosen) -> Answer<impl IntoResponse> {
    Ok(Json(api.lab.cancel(&name, id).await?))
}

async fn lab_events(State(api): State<Api>) -> Response {
    let events = futures_util::stream::unfold(api.lab.events(), |mut events| async {
        loop {
            match events.recv().await {
                Ok(event) => return Some((event, events)),
                Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return None,
            }
        }
    });
    stream::events(events, api.stopping, "lab", |_| None)
}
