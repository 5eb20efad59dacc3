//! What supervisord says of a process, in the lab's words.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::rpc::Info;
use crate::supervisor::{Exit, ProcessSpec, ProcessState, gave_up};

/// supervisord's states (its `states.py`).
pub(super) mod code {
    pub(in super::super) const STOPPED: i64 = 0;
    pub(in super::super) const STARTING: i64 = 10;
    pub(in super::super) const RUNNING: i64 = 20;
    pub(in super::super) const BACKOFF: i64 = 30;
    pub(in super::super) const STOPPING: i64 = 40;
    pub(in super::super) const EXITED: i64 = 100;
    pub(in super::super) const FATAL: i64 = 200;
    pub(in super::super) const UNKNOWN: i64 = 1000;
}

/// What to do about [`code::UNKNOWN`], in which supervisord refuses every call for a program.
pub(super) const LOST_TRACK: &str = "neither a stop nor a start reaches it any more: end supervisord, which `lab-server \
    init` starts again with every app";

/// What was seen of one process so far. supervisord does not tell how often it restarted one.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// What it said last.
    pub(super) info: Option<Info>,
    restarts: u32,
    /// The last run was long enough to have recovered.
    is_stable: bool,
    /// The last run is over.
    is_ended: bool,
}

/// What follows from something new.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// A run ended since the last look, and the next one began before this one.
    pub(super) missed: Option<ProcessState>,
    pub(super) state: ProcessState,
}

impl Seen {
    /// What is seen right after a start.
    pub(super) fn started(info: Info) -> (Self, ProcessState) {
        let state = running(&info, 0);
        (Self { info: Some(info), ..Self::default() }, state)
    }

    /// Whether a process is there, as far as was seen.
    pub(super) fn pid(&self) -> Option<u32> {
        self.info.as_ref().map(|info| info.pid).filter(|pid| *pid > 0)
    }

    /// Takes in what supervisord says now. `wanted`: whether the process should run. The last lines of a failed one are
    /// left to the caller.
    pub(super) fn take(&mut self, info: &Info, exit: Exit, spec: &ProcessSpec, wanted: bool) -> Change {
        let before = self.info.replace(info.clone());
        let is_new_run = before.as_ref().is_some_and(|before| before.start != info.start || before.pid != info.pid);
        let was_running = before.as_ref().is_some_and(|before| before.pid > 0);
        let mut missed = None;
        if was_running && is_new_run && !self.is_ended {
            self.is_ended = true;
            let ran = info.start.saturating_sub(before.map_or(0, |before| before.start));
            self.is_stable |= info.pid > 0 && Duration::from_secs(ran.unsigned_abs()) >= spec.restart.stable_after;
            if self.is_stable {
                self.restarts = 0;
            }
            if info.pid > 0 {
                missed = Some(self.backing_off(exit, info.start));
            }
        }
        let state = match info.state {
            code::STARTING | code::RUNNING if info.pid > 0 => {
                if self.is_ended {
                    self.restarts += 1;
                    (self.is_ended, self.is_stable) = (false, false);
                }
                self.is_stable |= info.state == code::RUNNING;
                running(info, self.restarts)
            }
            code::STOPPING => ProcessState::Stopping,
            code::STOPPED => self.stopped(),
            code::EXITED | code::FATAL if !wanted => self.stopped(),
            // between its runs; STARTING without a process is one that could not be made
            code::BACKOFF | code::STARTING => {
                self.is_ended = true;
                self.backing_off(exit, info.stop.saturating_add(1 + i64::from(self.restarts)))
            }
            // for the moment until it is started again
            code::EXITED => {
                (self.is_ended, self.is_stable, self.restarts) = (true, true, 0);
                self.backing_off(exit, info.stop)
            }
            code::FATAL => self.failed(match info.spawn_error.as_str() {
                "" => gave_up(spec.restart.max_restarts, exit),
                text if is_exit(text) => gave_up(spec.restart.max_restarts, exit),
                text => format!("supervisord cannot start it: {text}"),
            }),
            code::UNKNOWN => {
                self.failed(format!("supervisord has lost track of its process (state UNKNOWN), and {LOST_TRACK}"))
            }
            other => self.failed(format!("supervisord says state {other}, which is not known here")),
        };
        Change { missed, state }
    }

    fn backing_off(&self, exit: Exit, until: i64) -> ProcessState {
        ProcessState::BackingOff { exit, restarts: self.restarts, until: time(until) }
    }

    fn stopped(&mut self) -> ProcessState {
        self.forget_runs();
        ProcessState::Stopped
    }

    fn failed(&mut self, reason: String) -> ProcessState {
        self.forget_runs();
        ProcessState::Failed { reason, last_lines: Vec::new() }
    }

    fn forget_runs(&mut self) {
        *self = Self { info: self.info.take(), ..Self::default() };
    }
}

/// supervisord's words for a process that was made, but ended before `startsecs`.
pub(super) fn is_exit(spawn_error: &str) -> bool {
    spawn_error.starts_with("Exited too quickly") || spawn_error.starts_with("Bad exit code")
}

fn running(info: &Info, restarts: u32) -> ProcessState {
    ProcessState::Running { pid: info.pid, since: time(info.start), restarts }
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
