//! The role that brings an app's code to this machine.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{
    git_url::{GitRef, GitUrl},
    progress::Progress,
    secret::Secret,
};

pub mod git;

/// What to bring, and where to.
#[derive(Debug, Clone)]
pub struct FetchRequest {
    /// Whose code.
    pub repository: GitUrl,
    /// The branch, tag or commit; none: the remote's HEAD.
    pub reference: Option<GitRef>,
    /// A token for private https repositories.
    pub token: Option<Secret>,
    /// A folder that does not exist yet; holds the tree afterwards, without `.git`.
    pub destination: PathBuf,
    /// A folder the source may keep between fetches of this app; deleting it costs time only.
    pub cache: PathBuf,
    /// Bounds.
    pub limits: FetchLimits,
}

/// What one fetch may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchLimits {
    /// Time for the whole fetch, submodules included.
    pub timeout: Duration,
    /// Bytes of the tree that is checked out, and bytes that are received.
    pub max_bytes: u64,
}

impl Default for FetchLimits {
    /// 10 minutes and 1 GiB.
    fn default() -> Self {
        Self { timeout: Duration::from_mins(10), max_bytes: 1 << 30 }
    }
}

/// What was brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The full hash.
    pub hash: String,
    /// The branch or tag it was found by; none for a commit asked for by its hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The author's name.
    pub author: String,
    /// The first line of the message, at most 200 characters.
    pub message: String,
}

/// Why nothing was brought.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The host or repository is not there, or not for us: servers rarely tell which.
    #[error("`{repository}` does not exist or is private; check the address, or give a token that may read it")]
    NotFoundOrPrivate {
        /// The address.
        repository: String,
    },
    /// The branch, tag or commit is not there.
    #[error("`{repository}` has no branch, tag or commit `{reference}`{}", .known.first().map(|_| format!("; it has {}", .known.join(", "))).unwrap_or_default())]
    NoSuchReference {
        /// The address.
        repository: String,
        /// What was asked for.
        reference: String,
        /// Some that are there.
        known: Vec<String>,
    },
    /// The repository holds no commit.
    #[error("`{repository}` is empty: push a commit first")]
    Empty {
        /// The address.
        repository: String,
    },
    /// [`FetchLimits::max_bytes`] was passed.
    #[error("`{repository}` is larger than the limit of {limit} bytes; remove large files from it or raise the limit")]
    TooLarge {
        /// The address.
        repository: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// [`FetchLimits::timeout`] passed.
    #[error("fetching `{repository}` took longer than {} s; the server may be slow or silent: try again, or raise the limit", .limit.as_secs())]
    TimedOut {
        /// The address.
        repository: String,
        /// The limit.
        limit: Duration,
    },
    /// The caller cancelled.
    #[error("fetching was cancelled")]
    Cancelled,
    /// The tree holds something that must not be written to this machine.
    #[error("`{repository}` holds `{path}`, which {reason}")]
    Hostile {
        /// The address.
        repository: String,
        /// Where, with control characters escaped.
        path: String,
        /// Why it is refused.
        reason: &'static str,
    },
    /// Anything else: the network, the disk, libgit2.
    #[error("cannot fetch `{repository}`")]
    Failed {
        /// The address.
        repository: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Brings code.
///
/// # Contract
/// - On success the destination holds the tree of the returned commit, without `.git`.
/// - On any error, cancel and time-out included, the destination is not there.
/// - Neither token nor credentials reach the destination, the cache, a log or an error.
/// - A cancel or time-out is obeyed within a second, also while the server is silent.
/// - Nothing in the tree leads outside the destination.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// The name of the technology: `git`, `memory` …
    fn backend(&self) -> &'static str;
    /// Brings what `request` names.
    async fn fetch(
        &self,
        request: FetchRequest,
        progress: Arc<dyn Progress>,
        cancel: CancellationToken,
    ) -> Result<Commit, SourceError>;
}
