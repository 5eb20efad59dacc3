//! One binary per version, fetched once, verified, read-only.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use semver::Version;

use super::{PocketBaseBinaries, PocketBaseError, PocketBaseSource};
use crate::{blocking::blocking, durable};

/// How long a binary may take to print its version.
const PRINT_LIMIT: Duration = Duration::from_secs(20);

/// `<store>/<version>/pocketbase`: releases hold hard links to it, so that all apps of one version share its pages.
#[derive(Debug)]
pub struct PocketBaseStore {
    folder: PathBuf,
    source: Arc<dyn PocketBaseSource>,
    /// One lock per version, held while that version is fetched: others wait for it and find it there. The outer one
    /// guards the map only.
    fetching: Mutex<HashMap<Version, Arc<tokio::sync::Mutex<()>>>>,
}

impl PocketBaseStore {
    /// A store in `folder`, made where missing, filled from `source`.
    pub fn new(folder: impl Into<PathBuf>, source: Arc<dyn PocketBaseSource>) -> Self {
        Self { folder: folder.into(), source, fetching: Mutex::default() }
    }

    /// The binary of a version, fetched where it is not there yet.
    pub async fn binary(&self, version: &Version) -> Result<PathBuf, PocketBaseError> {
        let binary = self.folder.join(version.to_string()).join("pocketbase");
        let gate = {
            let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
            fetching.entry(version.clone()).or_default().clone()
        };
        let _gate = gate.lock().await;
        let path = binary.clone();
        // it comes to this name only when it is whole and was verified
        if blocking(move || path.is_file()).await {
            return Ok(binary);
        }
        self.fetch(version, &binary).await?;
        Ok(binary)
    }

    async fn fetch(&self, version: &Version, binary: &Path) -> Result<(), PocketBaseError> {
        let folder = self.folder.clone();
        let temporary = blocking(move || {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(&folder)?;
            tempfile::Builder::new().prefix(".fetch-").tempdir_in(&folder)
        });
        let temporary = temporary.await.map_err(self.failed("store", version))?;
        let fetched = temporary.path().join("pocketbase");
        self.source.fetch(version, &fetched).await?;
        {
            let fetched = fetched.clone();
            blocking(move || {
                fs::set_permissions(&fetched, fs::Permissions::from_mode(0o555))?;
                fs::File::open(&fetched)?.sync_all()
            })
            .await
            .map_err(self.failed("store", version))?;
        }
        self.verify(version, &fetched).await?;
        let binary = binary.to_owned();
        blocking(move || {
            let home = binary.parent().unwrap_or(&binary);
            fs::DirBuilder::new().recursive(true).mode(0o755).create(home)?;
            durable::rename(&fetched, &binary)?;
            temporary.close()
        })
        .await
        .map_err(self.failed("store", version))
    }

    /// That it runs here and is what it says: no checksum tells that a mirror serves the wrong version.
    async fn verify(&self, version: &Version, binary: &Path) -> Result<(), PocketBaseError> {
        let untrusted =
            |reason| PocketBaseError::Untrusted { origin: self.source.origin(), version: version.to_string(), reason };
        let output = tokio::process::Command::new(binary)
            .arg("--version")
            .env_clear()
            .current_dir(binary.parent().unwrap_or(binary))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = match tokio::time::timeout(PRINT_LIMIT, output).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(untrusted(format!("it does not run on this machine ({error})"))),
            Err(_) => return Err(untrusted(format!("it printed no version within {} s", PRINT_LIMIT.as_secs()))),
        };
        let printed = String::from_utf8_lossy(&output.stdout);
        if printed.split_whitespace().any(|word| word.trim_start_matches('v') == version.to_string()) {
            return Ok(());
        }
        let printed: String = printed.trim().chars().take(100).filter(|c| !c.is_control()).collect();
        Err(untrusted(format!("it says it is `{printed}`")))
    }

    fn failed(&self, action: &'static str, version: &Version) -> impl FnOnce(io::Error) -> PocketBaseError {
        let (origin, version) = (self.source.origin(), version.to_string());
        move |source| PocketBaseError::Failed { action, origin, version, source: source.into() }
    }
}

#[async_trait]
impl PocketBaseBinaries for PocketBaseStore {
    async fn link_into(&self, version: &Version, destination: &Path) -> Result<(), PocketBaseError> {
        let binary = self.binary(version).await?;
        let destination = destination.to_owned();
        blocking(move || match fs::hard_link(&binary, &destination) {
            // another file system, or one without links: it costs disk and memory, nothing else
            Err(error) if matches!(error.kind(), io::ErrorKind::CrossesDevices | io::ErrorKind::Unsupported) => {
                fs::copy(&binary, &destination).map(drop)
            }
            other => other,
        })
        .await
        .map_err(self.failed("link", version))
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::testing::pocketbase::FakePocketBase;

    fn version() -> Version {
        Version::new(0, 40, 6)
    }

    #[tokio::test]
    async fn a_version_is_fetched_once_and_releases_share_its_inode() {
        let dir = tempfile::tempdir().expect("tempdir");
        let source = FakePocketBase::default();
        let store = PocketBaseStore::new(dir.path().join("store"), Arc::new(source.clone()));
        let version = version();
        let many = futures_util::future::join_all((0..8).map(|_| store.binary(&version))).await;
        assert!(many.iter().all(Result::is_ok), "{many:?}");
        assert_eq!(source.fetches(), 1);
        for name in ["a", "b"] {
            store.link_into(&version, &dir.path().join(name)).await.expect("link");
        }
        let meta = fs::metadata(dir.path().join("a")).expect("meta");
        assert_eq!((meta.nlink(), meta.mode() & 0o777), (3, 0o555));
        assert_eq!(fs::read_dir(dir.path().join("store")).expect("dir").count(), 1);
    }

    #[tokio::test]
    async fn a_binary_that_is_another_version_is_refused_and_not_kept() {
        let dir = tempfile::tempdir().expect("tempdir");
        let store = PocketBaseStore::new(dir.path(), Arc::new(FakePocketBase::saying("0.1.0")));
        let error = store.binary(&version()).await.expect_err("the wrong version");
        assert!(matches!(error, PocketBaseError::Untrusted { .. }), "{error}");
        assert_eq!(fs::read_dir(dir.path()).expect("dir").count(), 0);
    }

    #[tokio::test]
    async fn a_failed_fetch_can_be_tried_again() {
        let dir = tempfile::tempdir().expect("tempdir");
        let source = FakePocketBase::default();
        source.fail_next();
        let store = PocketBaseStore::new(dir.path(), Arc::new(source));
        assert!(store.binary(&version()).await.is_err());
        store.binary(&version()).await.expect("the second time");
    }
}
