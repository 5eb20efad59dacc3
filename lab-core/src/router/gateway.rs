//! [`Gateway`]: an HTTP reverse proxy inside this process.
//!
//! A request takes one look at the table, which a change replaces as a whole: no connection, request or stream notices.
//! Each route owns the connections to its app (see `upstream`), so that they end with the route.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{RouteTable, RouterConfig, RouterError};

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

pub use listen::Drained;
pub use peers::{InvalidIpRange, IpRange};
pub use settings::{GatewaySettings, Limits, Scheme, Timeouts};

use table::Compiled;
use upstream::Shared;

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
    /// One permit per request under way.
    requests: Arc<Semaphore>,
    apps: Arc<Shared>,
    serving: AtomicUsize,
}

impl Gateway {
    /// A gateway without routes.
    pub fn new(settings: GatewaySettings) -> Self {
        let permits = |n: usize| Arc::new(Semaphore::new(n.min(Semaphore::MAX_PERMITS)));
        let apps = Arc::new(Shared {
            limits: settings.limits.clone(),
            timeouts: settings.timeouts.clone(),
            idle: permits(settings.limits.idle),
            tasks: TaskTracker::new(),
        });
        apps.tasks.close();
        Self {
            inner: Arc::new(Inner {
                table: ArcSwap::from_pointee(Compiled::default()),
                applying: Mutex::new(()),
                connections: permits(settings.limits.connections),
                requests: permits(settings.limits.requests),
                apps,
                serving: AtomicUsize::new(0),
                settings,
            }),
        }
    }

    /// Serves a listener until `shutdown`; then takes no more connections, ends event streams and tunnels, lets other
    /// requests finish for [`Timeouts::drain`] and cuts the rest. Whatever it started has stopped when it returns, and
    /// soon after it is dropped.
    pub async fn serve(&self, listener: TcpListener, shutdown: CancellationToken) -> Drained {
        let serving = Serving::new(&self.inner);
        let drained = listen::serve(&self.inner, listener, shutdown).await;
        drop(serving);
        if self.inner.serving.load(Ordering::Relaxed) == 0 {
            // they end at once when nobody holds the other side; a new `serve` may have begun to use more
            let _ = timeout(Duration::from_secs(1), self.inner.apps.tasks.wait()).await;
        }
        drained
    }
}

/// Closes the connections to apps when the last `serve` ends.
struct Serving<'a>(&'a Inner);

impl<'a> Serving<'a> {
    fn new(inner: &'a Inner) -> Self {
        inner.serving.fetch_add(1, Ordering::Relaxed);
        Self(inner)
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        if self.0.serving.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.table.load().upstreams().for_each(|upstream| upstream.close_idle());
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
}
