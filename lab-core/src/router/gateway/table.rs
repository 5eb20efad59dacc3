//! The table in the form that requests look into.

use std::{collections::HashMap, sync::Arc};

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
    /// Nowhere.
    Nowhere(Unavailable),
}

impl Compiled {
    /// Indexes `table`. A route that is as it was keeps its connections; any other begins without.
    pub(super) fn new(table: RouteTable, old: &Self, shared: &Arc<Shared>) -> Self {
        // both tables are sorted: walking them side by side is cheaper than looking each name up
        let mut before = old.table.iter().peekable();
        let mut routes = HashMap::with_capacity(table.len());
        for (host, route) in &table {
            while before.next_if(|(name, _)| *name < host).is_some() {}
            let kept = match before.next_if(|(name, _)| *name == host) {
                Some((_, was)) if was == route => old.routes.get(host.as_str()).cloned(),
                _ => None,
            };
            let way = kept.unwrap_or_else(|| match route.target {
                Target::Port(port) => Way::To(Arc::new(Upstream::new(port, shared.clone()))),
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
            Way::Nowhere(_) => None,
        })
    }
}
