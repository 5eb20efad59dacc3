//! What builds share: how big it may grow, and how it is cleared.
//!
//! What is deleted is deleted as a whole, because the tools expect their stores so: a fetched tool, an app's kept
//! dependencies, or all that one package manager or Go keeps.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::{OwnedRwLockReadGuard, RwLock};
use walkdir::WalkDir;

use super::{
    environment,
    stop::{Waiting, joined},
};
use crate::{builder::BuildError, durable};

/// How long after a look at its size the next one is.
const BETWEEN: Duration = Duration::from_mins(10);

/// The cache's folder.
#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
    /// Each build holds it shared; deletion holds it alone.
    gate: Arc<RwLock<()>>,
    looked: Mutex<Option<Instant>>,
}

/// Something that is deleted as a whole.
#[derive(Debug)]
struct Unit {
    path: PathBuf,
    used: SystemTime,
    bytes: u64,
}

impl Cache {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, gate: Arc::default(), looked: Mutex::default() }
    }

    /// Nothing is deleted while the answer is held.
    pub(super) async fn hold(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.gate).read_owned().await
    }

    /// Deletes everything; says how many bytes that were.
    pub(super) async fn clear(&self) -> Result<u64, BuildError> {
        let Ok(gate) = Arc::clone(&self.gate).try_write_owned() else { return Err(BuildError::CacheInUse) };
        let dir = self.dir.clone();
        let work = move || {
            let freed = size(&dir, &AtomicBool::new(false));
            let cleared = empty(&dir).map(|()| freed);
            drop(gate);
            cleared
        };
        self.on_disk(work).await
    }

    /// Deletes what was used longest ago until no more than `cap` bytes are left, and what crashed builds left. Does
    /// nothing while a build runs, or soon after the last time.
    pub(super) async fn trim(&self, cap: u64) -> Result<u64, BuildError> {
        {
            let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            if looked.is_some_and(|looked| looked.elapsed() < BETWEEN) {
                return Ok(0);
            }
            *looked = Some(Instant::now());
        }
        // a walk through everything takes a while, and ends when nobody waits for it
        let waiting = Waiting::default();
        let (dir, ends) = (self.dir.clone(), Arc::clone(&waiting.0));
        let (units, total) = self.on_disk(move || Ok(measure(&dir, &ends))).await?;
        let Ok(gate) = Arc::clone(&self.gate).try_write_owned() else {
            *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = None;
            return Ok(0);
        };
        let (dir, ends) = (self.dir.clone(), Arc::clone(&waiting.0));
        let work = move || {
            leftovers(&dir).iter().try_for_each(|path| durable::remove(path))?;
            let freed = evict(units, total, cap, &ends);
            drop(gate);
            freed
        };
        self.on_disk(work).await
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, BuildError> {
        let failed = |source| BuildError::Io { action: "clear", path: self.dir.clone(), source };
        joined(tokio::task::spawn_blocking(work).await, "clear", &self.dir)?.map_err(failed)
    }
}

/// Marks the folders of the cache that the tool `program` uses as used now.
pub(super) fn touch(dir: &Path, program: &str) {
    for name in environment::caches_of(program) {
        if let Ok(folder) = fs::File::open(dir.join(name)) {
            // only the order of deletion rests on it
            let _ = folder.set_modified(SystemTime::now());
        }
    }
}

fn evict(mut units: Vec<Unit>, mut total: u64, cap: u64, ends: &AtomicBool) -> io::Result<u64> {
    units.sort_by_key(|unit| unit.used);
    let mut freed = 0;
    for unit in units {
        if total <= cap || ends.load(Ordering::Relaxed) {
            break;
        }
        durable::remove(&unit.path)?;
        total = total.saturating_sub(unit.bytes);
        freed += unit.bytes;
    }
    Ok(freed)
}

