//! The server itself: whether it is there, what it is, what happens in it.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use futures_util::{Stream, stream};
use lab_core::LabEvent;
use serde_json::{Value, json};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{
    Answer, Api,
    extract::{AskQuery, Asked},
};
use crate::problem::Problem;

pub(super) async fn health() -> Json<Value> {
    Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

/// What `lab doctor` looks at.
pub(super) async fn info(State(api): State<Api>) -> Json<Value> {
    let (settings, backends) = (api.lab.settings(), api.lab.backends());
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "domain": settings.domain,
        "https": settings.public.https,
        "port": settings.public.port,
        "front": api.front,
        "data_dir": settings.data.path(),
        "backends": {
            "registry": backends.registry.backend(),
            "ports": backends.ports.backend(),
            "source": backends.source.backend(),
            "builder": backends.builder.backend(),
            "supervisor": backends.supervisor.backend(),
            "router": backends.router.backend(),
            "health": backends.health.backend(),
        },
    }))
}

/// Deletes what builds share.
pub(super) async fn clear_cache(State(api): State<Api>) -> Answer<Json<Value>> {
    Ok(Json(json!({"freed_bytes": api.lab.clear_build_cache().await?})))
}

/// What Caddy asks before it fetches a certificate: anybody can name any host in a handshake.
pub(super) async fn may_have_certificate(State(api): State<Api>, Asked(query): Asked<AskQuery>) -> Answer<StatusCode> {
    let known = api.lab.has_host(&query.domain).await?;
    known
        .then_some(StatusCode::OK)
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "unknown_host", "no app has that host"))
}

/// For people who open the lab's own address.
pub(super) async fn home(State(api): State<Api>) -> impl IntoResponse {
    let policy = [(header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'")];
    let page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Lab</title>\
         <body style='font:16px/1.5 system-ui;max-width:40rem;margin:4rem auto;padding:0 1rem'>\
         <h1>Lab</h1><p>This is a Lab server: it hosts PocketBase apps, each at its own name below <code>{}</code>.\
         <p>Its API is for the <code>lab</code> command.",
        api.lab.settings().domain
    );
    (policy, Html(page))
}

pub(super) async fn events(State(api): State<Api>) -> Answer<Response> {
    api.events("lab", received(api.lab.events()), |_| None)
}

/// What a receiver gets; what it was too slow for is left out.
fn received(events: Receiver<LabEvent>) -> impl Stream<Item = LabEvent> {
    stream::unfold(events, |mut events| async {
        loop {
            match events.recv().await {
                Ok(event) => return Some((event, events)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    })
}
