//! [`FakeSource`], and the conformance suite of [`Source`].

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::{
    durable,
    git_url::{GitRef, GitUrl},
    progress::Progress,
    source::{Commit, FetchRequest, Source, SourceError},
};

mod conformance;

pub use conformance::*;

/// One commit of a repository that a test makes up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FakeCommit {
    /// Its first line.
    pub message: String,
    /// Path to content.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl FakeCommit {
    /// A commit of text files.
    pub fn new<P: Into<String>, C: Into<String>>(message: &str, files: impl IntoIterator<Item = (P, C)>) -> Self {
        let files = files.into_iter().map(|(path, content)| (path.into(), content.into().into_bytes())).collect();
        Self { message: message.to_owned(), files }
    }

    /// A made-up hash: of the message and the files.
    pub fn hash(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(format!("{self:?}"));
        digest.finalize().iter().take(20).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }
}

/// What a [`FakeSource`] was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchCall {
    /// The repository.
    pub repository: String,
    /// The branch, tag or commit.
    pub reference: Option<String>,
    /// Whether a token came along.
    pub with_token: bool,
}

/// A source in memory: repositories are lists of commits on the branch `main`. A cloneable handle; strict: unknown
/// repositories, parents that are not there and taken destinations are errors.
#[derive(Debug, Clone, Default)]
pub struct FakeSource(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    repositories: HashMap<String, Vec<FakeCommit>>,
    failures: VecDeque<SourceError>,
    hangs: usize,
    journal: Vec<FetchCall>,
}

impl FakeSource {
    /// A source without repositories.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes or replaces the repository at `url`; the last commit is the head of `main`.
    pub fn publish(&self, url: &GitUrl, commits: impl IntoIterator<Item = FakeCommit>) {
        self.state().repositories.insert(url.as_str().to_owned(), commits.into_iter().collect());
    }

    /// Adds a commit to `main`.
    pub fn push(&self, url: &GitUrl, commit: FakeCommit) {
        self.state().repositories.entry(url.as_str().to_owned()).or_default().push(commit);
    }

    /// Lets a coming fetch fail.
    pub fn fail_next(&self, error: SourceError) {
        self.state().failures.push_back(error);
    }

    /// Lets a coming fetch hang until it is cancelled or its time is up.
    pub fn hang_next(&self) {
        self.state().hangs += 1;
    }

    /// All that was asked so far.
    pub fn journal(&self) -> Vec<FetchCall> {
        self.state().journal.clone()
    }

    /// Answers without writing: the commit and its files.
    fn find(&self, request: &FetchRequest) -> Result<(Commit, FakeCommit), SourceError> {
        let repository = request.repository.to_string();
        let state = self.state();
        let Some(commits) = state.repositories.get(&repository) else {
            return Err(SourceError::NotFoundOrPrivate { repository });
        };
        let Some(head) = commits.last() else { return Err(SourceError::Empty { repository }) };
        let (commit, branch) = match request.reference.as_ref().map(GitRef::as_str) {
            None | Some("main") => (head, Some("main".to_owned())),
            Some(reference) => {
                let named = commits.iter().find(|c| reference.len() >= 4 && c.hash().starts_with(reference));
                let known = vec!["main".to_owned()];
                let unknown = || SourceError::NoSuchReference {
                    repository: repository.clone(),
                    reference: reference.to_owned(),
                    known,
                };
                (named.ok_or_else(unknown)?, None)
            }
        };
        if commit.files.values().map(|content| content.len() as u64).sum::<u64>() > request.limits.max_bytes {
            return Err(SourceError::TooLarge { repository, limit: request.limits.max_bytes });
        }
        let message = commit.message.lines().next().unwrap_or_default().chars().take(200).collect();
        let found = Commit { hash: commit.hash(), branch, author: "a test".to_owned(), message };
        Ok((found, commit.clone()))
    }
}

#[async_trait]
impl Source for FakeSource {
    fn backend(&self) -> &'static str {
        "fake"
    }

    async fn fetch(
        &self,
        request: FetchRequest,
        progress: Arc<dyn Progress>,
        cancel: CancellationToken,
    ) -> Result<Commit, SourceError> {
        let (failure, hang) = {
            let mut state = self.state();
            state.journal.push(FetchCall {
                repository: request.repository.to_string(),
                reference: request.reference.as_ref().map(ToString::to_string),
                with_token: request.token.is_some(),
            });
            let hang = state.hangs > 0;
            state.hangs = state.hangs.saturating_sub(1);
            (state.failures.pop_front(), hang)
        };
        progress.log(&format!("Fetching {}", request.repository));
        if hang {
            let limit = request.limits.timeout;
            return Err(tokio::select! {
                () = cancel.cancelled() => SourceError::Cancelled,
                () = tokio::time::sleep(limit) =>
                    SourceError::TimedOut { repository: request.repository.to_string(), limit },
            });
        }
        // a moment in which others run, as with every real source
        tokio::time::sleep(Duration::ZERO).await;
        if cancel.is_cancelled() {
            return Err(SourceError::Cancelled);
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        let (found, commit) = self.find(&request)?;
        write(&request.destination, &commit).map_err(|error| {
            drop(durable::remove(&request.destination));
            SourceError::Failed { repository: request.repository.to_string(), source: error.into() }
        })?;
        progress.log(&format!("Checked out {}", found.hash));
        Ok(found)
    }
}

fn write(destination: &PathBuf, commit: &FakeCommit) -> std::io::Result<()> {
    fs::create_dir(destination)?;
    for (path, content) in &commit.files {
        let path = destination.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, content)?;
    }
    Ok(())
}
