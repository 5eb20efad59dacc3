//! The role that remembers which apps there are.

use std::fmt;

use async_trait::async_trait;

use crate::app::{App, AppName};

pub mod file;
pub mod memory;

/// Why a registry refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// [`Registry::create`] of a name that is there.
    #[error("an app named `{0}` exists already")]
    AlreadyExists(AppName),
    /// [`Registry::update`] of a name that is not there.
    #[error("there is no app named `{0}`")]
    NotFound(AppName),
    /// [`Registry::update`] with a record older than the stored one.
    #[error("the record of `{app}` was changed meanwhile (revision {found}, expected {expected}); read it again")]
    Stale {
        /// Whose record.
        app: AppName,
        /// The revision the caller had read.
        expected: u64,
        /// The revision that is stored.
        found: u64,
    },
    /// Another process has the registry open.
    #[error("`{place}` is in use by another process{}; stop it first, or use another data directory", .holder.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    InUse {
        /// The file or address that is in use.
        place: String,
        /// The process that has it, when known.
        holder: Option<u32>,
    },
    /// What is stored cannot be read. It was set aside, not overwritten.
    #[error(
        "`{place}` cannot be read: {reason}; it was kept as `{kept_as}`: repair it and put it back, or start without it"
    )]
    Corrupt {
        /// The file or address.
        place: String,
        /// What is wrong with it.
        reason: String,
        /// Where the unreadable content is now.
        kept_as: String,
    },
    /// The storage failed.
    #[error("cannot {action} the registry `{place}`")]
    Storage {
        /// `read`, `write` …
        action: &'static str,
        /// The file or address.
        place: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Remembers the apps.
///
/// # Contract
/// - What a call returned as written is there after a crash of this process (durable implementations).
/// - `create` stores the record with revision 1 and refuses a name that is there.
/// - `update` takes the record with the revision that was read, stores it with the next one and returns it; a stale one
///   is refused and changes nothing.
/// - `get` of an unknown name is `Ok(None)`; `remove` of one is `Ok(())`.
/// - `list` is sorted by name.
/// - Fields in [`App::extra`] are kept as they are.
/// - Calls may come concurrently; each is atomic.
#[async_trait]
pub trait Registry: fmt::Debug + Send + Sync + 'static {
    /// The name of the technology: `file`, `memory` …
    fn backend(&self) -> &'static str;
    /// Stores a new app.
    async fn create(&self, app: App) -> Result<App, RegistryError>;
    /// The app of that name.
    async fn get(&self, name: &AppName) -> Result<Option<App>, RegistryError>;
    /// Every app.
    async fn list(&self) -> Result<Vec<App>, RegistryError>;
    /// Replaces the record of an app.
    async fn update(&self, app: App) -> Result<App, RegistryError>;
    /// Forgets an app.
    async fn remove(&self, name: &AppName) -> Result<(), RegistryError>;
}
