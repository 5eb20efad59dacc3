//! One fetch: what every step of it needs to know.

use std::{
    cell::{Cell, RefCell},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    GitSettings,
    cache::Cache,
    checkout::{Checkout, Spot},
    credentials::Keyring,
    fault::{Origin, escape},
    local,
    plan::Plan,
    remote::{self, Want},
    submodule,
};
use crate::{
    git_url::Transport,
    progress::{Amount, Progress, Unit},
    source::{Commit, FetchRequest, SourceError},
};

/// The least time between two reported amounts.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// The most warnings one fetch logs.
const MAX_WARNINGS: usize = 20;

/// Set when nobody waits for the fetch any more.
#[derive(Debug, Default)]
pub(super) struct Stop(AtomicBool);

impl Stop {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error once it is set.
    pub(super) fn check(&self) -> Result<(), SourceError> {
        if self.is_set() { Err(SourceError::Cancelled) } else { Ok(()) }
    }
}

/// Stops a fetch whose future ends, finished or dropped.
pub(super) struct StopOnDrop(pub(super) Arc<Stop>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// One fetch on its thread.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: FetchRequest,
    pub(super) keyring: Keyring,
    pub(super) stop: Arc<Stop>,
    progress: Arc<dyn Progress>,
    /// Bytes of finished transfers.
    received: Cell<u64>,
    reported: Cell<Option<Instant>>,
    warnings: Cell<usize>,
    /// The origins whose caches were used.
    used: RefCell<Vec<String>>,
}

impl Job {
    pub(super) fn new(
        settings: Arc<GitSettings>,
        request: FetchRequest,
        progress: Arc<dyn Progress>,
        stop: Arc<Stop>,
    ) -> Self {
        let keyring = Keyring::new(&request, settings);
        Self {
            request,
            keyring,
            stop,
            progress,
            received: Cell::new(0),
            reported: Cell::new(None),
            warnings: Cell::new(0),
            used: RefCell::new(Vec::new()),
        }
    }

    pub(super) fn label(&self) -> &str {
        self.request.repository.as_str()
    }

    pub(super) fn max_bytes(&self) -> u64 {
        self.request.limits.max_bytes
    }

    /// The whole fetch: everything but the rename to its destination.
    pub(super) fn run(&self) -> Result<Checkout, SourceError> {
        let origin = Origin::root(self.request.repository.clone());
        self.log(&match &self.request.reference {
            Some(reference) => format!("Fetching {} ({reference})", origin.label),
            None => format!("Fetching {}", origin.label),
        });
        let failed = |error: std::io::Error| origin.failed(format!("cannot write the git cache: {error}"));
        let cache = Cache::take(&self.request.cache, self.max_bytes()).map_err(failed)?;
        let mut done = self.attempt(&origin, &cache);
        let is_cached = origin.url.transport() != Transport::Local;
        let is_broken = matches!(done, Err(SourceError::Failed { .. })) && origin.is_damaged();
        if is_cached && is_broken && !self.stop.is_set() {
            self.warn("the git cache was damaged; fetching all again");
            cache.clear().map_err(failed)?;
            self.received.set(0);
            done = self.attempt(&origin, &cache);
        }
        cache.give_back(&self.used.borrow(), done.is_ok());
        done
    }

    fn attempt(&self, origin: &Origin, cache: &Cache) -> Result<Checkout, SourceError> {
        let want = self.request.reference.clone().map_or(Want::Head, Want::Named);
        let (repository, found) = self.bring(origin, &want, cache)?;
        let commit = describe(origin, &repository, found.commit, found.name)?;
        let mut plan = Plan::new(self.max_bytes());
        submodule::plan_all(self, origin, repository, found.commit, cache, &mut plan)?;
        let spot = Spot::beside(&self.request.destination).map_err(|e| origin.failed(e.to_string()))?;
        plan.write(self, origin, spot.path())?;
        self.log(&format!("Checked out {} {}", &commit.hash[..commit.hash.len().min(12)], commit.message));
        Ok(Checkout::new(commit, spot))
    }

    /// The repository that holds the wanted commit, from the disk or brought into the cache.
    pub(super) fn bring(
        &self,
        origin: &Origin,
        want: &Want,
        cache: &Cache,
    ) -> Result<(git2::Repository, remote::Found), SourceError> {
        if origin.url.transport() == Transport::Local {
            return local::open(self, origin, want);
        }
        let name = Cache::name_of(&origin.url);
        let repository = cache.repository(&name).map_err(|e| origin.refuse(self, &e))?;
        self.used.borrow_mut().push(name);
        let found = remote::bring(self, origin, &repository, want)?;
        Ok((repository, found))
    }

    /// Logs one line.
    pub(super) fn log(&self, line: &str) {
        self.progress.log(line);
    }

    /// Logs a warning, up to a bound.
    pub(super) fn warn(&self, line: &str) {
        let count = self.warnings.get();
        self.warnings.set(count + 1);
        match count.cmp(&MAX_WARNINGS) {
            std::cmp::Ordering::Less => self.progress.log(&format!("warning: {line}")),
            std::cmp::Ordering::Equal => self.progress.log("warning: further warnings are left out"),
            std::cmp::Ordering::Greater => {}
        }
    }

    /// Reports an amount, now and then.
    pub(super) fn amount(&self, done: u64, total: u64, unit: Unit) {
        let due = self.reported.get().is_none_or(|last| last.elapsed() >= REPORT_EVERY);
        if due || done == total {
            self.reported.set(Some(Instant::now()));
            self.progress.amount(Amount { done, total: Some(total), unit });
        }
    }

    /// Whether a transfer that has received `bytes` may go on.
    pub(super) fn may_receive(&self, bytes: u64) -> bool {
        self.received.get().saturating_add(bytes) <= self.max_bytes()
    }

    /// Adds a finished transfer.
    pub(super) fn count_received(&self, bytes: u64) {
        self.received.set(self.received.get().saturating_add(bytes));
    }
}

fn describe(
    origin: &Origin,
    repository: &git2::Repository,
    id: git2::Oid,
    branch: Option<String>,
) -> Result<Commit, SourceError> {
    let commit = repository.find_commit(id).map_err(|e| origin.damaged(&e))?;
    let message = String::from_utf8_lossy(commit.message_bytes());
    let subject = message.trim_start().lines().next().unwrap_or_default();
    Ok(Commit {
        hash: id.to_string(),
        branch,
        author: escape(commit.author().name_bytes(), 200),
        message: escape(subject.as_bytes(), 200),
    })
}
