//! [`Gateway`]: an HTTP reverse proxy inside this process.
//!
//! A request takes one look at the table, which a change replaces as a whole: no connection, request or stream notices.
//! Each route owns the connections to its app (see `upstream`), so that they end with the route.

use std::{
    num::NonZero,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::AtomicUsize},
    thread,
    time::Duration,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{Hostname, RouteTable, RouterConfig, RouterError};

mod answer;
mod body;
mod connection;
mod forward;
mod headers;
mod listen;
mod peers;
mod settings;
mod socket;
mod table;
mod target;
mod tunnel;
mod upstream;
mod workers;

pub(in crate::router) use answer::unreachable_page;
pub(in crate::router) use headers::CLIENT_IP;
pub use listen::{Drained, Listener};
pub use peers::{InvalidIpRange, IpRange};
pub use settings::{GatewaySettings, Limits, Scheme, Timeouts};

use table::{Compiled, Way};
use upstream::Shared;
use workers::Workers;

/// An in-process HTTP reverse proxy. A cheap handle: clones are the same gateway.
///
/// It speaks HTTP/1.1 and HTTP/2 with prior knowledge to visitors, HTTP/1.1 to apps on the loopback interface, and
/// tunnels each `WebSocket`. It needs [`serve`](Self::serve) to run, on as many listeners as wanted.
#[derive(Debug, Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

/// What all connections share.
#[derive(Debug)]
struct Inner {
    settings: GatewaySettings,
    table: ArcSwap<Compiled>,
    /// Held while a table is made, so that no change is lost.
    applying: Mutex<()>,
    /// One permit per visitor's connection.
    connections: Arc<Semaphore>,
    /// How many requests are under way.
    requests: AtomicUsize,
    apps: Arc<Shared>,
    /// There while something is served.
    workers: Mutex<Weak<Workers>>,
}

impl Gateway {
    /// A gateway without routes.
    pub fn new(settings: GatewaySettings) -> Self {
        let cores = || thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        let apps = Arc::new(Shared::new(&settings, settings.workers.unwrap_or_else(cores)));
        let connections = settings.limits.connections.min(Semaphore::MAX_PERMITS);
        Self {
            inner: Arc::new(Inner {
                table: ArcSwap::from_pointee(Compiled::default()),
                applying: Mutex::new(()),
                connections: Arc::new(Semaphore::new(connections)),
                requests: AtomicUsize::new(0),
                apps,
                workers: Mutex::default(),
                settings,
            }),
        }
    }

    /// Serves a listener until `shutdown`; then takes no more connections, ends event streams and tunnels, lets other
    /// requests finish for [`Timeouts::drain`] and cuts the rest. Whatever it started has stopped when it returns, and
    /// soon after it is dropped. All that one gateway serves shares its [`workers`](GatewaySettings::workers).
    pub async fn serve(&self, listener: impl Into<Listener>, shutdown: CancellationToken) -> Drained {
        let serving = Serving::new(&self.inner);
        let drained = listen::serve(&self.inner, &serving.workers, listener.into(), shutdown).await;
        let threads = serving.workers.threads();
        drop(serving);
        if self.inner.workers().strong_count() == 0 {
            // they end at once; a new `serve` may have begun to use more
            let _ = timeout(Duration::from_secs(1), threads.wait()).await;
        }
        drained
    }
}

impl Inner {
    fn workers(&self) -> MutexGuard<'_, Weak<Workers>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the workers while something is served, and closes the connections to apps after the last.
struct Serving<'a> {
    inner: &'a Inner,
    workers: Arc<Workers>,
}

impl<'a> Serving<'a> {
    fn new(inner: &'a Inner) -> Self {
        let mut running = inner.workers();
        let workers = running.upgrade().unwrap_or_else(|| Arc::new(Workers::start(inner.apps.workers)));
        *running = Arc::downgrade(&workers);
        drop(running);
        Self { inner, workers }
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        let _no_other_begins_or_ends = self.inner.workers();
        if Arc::strong_count(&self.workers) == 1 {
            self.inner.table.load().upstreams().for_each(|upstream| upstream.close_idle());
        }
    }
}

#[async_trait]
impl RouterConfig for Gateway {
    fn backend(&self) -> &'static str {
        "gateway"
    }

    async fn apply(&self, table: RouteTable) -> Result<(), RouterError> {
        let _one_at_a_time = self.inner.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.inner.table.load_full();
        self.inner.table.store(Arc::new(Compiled::new(table, &old, &self.inner.apps)));
        Ok(())
    }

    async fn table(&self) -> Result<RouteTable, RouterError> {
        Ok(self.inner.table.load().table.clone())
    }

    async fn drain(&self, host: &Hostname, limit: Duration) {
        let before = match self.inner.table.load().way(host.as_str()) {
            Some(Way::Held(held)) => held.before.clone(),
            _ => None,
        };
        if let Some(before) = before
            && timeout(limit, before.leave()).await.is_err()
        {
            tracing::warn!(%host, ?limit, "some requests did not end in time; they end with the app's process");
        }
    }
}
