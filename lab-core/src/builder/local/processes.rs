//! Every process that a command started, and their end.
//!
//! A command leads a process group of its own. What leaves the group is found by a variable that its environment
//! inherits; only a process that leaves the group *and* clears its environment gets away.

use std::{collections::HashSet, time::Duration};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use tokio::time::Instant;

use crate::procfs;

/// The variable, whose value is different in each build.
pub(super) const MARKER: &str = "LAB_BUILD";

/// How long killed processes may take to be gone before they are given up (they wait for a disk).
const KILLED: Duration = Duration::from_millis(400);

/// The same for so many that one look at all of them takes long.
const KILLED_MANY: Duration = Duration::from_secs(10);
const MANY: usize = 200;

/// How often new processes are looked for while those that start them are being stopped.
const FREEZES: usize = 50;

/// A command's processes. Dropping it kills them all, unless [`Family::let_go`] was called.
#[derive(Debug)]
pub(super) struct Family {
    leader: Pid,
    /// `LAB_BUILD=…`
    marker: Vec<u8>,
    is_armed: bool,
}

impl Family {
    /// The family of the group leader `leader`.
    pub(super) fn new(leader: Pid, marker: &str) -> Self {
        Self { leader, marker: format!("{MARKER}={marker}").into_bytes(), is_armed: true }
    }

    /// How many there are.
    pub(super) async fn count(&self) -> usize {
        self.signal(None).await
    }

    /// Ends all: SIGTERM, then SIGKILL after `grace`. Says how many there were.
    pub(super) async fn end(&self, grace: Duration) -> usize {
        let first = self.signal(Signal::SIGTERM).await;
        if first == 0 || self.gone(Instant::now() + grace, None).await {
            return first;
        }
        self.kill(first).await;
        first
    }

    /// Ends all at once, about `count` of them.
    pub(super) async fn kill(&self, count: usize) {
        let limit = if count > MANY { KILLED_MANY } else { KILLED };
        self.gone(Instant::now() + limit, Some(Signal::SIGKILL)).await;
    }

    /// The command and all its processes have ended.
    pub(super) fn let_go(mut self) {
        self.is_armed = false;
    }

    /// Waits until none is left, sending `signal` to whoever appears.
    async fn gone(&self, until: Instant, signal: Option<Signal>) -> bool {
        loop {
            if self.signal(signal).await == 0 {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    }

    async fn signal(&self, signal: impl Into<Option<Signal>>) -> usize {
        let (leader, marker, signal) = (self.leader, self.marker.clone(), signal.into());
        // a look at every process of the machine: some milliseconds
        tokio::task::spawn_blocking(move || signal_all(leader, &marker, signal)).await.unwrap_or(0)
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        if self.is_armed {
            // again for what was started meanwhile
            let _ = (0..5).find(|_| signal_all(self.leader, &self.marker, Some(Signal::SIGKILL)) == 0);
        }
    }
}

/// Sends `signal` to every member that lives; says how many there are.
fn signal_all(leader: Pid, marker: &[u8], signal: Option<Signal>) -> usize {
    let Ok(pids) = procfs::pids() else {
        // without /proc the group is all that can be reached
        return usize::from(killpg(leader, signal).is_ok());
    };
    let members: Vec<Pid> = pids.into_iter().filter(|pid| is_member(*pid, leader, marker)).map(Pid::from_raw).collect();
    if signal == Some(Signal::SIGKILL) && members.len() > 1 {
        freeze(leader, marker, &members);
    }
    for pid in &members {
        // it may have ended since
        let _ = signal.map(|signal| kill(*pid, signal));
    }
    members.len()
}

/// Stops all, and whatever they started meanwhile: a stopped process starts no other, so killing wins the race.
fn freeze(leader: Pid, marker: &[u8], members: &[Pid]) {
    let mut known: HashSet<i32> = members.iter().map(|pid| pid.as_raw()).collect();
    let mut new: Vec<i32> = known.iter().copied().collect();
    for _ in 0..FREEZES {
        // the group at once: the kernel lets none of its members start another meanwhile
        let _ = killpg(leader, Signal::SIGSTOP);
        for pid in &new {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGSTOP);
        }
        let all = procfs::pids().unwrap_or_default();
        new = all.into_iter().filter(|pid| !known.contains(pid) && is_member(*pid, leader, marker)).collect();
        if new.is_empty() {
            break;
        }
        known.extend(&new);
    }
    // those that came since are members still: the caller looks again
    for pid in known {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

fn is_member(pid: i32, leader: Pid, marker: &[u8]) -> bool {
    let fields = procfs::stat_fields(pid).unwrap_or_default();
    let (Some(state), Some(Ok(group))) = (fields.first(), fields.get(2).map(|group| group.parse::<i32>())) else {
        return false;
    };
    if state.starts_with(['Z', 'X']) {
        return false;
    }
    let inherits = || procfs::environment(pid).iter().any(|variable| variable == marker);
    group == leader.as_raw() || inherits()
}
