//! The task that owns one app's process.

use std::{future::pending, sync::Arc, time::Instant};

use jiff::Timestamp;
use nix::sys::signal::Signal;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Shared,
    backoff::delay,
    process::Process,
    record::{self, Record},
};
use crate::{
    app::AppName,
    blocking::blocking,
    supervisor::{
        KILL_LIMIT, ProcessEvent, ProcessSpec, ProcessState, SupervisorError, failed, gave_up, marked, output::Output,
    },
};

type Reply = oneshot::Sender<Result<(), SupervisorError>>;

/// What can be asked of the task.
#[derive(Debug)]
pub(super) enum Command {
    Start(Box<ProcessSpec>, Reply),
    Stop(Reply),
    Remove(Reply),
}

#[derive(Debug)]
enum Phase {
    Idle,
    Running { process: Process, since: Instant },
    Waiting { until: Instant },
}

#[derive(Debug)]
pub(super) struct Actor {
    app: AppName,
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    output: Output,
    state: watch::Sender<ProcessState>,
    record: Option<Record>,
    phase: Phase,
    restarts: u32,
}

impl Actor {
    pub(super) fn new(
        app: AppName,
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Command>,
        output: Output,
        record: Option<Record>,
        adopted: Option<Process>,
    ) -> (Self, watch::Receiver<ProcessState>) {
        let (phase, first) = match adopted {
            // how long it has run is not known to the second, and need not be
            Some(process) => {
                let first = running(&process, 0);
                (Phase::Running { process, since: Instant::now() }, first)
            }
            None => (Phase::Idle, ProcessState::Stopped),
        };
        let (state, receiver) = watch::channel(first);
        (Self { app, shared, commands, output, state, record, phase, restarts: 0 }, receiver)
    }

    pub(super) async fn run(mut self) {
        loop {
            tokio::select! {
                () = self.shared.stopping.cancelled() => return,
                command = self.commands.recv() => match command {
                    None => return,
                    // a caller that went away is fine
                    Some(Command::Start(spec, reply)) => drop(reply.send(self.start(*spec).await)),
                    Some(Command::Stop(reply)) => drop(reply.send(self.stop().await)),
                    Some(Command::Remove(reply)) => {
                        let removed = self.remove().await;
                        let is_removed = removed.is_ok();
                        drop(reply.send(removed));
                        if is_removed {
                            return;
                        }
                    }
                },
                () = ended(&self.phase) => self.on_exit().await,
                () = waited(&self.phase) => self.restart().await,
            }
        }
    }

    fn set(&self, state: ProcessState) {
        self.state.send_replace(state.clone());
        // nobody listens: fine
        let _ = self.shared.events.send(ProcessEvent { app: self.app.clone(), state });
    }

    async fn start(&mut self, spec: ProcessSpec) -> Result<(), SupervisorError> {
        let is_same = self.record.as_ref().is_some_and(|record| record.spec == spec);
        if is_same && matches!(self.phase, Phase::Running { .. }) {
            return Ok(());
        }
        self.end_process().await?;
        self.restarts = 0;
        let record = Record::new(spec);
        // before the process is there: one that a crash leaves unrecorded is found by the record's mark
        self.write(record).await?;
        self.spawn().await
    }

    async fn stop(&mut self) -> Result<(), SupervisorError> {
        if let Some(record) = self.record.as_ref().filter(|record| record.wanted) {
            let stopped = Record { wanted: false, ..record.clone() };
            self.write(stopped).await?;
        }
        let was_running = !matches!(self.phase, Phase::Idle);
        self.end_process().await?;
        if was_running || *self.state.borrow() != ProcessState::Stopped {
            self.set(ProcessState::Stopped);
        }
        Ok(())
    }

    async fn remove(&mut self) -> Result<(), SupervisorError> {
        self.stop().await?;
        let output = self.output.clone();
        let (run_dir, app) = (self.shared.settings.run_dir.clone(), self.app.clone());
        blocking(move || {
            output.delete()?;
            record::forget(&run_dir, &app)
        })
        .await
        .map_err(failed("forget", &self.app))
    }

