//! One visitor's connection, and the requests on it.

use std::{
    convert::Infallible,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use http::{Request, Response, StatusCode, Version, header::CONTENT_TYPE};
use hyper::body::Incoming;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Inner,
    answer::Refusal,
    body::ReplyBody,
    forward::{forward, way},
    headers::{Visitor, prepare_request, set_forwarded, set_websocket, size, strip_hop_by_hop, wants_websocket},
    target::{asked, origin_form},
    tunnel,
    upstream::{Admitted, Lease, Upstream},
    workers::Place,
};

/// What the requests of one connection share.
pub(super) struct Connection {
    pub(super) inner: Arc<Inner>,
    /// Who is at the other end; `None` on a unix socket.
    pub(super) peer: Option<IpAddr>,
    pub(super) place: Place,
    /// Begins the drain.
    pub(super) shutdown: CancellationToken,
    /// Where tunnels run on.
    pub(super) tasks: TaskTracker,
    pub(super) activity: Activity,
    /// The place among the connections: a tunnel keeps it after the HTTP on it has ended.
    pub(super) _permit: OwnedSemaphorePermit,
}

/// Whether a connection has requests under way, and since when not.
#[derive(Debug)]
pub(super) struct Activity(Mutex<(usize, Instant)>);

impl Activity {
    pub(super) fn new() -> Self {
        Self(Mutex::new((0, Instant::now())))
    }

    /// Since when it is idle.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (state.0 == 0).then_some(state.1)
    }

    fn change(&self, by: isize) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = (state.0.saturating_add_signed(by), Instant::now());
    }
}

/// A request under way; lives as long as its answer's body.
pub(super) struct UnderWay {
    connection: Arc<Connection>,
    /// Whether it counts among all requests, and the place that it has at its app.
    admitted: Option<Admitted>,
}

impl UnderWay {
    fn new(connection: &Arc<Connection>) -> Self {
        connection.activity.change(1);
        Self { connection: connection.clone(), admitted: None }
    }

    /// Whether one more request may be under way.
    fn admit(&mut self, upstream: &Arc<Upstream>) -> bool {
        let inner = &*self.connection.inner;
        if inner.requests.fetch_add(1, Ordering::Relaxed) < inner.settings.limits.requests {
            self.admitted = upstream.admit();
        }
        if self.admitted.is_none() {
            inner.requests.fetch_sub(1, Ordering::Relaxed);
        }
        self.admitted.is_some()
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.admitted.is_some() {
            self.connection.inner.requests.fetch_sub(1, Ordering::Relaxed);
        }
        self.connection.activity.change(-1);
    }
}

type Reply = Response<ReplyBody<UnderWay>>;

impl Connection {
    /// Answers one request.
    pub(super) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Reply, Infallible> {
        let begun = Instant::now();
        let mut under_way = UnderWay::new(&self);
        let (parts, body) = request.into_parts();
        let (method, version) = (parts.method.clone(), parts.version);
        // a refusal needs to know what the visitor accepts, when the headers are long gone
        let accept =
            parts.headers.get_all(http::header::ACCEPT).iter().map(|v| (http::header::ACCEPT, v.clone())).collect();
        let mut host = None;
        let answered = self.proxy(parts, body, &mut under_way, &mut host).await;
        let refusal = answered.as_ref().err().map(|refusal| refusal.code());
        let reply = match answered {
            Ok(reply) => reply(under_way),
            Err(refusal) => refusal.response(&accept, host.as_deref()).map(|body| ReplyBody::own(body, under_way)),
        };
        // no path: it may hold tokens and people's data
        tracing::debug!(%method, ?version, host, status = reply.status().as_u16(), refusal, elapsed = ?begun.elapsed(), "request");
        Ok(reply)
    }

    /// Is done when what has no end of its own must end: the gateway does, or its app is exchanged.
    fn over(&self, lease: &Lease) -> impl Future<Output = ()> + Send + use<> {
        let (shutdown, leaving) = (self.shutdown.clone(), lease.upstream().leaving().clone());
        async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = leaving.cancelled() => {}
            }
        }
    }

    async fn proxy(
        &self,
        mut parts: http::request::Parts,
        body: Incoming,
        under_way: &mut UnderWay,
        host_out: &mut Option<String>,
    ) -> Result<impl FnOnce(UnderWay) -> Reply + use<>, Refusal> {
        let inner = &*self.inner;
        let limits = &inner.settings.limits;
        let asked = asked(&parts)?;
        let host = &*host_out.insert(asked.name().into_owned());
        if parts.uri.path_and_query().is_some_and(|p| p.as_str().len() > limits.uri_bytes) {
            return Err(Refusal::UriTooLong);
        }
        if parts.headers.len() > limits.headers || size(&parts.headers) > limits.header_bytes {
            return Err(Refusal::HeadersTooLarge);
        }
        let upstream = way(inner, host).await?;
        if !under_way.admit(&upstream) {
            return Err(Refusal::Busy);
        }

        let upgrade =
            (parts.version == Version::HTTP_11 && parts.method == http::Method::GET && wants_websocket(&parts.headers))
                .then(|| parts.extensions.remove::<hyper::upgrade::OnUpgrade>())
                .flatten();
        let visitor =
            Visitor { peer: self.peer, trusted: &inner.settings.trusted_proxies, scheme: inner.settings.scheme };
        let forwarding = visitor.read(&parts.headers, &asked.authority, asked.port);
        prepare_request(&mut parts.headers, asked.authority, parts.version);
        set_forwarded(&mut parts.headers, forwarding);
        if upgrade.is_some() {
            set_websocket(&mut parts.headers);
        }
        parts.uri = origin_form(parts.uri);
        parts.extensions.clear();

        let (mut answer, lease) = forward(inner, self.place.worker(), host, upstream, parts, body).await?;
        let app = (answer.status() == StatusCode::SWITCHING_PROTOCOLS).then(|| hyper::upgrade::on(&mut answer));
        let websocket = wants_websocket(answer.headers());
        let (mut parts, body) = answer.into_parts();
        strip_hop_by_hop(&mut parts.headers);
        parts.version = Version::HTTP_11;
        let tunnel = match (app, upgrade) {
            (None, _) => None,
            (Some(app), Some(visitor)) if websocket => Some((app, visitor)),
            // it switched to something that nobody asked for
            _ => return Err(Refusal::Cut),
        };
        let events = parts.headers.get(CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"text/event-stream"));
        let until = events.then(|| self.over(&lease));
        let idle = inner.settings.timeouts.tunnel;
        Ok(move |under_way: UnderWay| {
            let Some((app, visitor)) = tunnel else {
                return Response::from_parts(parts, ReplyBody::app(body, lease, until, under_way));
            };
            set_websocket(&mut parts.headers);
            let connection = under_way.connection.clone();
            let over = connection.over(&lease);
            let ends = UnderWay::new(&connection);
            connection.tasks.spawn(async move {
                let _both = (under_way, lease);
                tokio::select! {
                    () = over => {}
                    () = tunnel::carry(visitor, app, idle) => {}
                }
            });
            Response::from_parts(parts, ReplyBody::own(bytes::Bytes::new(), ends))
        })
    }
}
