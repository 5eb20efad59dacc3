//! The HTTP API. A handler extracts, calls [`Lab`] and maps: whatever needs more belongs into `Lab`.

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::StatusCode,
    middleware,
    response::Response,
    routing::{get, post, put},
};
use futures_util::Stream;
use lab_core::Lab;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    access::{Access, guard},
    config::Tls,
    problem::Problem,
    stream,
};

mod apps;
mod data;
mod deployments;
mod extract;
mod server;
#[cfg(test)]
mod tests;

/// The most bytes of a request's body.
const MAX_BODY: usize = 64 << 10;
/// The most streams that are open at one door.
const MAX_STREAMS: usize = 128;

/// What handlers work with.
#[derive(Debug, Clone)]
struct Api {
    lab: Lab,
    /// Ends the streams when the server ends.
    stopping: CancellationToken,
    /// One permit per open stream.
    streams: Arc<Semaphore>,
    front: Front,
}

/// Where visitors come in, and who ends their TLS.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Front {
    /// Who ends TLS.
    pub tls: Tls,
    /// The port for plain HTTP.
    pub http_port: u16,
    /// The port for https, where Caddy ends TLS.
    pub https_port: u16,
}

type Answer<T> = Result<T, Problem>;

impl Api {
    /// A stream of server-sent events.
    fn events<T: Serialize>(
        &self,
        name: &'static str,
        items: impl Stream<Item = T> + Send + 'static,
        id: impl Fn(&T) -> Option<u64> + Send + 'static,
    ) -> Answer<Response> {
        Ok(stream::events(stream::bounded(items, &self.streams, &self.stopping)?, name, id))
    }

    /// A stream of bytes.
    fn pieces<T: Send + 'static>(
        &self,
        pieces: impl Stream<Item = T> + Send + 'static,
    ) -> Answer<impl Stream<Item = T> + Send + 'static> {
        stream::bounded(pieces, &self.streams, &self.stopping)
    }

    /// A stream of text.
    fn text(&self, pieces: impl Stream<Item = String> + Send + 'static) -> Answer<Response> {
        Ok(stream::text(stream::bounded(pieces, &self.streams, &self.stopping)?))
    }
}

/// The API for one door. Its streams end with `stopping`.
pub fn router(lab: Lab, access: Access, front: Front, stopping: CancellationToken) -> Router {
    let app = Router::new()
        .route("/", get(apps::show).delete(apps::remove))
        .route("/restart", post(apps::restart))
        .route("/start", post(apps::start))
        .route("/stop", post(apps::stop))
        .route("/logs", get(apps::logs))
        .route("/env", get(apps::variables).patch(apps::change_variables))
        .route("/domains", get(apps::domains))
        .route("/domains/{domain}", put(apps::add_domain).delete(apps::remove_domain))
        .route("/superuser", post(apps::superuser))
        .route("/releases", get(apps::releases))
        .route("/rollback", post(deployments::rollback))
        .route("/upgrade", post(deployments::upgrade))
        .route("/data", get(data::list).post(data::take))
        .route("/data/{id}/newer", get(data::newer))
        .route("/data/{id}/restore", post(data::restore))
        .route("/data/{id}/verify", post(data::verify))
        .route("/data/{id}/download", get(data::download))
        .route("/deployments", get(deployments::list))
        .route("/deployments/{id}", get(deployments::show))
        .route("/deployments/{id}/events", get(deployments::events))
        .route("/deployments/{id}/log", get(deployments::log))
        .route("/deployments/{id}/cancel", post(deployments::cancel));
    Router::new()
        .route("/", get(server::home))
        .route("/health", get(server::health))
        .route("/api/apps", get(apps::list))
        .route("/api/deploy", post(deployments::deploy))
        .route("/api/info", get(server::info))
        .route("/api/events", get(server::events))
        .route("/api/cache/clear", post(server::clear_cache))
        .route("/tls/ask", get(server::may_have_certificate))
        .route("/api/routes", get(apps::routes))
        .nest("/api/apps/{name}", app)
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "no_such_path", "the API has no such path"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take that method")
        })
        // not the limit of tower-http: what that answers is no problem document
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(access, guard))
        .with_state(Api { lab, stopping, streams: Arc::new(Semaphore::new(MAX_STREAMS)), front })
}
