//! One process: started in a group of its own, watched by its pidfd, ended with its whole group.

use std::{
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use nix::{errno::Errno, sys::signal};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, pidfd_send_signal, waitid,
};
use serde::{Deserialize, Serialize};
use tokio::io::{Interest, unix::AsyncFd};

use crate::{
    procfs,
    supervisor::{Exit, ProcessSpec},
};

/// The variable by which a process and all that it starts can be found again. Its value is random, so that one app cannot
/// claim another's.
pub(super) const MARK: &str = "LAB_PROCESS";

/// The variable that says whose supervisor started a process: the folder of its records.
pub(super) const OWNER: &str = "LAB_RUN_DIR";

/// How long a process may take to go after SIGKILL.
pub(super) const KILL_LIMIT: Duration = Duration::from_secs(5);

/// What tells a process from every other that ever was on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) pid: i32,
    /// Clock ticks from boot to its start: field 22 of `/proc/<pid>/stat`, see proc(5).
    pub(super) started: u64,
    pub(super) boot: String,
}

/// A process that is, or was just now, there.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) identity: Identity,
    fd: AsyncFd<OwnedFd>,
}

pub(super) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Registers a descriptor to wait until it is readable.
#[expect(deprecated, reason = "sound here: `OwnedFd` closes nothing while `AsyncFd` holds it; the successor is unsafe")]
pub(super) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}

impl Process {
    /// Starts `spec`. Its output goes to `output`, which it shares with everything it starts. Blocks for the time of a
    /// fork and exec.
    pub(super) fn spawn(spec: &ProcessSpec, mark: &str, owner: &Path, output: fs::File) -> io::Result<Self> {
        let child = Command::new(&spec.program)
            .args(&spec.args)
            .current_dir(&spec.directory)
            .env_clear()
            .envs(&spec.env)
            .env(MARK, mark)
            .env(OWNER, owner)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        // it stays our child, so its id is its own until it is reaped, below
        Self::of(pid)?.ok_or_else(|| io::Error::other("the new process is not in /proc"))
    }

    /// The process that has this id now.
    pub(super) fn of(pid: i32) -> io::Result<Option<Self>> {
        let Some(valid) = Pid::from_raw(pid) else { return Ok(None) };
        let fd = match pidfd_open(valid, PidfdFlags::NONBLOCK) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Some(started) = start_time(pid)? else { return Ok(None) };
        let fd = readable(fd)?;
        Ok(Some(Self { identity: Identity { pid, started, boot: boot_id()? }, fd }))
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&self) -> io::Result<()> {
        // a pidfd is readable once, for ever; see pidfd_open(2)
        self.fd.readable().await?.retain_ready();
        Ok(())
    }

    /// How it ended, once [`Process::ended`] said so. Takes the zombie away where it is our child.
    pub(super) fn reap(&self) -> Exit {
        match waitid(WaitId::PidFd(self.fd.get_ref().as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(Some(status)) => exit_of(status),
            _ => Exit::Unknown,
        }
    }

    /// Sends a signal to its whole group. While the process is there its group's id cannot be another's.
    pub(super) fn signal_group(&self, to_send: signal::Signal) -> io::Result<()> {
        match signal::killpg(nix::unistd::Pid::from_raw(self.identity.pid), to_send) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            // a group of zombies only
            Err(Errno::EPERM) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn exit_of(status: WaitIdStatus) -> Exit {
    let code = status.exit_status().map(Exit::Code);
    code.or_else(|| status.terminating_signal().map(Exit::Signal)).unwrap_or(Exit::Unknown)
}

/// `None` where there is no such process, or only its zombie.
fn start_time(pid: i32) -> io::Result<Option<u64>> {
    let fields = match procfs::stat_fields(pid) {
        Ok(fields) => fields,
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ESRCH as i32) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    Ok(fields.get(19).and_then(|field| field.parse().ok()))
}

/// Every process whose environment has this mark: `(pid, mark)`. Blocks; reads all of `/proc`.
pub(super) fn marked() -> io::Result<Vec<(i32, String)>> {
    Ok(procfs::pids()?.into_iter().filter_map(|pid| Some((pid, mark_of(pid)?))).collect())
}

fn mark_of(pid: i32) -> Option<String> {
    variable_of(pid, MARK)
}

fn variable_of(pid: i32, name: &str) -> Option<String> {
    let prefix = format!("{name}=");
    procfs::environment(pid)
        .iter()
        .find_map(|entry| entry.strip_prefix(prefix.as_bytes()))
        .map(|value| String::from_utf8_lossy(value).into_owned())
}

/// Ends every process that this supervisor started and no record knows. Blocks.
pub(super) fn kill_unknown(owner: &Path, known: &[String]) -> io::Result<()> {
    for (pid, mark) in marked()? {
        if !known.contains(&mark) && variable_of(pid, OWNER).is_some_and(|folder| Path::new(&folder) == owner) {
            kill_marked(&mark)?;
        }
    }
    Ok(())
}

/// Ends every process with this mark: those that left their group, or outlived its leader. Blocks.
pub(super) fn kill_marked(mark: &str) -> io::Result<usize> {
    let mut killed = 0;
    // something may start new ones while we look: again until a look finds none
    for _ in 0..20 {
        let found: Vec<i32> = marked()?.into_iter().filter(|(_, m)| m == mark).map(|(pid, _)| pid).collect();
        if found.is_empty() {
            break;
        }
        for pid in found {
            let Some(valid) = Pid::from_raw(pid) else { continue };
            let Ok(fd) = pidfd_open(valid, PidfdFlags::empty()) else { continue };
            // the id may have become another process's between the look and the open: look again with the fd in hand
            if mark_of(pid).as_deref() == Some(mark) && pidfd_send_signal(&fd, Signal::KILL).is_ok() {
                killed += 1;
                let mut polled = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
                let limit = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
                // that it is still there after a second is seen at the next look
                let _ = rustix::event::poll(&mut polled, Some(&limit));
            }
        }
    }
    Ok(killed)
}

/// Whether the process leads its group: what a mark is on that was started by us and not by its app.
pub(super) fn leads_group(pid: i32) -> bool {
    let pid = nix::unistd::Pid::from_raw(pid);
    nix::unistd::getpgid(Some(pid)).is_ok_and(|group| group == pid)
}
