//! What every [`Source`] does, one function a line of its contract.
#![expect(clippy::missing_panics_doc, reason = "a behaviour that is not met panics: that is what a test is")]

use std::{
    fmt, fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use walkdir::WalkDir;

use super::FakeCommit;
use crate::{
    git_url::GitUrl,
    progress::{Amount, Progress},
    secret::Secret,
    source::{Commit, FetchLimits, FetchRequest, Source, SourceError},
};

/// A source under test with repositories to fetch from.
pub trait SourceFixture: fmt::Debug + Send + Sync + 'static {
    /// The source.
    fn source(&self) -> &dyn Source;
    /// Makes or replaces the one repository of the fixture, always at the same address: its branch `main` and HEAD hold
    /// `commits`, the last one on top. The same commits have the same hashes.
    fn publish(&self, commits: &[FakeCommit]) -> GitUrl;
    /// The address of a server that takes connections and then says nothing, until the fixture ends.
    fn silent(&self) -> GitUrl;
    /// Whether [`SourceFixture::link`] can be had.
    fn has_links(&self) -> bool {
        false
    }
    /// Makes a repository with one symbolic link, `link`, to `target`.
    fn link(&self, _target: &str) -> Option<GitUrl> {
        None
    }
}

const SECRET: &str = "tok-5ecret-0123456789";

/// Collects what is logged.
#[derive(Debug, Default)]
struct Lines(Mutex<String>);

impl Progress for Lines {
    fn log(&self, line: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(line);
    }
    fn amount(&self, _amount: Amount) {}
}

struct Desk {
    dir: TempDir,
    lines: Arc<Lines>,
}

impl Desk {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary folder"), lines: Arc::default() }
    }

    fn request(&self, repository: GitUrl) -> FetchRequest {
        FetchRequest {
            repository,
            reference: None,
            token: Some(Secret::new(SECRET)),
            destination: self.dir.path().join("work/checkout"),
            cache: self.dir.path().join("cache/app"),
            limits: FetchLimits { timeout: Duration::from_secs(30), max_bytes: 1 << 20 },
        }
    }

    async fn fetch(&self, source: &dyn Source, request: FetchRequest) -> Result<Commit, SourceError> {
        fs::create_dir_all(self.dir.path().join("work")).expect("a folder");
        source.fetch(request, self.lines.clone(), CancellationToken::new()).await
    }

    fn is_clean(&self) -> bool {
        let work = self.dir.path().join("work");
        fs::read_dir(work).map_or(0, Iterator::count) == 0
    }

    fn holds_secret(&self) -> bool {
        let log = self.lines.0.lock().unwrap_or_else(PoisonError::into_inner).contains(SECRET);
        let files = WalkDir::new(self.dir.path()).into_iter().flatten();
        log || files.filter(|entry| entry.file_type().is_file()).any(|entry| {
            let content = fs::read(entry.path()).expect("a file");
            content.windows(SECRET.len()).any(|part| part == SECRET.as_bytes())
        })
    }
}

fn two() -> [FakeCommit; 2] {
    let first = FakeCommit::new("first", [("a.txt", "one"), ("gone.txt", "x")]);
    [first, FakeCommit::new("second", [("a.txt", "two"), ("deep/er/b.txt", "b\r\n")])]
}

/// On success the destination holds the tree of the returned commit, without `.git`.
pub async fn the_destination_holds_the_tree_of_the_returned_commit(fixture: &dyn SourceFixture) {
    let desk = Desk::new();
    let request = desk.request(fixture.publish(&two()));
    let destination = request.destination.clone();
    let commit = desk.fetch(fixture.source(), request).await.expect("fetched");
    assert_eq!((commit.message.as_str(), commit.branch.as_deref()), ("second", Some("main")));
    assert_eq!(commit.hash.len(), 40);
    assert_eq!(fs::read(destination.join("a.txt")).expect("a file"), b"two");
    assert_eq!(fs::read(destination.join("deep/er/b.txt")).expect("a file"), b"b\r\n");
    assert!(!destination.join("gone.txt").exists() && !destination.join(".git").exists());
}

/// A commit can be asked for by its hash, also when the branch went on.
pub async fn an_older_commit_is_brought_by_its_hash(fixture: &dyn SourceFixture) {
    let desk = Desk::new();
    let [first, second] = two();
    let url = fixture.publish(std::slice::from_ref(&first));
    let old = desk.fetch(fixture.source(), desk.request(url)).await.expect("fetched").hash;
    let desk = Desk::new();
    let mut request = desk.request(fixture.publish(&[first, second]));
    request.reference = Some(old.parse().expect("a reference"));
    let destination = request.destination.clone();
    let commit = desk.fetch(fixture.source(), request).await.expect("fetched");
    assert_eq!((commit.hash, commit.branch), (old, None));
    assert_eq!(fs::read(destination.join("a.txt")).expect("a file"), b"one");
}

/// The second fetch brings what is new, with and without the cache of the first.
pub async fn a_later_fetch_brings_what_is_new(fixture: &dyn SourceFixture) {
    let desk = Desk::new();
    let [first, second] = two();
    let request = desk.request(fixture.publish(std::slice::from_ref(&first)));
    desk.fetch(fixture.source(), request.clone()).await.expect("fetched");
    for (place, keep) in [("work/second", true), ("work/third", false)] {
        let mut request = desk.request(fixture.publish(&[first.clone(), second.clone()]));
        request.destination = desk.dir.path().join(place);
        if !keep {
            drop(fs::remove_dir_all(&request.cache));
        }
        let destination = request.destination.clone();
        assert_eq!(desk.fetch(fixture.source(), request).await.expect("fetched").message, "second");
        assert_eq!(fs::read(destination.join("a.txt")).expect("a file"), b"two");
    }
}

