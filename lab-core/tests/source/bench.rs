//! A place to fetch into, and what to look at afterwards.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use lab_core::{
    GitUrl, Secret, UrlPolicy,
    progress::{Amount, Progress, Unit},
    source::{
        Commit, FetchLimits, FetchRequest, Source, SourceError,
        git::{GitSettings, GitSource},
    },
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) lines: Mutex<Vec<String>>,
    objects: Mutex<u64>,
}

impl Progress for Seen {
    fn log(&self, line: &str) {
        self.lines.lock().unwrap().push(line.to_owned());
    }

    fn amount(&self, amount: Amount) {
        if amount.unit == Unit::Objects {
            *self.objects.lock().unwrap() = amount.total.unwrap_or_default();
        }
    }
}

pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    pub(crate) seen: Arc<Seen>,
    pub(crate) source: GitSource,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("work")).unwrap();
        let settings = GitSettings { ssh_agent: false, ..GitSettings::default() };
        Self { dir, seen: Arc::default(), source: GitSource::new(settings) }
    }

    pub(crate) fn request(&self, url: &str) -> FetchRequest {
        FetchRequest {
            repository: GitUrl::parse(url, UrlPolicy::LocalAllowed).unwrap(),
            reference: None,
            token: None,
            destination: self.checkout(),
            cache: self.cache(),
            limits: FetchLimits { timeout: Duration::from_secs(30), max_bytes: 8 << 20 },
        }
    }

    pub(crate) fn checkout(&self) -> PathBuf {
        self.dir.path().join("work/checkout")
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.dir.path().join("cache/app")
    }

    /// Fetches anew: what was checked out before is deleted.
    pub(crate) async fn fetch(&self, request: FetchRequest) -> Result<Commit, SourceError> {
        drop(fs::remove_dir_all(self.checkout()));
        *self.seen.objects.lock().unwrap() = 0;
        self.source.fetch(request, self.seen.clone(), CancellationToken::new()).await
    }

    pub(crate) async fn get(&self, url: &str, reference: Option<&str>) -> Result<Commit, SourceError> {
        let mut request = self.request(url);
        request.reference = reference.map(|text| text.parse().unwrap());
        self.fetch(request).await
    }

    pub(crate) async fn get_with_token(&self, url: &str, token: &str) -> Result<Commit, SourceError> {
        let mut request = self.request(url);
        request.token = Some(Secret::new(token));
        self.fetch(request).await
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.checkout().join(path)).unwrap_or_else(|e| format!("<{e}>"))
    }

    pub(crate) fn log(&self) -> String {
        self.seen.lines.lock().unwrap().join("\n")
    }

    /// Objects of the last transfer; 0 when there was none.
    pub(crate) fn objects(&self) -> u64 {
        *self.seen.objects.lock().unwrap()
    }

    pub(crate) fn assert_clean(&self) {
        assert_eq!(fs::read_dir(self.dir.path().join("work")).unwrap().count(), 0);
    }

    pub(crate) fn assert_nowhere(&self, secret: &str) {
        assert!(!self.log().contains(secret));
        for entry in walkdir::WalkDir::new(self.dir.path()).into_iter().flatten() {
            assert!(!entry.path().to_string_lossy().contains(secret));
            if entry.file_type().is_file() {
                let content = fs::read(entry.path()).unwrap();
                assert!(!content.windows(secret.len()).any(|w| w == secret.as_bytes()), "{}", entry.path().display());
            }
        }
    }
}

/// An error with all its causes, as people see it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = format!("{error} | {error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text} | {error}");
        cause = error.source();
    }
    text
}

pub(crate) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
