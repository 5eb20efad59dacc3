//! Every process that a command started, and their end.
//!
//! A command leads a process group of its own. What leaves the group is found by a variable that its environment
//! inherits; only a process that leaves the group *and* clears its environment gets away.

use std::{fs, time::Duration};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use tokio::time::Instant;

/// The variable, whose value is different in each build.
pub(super) const MARKER: &str = "LAB_BUILD";

/// How long killed processes may take to be gone before they are given up (they wait for a disk).
const KILLED: Duration = Duration::from_millis(400);

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

    /// Ends all: SIGTERM, then SIGKILL after `grace`. Says how many there were.
    pub(super) async fn end(&self, grace: Duration) -> usize {
        let first = self.signal(Signal::SIGTERM).await;
        if first == 0 || self.gone(Instant::now() + grace, None).await {
            return first;
        }
        self.gone(Instant::now() + KILLED, Some(Signal::SIGKILL)).await;
        first
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
    let Ok(processes) = fs::read_dir("/proc") else {
        // without /proc the group is all that can be reached
        return usize::from(killpg(leader, signal).is_ok());
    };
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let members: Vec<Pid> = pids.filter(|pid| is_member(*pid, leader, marker)).map(Pid::from_raw).collect();
    for pid in &members {
        // it may have ended since
        let _ = signal.map(|signal| kill(*pid, signal));
    }
    members.len()
}

fn is_member(pid: i32, leader: Pid, marker: &[u8]) -> bool {
    let Some((state, group)) = fs::read_to_string(format!("/proc/{pid}/stat")).ok().and_then(|stat| parse(&stat))
    else {
        return false;
    };
    if matches!(state, 'Z' | 'X') {
        return false;
    }
    let inherits = || {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == marker)
    };
    group == leader.as_raw() || inherits()
}

/// The state and the process group in `/proc/<pid>/stat`, after the name, which may hold anything.
fn parse(stat: &str) -> Option<(char, i32)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(1)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_process_with_an_odd_name_is_read() {
        assert_eq!(super::parse("12 (a) b (c)) S 1 42 42 0 -1"), Some(('S', 42)));
        assert_eq!(super::parse("nonsense"), None);
    }
}
