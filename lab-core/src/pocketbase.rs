//! The shared store of official PocketBase binaries, and where they come from.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::progress::Progress;

pub mod archive;
pub mod path;
pub mod store;
pub mod wheel;

pub use store::PocketBaseStore;

/// The version for apps that name none.
pub const DEFAULT_VERSION: &str = "0.40.6";

/// Why a version cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PocketBaseError {
    /// No such version there, or none for this machine.
    #[error("{origin} has no PocketBase {version} for this machine ({platform})")]
    NoSuchVersion {
        /// Which source.
        origin: String,
        /// The version.
        version: String,
        /// Operating system and processor.
        platform: String,
    },
    /// What came is not what was announced.
    #[error("PocketBase {version} from {origin} is damaged or was tampered with: {reason}")]
    Untrusted {
        /// Which source.
        origin: String,
        /// The version.
        version: String,
        /// What does not match.
        reason: String,
    },
    /// It could not be fetched or stored.
    #[error("cannot {action} PocketBase {version} ({origin})")]
    Failed {
        /// `download`, `unpack`, `store` …
        action: &'static str,
        /// Which source.
        origin: String,
        /// The version.
        version: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Brings the official binary of one version.
#[async_trait]
pub trait PocketBaseSource: fmt::Debug + Send + Sync + 'static {
    /// The name of the source, for messages.
    fn origin(&self) -> String;
    /// Puts the verified binary of `version` at `destination`, a path in an empty folder on the store's file system; may
    /// use the folder for its own files, which are deleted afterwards.
    async fn fetch(&self, version: &semver::Version, destination: &Path) -> Result<(), PocketBaseError>;
}

/// Gives releases the official binary. [`PocketBaseStore`] is the one Lab uses.
#[async_trait]
pub trait PocketBaseBinaries: fmt::Debug + Send + Sync + 'static {
    /// Hard-links the read-only binary of `version` into `folder` as `pocketbase`, which is not there yet, and says where
    /// it is. It is brought first when it is not in the store; `cancel` ends that.
    async fn link_into(
        &self,
        version: &semver::Version,
        folder: &Path,
        progress: &dyn Progress,
        cancel: &CancellationToken,
    ) -> Result<PathBuf, PocketBaseError>;
}

/// Where the binary of a version is once it is there: `<store>/<version>/pocketbase`.
pub type BinaryPath = PathBuf;
