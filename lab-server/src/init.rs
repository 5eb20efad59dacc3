//! `lab-server init`: the first process of the production stack, in a container or under systemd.
//!
//! It starts supervisord, Caddy and `lab-server` itself, and starts again whichever ends. Each gets an environment of its
//! own: nothing secret reaches supervisord, from where every app would inherit it. It is the reaper of whatever loses its
//! parent, and ends what a killed supervisord left running before it starts a new one: the apps would run twice on one
//! `pb_data`. When it ends, however it ends, its three children do too.

use std::{
    ffi::OsString,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{Command, ExitCode, ExitStatus, Stdio},
    time::Duration,
};

use lab_core::{
    machine::{Claim, MachineError, ThisMachine},
    procfs,
};
use rustix::process::{Pid, Signal, WaitOptions};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep, sleep_until, timeout_at},
};

use tokio_util::sync::CancellationToken;

use crate::config::Config;

mod programs;

/// How long Caddy and lab-server have to end after SIGTERM: more than lab-server takes to take back a deployment.
const SERVERS_STOP: Duration = Duration::from_secs(35);
/// How long supervisord has to stop every app: more than the apps' own grace.
const APPS_STOP: Duration = Duration::from_secs(15);
/// How long whatever was left behind has after SIGTERM.
const STRANGERS_STOP: Duration = Duration::from_secs(5);
/// How long killed processes may take to be gone before they are given up (they wait for a disk).
const KILLED: Duration = Duration::from_secs(2);

/// The longest `lab-server init` takes to end after SIGTERM or SIGINT. Whatever stops it must wait longer than this.
pub const STOP_BUDGET: Duration =
    Duration::from_secs(SERVERS_STOP.as_secs() + APPS_STOP.as_secs() + STRANGERS_STOP.as_secs() + KILLED.as_secs());

/// A program that ran this long had started well.
const STABLE: Duration = Duration::from_secs(2);
/// The wait before the second restart in a row; doubles with each. The first is at once.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// The longest wait.
const MAX_DELAY: Duration = Duration::from_secs(5);
/// The exit code of a lab-server whose settings make no sense: starting it again would not help.
const USAGE: u8 = 2;

/// Why the production stack cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Something it needs of the operating system is refused.
    #[error("cannot {action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another machine uses the data directory.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A file cannot be written.
    #[error("cannot write `{}`", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

fn system(action: &'static str) -> impl FnOnce(std::io::Error) -> InitError {
    move |source| InitError::System { action, source }
}

/// One program that init keeps running.
struct Program {
    name: &'static str,
    path: PathBuf,
    args: Vec<OsString>,
    /// Its whole environment.
    env: Vec<(OsString, OsString)>,
    /// Writes what it starts with. It blocks: this process does nothing else meanwhile.
    prepare: Box<dyn Fn() -> Result<(), Box<dyn std::error::Error + Send + Sync>>>,
    state: State,
    /// How often in a row it ended soon after its start.
    failures: u32,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Running { pid: Pid, since: Instant },
    Waiting { until: Instant },
}

impl Program {
    fn new(
        name: &'static str,
        path: PathBuf,
        args: Vec<OsString>,
        env: Vec<(OsString, OsString)>,
        prepare: impl Fn() -> Result<(), Box<dyn std::error::Error + Send + Sync>> + 'static,
    ) -> Self {
        let state = State::Waiting { until: Instant::now() };
        Self { name, path, args, env, prepare: Box::new(prepare), state, failures: 0 }
    }

    fn pid(&self) -> Option<Pid> {
        match self.state {
            State::Running { pid, .. } => Some(pid),
            State::Waiting { .. } => None,
        }
    }

