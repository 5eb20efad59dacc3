//! A supervisor without processes, for tests of what uses one.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use tokio::sync::{broadcast, watch};
use tokio_stream::wrappers::BroadcastStream;

use super::scripts;
use crate::{
    AppName,
    supervisor::{Exit, LogLine, ProcessEvent, ProcessSpec, ProcessState, ProcessSupervisor, SupervisorError},
};

/// One call that a [`FakeSupervisor`] got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SupervisorCall {
    /// `start`
    Start(ProcessSpec),
    /// `stop`
    Stop(AppName),
    /// `remove`
    Remove(AppName),
}

/// A supervisor without processes. Clones are the same one; its state outlives what uses it, as processes do.
#[derive(Debug, Clone)]
pub struct FakeSupervisor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    events: broadcast::Sender<ProcessEvent>,
}

#[derive(Debug, Default)]
struct State {
    apps: BTreeMap<AppName, Entry>,
    calls: Vec<SupervisorCall>,
    failures: VecDeque<SupervisorError>,
    hangs: watch::Sender<bool>,
    /// Apps whose process ends as soon as it is started.
    crashing: Vec<AppName>,
    last_pid: u32,
}

#[derive(Debug)]
struct Entry {
    spec: ProcessSpec,
    state: ProcessState,
    lines: Vec<LogLine>,
    followers: broadcast::Sender<LogLine>,
}

