//! One request to an app.

use http::{
    HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
    request::Parts,
};
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout_at};

use super::{
    Inner,
    answer::Refusal,
    body::{Progress, RequestBody},
    table::Way,
    upstream::{Lease, Upstream},
};
use std::{io, pin::pin, sync::Arc, time::Duration};

/// An app's answer, and the connection that its body comes over.
pub(super) type Answered = (Response<Incoming>, Lease);

/// Sends the request to the app of `upstream` and waits for the head of its answer. When the route changes before
/// anything was sent, the request follows it.
pub(super) async fn forward(
    inner: &Inner,
    worker: usize,
    host: &str,
    upstream: Arc<Upstream>,
    parts: Parts,
    body: Incoming,
) -> Result<Answered, Refusal> {
    let progress = Progress::new();
    let body = RequestBody::new(body, &progress);
    let request = outgoing(parts, body);
    let sending = send(inner, worker, host, upstream, request);
    within(inner.settings.timeouts.response, &progress, sending).await.unwrap_or(Err(Refusal::TimedOut))
}

/// The request in the form of HTTP/1.1.
fn outgoing(mut parts: Parts, body: RequestBody) -> Request<RequestBody> {
    parts.version = Version::HTTP_11;
    // hyper takes a GET or HEAD of unknown length for one without a body, unless told
    if !body.is_end_stream() && body.size_hint().exact().is_none() {
        parts.headers.remove(CONTENT_LENGTH);
        parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    Request::from_parts(parts, body)
}

async fn send(
    inner: &Inner,
    worker: usize,
    host: &str,
    mut upstream: Arc<Upstream>,
    mut request: Request<RequestBody>,
) -> Result<Answered, Refusal> {
    // see `upstream` for what may be sent twice
    let repeatable =
        matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) && request.body().is_end_stream();
    let upgrade = super::headers::wants_websocket(request.headers());
    let (mut idle, mut repeated) = (true, false);
    for _ in 0..ATTEMPTS {
        let pooled = if idle { upstream.idle(worker, !repeatable) } else { None };
        let mut lease = match pooled {
            Some(lease) => lease,
            None => connect(inner, worker, host, &mut upstream).await?,
        };
        while upstream.is_leaving() {
            drop(lease);
            upstream = way(inner, host).await?;
            lease = connect(inner, worker, host, &mut upstream).await?;
        }
        let spare = (repeatable && !repeated).then(|| copy(&request));
        // hyper needs a moment to begin with a new connection
        if lease.sender.ready().await.is_err() {
            idle = false;
            continue;
        }
        match lease.sender.try_send_request(request).await {
            Ok(answer) if answer.status() == StatusCode::SWITCHING_PROTOCOLS && !upgrade => return Err(Refusal::Cut),
            Ok(answer) => return Ok((answer, lease)),
            Err(mut e) => {
                // the other idle connections are likely to be as dead as this one
                idle = false;
                request = match (e.take_message(), spare) {
                    (Some(unsent), _) => unsent,
                    (None, Some(spare)) if !e.error().is_parse() => {
                        repeated = true;
                        spare
                    }
                    _ => {
                        tracing::debug!(host, error = %e.error(), "the app broke off");
                        return Err(Refusal::Cut);
                    }
                };
            }
        }
    }
    Err(Refusal::Unreachable)
}

/// One idle connection, one new one, and one more for an app that ends just then.
const ATTEMPTS: u32 = 3;

fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::default());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// A new connection, waiting a little for an app that refuses: it may be starting again. Nothing was sent, so waiting is
/// safe for every request.
async fn connect(inner: &Inner, worker: usize, host: &str, upstream: &mut Arc<Upstream>) -> Result<Lease, Refusal> {
    let mut attempt = 0;
    loop {
        let e = match upstream.connect(worker).await {
            Ok(lease) => return Ok(lease),
            Err(e) => e,
        };
        tracing::debug!(host, error = %e, "no connection to the app");
        // however it failed: an app that is being exchanged is waited for elsewhere
        let is_gone = e.kind() != io::ErrorKind::ConnectionRefused || !upstream.wait_for_comeback(attempt).await;
        if is_gone && !upstream.is_leaving() {
            return Err(Refusal::Unreachable);
        }
        attempt += 1;
        *upstream = way(inner, host).await?;
    }
}

/// Where requests of a host go, waiting while its app is exchanged.
pub(super) async fn way(inner: &Inner, host: &str) -> Result<Arc<Upstream>, Refusal> {
    let deadline = Instant::now() + inner.settings.timeouts.hold;
    loop {
        let waiting = match inner.table.load().way(host) {
            Some(Way::To(upstream)) => return Ok(upstream),
            Some(Way::Held(held)) => held.wait(inner.settings.limits.requests_per_app).ok_or(Refusal::Busy)?,
            Some(Way::Nowhere(why)) => return Err(Refusal::Unavailable(why)),
            None => return Err(Refusal::UnknownHost),
        };
        if timeout_at(deadline, waiting.changed.cancelled()).await.is_err() {
            return Err(Refusal::Held);
        }
    }
}

/// `work`, if it ends within `limit` of the latest progress.
async fn within<T>(limit: Duration, progress: &Progress, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    loop {
        let deadline = progress.last() + limit;
        match timeout_at(deadline, &mut work).await {
            Ok(done) => return Some(done),
            Err(_) if progress.last() + limit <= Instant::now() => return None,
            Err(_) => {}
        }
    }
}
