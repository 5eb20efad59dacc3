//! When a build must end before it is done.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{task::JoinError, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::builder::BuildError;

/// A cancel or a time limit.
#[derive(Debug, Clone)]
pub(super) struct Stop {
    cancel: CancellationToken,
    deadline: Option<Instant>,
    limit: Duration,
}

impl Stop {
    /// The limit counts from now on; one that the clock cannot hold is none.
    pub(super) fn new(cancel: CancellationToken, limit: Duration) -> Self {
        Self { cancel, deadline: Instant::now().checked_add(limit), limit }
    }

    /// A token that is cancelled with the build, for what is a part of it.
    pub(super) fn token(&self) -> CancellationToken {
        self.cancel.child_token()
    }

    /// An error when the build must end.
    pub(super) fn check(&self) -> Result<(), BuildError> {
        if self.cancel.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(BuildError::TimedOut { limit: self.limit }),
            _ => Ok(()),
        }
    }

    /// Returns when the build must end.
    pub(super) async fn wait(&self) -> BuildError {
        let deadline = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.cancel.cancelled() => BuildError::Cancelled,
            () = deadline => BuildError::TimedOut { limit: self.limit },
        }
    }
}

impl BuildError {
    /// Whether the build as a whole must end.
    pub(super) fn must_end(&self) -> bool {
        matches!(self, Self::Cancelled | Self::TimedOut { .. })
    }
}

/// Tells blocking work that nobody waits for it any more, when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Waiting(pub(super) Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The result of blocking work; a panic in it is an error here.
pub(super) fn joined<T>(result: Result<T, JoinError>, action: &'static str, path: &Path) -> Result<T, BuildError> {
    result.map_err(|error| BuildError::Io { action, path: path.to_owned(), source: io::Error::other(error) })
}
