//! Streams: bounded in number, and ended when the server ends.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::problem::Problem;

/// How often a silent stream says that it is there: below the idle limits of proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Holds one of `places` for as long as the stream lives, and ends it with `stopping`.
pub(crate) fn bounded<T>(
    items: impl Stream<Item = T> + Send + 'static,
    places: &Arc<Semaphore>,
    stopping: &CancellationToken,
) -> Result<impl Stream<Item = T> + Send + 'static, Problem> {
    let full = |_| {
        let detail = "too many streams are open; close some, or try again later";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", detail)
    };
    let place = places.clone().try_acquire_owned().map_err(full)?;
    Ok(items.take_until(stopping.clone().cancelled_owned()).map(move |item| {
        let _held = &place;
        item
    }))
}

/// One event per item: its name, its id where it has one, and its JSON.
pub(crate) fn events<T: Serialize>(
    items: impl Stream<Item = T> + Send + 'static,
    name: &'static str,
    id: impl Fn(&T) -> Option<u64> + Send + 'static,
) -> Response {
    let events = items.filter_map(move |item| {
        let event = Event::default().event(name);
        let event = match id(&item) {
            Some(id) => event.id(id.to_string()),
            None => event,
        };
        // what cannot be JSON cannot be sent; nothing of ours is
        std::future::ready(event.json_data(&item).ok().map(Ok::<_, Infallible>))
    });
    // nginx would hold events back
    let unbuffered = [("x-accel-buffering", "no")];
    (unbuffered, Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))).into_response()
}

/// Plain text as it comes.
pub(crate) fn text(pieces: impl Stream<Item = String> + Send + 'static) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (kind, Body::from_stream(pieces.map(Ok::<_, Infallible>))).into_response()
}
