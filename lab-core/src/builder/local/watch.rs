//! Watches what a command does beside printing: how much it writes and how many processes it starts.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use walkdir::WalkDir;

use super::{processes::Family, stop::Waiting};

/// What a command may use.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    /// The folders it writes to.
    pub folders: Arc<[PathBuf]>,
    /// Together they hold no more bytes on disk.
    pub max_disk_bytes: u64,
    /// Nor more files and folders.
    pub max_files: u64,
    /// So many bytes stay free on the disk of the first of the folders, whatever writes there; none: a share of it.
    pub min_free_bytes: Option<u64>,
    /// So many processes at a time.
    pub max_processes: usize,
}

/// The shortest pauses between two looks.
const PROCESSES: Duration = Duration::from_millis(100);
const DISK: Duration = Duration::from_millis(400);

/// A pause lasts so many times as long as the look before it: watching costs little.
const REST: u32 = 15;

/// The least and the most of a disk that stays free: two hundredths of it in between.
const RESERVE: (u64, u64) = (64 << 20, 1 << 30);

impl Watch {
    /// Returns when the command uses more than it may, with what.
    pub(super) async fn exceeded(&self, family: &Family) -> String {
        tokio::select! {
            what = self.processes(family) => what,
            what = self.disk() => what,
        }
    }

    async fn processes(&self, family: &Family) -> String {
        loop {
            let begun = Instant::now();
            if family.count().await > self.max_processes {
                return format!("it started more than {} processes", self.max_processes);
            }
            tokio::time::sleep(PROCESSES.max(begun.elapsed() * REST)).await;
        }
    }

    async fn disk(&self) -> String {
        loop {
            let begun = Instant::now();
            let (watch, look) = (self.clone(), Waiting::default());
            let ends = Arc::clone(&look.0);
            // a look that cannot be had is none: the next one may be
            if let Ok(Some(what)) = tokio::task::spawn_blocking(move || watch.look(&ends)).await {
                return what;
            }
            drop(look);
            tokio::time::sleep(DISK.max(begun.elapsed() * REST)).await;
        }
    }

    fn look(&self, ends: &AtomicBool) -> Option<String> {
        use std::os::unix::fs::MetadataExt;
        if let Some(what) = self.full() {
            return Some(what);
        }
        let (mut bytes, mut files) = (0, 0);
        for entry in self.folders.iter().flat_map(|folder| WalkDir::new(folder).same_file_system(true)) {
            if ends.load(Ordering::Relaxed) {
                return None;
            }
            // what is deleted meanwhile counts nothing
            let Some(meta) = entry.ok().and_then(|entry| entry.metadata().ok()) else { continue };
            bytes += meta.blocks() * 512;
            files += 1;
            if bytes > self.max_disk_bytes {
                return Some(format!("it wrote more than {} MiB", self.max_disk_bytes >> 20));
            }
            if files > self.max_files {
                return Some(format!("it made more than {} files", self.max_files));
            }
        }
        None
    }

    /// What it writes elsewhere, into caches above all, is seen by what is left.
    fn full(&self) -> Option<String> {
        let disk = rustix::fs::statvfs(self.folders.first()?).ok()?;
        let (all, free) = (disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize);
        let reserve = self.min_free_bytes.unwrap_or_else(|| (all / 100 * 2).clamp(RESERVE.0, RESERVE.1));
        (free < reserve).then(|| {
            format!(
                "less than {} MiB were free on the server's disk: remove releases or apps, clear what builds share, or enlarge it",
                reserve >> 20
            )
        })
    }
}
