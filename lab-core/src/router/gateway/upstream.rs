//! The connections to one app.
//!
//! # Whose connections
//! They belong to a route, not to a port: [`Compiled::new`](super::table::Compiled::new) makes a new `Upstream` for every
//! route that changed, and dropping the old one closes what was idle. So a port that goes from one app to another never
//! inherits connections, not even to an old process that has closed its listener but still lives. When a process ends
//! while the route stays (a crash, a redeploy on the same port), the kernel closes its sockets: those connections are
//! useless, never wrong, and `lease` drops them.
//!
//! # What is sent twice
//! - A request that hyper gives back because it never wrote it: always safe (`forward`).
//! - A request that may have been written is repeated, once, if it is safe by method (RFC 9110 9.2.1 and 9.2.2) and has no
//!   body: over a kept connection a close by the app may have crossed it (RFC 9112 9.3.1), over any the app may have been
//!   killed, and it will be back in a moment.
//! - All others look at the socket before they use it, and fail with 502 if the app goes away after that.

use std::{
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;

use super::{
    body::RequestBody,
    settings::{Limits, Timeouts},
    socket::AppSocket,
};
use crate::app::Port;

/// What the upstreams of one gateway share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) limits: Limits,
    pub(super) timeouts: Timeouts,
    /// One permit per idle connection.
    pub(super) idle: Arc<Semaphore>,
    /// The tasks of the connections.
    pub(super) tasks: TaskTracker,
}

/// One app's port as one route leads to it.
#[derive(Debug)]
pub(super) struct Upstream {
    port: Port,
    shared: Arc<Shared>,
    /// One permit per request under way.
    requests: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The one used last is at the end, and used next: so the others get old and go.
    idle: Vec<Idle>,
    refusing: Option<Refusing>,
}

/// A port that refused connections, at first and at last.
#[derive(Debug, Clone, Copy)]
struct Refusing {
    since: Instant,
    last: Instant,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<RequestBody>,
    socket: AppSocket,
    since: Instant,
    _permit: OwnedSemaphorePermit,
}

/// A connection in use. Dropping it closes the connection; [`give_back`](Self::give_back) keeps it.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) sender: SendRequest<RequestBody>,
    socket: AppSocket,
    upstream: Arc<Upstream>,
}

impl Upstream {
    pub(super) fn new(port: Port, shared: Arc<Shared>) -> Self {
        let requests = shared.limits.requests_per_app.min(Semaphore::MAX_PERMITS);
        Self { port, requests: Arc::new(Semaphore::new(requests)), shared, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leave to have one more request under way.
    pub(super) fn admit(&self) -> Option<OwnedSemaphorePermit> {
        self.requests.clone().try_acquire_owned().ok()
    }

    /// An open connection that is ready. With `look`, one whose socket was looked at.
    pub(super) fn idle(self: &Arc<Self>, look: bool) -> Option<Lease> {
        let mut state = self.state();
        self.drop_old(&mut state.idle);
        loop {
            // hyper may need a moment after an answer until the connection takes the next request
            let ready = state.idle.iter().rposition(|idle| idle.sender.is_ready())?;
            let Idle { sender, socket, .. } = state.idle.remove(ready);
            if !look || socket.is_quiet() {
                return Some(Lease { sender, socket, upstream: self.clone() });
            }
        }
    }

    /// A new connection, tried once.
    pub(super) async fn connect(self: &Arc<Self>) -> io::Result<Lease> {
        let connecting = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port.get()));
        let stream = timeout(self.shared.timeouts.connect, connecting).await.map_err(|_| io::ErrorKind::TimedOut)?;
        let stream = stream.and_then(|stream| {
            // a free port in the range of outgoing ports can end up connected to itself
            if stream.local_addr()? == stream.peer_addr()? {
                Err(io::ErrorKind::ConnectionRefused.into())
            } else {
                Ok(stream)
            }
        });
        self.note(stream.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused));
        let stream = stream?;
        stream.set_nodelay(true)?;
        let socket = AppSocket::new(stream);
        let (sender, connection) = http1::Builder::new()
            .max_headers(256)
            .handshake(TokioIo::new(socket.clone()))
            .await
            .map_err(io::Error::other)?;
        self.shared.tasks.spawn(async move {
            // its end shows in the sender and in what is read from it
            let _ = connection.with_upgrades().await;
        });
        Ok(Lease { sender, socket, upstream: self.clone() })
    }

    fn note(&self, refused: bool) {
        let now = Instant::now();
        let mut state = self.state();
        state.refusing = refused.then(|| match state.refusing {
            // nobody asked for a while: whatever is the matter now is another matter
            Some(Refusing { last, .. }) if now - last > self.shared.timeouts.comeback => {
                Refusing { since: now, last: now }
            }
            Some(Refusing { since, .. }) => Refusing { since, last: now },
            None => Refusing { since: now, last: now },
        });
    }

    /// Waits until trying again makes sense. `false` once the port has refused for too long: then nobody waits any more,
    /// until one connection succeeds.
    pub(super) async fn wait_for_comeback(&self, attempt: u32) -> bool {
        let refusing = self.state().refusing.map_or(Duration::ZERO, |refusing| refusing.since.elapsed());
        let limit = self.shared.timeouts.comeback;
        if refusing >= limit {
            return false;
        }
        // quick at first, as an app is back within some 50 ms; then slower, as each waiting request tries on its own
        sleep(Duration::from_millis(5 << attempt.min(4)).min(limit.saturating_sub(refusing))).await;
        true
    }

    /// Closes the connections that are idle for too long.
    pub(super) fn close_old(&self) {
        let mut state = self.state();
        self.drop_old(&mut state.idle);
        if state.idle.is_empty() {
            state.idle.shrink_to_fit();
        }
    }

    fn drop_old(&self, idle: &mut Vec<Idle>) {
        let now = Instant::now();
        idle.retain(|idle| !idle.sender.is_closed() && now - idle.since < self.shared.timeouts.idle);
    }

    /// Closes all connections that are idle.
    pub(super) fn close_idle(&self) {
        self.state().idle.clear();
    }
}

