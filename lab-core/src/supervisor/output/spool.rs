//! The files that the apps' processes write into, and what empties them.
//!
//! A process that outlives the lab needs somewhere to write that neither breaks nor blocks: a file. What was read of it is
//! freed at once by punching a hole (`fallocate(2)`), which keeps every offset valid, so that nothing is lost although
//! the process writes all the while; and a secret that was printed does not stay on disk.

use std::{
    collections::HashMap,
    fs, io,
    mem::MaybeUninit,
    os::{
        fd::OwnedFd,
        unix::fs::{FileExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, inotify, seek};
use tokio::{io::unix::AsyncFd, sync::Notify};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{lines::Lines, log::AppLog};
use crate::{app::AppName, blocking::blocking};

/// The most that is read in one turn: an app that floods its log costs time, not memory.
const TURN: usize = 256 << 10;
/// The most that may wait unread; beyond it the oldest part is dropped, so that a flood does not fill the disk.
const MAX_WAITING: u64 = 16 << 20;
/// How often to look where the kernel does not tell.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a woken reader waits for more to come, so that it reads many lines at once.
const GATHER: Duration = Duration::from_millis(5);

/// The folder of the files, with one inotify watch for all of them.
#[derive(Debug)]
pub(super) struct Spools {
    folder: PathBuf,
    /// Whom to wake for which file. Guards the map only.
    wakers: Arc<Mutex<HashMap<String, Arc<Notify>>>>,
    is_told: bool,
}

/// One app's file.
#[derive(Debug, Clone)]
pub(in crate::supervisor) struct Spool {
    path: PathBuf,
    wake: Arc<Notify>,
    /// The process ended: what it left of a line is a line.
    is_ended: Arc<AtomicBool>,
    /// Ends the reader.
    done: CancellationToken,
}

impl Spools {
    pub(super) fn open(folder: PathBuf, tasks: &TaskTracker, stopping: CancellationToken) -> Self {
        let wakers: Arc<Mutex<HashMap<String, Arc<Notify>>>> = Arc::default();
        let is_told = match watch(&folder) {
            Ok(inotify) => {
                tasks.spawn(tell(inotify, wakers.clone(), stopping));
                true
            }
            Err(error) => {
                // fs.inotify.max_user_instances is small on some machines
                tracing::warn!(%error, "no inotify: the apps' output is looked for once a second");
                false
            }
        };
        Self { folder, wakers, is_told }
    }

    /// Begins to read an app's file into its log.
    pub(super) fn add(
        &self,
        app: &AppName,
        log: Arc<AppLog>,
        tasks: &TaskTracker,
        stopping: &CancellationToken,
    ) -> io::Result<Spool> {
        let path = crate::supervisor::file(&self.folder, app, "out");
        let spool = Spool { path, wake: Arc::default(), is_ended: Arc::default(), done: stopping.child_token() };
        // made before it is watched for, so that the reader has it
        spool.output()?;
        let name = format!("{app}.out");
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner).insert(name, spool.wake.clone());
        let file = fs::OpenOptions::new().read(true).write(true).open(&spool.path)?;
        let reader = Reader { file, offset: 0, lines: Lines::default(), log, is_ended: spool.is_ended.clone() };
        tasks.spawn(read(reader, spool.clone(), self.is_told));
        Ok(spool)
    }
}

impl Spool {
    /// The file, for a process to write into.
    pub(in crate::supervisor) fn output(&self) -> io::Result<fs::File> {
        fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)
    }

    /// Ends the reader and deletes the file.
    pub(super) fn delete(&self) -> io::Result<()> {
        self.done.cancel();
        crate::durable::remove(&self.path)
    }

    /// The process that wrote has ended.
    pub(in crate::supervisor) fn process_ended(&self) {
        self.is_ended.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }
}

fn watch(folder: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let fd = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
    inotify::add_watch(&fd, folder, inotify::WatchFlags::MODIFY)?;
    crate::supervisor::readable(fd)
}

