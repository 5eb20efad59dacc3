//! One binary per version, fetched once, verified, read-only.
//!
//! ```text
//! <store>/<version>/pocketbase   0555: one inode for all apps, so that they share its memory
//! <store>/<version>/record.json  what it was when it came
//! <store>/.<version>.lock        held while it is fetched
//! <store>/.<version>.fetch-…/    a fetch at work, or what a crash left of one
//! ```

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use semver::Version;
use tokio_util::sync::CancellationToken;

use super::{
    BinaryPath, MAX_BINARY, PocketBaseBinaries, PocketBaseError, PocketBaseSource, Reason, failed, nearest, probe,
    untrusted,
};
use crate::{blocking::blocking, durable, file_lock, progress::Progress};

mod record;

use self::record::{Record, State};

/// The store of PocketBase binaries. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PocketBaseStore {
    dir: Arc<Path>,
    source: Arc<dyn PocketBaseSource>,
}

impl PocketBaseStore {
    /// The store in `dir`, which is made when first needed, filled from `source`.
    pub fn new(dir: impl Into<PathBuf>, source: Arc<dyn PocketBaseSource>) -> Self {
        Self { dir: dir.into().into(), source }
    }

    fn folder(&self, version: &Version) -> PathBuf {
        self.dir.join(version.to_string())
    }

    /// The binary of `version`: fetched when it is not there or damaged, once for all who ask at the same time.
    pub async fn binary(
        &self,
        version: &Version,
        progress: &dyn Progress,
        cancel: &CancellationToken,
    ) -> Result<BinaryPath, PocketBaseError> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(PocketBaseError::Cancelled),
            done = self.present(version, progress) => done,
        }
    }

    async fn present(&self, version: &Version, progress: &dyn Progress) -> Result<BinaryPath, PocketBaseError> {
        if let Some(found) = self.check(version).await? {
            return Ok(found);
        }
        let _lock = self.lock(version).await?;
        // another caller may have been faster
        if let Some(found) = self.check(version).await? {
            return Ok(found);
        }
        self.fetch(version, progress).await
    }

    /// The binary, when it is there and undamaged.
    async fn check(&self, version: &Version) -> Result<Option<BinaryPath>, PocketBaseError> {
        let folder = self.folder(version);
        let state = self.on_disk("check", version, move || record::check(&folder)).await?;
        Ok(match state {
            State::Sound => Some(self.folder(version).join(record::BINARY)),
            State::Missing => None,
        })
    }

    async fn lock(&self, version: &Version) -> Result<fs::File, PocketBaseError> {
        let locked = file_lock::lock(self.dir.join(format!(".{version}.lock"))).await;
        locked.map_err(|error| failed("lock", self.origin(), version, error))
    }

    async fn fetch(&self, version: &Version, progress: &dyn Progress) -> Result<BinaryPath, PocketBaseError> {
        progress.log(&format!("Fetching PocketBase {version} from {}", self.origin()));
        let (dir, prefix) = (Arc::clone(&self.dir), format!(".{version}.fetch-"));
        let work = self.on_disk("store", version, move || workplace(&dir, &prefix)).await?;
        // two folders: the source may fill its own with whatever it needs
        let (fetched, ready) = (work.path().join("source/pocketbase"), work.path().join("ready"));
        self.source.fetch(version, &fetched).await?;

        let (from, to) = (fetched, ready.join(record::BINARY));
        let staged = to.clone();
        let outcome = self.on_disk("store", version, move || stage(&from, &to)).await?;
        outcome.map_err(|reason| untrusted(self.origin(), version, reason))?;
        let said = probe::ask(&staged).await;
        let said = said.map_err(|e| failed("run", self.origin(), version, Reason(e.to_string())))?;
        if !probe::names(&said, version) {
            let said: String = said.trim().chars().take(100).collect();
            return Err(untrusted(self.origin(), version, format!("it says it is `{said}`")));
        }

        let (folder, origin) = (self.folder(version), self.origin());
        let place = folder.clone();
        self.on_disk("store", version, move || {
            Record::of(&ready.join(record::BINARY), origin)?.write(&ready)?;
            durable::remove(&place)?;
            durable::rename(&ready, &place)?;
            drop(work);
            Ok(())
        })
        .await?;
        progress.log(&format!("PocketBase {version} is in the store"));
        Ok(folder.join(record::BINARY))
    }

    fn origin(&self) -> String {
        self.source.origin()
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        action: &'static str,
        version: &Version,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, PocketBaseError> {
        blocking(work).await.map_err(|e| failed(action, self.origin(), version, e))
    }
}