    /// Starts it where its time has come.
    fn start_if_due(&mut self) {
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
            .args(["--pdeathsig", "TERM", "--"])
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

    fn note_end(&mut self, since: Instant, status: ExitStatus, is_ending: bool) {
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

    fn send(&self, signal: Signal) {
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

/// The programs, in the order in which they are started.
struct Init {
    supervisord: Program,
    caddy: Program,
    server: Program,
    /// Nothing is started any more.
    is_ending: bool,
}

/// Runs the production stack until SIGTERM or SIGINT, then ends it within [`STOP_BUDGET`]; a second signal ends it at once.
/// `words` is what `lab-server` itself is to be called with, without its name and `init`. For a runtime of one thread
/// that does nothing else: it waits for every child of this process.
pub async fn run(config: &Config, words: Vec<OsString>) -> Result<ExitCode, InitError> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|e| system("become the reaper of orphans")(e.into()))?;
    let mut children = signal(SignalKind::child()).map_err(system("watch for the end of processes"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(system("watch for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("watch for SIGINT"))?;
    // before anything that starts an app by itself
    let machine = ThisMachine::read(config.machine.as_deref())?;
    let data = config.data();
    let mut claim = tokio::select! {
        claim = Claim::take(&data, machine) => claim?,
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
    };
    let mut init = programs::prepare(config, words)?;
    let ending = CancellationToken::new();
    let mut kept = Box::pin(claim.keep(&ending));
    loop {
        for program in init.all() {
            program.start_if_due();
        }
        let next = init.next_start();
        tokio::select! {
            _ = children.recv() => {}
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            lost = &mut kept => {
                init.stop().await;
                init.kill_all().await;
                // without an error it would go on until `ending`
                lost?;
                return Ok(ExitCode::FAILURE);
            }
        }
        if init.reap() == Reaped::Usage {
            init.stop().await;
            return Ok(ExitCode::from(USAGE));
        }
        if matches!(init.supervisord.state, State::Waiting { .. }) {
            end_strangers(&mut init).await;
        }
    }
    tracing::info!("ending; a second signal ends at once");
    tokio::select! {
        () = init.stop() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    init.kill_all().await;
    drop(kept);
    claim.release().await?;
    Ok(ExitCode::SUCCESS)
}

/// What [`Init::reap`] found.
#[derive(Debug, PartialEq, Eq)]
enum Reaped {
    /// Ends that are made good by a restart, if any.
    Usual,
    /// lab-server refuses its settings.
    Usage,
}

impl Init {
    fn all(&mut self) -> [&mut Program; 3] {
        [&mut self.supervisord, &mut self.caddy, &mut self.server]
    }

    fn next_start(&mut self) -> Option<Instant> {
        let waits = self.all().into_iter().filter_map(|program| match program.state {
            State::Waiting { until } => Some(until),
            State::Running { .. } => None,
        });
        waits.min()
    }

    /// Takes note of every process that ended.
    fn reap(&mut self) -> Reaped {
        let (mut reaped, is_ending) = (Reaped::Usual, self.is_ending);
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let status = ExitStatus::from_raw(status.as_raw());
            if self.server.pid() == Some(pid) && status.code() == Some(i32::from(USAGE)) {
                reaped = Reaped::Usage;
            }
            for program in self.all() {
                if let State::Running { pid: its, since } = program.state
                    && its == pid
                {
                    program.note_end(since, status, is_ending);
                }
            }
        }
        reaped
    }

    /// Ends all in order: what takes requests and starts apps first, then the apps.
    async fn stop(&mut self) {
        self.is_ending = true;
        let deadline = Instant::now() + SERVERS_STOP;
        self.caddy.send(Signal::TERM);
        self.server.send(Signal::TERM);
        while (self.caddy.pid().is_some() || self.server.pid().is_some()) && Instant::now() < deadline {
            self.reap_soon().await;
        }
        self.caddy.send(Signal::KILL);
        self.server.send(Signal::KILL);
        let deadline = Instant::now() + APPS_STOP;
        self.supervisord.send(Signal::TERM);
        while self.supervisord.pid().is_some() && Instant::now() < deadline {
            self.reap_soon().await;
        }
        end_strangers(self).await;
    }

    async fn reap_soon(&mut self) {
        sleep(Duration::from_millis(10)).await;
        self.reap();
    }

    /// Ends whatever is left, without asking.
    async fn kill_all(&mut self) {
        let deadline = Instant::now() + KILLED;
        loop {
            let strangers = self.strangers();
            for program in self.all() {
                program.send(Signal::KILL);
            }
            signal_all(&strangers, Signal::KILL);
            self.reap();
            if (strangers.is_empty() && self.all().iter().all(|program| program.pid().is_none()))
                || Instant::now() >= deadline
            {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Children of this process that it did not start: they lost their own parent.
    fn strangers(&mut self) -> Vec<Pid> {
        let ours: Vec<Pid> = self.all().iter().filter_map(|program| program.pid()).collect();
        let me = rustix::process::getpid();
        let all = procfs::pids().unwrap_or_default();
        let orphans = all.into_iter().filter(|pid| procfs::parent(*pid) == Some(me.as_raw_nonzero().get()));
        orphans.filter_map(Pid::from_raw).filter(|pid| !ours.contains(pid)).collect()
    }
}

/// Ends what supervisord left behind: SIGTERM, then SIGKILL. What they leave behind in turn is ended as well.
async fn end_strangers(init: &mut Init) {
    let deadline = Instant::now() + STRANGERS_STOP;
    let mut told = Vec::new();
    loop {
        init.reap();
        let strangers = init.strangers();
        if strangers.is_empty() {
            return;
        }
        let is_late = Instant::now() >= deadline;
        if is_late {
            signal_all(&strangers, Signal::KILL);
        }
        if Instant::now() >= deadline + KILLED {
            tracing::error!(?strangers, "processes do not end; they may wait for a disk");
            return;
        }
        let new: Vec<Pid> = strangers.into_iter().filter(|pid| !told.contains(pid)).collect();
        if !new.is_empty() {
            tracing::warn!(count = new.len(), "ending processes that lost their supervisor");
            signal_all(&new, Signal::TERM);
            told.extend(new);
        }
        let _ = timeout_at(deadline + KILLED, sleep(Duration::from_millis(10))).await;
    }
}

/// To each and to its group, where it leads one.
fn signal_all(pids: &[Pid], signal: Signal) {
    for pid in pids {
        // it may have ended since, and lead no group
        let _ = rustix::process::kill_process_group(*pid, signal);
        let _ = rustix::process::kill_process(*pid, signal);
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