/// Everything that can be deleted, and how many bytes it is in all.
fn measure(dir: &Path, ends: &AtomicBool) -> (Vec<Unit>, u64) {
    let stores = environment::cache_folders().map(|name| dir.join(name));
    let tools = folders(&dir.join("tools")).into_iter().flat_map(|tool| folders(&tool));
    let units: Vec<Unit> = stores
        .chain(tools)
        .chain(folders(&dir.join("dependencies")))
        .filter_map(|path| {
            let used = path.symlink_metadata().and_then(|meta| meta.modified()).ok()?;
            Some(Unit { bytes: size(&path, ends), path, used })
        })
        .collect();
    let total = units.iter().map(|unit| unit.bytes).sum();
    (units, total)
}

/// What is at work while a build runs, and left over while none does.
fn leftovers(dir: &Path) -> Vec<PathBuf> {
    let is_left = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        [".fetch-", ".keep-", "home-"].iter().any(|start| name.starts_with(start))
    };
    let places = [dir.to_owned(), dir.join("tools"), dir.join("dependencies")];
    places.iter().flat_map(|place| all_folders(place)).filter(is_left).collect()
}

fn folders(dir: &Path) -> Vec<PathBuf> {
    let is_hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    all_folders(dir).into_iter().filter(|path| !is_hidden(path)).collect()
}

fn all_folders(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

/// Bytes of all files; what cannot be read counts nothing, nor what is left when it must end.
fn size(path: &Path, ends: &AtomicBool) -> u64 {
    let entries = WalkDir::new(path).into_iter().take_while(|_| !ends.load(Ordering::Relaxed));
    let files = entries.flatten().filter(|entry| entry.file_type().is_file());
    files.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}

fn empty(dir: &Path) -> io::Result<()> {
    match fs::read_dir(dir) {
        Ok(mut entries) => entries.try_for_each(|entry| durable::remove(&entry?.path())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(dir: &Path, path: &str, bytes: usize, age_secs: u64) {
        let folder = dir.join(path);
        fs::create_dir_all(&folder).expect("create");
        fs::write(folder.join("content"), vec![0; bytes]).expect("write");
        let used = SystemTime::now() - Duration::from_secs(age_secs);
        fs::File::open(&folder).expect("open").set_modified(used).expect("touch");
    }

    #[tokio::test]
    async fn what_was_used_longest_ago_goes_first_and_the_rest_stays() {
        let dir = tempfile::tempdir().expect("tempdir");
        fill(dir.path(), "tools/pnpm/8.0.0", 1000, 300);
        fill(dir.path(), "dependencies/blog", 1000, 200);
        fill(dir.path(), "go-build", 1000, 100);
        fill(dir.path(), "npm", 1000, 0);
        fill(dir.path(), "tools/.fetch-left", 1000, 0);
        let cache = Cache::new(dir.path().to_owned());
        assert_eq!(cache.trim(2500).await.expect("trim"), 2000);
        let is_there = |path: &str| dir.path().join(path).exists();
        assert!(!is_there("tools/pnpm/8.0.0") && !is_there("dependencies/blog") && !is_there("tools/.fetch-left"));
        assert!(is_there("go-build") && is_there("npm"));
        assert_eq!(cache.trim(0).await.expect("soon after"), 0);
    }

    #[test]
    fn a_walk_that_nobody_waits_for_ends() {
        let dir = tempfile::tempdir().expect("tempdir");
        fill(dir.path(), "npm", 1000, 0);
        let waiting = Waiting::default();
        let ends = Arc::clone(&waiting.0);
        assert_eq!(measure(dir.path(), &ends).1, 1000);
        drop(waiting);
        assert_eq!(measure(dir.path(), &ends).1, 0);
    }

    #[tokio::test]
    async fn nothing_is_cleared_under_a_running_build() {
        let dir = tempfile::tempdir().expect("tempdir");
        fill(dir.path(), "npm", 1000, 0);
        let cache = Cache::new(dir.path().to_owned());
        let build = cache.hold().await;
        assert!(matches!(cache.clear().await, Err(BuildError::CacheInUse)));
        assert_eq!(cache.trim(0).await.expect("trim"), 0);
        assert!(dir.path().join("npm/content").exists());
        drop(build);
        assert_eq!(cache.clear().await.expect("clear"), 1000);
        assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 0);
    }
}
