//! Which host leads to which port, as Caddy knows it.

use std::{collections::BTreeMap, io, path::Path};

use serde::{Deserialize, Serialize};

use super::CaddyError;
use crate::{
    app::Port,
    durable,
    router::{Hostname, RouteTable, Target},
};

/// The apps that run. All other hosts go to the gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mappings(pub(super) BTreeMap<Hostname, Port>);

/// One host's change.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change<'a> {
    Added(&'a Hostname, Port),
    Moved(&'a Hostname, Port),
    Gone(&'a Hostname),
}

impl Mappings {
    /// A held app's requests find its port refusing, and are tried again: Caddy has no better way to wait.
    pub(super) fn of(table: &RouteTable) -> Self {
        let ports =
            table.iter().filter(|(_, route)| route.app.is_some()).filter_map(|(host, route)| match route.target {
                Target::Port(port) | Target::Held(port) => Some((host.clone(), port)),
                Target::Unavailable(_) => None,
            });
        Self(ports.collect())
    }

    /// Every host that leads to a port, the lab's own too.
    pub(super) fn of_all(table: &RouteTable) -> impl Iterator<Item = (&Hostname, Port)> {
        table.iter().filter_map(|(host, route)| match route.target {
            Target::Port(port) | Target::Held(port) => Some((host, port)),
            Target::Unavailable(_) => None,
        })
    }

    /// What was written last. Blocks. What makes no sense is none: the lab tells all of it when it opens.
    pub(super) fn read(path: &Path) -> Result<Self, CaddyError> {
        match std::fs::read(path) {
            Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(CaddyError::file("read", path)(error)),
        }
    }

    /// Blocks.
    pub(super) fn write(&self, path: &Path) -> Result<(), CaddyError> {
        let text = serde_json::to_vec(self).map_err(|e| CaddyError::file("write", path)(e.into()))?;
        durable::write(path, &text, 0o600).map_err(CaddyError::file("write", path))
    }

    /// What makes `self` of `before`.
    pub(super) fn changes<'a>(&'a self, before: &'a Self) -> Vec<Change<'a>> {
        let gone = before.0.keys().filter(|host| !self.0.contains_key(*host)).map(Change::Gone);
        let new = self.0.iter().filter_map(|(host, port)| match before.0.get(host) {
            None => Some(Change::Added(host, *port)),
            Some(was) if was != port => Some(Change::Moved(host, *port)),
            Some(_) => None,
        });
        gone.chain(new).collect()
    }
}