async fn tell(fd: AsyncFd<OwnedFd>, wakers: Arc<Mutex<HashMap<String, Arc<Notify>>>>, stopping: CancellationToken) {
    while let Some(Ok(mut ready)) = stopping.run_until_cancelled(fd.readable()).await {
        match wake_readers(fd.get_ref(), &wakers) {
            Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                tracing::error!(%error, "inotify failed; output of the apps shows late");
                return;
            }
        }
    }
}

/// Wakes the readers of all files that were written to, until the kernel has no more to tell, which is an error.
fn wake_readers(
    fd: &OwnedFd,
    wakers: &Mutex<HashMap<String, Arc<Notify>>>,
) -> Result<std::convert::Infallible, rustix::io::Errno> {
    let mut buffer = [MaybeUninit::uninit(); 8192];
    let mut events = inotify::Reader::new(fd, &mut buffer);
    loop {
        let event = events.next()?;
        let wakers = wakers.lock().unwrap_or_else(PoisonError::into_inner);
        match event.file_name().and_then(|name| name.to_str().ok()) {
            Some(name) => wakers.get(name).into_iter().for_each(|wake| wake.notify_one()),
            // the queue overflowed: anybody may have been meant
            None => wakers.values().for_each(|wake| wake.notify_one()),
        }
    }
}

async fn read(mut reader: Reader, spool: Spool, is_told: bool) {
    loop {
        let turn = blocking(move || {
            let turn = reader.turn();
            (reader, turn)
        });
        let (back, turn) = turn.await;
        reader = back;
        match turn {
            Ok(true) => {}
            Ok(false) => {
                let wait = async {
                    if is_told {
                        spool.wake.notified().await;
                        tokio::time::sleep(GATHER).await;
                    } else {
                        let _ = tokio::time::timeout(LOOK_EVERY, spool.wake.notified()).await;
                    }
                };
                if spool.done.run_until_cancelled(wait).await.is_none() {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(file = %spool.path.display(), %error, "an app's output could not be read or written");
                if spool.done.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
                    return;
                }
            }
        }
    }
}

#[derive(Debug)]
struct Reader {
    file: fs::File,
    offset: u64,
    lines: Lines,
    log: Arc<AppLog>,
    is_ended: Arc<AtomicBool>,
}

impl Reader {
    /// Reads a part of what is there; whether there is more. Blocks.
    fn turn(&mut self) -> io::Result<bool> {
        let end = self.file.metadata()?.len();
        if end < self.offset {
            self.offset = 0;
        }
        // over what was read and freed, by us or by the supervisor before
        match seek(&self.file, SeekFrom::Data(self.offset)) {
            Ok(data) => self.offset = self.offset.max(data),
            // nothing but holes up to the end
            Err(rustix::io::Errno::NXIO) => self.offset = end,
            // a file system that knows no holes
            Err(_) => {}
        }
        let mut lines = Vec::new();
        if end - self.offset > MAX_WAITING {
            let from = end - MAX_WAITING / 2;
            lines.push(format!(
                "… {} bytes are left out here: the app prints faster than they can be kept",
                from - self.offset
            ));
            self.free(from)?;
            self.offset = from;
        }
        let mut bytes = vec![0; TURN.min(usize::try_from(end - self.offset).unwrap_or(TURN))];
        let count = self.file.read_at(&mut bytes, self.offset)?;
        bytes.truncate(count);
        lines.extend(self.lines.take(&bytes));
        let after = self.offset + count as u64;
        if after >= end && self.is_ended.swap(false, Ordering::Relaxed) {
            lines.extend(self.lines.finish());
        }
        self.log.append(lines)?;
        if count > 0 {
            self.free(after)?;
        }
        self.offset = after;
        Ok(after < end)
    }

    /// Frees everything before `end`.
    fn free(&mut self, end: u64) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.file, flags, 0, end) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                // no holes here: empty it as soon as everything was read. A line written in between is lost.
                if self.file.metadata()?.len() == end {
                    self.file.set_len(0)?;
                }
                Ok(())
            }
            other => Ok(other?),
        }
    }
}
