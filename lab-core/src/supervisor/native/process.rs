//! One process: started in a group of its own, watched by its pidfd, ended with its whole group.

use std::{
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
};

use nix::{errno::Errno, sys::signal};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, waitid};
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;

use crate::{
    procfs,
    supervisor::{
        Exit, ProcessSpec,
        marked::{MARK, OWNER},
        readable,
    },
};

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
        Ok(Some(Self { identity: Identity { pid, started, boot: crate::procfs::boot_id()? }, fd }))
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

/// Whether the process leads its group: what a mark is on that was started by us and not by its app.
pub(super) fn leads_group(pid: i32) -> bool {
    let pid = nix::unistd::Pid::from_raw(pid);
    nix::unistd::getpgid(Some(pid)).is_ok_and(|group| group == pid)
}
