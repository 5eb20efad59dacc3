//! Supervises processes itself: nothing to install, nothing between an app and the kernel.
//!
//! - Every app has one task that owns its process; calls are commands to that task, so one app's calls are in order and
//!   never wait for another's.
//! - The apps outlive the lab. They write into a file each, not into a pipe that would break, and a record says which
//!   process is whose. A supervisor opened again adopts them: by process id, start time and boot, never by id alone.
//! - While no supervisor runs, nothing empties the files that the apps write into: a lab that stays down for long should
//!   have its apps stopped.
//! - A process's end is told by its pidfd (`pidfd_open(2)`), also for processes that are not our children.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    EVENT_BACKLOG, LogLine, ProcessEvent, ProcessSpec, ProcessState, ProcessSupervisor, SupervisorError, failed,
    marked,
    output::{Output, OutputSettings, Outputs},
};
use crate::{app::AppName, durable};

mod actor;
mod backoff;
mod process;
mod record;

use actor::{Actor, Command};
use record::Record;

/// Where a [`NativeSupervisor`] keeps what it knows, and how much of the logs.
#[derive(Debug, Clone)]
pub struct NativeSettings {
    /// Records of the processes, and the files they write into; made where missing.
    pub run_dir: PathBuf,
    /// The apps' logs; made where missing.
    pub log_dir: PathBuf,
    /// The size in bytes at which an app's log is rotated.
    pub max_log_bytes: u64,
    /// How many rotated logs of an app are kept beside the current one.
    pub kept_logs: usize,
}

impl NativeSettings {
    /// Settings with the defaults: logs of 10 MiB, three rotated ones kept.
    pub fn new(run_dir: impl Into<PathBuf>, log_dir: impl Into<PathBuf>) -> Self {
        Self { run_dir: run_dir.into(), log_dir: log_dir.into(), max_log_bytes: 10 << 20, kept_logs: 3 }
    }

    /// Ends every process that an earlier supervisor of this folder left running, for a lab that has another one from now
    /// on; how many there were. To be called while none is open. Blocks, up to some seconds.
    pub fn end_left_behind(&self) -> io::Result<usize> {
        marked::end(|process| process.is_of(&self.run_dir))
    }
}

/// How many commands to one app may wait.
const COMMAND_BACKLOG: usize = 16;

/// Supervises processes itself.
#[derive(Debug)]
pub struct NativeSupervisor {
    shared: Arc<Shared>,
    /// The apps' handles. Guards the map only; never held across an await.
    apps: Mutex<HashMap<AppName, Handle>>,
    outputs: Outputs,
    tasks: TaskTracker,
}

/// What every app's task needs.
#[derive(Debug)]
struct Shared {
    settings: NativeSettings,
    events: broadcast::Sender<ProcessEvent>,
    stopping: CancellationToken,
}

#[derive(Debug, Clone)]
struct Handle {
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<ProcessState>,
    output: Output,
}

impl NativeSupervisor {
    /// Opens the supervisor and adopts the processes of an earlier one that still run. One process at a time may do so
    /// (the lab's lock sees to it). Needs a running tokio runtime; blocks briefly.
    pub fn open(settings: NativeSettings) -> io::Result<Self> {
        durable::create_private_dir(&settings.run_dir)?;
        let stopping = CancellationToken::new();
        let tasks = TaskTracker::new();
        let outputs = OutputSettings {
            spool_dir: settings.run_dir.join("spool"),
            log_dir: settings.log_dir.clone(),
            max_log_bytes: settings.max_log_bytes,
            kept_logs: settings.kept_logs,
        };
        let outputs = Outputs::open(outputs, &tasks, &stopping)?;
        let records = Record::read_all(&settings.run_dir)?;
        let shared = Arc::new(Shared { settings, events: broadcast::Sender::new(EVENT_BACKLOG), stopping });
        let supervisor = Self { shared, apps: Mutex::default(), outputs, tasks };
        let boot = crate::procfs::boot_id()?;
        // looked through once for all records that a crash left without a process
        let mut marked = None;
        for record in records {
            let adopted = record.find(&supervisor.shared.settings.run_dir, &boot, &mut marked)?;
            supervisor.adopt(record, adopted)?;
        }
        Ok(supervisor)
    }

