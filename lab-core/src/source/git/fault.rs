//! What went wrong, in the words of [`SourceError`].

use std::{cell::Cell, time::Duration};

use git2::{ErrorClass, ErrorCode};

use super::{job::Job, timeouts};
use crate::{
    git_url::{GitUrl, Transport},
    source::SourceError,
};

/// The longest text that is taken over from libgit2 or a server.
const MAX_TEXT: usize = 500;

/// A cause as text, because libgit2's own errors may quote an address with credentials.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Reported(pub(super) String);

/// A repository, and what it is called in errors.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) url: GitUrl,
    pub(super) label: String,
    damaged: Cell<bool>,
}

impl Origin {
    pub(super) fn root(url: GitUrl) -> Self {
        let label = url.to_string();
        Self { url, label, damaged: Cell::new(false) }
    }

    pub(super) fn submodule(url: GitUrl, path: &[u8]) -> Self {
        // the errors put backticks around it
        let label = format!("{url}` as submodule `{}", escape(path, MAX_TEXT));
        Self { url, label, damaged: Cell::new(false) }
    }

    /// Whether an error looked like a damaged cache.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.get()
    }

    /// Takes over what was learnt of the cache through another repository.
    pub(super) fn adopt(&self, other: &Self) {
        self.damaged.set(self.damaged.get() || other.damaged.get());
    }

    pub(super) fn failed(&self, why: String) -> SourceError {
        SourceError::Failed { repository: self.label.clone(), source: Reported(why).into() }
    }

    pub(super) fn missing(&self) -> SourceError {
        SourceError::NotFoundOrPrivate { repository: self.label.clone() }
    }

    pub(super) fn too_large(&self, limit: u64) -> SourceError {
        SourceError::TooLarge { repository: self.label.clone(), limit }
    }

    pub(super) fn hostile(&self, path: &[u8], reason: &'static str) -> SourceError {
        SourceError::Hostile { repository: self.label.clone(), path: escape(path, MAX_TEXT), reason }
    }

    /// What is read from the cache is not as it was written there.
    pub(super) fn damaged(&self, error: &git2::Error) -> SourceError {
        self.damaged.set(true);
        self.failed(escape(error.message().as_bytes(), MAX_TEXT))
    }

    /// What libgit2 refused to do.
    pub(super) fn refuse(&self, job: &Job, error: &git2::Error) -> SourceError {
        if job.stop.is_set() {
            return SourceError::Cancelled;
        }
        if self.is_missing(error) {
            return self.missing();
        }
        if error.code() == ErrorCode::Timeout || error.message().contains("timed out") {
            let limit = Duration::from_millis(u64::try_from(timeouts::SILENCE).unwrap_or_default());
            return SourceError::TimedOut { repository: self.label.clone(), limit };
        }
        let local = [ErrorClass::Odb, ErrorClass::Zlib, ErrorClass::Object, ErrorClass::Repository];
        let stored = [ErrorClass::Indexer, ErrorClass::Reference, ErrorClass::Tree, ErrorClass::Config];
        if local.contains(&error.class()) || stored.contains(&error.class()) {
            self.damaged.set(true);
        }
        let text = job.keyring.scrub(error.message());
        if error.class() == ErrorClass::Ssh && text.contains("hostkey") {
            let host = self.url.as_str();
            return self.failed(format!(
                "the ssh server's key is not known: check its fingerprint and add it to the `known_hosts` of the user \
                 this runs as (`ssh-keyscan`), or use an https address; {host}"
            ));
        }
        self.failed(escape(text.as_bytes(), MAX_TEXT))
    }

    /// Servers have no common code for this: the texts are libgit2's (`http.c`, `socket.c`), `git daemon`'s and what an
    /// ssh server does, which is to hang up after a line on stderr.
    fn is_missing(&self, error: &git2::Error) -> bool {
        let says = |text: &str| error.message().contains(text);
        error.code() == ErrorCode::Auth
            || says("unexpected http status code: 401")
            || says("unexpected http status code: 403")
            || says("unexpected http status code: 404")
            || says("authentication required")
            || says("failed to resolve address")
            || says("repository not exported")
            || (self.url.transport() == Transport::Ssh && error.code() == ErrorCode::Eof)
    }
}

/// Bytes as text of at most `most` characters, fit for a log: control characters escaped.
pub(super) fn escape(bytes: &[u8], most: usize) -> String {
    let mut text = String::new();
    for c in String::from_utf8_lossy(bytes).chars().take(most) {
        if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
    }
    text
}
