//! One program that init keeps running.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal};
use tokio::time::Instant;

/// A program that ran this long had started well.
const STABLE: Duration = Duration::from_secs(2);
/// The wait before the second restart in a row; doubles with each. The first is at once.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// The longest wait.
const MAX_DELAY: Duration = Duration::from_secs(5);
/// Has setpriv (util-linux) take the capabilities away that systemd gave for the ports 80 and 443.
const NO_CAPABILITIES: [&str; 4] = ["--ambient-caps", "-all", "--inh-caps", "-all"];

/// One program that init keeps running.
pub(super) struct Program {
    pub(super) name: &'static str,
    path: PathBuf,
    args: Vec<OsString>,
    /// Its whole environment.
    env: Vec<(OsString, OsString)>,
    /// Writes what it starts with. It blocks: this process does nothing else meanwhile.
    prepare: Box<dyn Fn() -> Result<(), Box<dyn std::error::Error + Send + Sync>>>,
    /// Whether it may listen on a port below 1024; what other people's code comes of need not.
    is_trusted: bool,
    pub(super) state: State,
    /// How often in a row it ended soon after its start.
    failures: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum State {
    Running { pid: Pid, since: Instant },
    Waiting { until: Instant },
}

impl Program {
    pub(super) fn new(
        name: &'static str,
        path: PathBuf,
        args: Vec<OsString>,
        env: Vec<(OsString, OsString)>,
        prepare: impl Fn() -> Result<(), Box<dyn std::error::Error + Send + Sync>> + 'static,
    ) -> Self {
        let state = State::Waiting { until: Instant::now() };
        Self { name, path, args, env, prepare: Box::new(prepare), is_trusted: false, state, failures: 0 }
    }

    /// The same with the capabilities that this process has.
    pub(super) fn trusted(self) -> Self {
        Self { is_trusted: true, ..self }
    }

    pub(super) fn pid(&self) -> Option<Pid> {
        match self.state {
            State::Running { pid, .. } => Some(pid),
            State::Waiting { .. } => None,
        }
    }

    /// Starts it where its time has come.
    pub(super) fn start_if_due(&mut self) {
        let State::Waiting { until } = self.state else { return };
        if until > Instant::now() {
            return;
        }
        if let Err(error) = (self.prepare)() {
            let error = lab_core::report(&*error);
            tracing::error!(program = self.name, error, "cannot be made ready; it is tried again");
            self.wait_longer();
            return;
        }
        // setpriv (util-linux) lets it be told when this process ends, however that happens
        let spawned = Command::new("setpriv")
            .args(["--pdeathsig", "TERM"])
            .args(NO_CAPABILITIES.iter().filter(|_| !self.is_trusted))
            .arg("--")
            .arg(&self.path)
            .args(&self.args)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            // a Ctrl-C is for this process, which then ends the others in order
            .process_group(0)
            .spawn();
        match spawned {
            Ok(child) => {
                let pid = Pid::from_child(&child);
                tracing::info!(program = self.name, pid = pid.as_raw_nonzero(), "started");
                self.state = State::Running { pid, since: Instant::now() };
            }
            Err(error) => {
                tracing::error!(program = self.name, path = %self.path.display(), %error, "cannot be started");
                self.wait_longer();
            }
        }
    }

    pub(super) fn note_end(&mut self, since: Instant, status: ExitStatus, is_ending: bool) {
        if is_ending {
            tracing::info!(program = self.name, %status, "ended");
        } else {
            tracing::error!(program = self.name, %status, "ended by itself; it is started again");
        }
        if since.elapsed() >= STABLE {
            self.failures = 0;
        }
        self.wait_longer();
    }

    fn wait_longer(&mut self) {
        self.state = State::Waiting { until: Instant::now() + delay(self.failures) };
        self.failures += 1;
    }

    pub(super) fn send(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // it may have ended since
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

/// The wait before a restart after so many failures in a row.
fn delay(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        n => (FIRST_DELAY * 2_u32.saturating_pow(n - 1)).min(MAX_DELAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_at_once_and_the_wait_is_bounded() {
        assert_eq!(delay(0), Duration::ZERO);
        assert_eq!(delay(1), FIRST_DELAY);
        assert_eq!(delay(3), FIRST_DELAY * 4);
        assert_eq!(delay(40), MAX_DELAY);
        assert_eq!(delay(u32::MAX), MAX_DELAY);
    }
}