/// A reference that is not there is named, with some that are.
pub async fn an_unknown_reference_is_told_with_some_that_are_known(fixture: &dyn SourceFixture) {
    let desk = Desk::new();
    let mut request = desk.request(fixture.publish(&two()));
    request.reference = Some("nowhere".parse().expect("a reference"));
    let error = desk.fetch(fixture.source(), request).await.expect_err("no such reference");
    let SourceError::NoSuchReference { reference, known, .. } = error else { panic!("{error:?}") };
    assert_eq!((reference.as_str(), known), ("nowhere", vec!["main".to_owned()]));
    assert!(desk.is_clean());
}

/// A repository without commits is told apart.
pub async fn an_empty_repository_is_told(fixture: &dyn SourceFixture) {
    let desk = Desk::new();
    let request = desk.request(fixture.publish(&[]));
    let error = desk.fetch(fixture.source(), request).await.expect_err("empty");
    assert!(matches!(error, SourceError::Empty { .. }), "{error:?}");
}

/// On any error the destination is not there.
pub async fn after_an_error_the_destination_is_not_there(fixture: &dyn SourceFixture) {
    let desk = Desk::new();
    let mut request = desk.request(fixture.publish(&[FakeCommit::new("large", [("a.txt", "x".repeat(2000))])]));
    request.limits.max_bytes = 1000;
    let error = desk.fetch(fixture.source(), request).await.expect_err("too large");
    assert!(matches!(error, SourceError::TooLarge { limit: 1000, .. }), "{error:?}");
    assert!(desk.is_clean());
}

/// Neither token nor credentials reach the destination, the cache, a log or an error.
pub async fn a_token_is_left_nowhere(fixture: &dyn SourceFixture) {
    let desk = Desk::new();
    let url = fixture.publish(&two());
    desk.fetch(fixture.source(), desk.request(url.clone())).await.expect("fetched");
    let mut request = desk.request(url);
    request.reference = Some("nowhere".parse().expect("a reference"));
    request.destination = desk.dir.path().join("work/other");
    let error = desk.fetch(fixture.source(), request).await.expect_err("no such reference");
    assert!(!format!("{error} {error:?}").contains(SECRET));
    assert!(!desk.holds_secret());
}

/// A cancel is obeyed within a second, also while the server is silent.
pub async fn a_cancel_is_obeyed_within_a_second(fixture: &dyn SourceFixture) {
    let desk = Desk::new();
    fs::create_dir_all(desk.dir.path().join("work")).expect("a folder");
    let cancel = CancellationToken::new();
    let fetch = fixture.source().fetch(desk.request(fixture.silent()), desk.lines.clone(), cancel.clone());
    let cancelling = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cancel.cancel();
        Instant::now()
    };
    let (result, cancelled) = tokio::join!(fetch, cancelling);
    assert!(matches!(result, Err(SourceError::Cancelled)), "{result:?}");
    assert!(cancelled.elapsed() < Duration::from_secs(1), "{:?}", cancelled.elapsed());
    assert!(desk.is_clean());
}

/// A time-out is obeyed within a second, also while the server is silent.
pub async fn a_time_limit_is_obeyed_within_a_second(fixture: &dyn SourceFixture) {
    let desk = Desk::new();
    let mut request = desk.request(fixture.silent());
    request.limits.timeout = Duration::from_millis(500);
    let started = Instant::now();
    let error = desk.fetch(fixture.source(), request).await.expect_err("silent");
    assert!(matches!(error, SourceError::TimedOut { .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_millis(1500), "{:?}", started.elapsed());
    assert!(desk.is_clean());
}

/// Nothing in the tree leads outside the destination.
pub async fn no_link_leads_outside(fixture: &dyn SourceFixture) {
    if !fixture.has_links() {
        return;
    }
    for target in ["/etc/passwd", "../outside", "a/../../outside"] {
        let desk = Desk::new();
        let outside = desk.dir.path().join("outside");
        fs::write(&outside, "secret").expect("a file");
        let Some(url) = fixture.link(target) else { continue };
        let request = desk.request(url);
        let destination = request.destination.clone();
        // refused or left out: both are fine
        drop(desk.fetch(fixture.source(), request).await);
        assert!(!leads_outside(&destination), "{target}");
        drop(symlink(outside, destination.join("proof")));
        assert!(!destination.exists() || leads_outside(&destination));
    }
}

fn leads_outside(root: &Path) -> bool {
    WalkDir::new(root).into_iter().flatten().filter(walkdir::DirEntry::path_is_symlink).any(|entry| {
        let canonical = |path: &Path| fs::canonicalize(path).ok();
        !canonical(entry.path())
            .is_some_and(|path| Some(path.as_path()).zip(canonical(root)).is_some_and(|(p, r)| p.starts_with(r)))
    })
}

/// The conformance suite of [`Source`]: the expression makes a `Subject<dyn SourceFixture>`.
#[macro_export]
macro_rules! source_conformance {
    ($make:expr) => {
        $crate::conformance_tests! {
            source, $make;
            the_destination_holds_the_tree_of_the_returned_commit,
            an_older_commit_is_brought_by_its_hash,
            a_later_fetch_brings_what_is_new,
            an_unknown_reference_is_told_with_some_that_are_known,
            an_empty_repository_is_told,
            after_an_error_the_destination_is_not_there,
            a_token_is_left_nowhere,
            a_cancel_is_obeyed_within_a_second,
            a_time_limit_is_obeyed_within_a_second,
            no_link_leads_outside,
        }
    };
}
