//! Allocations that are forgotten when the program ends, and the rules that both allocators share.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, TcpListener},
    ops::RangeInclusive,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{PortAllocator, PortError};
use crate::app::{AppName, Port};

/// The ports that apps get by default: 8091 to 8999.
pub const DEFAULT_RANGE: RangeInclusive<u16> = 8091..=8999;

/// The allocations and their rules, wherever they are kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Allocations {
    pub(super) allocated: BTreeMap<AppName, Port>,
    /// The port after the highest that was ever allocated; written for people, not needed to read.
    #[serde(default)]
    pub(super) next_port: u16,
}

impl Allocations {
    /// The app's port, or the lowest of `range` that no app has and nothing listens on.
    pub(super) fn allocate(
        &mut self,
        app: &AppName,
        range: &RangeInclusive<u16>,
        is_free: impl Fn(Port) -> bool,
    ) -> Result<Port, PortError> {
        if let Some(port) = self.allocated.get(app) {
            return Ok(*port);
        }
        let used: BTreeSet<Port> = self.allocated.values().copied().collect();
        let mut taken = 0;
        for port in range.clone().filter_map(Port::new).filter(|port| !used.contains(port)) {
            if is_free(port) {
                self.allocated.insert(app.clone(), port);
                self.next_port = self.next_port.max(port.get().saturating_add(1));
                return Ok(port);
            }
            taken += 1;
        }
        Err(PortError::Exhausted { first: *range.start(), last: *range.end(), allocated: used.len(), taken })
    }

    pub(super) fn assign(&mut self, allocations: BTreeMap<AppName, Port>) {
        let after_highest = allocations.values().map(|port| port.get().saturating_add(1)).max().unwrap_or(0);
        self.next_port = self.next_port.max(after_highest);
        self.allocated = allocations;
    }
}

/// Whether nothing listens on that port, on the loopback address or on all.
pub(super) fn is_free(port: Port) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port.get())).is_ok()
}

/// An allocator in memory: for tests, and for labs that need not survive.
#[derive(Debug)]
pub struct MemoryPorts {
    range: RangeInclusive<u16>,
    /// Guards the allocations; never held across an await.
    allocations: Mutex<Allocations>,
}

impl MemoryPorts {
    /// One that hands out the ports of `range`.
    pub fn new(range: RangeInclusive<u16>) -> Self {
        Self { range, allocations: Mutex::default() }
    }

    fn allocations(&self) -> MutexGuard<'_, Allocations> {
        self.allocations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl PortAllocator for MemoryPorts {
    fn backend(&self) -> &'static str {
        "memory"
    }

    async fn allocate(&self, app: &AppName) -> Result<Port, PortError> {
        self.allocations().allocate(app, &self.range, is_free)
    }

    async fn release(&self, app: &AppName) -> Result<(), PortError> {
        self.allocations().allocated.remove(app);
        Ok(())
    }

    async fn is_free(&self, port: Port) -> Result<bool, PortError> {
        Ok(is_free(port))
    }

    async fn list(&self) -> Result<BTreeMap<AppName, Port>, PortError> {
        Ok(self.allocations().allocated.clone())
    }

    async fn assign(&self, allocations: BTreeMap<AppName, Port>) -> Result<(), PortError> {
        self.allocations().assign(allocations);
        Ok(())
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::{Subject, ports::leased_range};

    crate::ports_conformance!(async {
        let (range, lease) = leased_range();
        Subject::<dyn PortAllocator>::new(Arc::new(MemoryPorts::new(range))).with(lease)
    });
}