impl Lease {
    /// Keeps the connection for the next request. The answer must have been read to its end.
    pub(super) fn give_back(self) {
        let Self { sender, socket, upstream } = self;
        if sender.is_closed() {
            return;
        }
        let Ok(permit) = upstream.shared.idle.clone().try_acquire_owned() else { return };
        let mut state = upstream.state();
        if state.idle.len() < upstream.shared.limits.idle_per_app {
            state.idle.push(Idle { sender, socket, since: Instant::now(), _permit: permit });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An upstream before a listener of std, which acts without giving hyper a turn.
    fn upstream() -> (Arc<Upstream>, std::net::TcpListener) {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = Port::new(listener.local_addr().unwrap().port()).unwrap();
        let limits = Limits { idle: 3, idle_per_app: 2, ..Limits::default() };
        let idle = Arc::new(Semaphore::new(limits.idle));
        let shared = Shared { limits, timeouts: Timeouts::default(), idle, tasks: TaskTracker::new() };
        (Arc::new(Upstream::new(port, Arc::new(shared))), listener)
    }

    async fn open(upstream: &Arc<Upstream>) -> Lease {
        let mut lease = upstream.connect().await.unwrap();
        lease.sender.ready().await.unwrap();
        lease
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_this_instant_is_not_used_for_what_cannot_be_repeated() {
        let (upstream, listener) = upstream();
        for look in [true, false] {
            open(&upstream).await.give_back();
            drop(listener.accept().unwrap());
            // hyper has had no turn to notice; only a look tells
            assert_eq!(upstream.idle(look).is_none(), look);
        }
    }

    #[tokio::test]
    async fn a_connection_that_is_quiet_is_used() {
        let (upstream, listener) = upstream();
        open(&upstream).await.give_back();
        let _app = listener.accept().unwrap();
        assert!(upstream.idle(true).is_some());
    }

    #[tokio::test]
    async fn idle_connections_are_bounded() {
        let (upstream, listener) = upstream();
        let mut leases = Vec::new();
        let mut apps = Vec::new();
        for _ in 0..4 {
            leases.push(open(&upstream).await);
            apps.push(listener.accept().unwrap());
        }
        leases.into_iter().for_each(Lease::give_back);
        assert_eq!(upstream.state().idle.len(), 2);
        assert_eq!(upstream.shared.idle.available_permits(), 1);
        upstream.close_idle();
        assert_eq!(upstream.shared.idle.available_permits(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_port_that_has_refused_for_long() {
        let (upstream, listener) = upstream();
        drop(listener);
        upstream.note(true);
        assert!(upstream.wait_for_comeback(0).await);
        let now = Instant::now();
        let ago = |seconds| now.checked_sub(Duration::from_secs(seconds)).unwrap();
        upstream.state().refusing = Some(Refusing { since: ago(3), last: now });
        assert!(!upstream.wait_for_comeback(0).await);
        // after a while without requests it may be something else
        upstream.state().refusing = Some(Refusing { since: ago(30), last: ago(20) });
        upstream.note(true);
        assert!(upstream.wait_for_comeback(0).await);
    }
}