    fn adopt(&self, record: Record, adopted: Option<process::Process>) -> io::Result<()> {
        let app = record.spec.app.clone();
        let handle = self.spawn_actor(&app, Some(record), adopted)?;
        self.apps().insert(app, handle);
        Ok(())
    }

    fn spawn_actor(
        &self,
        app: &AppName,
        record: Option<Record>,
        adopted: Option<process::Process>,
    ) -> io::Result<Handle> {
        let output = self.outputs.add(app, &self.tasks, &self.shared.stopping)?;
        let (commands, receiver) = mpsc::channel(COMMAND_BACKLOG);
        let (actor, state) = Actor::new(app.clone(), self.shared.clone(), receiver, output.clone(), record, adopted);
        self.tasks.spawn(actor.run());
        Ok(Handle { commands, state, output })
    }

    fn apps(&self) -> MutexGuard<'_, HashMap<AppName, Handle>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, app: &AppName) -> Option<Handle> {
        self.apps().get(app).cloned()
    }

    fn handle_or_new(&self, app: &AppName) -> Result<Handle, SupervisorError> {
        let mut apps = self.apps();
        if let Some(handle) = apps.get(app) {
            return Ok(handle.clone());
        }
        let handle = self.spawn_actor(app, None, None).map_err(failed("begin to supervise", app))?;
        apps.insert(app.clone(), handle.clone());
        Ok(handle)
    }

    /// Ends the supervisor's own work; the apps keep running, and what they print waits in their files.
    pub async fn shutdown(&self) {
        self.shared.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Its tasks end; the apps keep running.
impl Drop for NativeSupervisor {
    fn drop(&mut self) {
        self.shared.stopping.cancel();
    }
}

async fn ask<T>(
    handle: &Handle,
    app: &AppName,
    command: impl FnOnce(oneshot::Sender<T>) -> Command,
) -> Result<T, SupervisorError> {
    let (reply, answer) = oneshot::channel();
    let is_gone = || failed("reach", app)("the supervisor is shutting down");
    handle.commands.send(command(reply)).await.map_err(|_| is_gone())?;
    answer.await.map_err(|_| is_gone())
}

#[async_trait]
impl ProcessSupervisor for NativeSupervisor {
    fn backend(&self) -> &'static str {
        "native"
    }

    async fn start(&self, spec: ProcessSpec) -> Result<(), SupervisorError> {
        let app = spec.app.clone();
        let handle = self.handle_or_new(&app)?;
        ask(&handle, &app, |reply| Command::Start(Box::new(spec), reply)).await?
    }

    async fn stop(&self, app: &AppName) -> Result<(), SupervisorError> {
        match self.handle(app) {
            Some(handle) => ask(&handle, app, Command::Stop).await?,
            None => Ok(()),
        }
    }

    async fn remove(&self, app: &AppName) -> Result<(), SupervisorError> {
        let Some(handle) = self.handle(app) else { return Ok(()) };
        ask(&handle, app, Command::Remove).await??;
        // only the handle that was removed: a start may have made a new one meanwhile
        let mut apps = self.apps();
        if apps.get(app).is_some_and(|now| now.commands.same_channel(&handle.commands)) {
            apps.remove(app);
        }
        Ok(())
    }

    async fn state(&self, app: &AppName) -> Result<Option<ProcessState>, SupervisorError> {
        Ok(self.handle(app).map(|handle| handle.state.borrow().clone()))
    }

    async fn list(&self) -> Result<BTreeMap<AppName, ProcessState>, SupervisorError> {
        Ok(self.apps().iter().map(|(app, handle)| (app.clone(), handle.state.borrow().clone())).collect())
    }

    async fn logs(&self, app: &AppName, lines: usize) -> Result<Vec<LogLine>, SupervisorError> {
        let handle = self.handle(app).ok_or_else(|| SupervisorError::Unknown(app.clone()))?;
        handle.output.logs(app, lines).await
    }

    async fn follow(&self, app: &AppName, lines: usize) -> Result<BoxStream<'static, LogLine>, SupervisorError> {
        let handle = self.handle(app).ok_or_else(|| SupervisorError::Unknown(app.clone()))?;
        handle.output.follow(app, lines).await
    }

    fn events(&self) -> broadcast::Receiver<ProcessEvent> {
        self.shared.events.subscribe()
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
