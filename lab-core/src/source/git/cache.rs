//! The bare repositories kept between fetches.
//!
//! A fetch takes the cache away (renames it into a private folder) and gives it back at its end. So a thread that was
//! left behind never shares it with the next fetch, which starts afresh; a crash costs the cache, never its soundness.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::{durable, git_url::GitUrl};

/// More packs than this in one repository, and the cache is made anew: every fetch adds one.
const MAX_PACKS: usize = 50;

/// Held by the fetch that works in the folder.
const LOCK: &str = "in-use";

/// A folder without a lock file is being made, unless it is older than this.
const ABANDONED: Duration = Duration::from_hours(1);

/// The cache while a fetch has it.
#[derive(Debug)]
pub(super) struct Cache {
    home: PathBuf,
    work: TempDir,
    _lock: fs::File,
}

impl Cache {
    /// Takes the cache at `home`, or begins a new one.
    pub(super) fn take(home: &Path, max_bytes: u64) -> io::Result<Self> {
        let (Some(folder), Some(name)) = (home.parent(), home.file_name()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the cache has no parent folder"));
        };
        fs::create_dir_all(folder)?;
        let mut prefix = OsString::from(".");
        prefix.push(name);
        prefix.push(".fetch-");
        sweep(folder, &prefix)?;
        let work = tempfile::Builder::new().prefix(&prefix).tempdir_in(folder)?;
        let lock = fs::File::create_new(work.path().join(LOCK))?;
        lock.lock()?;
        let cache = Self { home: home.to_owned(), work, _lock: lock };
        match fs::rename(home, cache.root()) {
            Ok(()) if cache.is_worth_keeping(max_bytes) => {}
            Ok(()) => cache.clear()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => cache.clear()?,
            Err(error) => return Err(error),
        }
        Ok(cache)
    }

    fn root(&self) -> PathBuf {
        self.work.path().join("cache")
    }

    /// A real folder, not grown by many small packs.
    fn is_worth_keeping(&self, max_bytes: u64) -> bool {
        if !fs::symlink_metadata(self.root()).is_ok_and(|meta| meta.is_dir()) {
            return false;
        }
        let (mut packs, mut bytes) = (0, 0u64);
        for entry in walkdir::WalkDir::new(self.root()).into_iter().flatten() {
            let file = entry.metadata().map(|meta| if meta.is_file() { meta.len() } else { 0 });
            bytes = bytes.saturating_add(file.unwrap_or(0));
            packs += usize::from(entry.path().extension().is_some_and(|e| e == "pack"));
        }
        packs <= MAX_PACKS && bytes <= max_bytes.saturating_mul(2)
    }

    /// Empties it.
    pub(super) fn clear(&self) -> io::Result<()> {
        durable::remove(&self.root())?;
        fs::DirBuilder::new().mode(0o700).create(self.root())
    }

    /// The name of the bare repository for `url`: submodules have their own, so that one host's negotiation never names
    /// the commits of another's.
    pub(super) fn name_of(url: &GitUrl) -> String {
        let digest = Sha256::digest(url.as_str().as_bytes());
        let short = digest.iter().take(8).fold(0, |number: u64, byte| (number << 8) | u64::from(*byte));
        format!("{short:016x}.git")
    }

    /// Opens or makes a bare repository.
    pub(super) fn repository(&self, name: &str) -> Result<git2::Repository, git2::Error> {
        let path = self.root().join(name);
        let opened = git2::Repository::open_ext(
            &path,
            git2::RepositoryOpenFlags::NO_SEARCH | git2::RepositoryOpenFlags::BARE,
            &[] as &[&Path],
        );
        if let Ok(repository) = opened {
            return Ok(repository);
        }
        durable::remove(&path).map_err(|e| git2::Error::from_str(&e.to_string()))?;
        let mut options = git2::RepositoryInitOptions::new();
        // no template: it could bring hooks and configuration of the machine
        options.bare(true).no_reinit(true).external_template(false);
        git2::Repository::init_opts(path, &options)
    }

    /// Puts it back for the next fetch, without the repositories that a complete fetch did not use.
    pub(super) fn give_back(self, used: &[String], complete: bool) {
        for entry in fs::read_dir(self.root()).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if complete && !used.iter().any(|u| name == u.as_str()) {
                drop(durable::remove(&entry.path()));
            }
        }
        // where another fetch was faster its cache stays; losing ours costs time only
        drop(fs::rename(self.root(), &self.home));
    }
}

/// Deletes what crashed fetches left.
fn sweep(folder: &Path, prefix: &OsString) -> io::Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if !name.as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
            continue;
        }
        let idle = match fs::File::open(path.join(LOCK)) {
            Ok(lock) => lock.try_lock().is_ok(),
            Err(_) => {
                entry.metadata().and_then(|m| m.modified()).is_ok_and(|m| m.elapsed().is_ok_and(|t| t > ABANDONED))
            }
        };
        if idle {
            durable::remove(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 1 << 20;

    #[test]
    fn a_cache_comes_back_and_two_fetches_never_share_one() {
        let dir = tempfile::tempdir().expect("tempdir");
        let home = dir.path().join("app");
        let first = Cache::take(&home, LIMIT).expect("take");
        first.repository("a.git").expect("repository");
        first.give_back(&["a.git".to_owned()], true);
        assert!(home.join("a.git").is_dir());
        let second = Cache::take(&home, LIMIT).expect("take");
        let third = Cache::take(&home, LIMIT).expect("take");
        assert!(second.root().join("a.git").exists() && !third.root().join("a.git").exists());
        second.give_back(&["a.git".to_owned()], true);
        third.give_back(&[], true);
        assert!(home.join("a.git").is_dir());
        assert_eq!(fs::read_dir(dir.path()).expect("dir").count(), 1);
    }

    #[test]
    fn what_a_crash_left_is_swept_and_what_is_in_use_is_not() {
        let dir = tempfile::tempdir().expect("tempdir");
        let home = dir.path().join("app");
        let crashed = dir.path().join(".app.fetch-dead");
        fs::create_dir(&crashed).expect("dir");
        fs::File::create(crashed.join(LOCK)).expect("lock");
        let used = Cache::take(&home, LIMIT).expect("take");
        assert!(!crashed.exists());
        let other = Cache::take(&home, LIMIT).expect("take");
        assert!(used.root().exists());
        drop((used, other));
        assert_eq!(fs::read_dir(dir.path()).expect("dir").count(), 0);
    }
}
