//! Finds processes by marks in their environment, which all that they start inherits: also those that left their group,
//! or outlived its leader.

use std::{
    io,
    os::fd::OwnedFd,
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::procfs;

/// The variable by which a process and all that it starts can be found again. Its value is random, so that one app cannot
/// claim another's.
pub(crate) const MARK: &str = "LAB_PROCESS";

/// The variable that says whose a process is: a path that only its supervisor gives.
pub(crate) const OWNER: &str = "LAB_RUN_DIR";

/// How long processes that were told to end may take.
const GRACE: Duration = Duration::from_secs(10);
/// How often processes that were told to end are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Marks for a process of `owner`'s.
pub(crate) fn marks(owner: &Path) -> [(String, String); 2] {
    let owner = owner.to_string_lossy().into_owned();
    [(MARK.to_owned(), uuid::Uuid::new_v4().to_string()), (OWNER.to_owned(), owner)]
}

/// A process with a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marked {
    pub(crate) pid: i32,
    pub(crate) mark: String,
    pub(crate) owner: String,
}

impl Marked {
    /// The process with this id, if it has a mark. Blocks.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let (mut mark, mut owner) = (None, None);
        for entry in procfs::environment(pid) {
            let value = |name: &str| {
                let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
                Some(String::from_utf8_lossy(value).into_owned())
            };
            mark = mark.or_else(|| value(MARK));
            owner = owner.or_else(|| value(OWNER));
        }
        Some(Self { pid, mark: mark?, owner: owner.unwrap_or_default() })
    }

    /// Sends it a signal; nothing where it is gone.
    fn signal(&self, signal: Signal) -> Option<OwnedFd> {
        let fd = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // the id may have become another process's between the look and the open: look again with the fd in hand
        let is_same = Self::of(self.pid).is_some_and(|now| now == *self);
        (is_same && pidfd_send_signal(&fd, signal).is_ok()).then_some(fd)
    }

    /// Whether what it says it is is in this folder.
    pub(crate) fn is_below(&self, folder: &Path) -> bool {
        Path::new(&self.owner).starts_with(folder)
    }

    /// Whether `owner` is what it says it is.
    pub(crate) fn is_of(&self, owner: &Path) -> bool {
        Path::new(&self.owner) == owner
    }
}

/// Every process with a mark. Blocks; reads all of `/proc`.
pub(crate) fn all() -> io::Result<Vec<Marked>> {
    Ok(procfs::pids()?.into_iter().filter_map(Marked::of).collect())
}

/// Kills every marked process that is meant, until there is none; how many there were. Blocks.
pub(crate) fn kill(is_meant: impl Fn(&Marked) -> bool) -> io::Result<usize> {
    kill_found(|| Ok(all()?.into_iter().filter(&is_meant).collect()))
}

/// The same, for those that each look finds.
pub(crate) fn kill_found(look: impl Fn() -> io::Result<Vec<Marked>>) -> io::Result<usize> {
    let mut killed = 0;
    // something may start new ones while we look: again until a look finds none
    for _ in 0..20 {
        let found = look()?;
        if found.is_empty() {
            break;
        }
        for process in found {
            let Some(fd) = process.signal(Signal::KILL) else { continue };
            killed += 1;
            let mut polled = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
            let limit = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
            // that it is still there after a second is seen at the next look
            let _ = rustix::event::poll(&mut polled, Some(&limit));
        }
    }
    Ok(killed)
}

/// Ends every marked process that is meant: SIGTERM to all of them, SIGKILL to those that are there after [`GRACE`]; how many
/// there were. Blocks.
pub(crate) fn end(is_meant: impl Fn(&Marked) -> bool) -> io::Result<usize> {
    let begun = Instant::now();
    let mut told: Vec<Marked> = Vec::new();
    while begun.elapsed() < GRACE {
        let found: Vec<Marked> = all()?.into_iter().filter(&is_meant).collect();
        if found.is_empty() {
            return Ok(told.len());
        }
        for process in found {
            if !told.contains(&process) && process.signal(Signal::TERM).is_some() {
                told.push(process);
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
    kill(is_meant)?;
    Ok(told.len())
}
