//! Streams as server-sent events, which end when the server does.

use std::{convert::Infallible, time::Duration};

use axum::response::{
    IntoResponse, Response, Sse,
    sse::{Event, KeepAlive},
};
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

/// How often a silent stream says that it is there: below the idle limits of proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// One event per item: its name, its id where it has one, and its JSON.
pub(crate) fn events<T: Serialize>(
    items: impl Stream<Item = T> + Send + 'static,
    stopping: CancellationToken,
    name: &'static str,
    id: impl Fn(&T) -> Option<u64> + Send + 'static,
) -> Response {
    let events = items.take_until(stopping.cancelled_owned()).filter_map(move |item| {
        let event = Event::default().event(name);
        let event = id(&item).map_or(event.clone(), |id| event.id(id.to_string()));
        // what cannot be JSON cannot be sent; nothing of ours is
        std::future::ready(event.json_data(&item).ok().map(Ok::<_, Infallible>))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}