/// The versions that are in the store. Blocks.
fn stored(dir: &Path) -> Vec<Version> {
    let names = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).collect()
}

#[async_trait]
impl PocketBaseBinaries for PocketBaseStore {
    /// The store's own inode where the file systems allow, a copy otherwise.
    async fn link_into(
        &self,
        version: &Version,
        folder: &Path,
        progress: &dyn Progress,
        cancel: &CancellationToken,
    ) -> Result<PathBuf, PocketBaseError> {
        let binary = self.binary(version, progress, cancel).await?;
        let to = folder.join("pocketbase");
        let link = to.clone();
        self.on_disk("link", version, move || link_or_copy(&binary, &link)).await?;
        Ok(to)
    }

    async fn nearest(&self, version: &Version, cancel: &CancellationToken) -> Result<Vec<Version>, PocketBaseError> {
        let dir = Arc::clone(&self.dir);
        let mut all = blocking(move || stored(&dir)).await;
        let listed = tokio::select! {
            () = cancel.cancelled() => return Err(PocketBaseError::Cancelled),
            listed = self.source.versions() => listed,
        };
        match listed {
            Ok(listed) => all.extend(listed),
            // what the store has may do
            Err(error) => tracing::warn!(error = %error, "the versions of PocketBase could not be listed"),
        }
        Ok(nearest(version, all))
    }
}

/// A fresh folder to fetch into; those that crashed fetches left are deleted. Needs the version's lock.
fn workplace(dir: &Path, prefix: &str) -> io::Result<tempfile::TempDir> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            durable::remove(&entry.path())?;
        }
    }
    let work = tempfile::Builder::new().prefix(prefix).tempdir_in(dir)?;
    fs::create_dir(work.path().join("source"))?;
    fs::create_dir(work.path().join("ready"))?;
    Ok(work)
}

/// Moves what a source left to its place, executable by all and writable by none; answers what is wrong with it.
fn stage(from: &Path, to: &Path) -> io::Result<Result<(), &'static str>> {
    let meta = match fs::symlink_metadata(from) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Err("nothing came")),
        other => other?,
    };
    if !meta.is_file() || meta.nlink() != 1 {
        return Ok(Err("it is no regular file of its own"));
    }
    if meta.len() > MAX_BINARY {
        return Ok(Err("it is larger than any PocketBase"));
    }
    fs::rename(from, to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o555))?;
    fs::File::open(to)?.sync_all()?;
    Ok(Ok(()))
}

fn link_or_copy(binary: &Path, to: &Path) -> io::Result<()> {
    let source = fs::metadata(binary)?;
    let is_same = |meta: fs::Metadata| meta.ino() == source.ino() && meta.dev() == source.dev();
    if fs::symlink_metadata(to).is_ok_and(is_same) {
        return Ok(());
    }
    durable::remove(to)?;
    match fs::hard_link(binary, to) {
        Ok(()) => {}
        // another file system, too many links, or a kernel with `fs.protected_hardlinks` and a store of another user
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::CrossesDevices
                    | ErrorKind::TooManyLinks
                    | ErrorKind::PermissionDenied
                    | ErrorKind::Unsupported
            ) =>
        {
            fs::copy(binary, to)?;
            fs::set_permissions(to, fs::Permissions::from_mode(0o555))?;
            fs::File::open(to)?.sync_all()?;
        }
        Err(error) => return Err(error),
    }
    to.parent().map_or(Ok(()), durable::sync_dir)
}