    /// Starts a process of the record.
    async fn spawn(&mut self) -> Result<(), SupervisorError> {
        let Some(record) = self.record.clone() else { return Ok(()) };
        let output = self.output.spool.output().map_err(failed("open the output of", &self.app))?;
        let spawned = blocking({
            let (spec, mark) = (record.spec.clone(), record.mark.clone());
            let owner = self.shared.settings.run_dir.clone();
            move || Process::spawn(&spec, &mark, &owner, output)
        });
        match spawned.await {
            Ok(process) => {
                let identity = process.identity.clone();
                self.set(running(&process, self.restarts));
                self.phase = Phase::Running { process, since: Instant::now() };
                let (run_dir, app) = (self.shared.settings.run_dir.clone(), self.app.clone());
                blocking(move || record::note(&run_dir, &app, &identity))
                    .await
                    .map_err(failed("note the process of", &self.app))
            }
            Err(source) => {
                self.phase = Phase::Idle;
                self.set(ProcessState::Failed {
                    reason: format!("`{}` cannot be started: {source}", record.spec.program.display()),
                    last_lines: Vec::new(),
                });
                Err(SupervisorError::Start { app: self.app.clone(), program: record.spec.program, source })
            }
        }
    }

    async fn on_exit(&mut self) {
        let Phase::Running { process, since } = std::mem::replace(&mut self.phase, Phase::Idle) else { return };
        let Some(record) = self.record.clone() else { return };
        // while its zombie is there its group's id is its own
        let _ = process.signal_group(Signal::SIGKILL);
        let exit = process.reap();
        self.output.spool.process_ended();
        let policy = &record.spec.restart;
        if since.elapsed() >= policy.stable_after {
            self.restarts = 0;
        }
        self.end_leftovers(&record).await;
        if self.restarts >= policy.max_restarts {
            let last_lines = self.output.last_words().await;
            self.set(ProcessState::Failed { reason: gave_up(self.restarts, exit), last_lines });
            return;
        }
        let wait = delay(policy, self.restarts, rand::random());
        self.phase = Phase::Waiting { until: Instant::now() + wait };
        let until = Timestamp::now() + jiff::SignedDuration::try_from(wait).unwrap_or_default();
        self.set(ProcessState::BackingOff { exit, restarts: self.restarts, until });
    }

    async fn restart(&mut self) {
        self.restarts += 1;
        if let Err(error) = self.spawn().await {
            tracing::error!(app = %self.app, error = crate::error::report(&error), "an app could not be started again");
        }
    }

    /// Ends the process, if there is one, with its whole group and everything it started.
    async fn end_process(&mut self) -> Result<(), SupervisorError> {
        let Phase::Running { process, since } = std::mem::replace(&mut self.phase, Phase::Idle) else { return Ok(()) };
        let Some(record) = self.record.clone() else { return Ok(()) };
        self.set(ProcessState::Stopping);
        process.signal_group(Signal::SIGTERM).map_err(failed("end", &self.app))?;
        if tokio::time::timeout(record.spec.stop_grace, process.ended()).await.is_err() {
            process.signal_group(Signal::SIGKILL).map_err(failed("end", &self.app))?;
            if tokio::time::timeout(KILL_LIMIT, process.ended()).await.is_err() {
                // it is still there: it stays ours
                self.set(running(&process, self.restarts));
                self.phase = Phase::Running { process, since };
                return Err(SupervisorError::WillNotEnd { app: self.app.clone(), waited: KILL_LIMIT });
            }
        }
        // while its zombie is there its group's id is its own
        let _ = process.signal_group(Signal::SIGKILL);
        process.reap();
        self.output.spool.process_ended();
        self.end_leftovers(&record).await;
        Ok(())
    }

    async fn end_leftovers(&self, record: &Record) {
        let mark = record.mark.clone();
        match blocking(move || marked::kill(|process| process.mark == mark)).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(app = %self.app, count, "processes that outlived their app were ended"),
            Err(error) => {
                tracing::warn!(app = %self.app, %error, "processes that outlived their app were not looked for");
            }
        }
    }

    async fn write(&mut self, record: Record) -> Result<(), SupervisorError> {
        let (run_dir, written) = (self.shared.settings.run_dir.clone(), record.clone());
        self.record = Some(record);
        blocking(move || written.write(&run_dir)).await.map_err(failed("record", &self.app))
    }
}

fn running(process: &Process, restarts: u32) -> ProcessState {
    ProcessState::Running { pid: process.identity.pid.unsigned_abs(), since: Timestamp::now(), restarts }
}

async fn ended(phase: &Phase) {
    match phase {
        Phase::Running { process, .. } => {
            if process.ended().await.is_err() {
                pending::<()>().await;
            }
        }
        _ => pending().await,
    }
}

async fn waited(phase: &Phase) {
    match phase {
        // the first restart is at once: tokio's timer would take it to the end of its millisecond
        Phase::Waiting { until } if *until <= Instant::now() => {}
        Phase::Waiting { until } => tokio::time::sleep_until((*until).into()).await,
        _ => pending().await,
    }
}
