//! The role that hands out loopback ports.

use std::{collections::BTreeMap, fmt};

use async_trait::async_trait;

use crate::app::{AppName, Port};

pub mod file;
pub mod memory;

/// Why no port could be had.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Every port of the range is allocated or taken by something else.
    #[error(
        "no port is free between {first} and {last} ({allocated} allocated, {taken} taken by other programs); remove an app or widen the range"
    )]
    Exhausted {
        /// The range's first port.
        first: u16,
        /// The range's last port.
        last: u16,
        /// How many are allocated to apps.
        allocated: usize,
        /// How many something else listens on.
        taken: usize,
    },
    /// The storage failed.
    #[error("cannot {action} the port allocations `{place}`")]
    Storage {
        /// `read` or `write`.
        action: &'static str,
        /// The file or address.
        place: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Hands out ports on the loopback address.
///
/// # Contract
/// - `allocate` gives each app its own port and the same app the same port again.
/// - A released port is used again; `release` of an app without one is `Ok(())`.
/// - A port that something else listens on is skipped, and `is_free` tells it.
/// - When the range is used up, `allocate` says so and changes nothing.
/// - `assign` makes the allocations exactly those given (start-up reconciles them with the registry).
/// - What a call returned is there after a crash of this process (durable implementations).
#[async_trait]
pub trait PortAllocator: fmt::Debug + Send + Sync + 'static {
    /// The name of the technology: `file`, `memory` …
    fn backend(&self) -> &'static str;
    /// The app's port, a new one where it has none.
    async fn allocate(&self, app: &AppName) -> Result<Port, PortError>;
    /// Gives the app's port back.
    async fn release(&self, app: &AppName) -> Result<(), PortError>;
    /// Whether nothing listens on that port now.
    async fn is_free(&self, port: Port) -> Result<bool, PortError>;
    /// Every allocation.
    async fn list(&self) -> Result<BTreeMap<AppName, Port>, PortError>;
    /// Replaces every allocation.
    async fn assign(&self, allocations: BTreeMap<AppName, Port>) -> Result<(), PortError>;
}
