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
    num::NonZero,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    body::RequestBody,
    settings::{GatewaySettings, Limits, Timeouts},
    socket::AppSocket,
};
use crate::app::Port;

/// What the upstreams of one gateway share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) workers: NonZero<usize>,
    limits: Limits,
    timeouts: Timeouts,
    /// Idle connections per worker.
    idle: Box<[Apart<AtomicUsize>]>,
}

impl Shared {
    pub(super) fn new(settings: &GatewaySettings, workers: NonZero<usize>) -> Self {
        Self {
            workers,
            limits: settings.limits.clone(),
            timeouts: settings.timeouts.clone(),
            idle: (0..workers.get()).map(|_| Apart::default()).collect(),
        }
    }

    /// A worker's part of a limit.
    fn share(&self, limit: usize) -> usize {
        if limit == 0 { 0 } else { (limit / self.workers).max(1) }
    }
}

/// Something that one worker changes all the time: on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Apart<T>(T);

/// One app's port as one route leads to it.
#[derive(Debug)]
pub(super) struct Upstream {
    port: Port,
    shared: Arc<Shared>,
    /// How many requests are under way.
    requests: AtomicUsize,
    /// How many connections are in use, by what for.
    in_use: [AtomicUsize; 3],
    /// Nothing new goes to it. Set before `in_use` is looked at, as `in_use` is counted before this is looked at: of the two
    /// sides one always sees the other.
    is_leaving: AtomicBool,
    /// Ends what has no end of its own.
    leaving: CancellationToken,
    /// Told whenever a connection is used less.
    left: Notify,
    refusing: Mutex<Option<Refusing>>,
    /// What each worker keeps. The connection used last is at the end, and used next: so the others get old and go.
    idle: Box<[Apart<Mutex<Vec<Idle>>>]>,
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
}

/// A connection in use. Dropping it closes the connection; [`give_back`](Self::give_back) keeps it.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) sender: SendRequest<RequestBody>,
    socket: AppSocket,
    upstream: InUse,
    worker: usize,
}

/// What a connection is in use for, in the order in which it is waited for when the app is to be exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    /// A request that has no answer yet.
    Request,
    /// An answer whose head the visitor has: how fast it goes on is up to the visitor.
    Answer,
    /// An event stream, which is told to end: one that does not has a visitor that takes nothing.
    Events,
}

/// How long answers are waited for.
const ANSWERS: Duration = Duration::from_secs(2);
/// How long event streams are waited for.
const EVENTS: Duration = Duration::from_millis(100);

/// Counts a connection that is in use.
#[derive(Debug)]
struct InUse(Arc<Upstream>, For);

impl InUse {
    fn new(upstream: &Arc<Upstream>) -> Self {
        upstream.in_use[For::Request as usize].fetch_add(1, Ordering::SeqCst);
        Self(upstream.clone(), For::Request)
    }

    fn less(&self, what: For) {
        self.0.in_use[what as usize].fetch_sub(1, Ordering::SeqCst);
        if self.0.is_leaving() {
            self.0.left.notify_waiters();
        }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.less(self.1);
    }
}

impl Upstream {
    pub(super) fn new(port: Port, shared: Arc<Shared>) -> Self {
        let idle = (0..shared.workers.get()).map(|_| Apart::default()).collect();
        Self {
            port,
            requests: AtomicUsize::new(0),
            in_use: std::array::from_fn(|_| AtomicUsize::new(0)),
            is_leaving: AtomicBool::new(false),
            leaving: CancellationToken::new(),
            left: Notify::new(),
            refusing: Mutex::default(),
            idle,
            shared,
        }
    }

    /// Lets nothing new go to it, and waits until what is under way there has ended: requests without an answer for as long
    /// as it takes, the rest for a moment, as it may hang on a visitor that takes nothing.
    pub(super) async fn leave(&self) {
        self.is_leaving.store(true, Ordering::SeqCst);
        self.leaving.cancel();
        self.close_idle();
        for (left, limit) in [(3, EVENTS), (2, ANSWERS)] {
            if timeout(limit, self.ended(left)).await.is_ok() {
                return;
            }
        }
        self.ended(1).await;
    }

    /// Waits until nothing is in use for the first so many.
    async fn ended(&self, first: usize) {
        loop {
            let mut left = std::pin::pin!(self.left.notified());
            // registered before the look, so that an end between the look and the wait is not missed
            left.as_mut().enable();
            if self.in_use.iter().take(first).all(|count| count.load(Ordering::SeqCst) == 0) {
                return;
            }
            left.await;
        }
    }

