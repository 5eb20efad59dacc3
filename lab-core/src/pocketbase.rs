//! The shared store of official PocketBase binaries, and where they come from.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::progress::Progress;

pub mod archive;
pub(crate) mod digest;
pub mod fallback;
pub mod path;
mod probe;
pub(crate) mod process;
pub mod store;
pub(crate) mod thrown;
mod unpack;
pub mod wheel;

pub use store::PocketBaseStore;

/// The version for apps that name none.
pub const DEFAULT_VERSION: &str = "0.40.6";

/// [`DEFAULT_VERSION`], parsed.
pub(crate) fn default_version() -> semver::Version {
    let parsed = semver::Version::parse(DEFAULT_VERSION);
    debug_assert!(parsed.is_ok(), "the default is a version");
    parsed.unwrap_or_else(|_| semver::Version::new(0, 0, 0))
}

/// Which API an app's hooks and migrations are written for: 0.23 changed it, and neither side runs the other's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Generation {
    /// Until 0.22: `migrate((db) => new Dao(db))`, `onRecordBeforeCreateRequest`.
    Before023,
    /// From 0.23 on: `migrate((app) => app.save(…))`, `e.next()`.
    From023,
}

impl Generation {
    /// The generation of a version.
    pub fn of(version: &semver::Version) -> Self {
        if (version.major, version.minor) < (0, 23) { Self::Before023 } else { Self::From023 }
    }

    /// The newest version of it that Lab knows: what an app of this generation gets that names no version.
    pub const fn newest(self) -> &'static str {
        match self {
            Self::Before023 => "0.22.27",
            Self::From023 => DEFAULT_VERSION,
        }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before023 => "before 0.23",
            Self::From023 => "from 0.23 on",
        })
    }
}

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
    /// The caller cancelled.
    #[error("fetching PocketBase was cancelled")]
    Cancelled,
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
///
/// # Contract
/// - On success a regular file is at the destination, and it is what the origin announced.
/// - A version that is not there is [`PocketBaseError::NoSuchVersion`], told apart from an origin that cannot be reached.
/// - `versions` are those it has for this machine, in any order; none where it cannot tell.
/// - A fetch whose future is dropped ends, and so does every process it started.
#[async_trait]
pub trait PocketBaseSource: fmt::Debug + Send + Sync + 'static {
    /// The name of the source, for messages.
    fn origin(&self) -> String;
    /// Puts the verified binary of `version` at `destination`, a path in an empty folder on the store's file system; may
    /// use the folder for its own files, which are deleted afterwards.
    async fn fetch(&self, version: &semver::Version, destination: &Path) -> Result<(), PocketBaseError>;
    /// What it has.
    async fn versions(&self) -> Result<Vec<semver::Version>, PocketBaseError>;
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
    /// What could stand in for a version that is not to be had, the nearest first: released patches of the same minor, then
    /// those of later minors of the same generation, which run the same code. None where nobody can tell.
    async fn nearest(
        &self,
        version: &semver::Version,
        cancel: &CancellationToken,
    ) -> Result<Vec<semver::Version>, PocketBaseError>;
}

/// The largest binary that is taken: five times the size of today's.
const MAX_BINARY: u64 = 256 << 20;

/// A cause that is only a text.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Reason(String);

/// An error while doing `action`.
fn failed(
    action: &'static str,
    origin: impl Into<String>,
    version: &semver::Version,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> PocketBaseError {
    PocketBaseError::Failed { action, origin: origin.into(), version: version.to_string(), source: source.into() }
}

/// The error for a version that `origin` does not have.
fn no_such(origin: impl Into<String>, version: &semver::Version) -> PocketBaseError {
    let platform = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    PocketBaseError::NoSuchVersion { origin: origin.into(), version: version.to_string(), platform }
}

/// What among `all` can stand in for `version`, the nearest first, of two as near the newer one; never `version`, nor an
/// earlier minor: data and code may need what it does not have yet.
fn nearest(version: &semver::Version, all: impl IntoIterator<Item = semver::Version>) -> Vec<semver::Version> {
    let later = |other: &semver::Version| other.minor - version.minor;
    let is_near = |other: &semver::Version| {
        let is_same = other.major == version.major && Generation::of(other) == Generation::of(version);
        is_same && other.minor >= version.minor && other.pre.is_empty() && other != version
    };
    let mut near: Vec<semver::Version> = all.into_iter().filter(is_near).collect();
    near.sort_by_key(|other| {
        let patches = if later(other) == 0 { other.patch.abs_diff(version.patch) } else { 0 };
        (later(other), patches, std::cmp::Reverse(other.patch))
    });
    near.dedup();
    near
}

/// The error for something that does not match.
fn untrusted(origin: impl Into<String>, version: &semver::Version, reason: impl Into<String>) -> PocketBaseError {
    PocketBaseError::Untrusted { origin: origin.into(), version: version.to_string(), reason: reason.into() }
}

/// Where the binary of a version is once it is there: `<store>/<version>/pocketbase`.
pub type BinaryPath = PathBuf;

#[cfg(test)]
mod tests {
    use semver::Version;

    #[test]
    fn the_nearest_patch_of_the_same_minor_comes_first_and_then_later_minors_of_the_generation() {
        let all =
            ["0.22.1", "0.22.9", "0.22.5", "0.22.9-rc.1", "0.21.3", "0.23.7", "0.26.1", "0.25.3", "0.25.4", "1.22.7"]
                .map(|v| v.parse().expect("version"));
        let near = |version: &str| -> Vec<String> {
            let wanted: Version = version.parse().expect("version");
            super::nearest(&wanted, all.clone()).iter().map(Version::to_string).collect()
        };
        assert_eq!(near("0.22.7"), ["0.22.9", "0.22.5", "0.22.1"]);
        assert_eq!(near("0.22.99"), ["0.22.9", "0.22.5", "0.22.1"]);
        assert_eq!(near("0.18.6"), ["0.21.3", "0.22.9", "0.22.5", "0.22.1"]);
        assert_eq!(near("0.21.9"), ["0.21.3", "0.22.9", "0.22.5", "0.22.1"]);
        assert_eq!(near("0.23.6"), ["0.23.7", "0.25.4", "0.25.3", "0.26.1"]);
        assert_eq!(near("0.24.0"), ["0.25.4", "0.25.3", "0.26.1"]);
        assert!(near("0.27.0").is_empty());
    }
}
