//! The table in the form that requests look into.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

use super::upstream::{Shared, Upstream};
use crate::router::{Hostname, RouteTable, Target, Unavailable};

/// A table and its index. Never changes: a new one replaces it.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    pub(super) table: RouteTable,
    routes: HashMap<Hostname, Way>,
}

/// Where requests of one host go.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// To an app.
    To(Arc<Upstream>),
    /// To an app, but not now.
    Held(Arc<Held>),
    /// Nowhere.
    Nowhere(Unavailable),
}

/// A route whose requests wait until it changes.
#[derive(Debug)]
pub(super) struct Held {
    /// Where they went before.
    pub(super) before: Option<Arc<Upstream>>,
    /// How many wait.
    waiting: AtomicUsize,
    /// Cancelled when the route changes.
    changed: CancellationToken,
}

/// A request that waits. It does not keep the route that it waits for the end of.
#[derive(Debug)]
pub(super) struct Waiting {
    held: std::sync::Weak<Held>,
    pub(super) changed: CancellationToken,
}

impl Held {
    fn new(before: Option<&Way>) -> Self {
        let before = match before {
            Some(Way::To(upstream)) => Some(upstream.clone()),
            _ => None,
        };
        Self { before, waiting: AtomicUsize::new(0), changed: CancellationToken::new() }
    }

    /// One more waits, unless that would be more than `limit`.
    pub(super) fn wait(self: &Arc<Self>, limit: usize) -> Option<Waiting> {
        let waiting = Waiting { held: Arc::downgrade(self), changed: self.changed.clone() };
        (self.waiting.fetch_add(1, Ordering::Relaxed) < limit).then_some(waiting)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(held) = self.held.upgrade() {
            held.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.changed.cancel();
    }
}

impl Compiled {
    /// Indexes `table`. A route that is as it was keeps its connections; any other begins without.
    pub(super) fn new(table: RouteTable, old: &Self, shared: &Arc<Shared>) -> Self {
        // both tables are sorted: walking them side by side is cheaper than looking each name up
        let mut before = old.table.iter().peekable();
        let mut routes = HashMap::with_capacity(table.len());
        for (host, route) in &table {
            while before.next_if(|(name, _)| *name < host).is_some() {}
            let was = before.next_if(|(name, _)| *name == host);
            let kept = was.filter(|(_, was)| *was == route).and_then(|_| old.routes.get(host.as_str()).cloned());
            let way = kept.unwrap_or_else(|| match route.target {
                Target::Port(port) => Way::To(Arc::new(Upstream::new(port, shared.clone()))),
                Target::Held(_) => Way::Held(Arc::new(Held::new(old.routes.get(host.as_str())))),
                Target::Unavailable(why) => Way::Nowhere(why),
            });
            routes.insert(host.clone(), way);
        }
        Self { table, routes }
    }

    /// The way of a host, given in lower case without port and final dot.
    pub(super) fn way(&self, host: &str) -> Option<Way> {
        self.routes.get(host).cloned()
    }

    /// Every app.
    pub(super) fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.routes.values().filter_map(|way| match way {
            Way::To(upstream) => Some(upstream),
            Way::Held(_) | Way::Nowhere(_) => None,
        })
    }
}