    /// Whether what was not sent yet must look for another way.
    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::SeqCst)
    }

    /// Is cancelled when event streams and tunnels must end.
    pub(super) fn leaving(&self) -> &CancellationToken {
        &self.leaving
    }

    /// Leave to have one more request under way.
    pub(super) fn admit(self: &Arc<Self>) -> Option<Admitted> {
        let admitted = self.requests.fetch_add(1, Ordering::Relaxed) < self.shared.limits.requests_per_app;
        let place = Admitted(self.clone());
        admitted.then_some(place)
    }

    fn idle_of(&self, worker: usize) -> MutexGuard<'_, Vec<Idle>> {
        self.idle[worker].0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An open connection of a worker that is ready. With `look`, one whose socket was looked at.
    pub(super) fn idle(self: &Arc<Self>, worker: usize, look: bool) -> Option<Lease> {
        let mut idle = self.idle_of(worker);
        self.drop_old(worker, &mut idle);
        loop {
            // hyper may need a moment after an answer until the connection takes the next request
            let ready = idle.iter().rposition(|idle| idle.sender.is_ready())?;
            let Idle { sender, socket, .. } = idle.remove(ready);
            self.forget(worker, 1);
            if !look || socket.is_quiet() {
                return Some(Lease { sender, socket, upstream: InUse::new(self), worker });
            }
        }
    }

    fn forget(&self, worker: usize, count: usize) {
        self.shared.idle[worker].0.fetch_sub(count, Ordering::Relaxed);
    }

    /// A new connection of a worker, tried once.
    pub(super) async fn connect(self: &Arc<Self>, worker: usize) -> io::Result<Lease> {
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
        // with hyper's own limit of 100 header lines: any other costs it memory per answer
        let (sender, connection) = http1::handshake(TokioIo::new(socket.clone())).await.map_err(io::Error::other)?;
        // it ends when both the sender and the answer are gone, at the latest with the worker's runtime; its end shows in
        // the sender and in what is read from it
        tokio::spawn(async move { connection.with_upgrades().await });
        Ok(Lease { sender, socket, upstream: InUse::new(self), worker })
    }

    fn refusing(&self) -> MutexGuard<'_, Option<Refusing>> {
        self.refusing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, refused: bool) {
        let now = Instant::now();
        let mut refusing = self.refusing();
        *refusing = refused.then(|| match *refusing {
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
        let refusing = self.refusing().map_or(Duration::ZERO, |refusing| refusing.since.elapsed());
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
        for worker in 0..self.idle.len() {
            let mut idle = self.idle_of(worker);
            self.drop_old(worker, &mut idle);
            if idle.is_empty() {
                idle.shrink_to_fit();
            }
        }
    }

    fn drop_old(&self, worker: usize, idle: &mut Vec<Idle>) {
        let (now, before) = (Instant::now(), idle.len());
        idle.retain(|idle| !idle.sender.is_closed() && now - idle.since < self.shared.timeouts.idle);
        self.forget(worker, before - idle.len());
    }

    /// Closes all connections that are idle.
    pub(super) fn close_idle(&self) {
        for worker in 0..self.idle.len() {
            let idle = std::mem::take(&mut *self.idle_of(worker));
            self.forget(worker, idle.len());
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.close_idle();
    }
}

/// A request under way at an app.
#[derive(Debug)]
pub(super) struct Admitted(Arc<Upstream>);

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lease {
    /// Where it leads.
    pub(super) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream.0
    }

    /// The answer has begun.
    pub(super) fn answers(&mut self, is_events: bool) {
        let what = if is_events { For::Events } else { For::Answer };
        self.upstream.0.in_use[what as usize].fetch_add(1, Ordering::SeqCst);
        let before = std::mem::replace(&mut self.upstream.1, what);
        self.upstream.less(before);
    }

    /// Keeps the connection for the next request. The answer must have been read to its end.
    pub(super) fn give_back(self) {
        let Self { sender, socket, upstream: in_use, worker } = self;
        let upstream = &in_use.0;
        let (shared, mut idle) = (&upstream.shared, upstream.idle_of(worker));
        // only the worker itself adds to its number
        if sender.is_closed()
            || upstream.is_leaving()
            || idle.len() >= shared.share(shared.limits.idle_per_app)
            || shared.idle[worker].0.load(Ordering::Relaxed) >= shared.share(shared.limits.idle)
        {
            return;
        }
        shared.idle[worker].0.fetch_add(1, Ordering::Relaxed);
        idle.push(Idle { sender, socket, since: Instant::now() });
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
        let settings = GatewaySettings { limits, ..GatewaySettings::default() };
        let shared = Shared::new(&settings, NonZero::<usize>::MIN);
        (Arc::new(Upstream::new(port, Arc::new(shared))), listener)
    }

    async fn open(upstream: &Arc<Upstream>) -> Lease {
        let mut lease = upstream.connect(0).await.unwrap();
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
            assert_eq!(upstream.idle(0, look).is_none(), look);
        }
    }

    #[tokio::test]
    async fn a_connection_that_is_quiet_is_used() {
        let (upstream, listener) = upstream();
        open(&upstream).await.give_back();
        let _app = listener.accept().unwrap();
        assert!(upstream.idle(0, true).is_some());
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
        let count = || upstream.shared.idle[0].0.load(Ordering::Relaxed);
        assert_eq!((upstream.idle_of(0).len(), count()), (2, 2));
        drop(upstream.idle(0, false).unwrap());
        assert_eq!((upstream.idle_of(0).len(), count()), (1, 1));
        upstream.close_idle();
        assert_eq!((upstream.idle_of(0).len(), count()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_port_that_has_refused_for_long() {
        let (upstream, listener) = upstream();
        drop(listener);
        upstream.note(true);
        assert!(upstream.wait_for_comeback(0).await);
        let now = Instant::now();
        let ago = |seconds| now.checked_sub(Duration::from_secs(seconds)).unwrap();
        *upstream.refusing() = Some(Refusing { since: ago(3), last: now });
        assert!(!upstream.wait_for_comeback(0).await);
        // after a while without requests it may be something else
        *upstream.refusing() = Some(Refusing { since: ago(30), last: ago(20) });
        upstream.note(true);
        assert!(upstream.wait_for_comeback(0).await);
    }
}
