//! `lab-server init`: the first process of the production stack, in a container or under systemd.
//!
//! It starts supervisord, Caddy and `lab-server` itself, and starts again whichever ends. Each gets an environment of its
//! own: nothing secret reaches supervisord, from where every app would inherit it. It is the reaper of whatever loses its
//! parent, and ends what a killed supervisord left running before it starts a new one: the apps would run twice on one
//! `pb_data`. When it ends, however it ends, its three children do too.

use std::{
    ffi::OsString,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{ExitCode, ExitStatus},
    time::Duration,
};

use lab_core::{
    machine::{Claim, MachineError, ThisMachine},
    procfs,
    supervisor::supervisord::{SupervisordError, SupervisordSettings},
};
use rustix::process::{Pid, Signal, WaitOptions};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep, sleep_until, timeout_at},
};

use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, StackKind},
    wiring,
};
use program::{Program, State};

mod program;
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
    /// Another stack uses the data directory, or left something there that cannot be ended.
    #[error(transparent)]
    Stack(#[from] lab_core::Error),
    /// supervisord cannot be made ready.
    #[error(transparent)]
    Supervisord(#[from] SupervisordError),
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

/// The programs, in the order in which they are started.
struct Init {
    supervisord: Program,
    caddy: Program,
    server: Program,
    apps: SupervisordSettings,
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
    let data = config.data();
    lab_core::durable::create_private_dir(data.path())
        .map_err(|source| InitError::Write { path: data.path().to_owned(), source })?;
    // first: without it nothing may be touched, not even the claim, which a second init of this machine would share
    let _lock = wiring::lock_stack(&data)?;
    // before anything that starts an app by itself
    let machine = ThisMachine::read(config.machine.as_deref())?;
    let mut claim = tokio::select! {
        claim = Claim::take(&data, machine) => claim?,
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
    };
    wiring::end_other_stack(StackKind::Production, &data)?;
    let mut init = programs::prepare(config, words)?;
    let ending = CancellationToken::new();
    let mut kept = Box::pin(claim.keep(&ending));
    let code = loop {
        for program in init.all() {
            program.start_if_due();
        }
        let next = init.next_start();
        tokio::select! {
            _ = children.recv() => {}
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            _ = terminate.recv() => break ExitCode::SUCCESS,
            _ = interrupt.recv() => break ExitCode::SUCCESS,
            lost = &mut kept => return init.let_go(lost).await,
        }
        if init.reap() == Reaped::Usage {
            break ExitCode::from(USAGE);
        }
        if matches!(init.supervisord.state, State::Waiting { .. }) {
            end_strangers(&mut init).await;
        }
    };
    tracing::info!("ending; a second signal ends at once");
    tokio::select! {
        () = init.stop() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        // it is renewed to the end: another machine may be waiting
        lost = &mut kept => return init.let_go(lost).await,
    }
    init.kill_all().await;
    drop(kept);
    claim.release().await?;
    Ok(code)
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
        if self.supervisord.pid().is_some() {
            self.stop_apps(deadline).await;
        }
        self.supervisord.send(Signal::TERM);
        while self.supervisord.pid().is_some() && Instant::now() < deadline {
            self.reap_soon().await;
        }
        end_strangers(self).await;
    }

    /// Has supervisord tell all apps to end before it is told itself: then it tells one a second, and only once the one
    /// before has ended.
    async fn stop_apps(&mut self, deadline: Instant) {
        let apps = self.apps.clone();
        let stopping = timeout_at(deadline, apps.stop_all(APPS_STOP));
        let reaping = async {
            loop {
                self.reap_soon().await;
            }
        };
        tokio::select! {
            stopped = stopping => match stopped {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    let error = lab_core::report(&error);
                    tracing::warn!(error, "supervisord does not stop the apps all at once; it is told to end");
                }
                Err(_) => tracing::warn!("apps do not end in time; they are killed"),
            },
            () = reaping => {}
        }
    }

    /// Ends everything at once, because another machine has the data. Without asking the apps: to close a database is to
    /// write into it, over what the other machine wrote. What an app had committed is in its files already.
    async fn let_go(&mut self, lost: Result<(), MachineError>) -> Result<ExitCode, InitError> {
        self.kill_all().await;
        lost?;
        // without an error it would go on until it is told to end
        Ok(ExitCode::FAILURE)
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