impl Default for FakeSupervisor {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeSupervisor {
    /// One that knows no app.
    pub fn new() -> Self {
        Self(Arc::new(Inner { state: Mutex::default(), events: broadcast::Sender::new(1024) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<SupervisorCall> {
        self.state().calls.clone()
    }

    /// Makes the next `start`, `stop` or `remove` fail.
    pub fn fail_next(&self, error: SupervisorError) {
        self.state().failures.push_back(error);
    }

    /// Makes every `start`, `stop` and `remove` hang from now on, until told otherwise.
    pub fn hang(&self, hangs: bool) {
        self.state().hangs.send_replace(hangs);
    }

    /// Makes every process of `app` end as soon as it is started, until told otherwise.
    pub fn crash_on_start(&self, app: &AppName, crash: bool) {
        let mut state = self.state();
        state.crashing.retain(|name| name != app);
        if crash {
            state.crashing.push(app.clone());
        }
    }

    /// Ends the app's process as if by itself; it backs off until [`FakeSupervisor::recover`].
    pub fn crash(&self, app: &AppName) {
        let until = Timestamp::now();
        self.set(app, ProcessState::BackingOff { exit: Exit::Code(1), restarts: 0, until });
    }

    /// Starts a process that had ended by itself again.
    pub fn recover(&self, app: &AppName) {
        let running = self.next_running(1);
        self.set(app, running);
    }

    /// Gives the app up.
    pub fn give_up(&self, app: &AppName) {
        self.set(app, ProcessState::Failed { reason: "given up".to_owned(), last_lines: Vec::new() });
    }

    /// Lets the app print a line.
    pub fn print(&self, app: &AppName, text: &str) {
        if let Some(entry) = self.state().apps.get_mut(app) {
            let line = LogLine { time: Timestamp::now(), text: text.to_owned() };
            entry.lines.push(line.clone());
            let _ = entry.followers.send(line);
        }
    }

    fn next_running(&self, restarts: u32) -> ProcessState {
        let mut state = self.state();
        state.last_pid += 1;
        ProcessState::Running { pid: 1_000_000_000 + state.last_pid, since: Timestamp::now(), restarts }
    }

    fn set(&self, app: &AppName, state: ProcessState) {
        if let Some(entry) = self.state().apps.get_mut(app) {
            entry.state = state.clone();
            let _ = self.0.events.send(ProcessEvent { app: app.clone(), state });
        }
    }

    async fn called(&self, call: SupervisorCall) -> Result<(), SupervisorError> {
        let (mut hangs, failure) = {
            let mut state = self.state();
            state.calls.push(call);
            (state.hangs.subscribe(), state.failures.pop_front())
        };
        // an error would mean that the fake is gone, and with it who hung
        let _ = hangs.wait_for(|hangs| !hangs).await;
        failure.map_or(Ok(()), Err)
    }

    /// The life of a process, as far as a script of the conformance suite tells it.
    fn live(&self, spec: &ProcessSpec) {
        let app = &spec.app;
        let script = spec.args.get(1).map_or("", String::as_str);
        let crashes = script == scripts::ENDS || self.state().crashing.contains(app);
        let running = self.next_running(0);
        self.set(app, running);
        match script {
            scripts::ENDS_ONCE => {
                self.crash(app);
                self.recover(app);
            }
            scripts::FIRST_START => {
                for line in ["one", "(left out)", "two red"] {
                    self.print(app, line);
                }
            }
            scripts::COUNTS => (1..=500).for_each(|n: u32| self.print(app, &n.to_string())),
            _ => {}
        }
        if crashes {
            self.print(app, "about to end");
            let reason = format!("it ended {} times in a row, last with exit code 7", spec.restart.max_restarts + 1);
            self.set(app, ProcessState::Failed { reason, last_lines: vec!["about to end".to_owned()] });
        }
    }
}

#[async_trait]
impl ProcessSupervisor for FakeSupervisor {
    fn backend(&self) -> &'static str {
        "fake"
    }

    async fn start(&self, spec: ProcessSpec) -> Result<(), SupervisorError> {
        self.called(SupervisorCall::Start(spec.clone())).await?;
        let app = spec.app.clone();
        {
            let mut state = self.state();
            // two processes on one port would be two apps' mistake: strict, so that a test sees it
            let port = spec.env.get("PORT");
            let other = state.apps.values().find(|entry| {
                entry.spec.app != app
                    && matches!(entry.state, ProcessState::Running { .. })
                    && port.is_some()
                    && entry.spec.env.get("PORT") == port
            });
            assert!(other.is_none(), "`{app}` is started on the port of `{:?}`", other.map(|e| &e.spec.app));
            let stopped = ProcessState::Stopped;
            let new = || Entry {
                spec: spec.clone(),
                state: stopped,
                lines: Vec::new(),
                followers: broadcast::Sender::new(1024),
            };
            let entry = state.apps.entry(app.clone()).or_insert_with(new);
            if entry.spec == spec && matches!(entry.state, ProcessState::Running { .. }) {
                return Ok(());
            }
            entry.spec = spec.clone();
        }
        if spec.program.is_absolute() && !spec.program.exists() {
            let reason = format!("`{}` cannot be started", spec.program.display());
            self.set(&app, ProcessState::Failed { reason, last_lines: Vec::new() });
            let source = std::io::ErrorKind::NotFound.into();
            return Err(SupervisorError::Start { app, program: spec.program, source });
        }
        self.live(&spec);
        Ok(())
    }

    async fn stop(&self, app: &AppName) -> Result<(), SupervisorError> {
        self.called(SupervisorCall::Stop(app.clone())).await?;
        let was = self.state().apps.get(app).map(|entry| entry.state.clone());
        if matches!(was, Some(ProcessState::Running { .. } | ProcessState::BackingOff { .. })) {
            self.set(app, ProcessState::Stopping);
        }
        if was.is_some_and(|state| state != ProcessState::Stopped) {
            self.set(app, ProcessState::Stopped);
        }
        Ok(())
    }

    async fn remove(&self, app: &AppName) -> Result<(), SupervisorError> {
        self.called(SupervisorCall::Remove(app.clone())).await?;
        self.state().apps.remove(app);
        Ok(())
    }

    async fn state(&self, app: &AppName) -> Result<Option<ProcessState>, SupervisorError> {
        Ok(self.state().apps.get(app).map(|entry| entry.state.clone()))
    }

    async fn list(&self) -> Result<BTreeMap<AppName, ProcessState>, SupervisorError> {
        Ok(self.state().apps.iter().map(|(app, entry)| (app.clone(), entry.state.clone())).collect())
    }

    async fn logs(&self, app: &AppName, lines: usize) -> Result<Vec<LogLine>, SupervisorError> {
        let state = self.state();
        let entry = state.apps.get(app).ok_or_else(|| SupervisorError::Unknown(app.clone()))?;
        Ok(entry.lines[entry.lines.len().saturating_sub(lines)..].to_vec())
    }

    async fn follow(&self, app: &AppName, lines: usize) -> Result<BoxStream<'static, LogLine>, SupervisorError> {
        let state = self.state();
        let entry = state.apps.get(app).ok_or_else(|| SupervisorError::Unknown(app.clone()))?;
        let new = BroadcastStream::new(entry.followers.subscribe()).filter_map(async |line| line.ok());
        let old = entry.lines[entry.lines.len().saturating_sub(lines)..].to_vec();
        Ok(stream::iter(old).chain(new).boxed())
    }

    fn events(&self) -> broadcast::Receiver<ProcessEvent> {
        self.0.events.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Subject;

    crate::supervisor_conformance!(async { Subject::<dyn ProcessSupervisor>::new(Arc::new(FakeSupervisor::new())) });
}
