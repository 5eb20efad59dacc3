//! Has a supervisord supervise the apps: the classic tool, with its own process tree, and an operator's own habits.
//!
//! - It is asked by XML-RPC over its unix socket. Nothing else than the lab should drive it, and it runs the apps only.
//! - Each app has two files in `programs/`: a program file that supervisord reads, and a launch file that becomes the
//!   process. They say all that supervisord needs: it restarts, or the machine is replaced, and every wanted app starts
//!   without the lab. Only a new or removed app, or other restart settings, make supervisord read its files anew, and only
//!   that app's group is then added or removed.
//! - An app writes into a file of its own, not through supervisord, whose one thread a flood of output would stop.
//! - The kernel ends the apps when supervisord is killed, so that the next one never starts a second process on the same
//!   data. What their children left is found by its marks and ended.
//! - supervisord waits 1 s, 2 s, 3 s … before it tries again, rounded up to its own tick of a second, so
//!   [`RestartPolicy`](super::RestartPolicy)'s `first_delay` and `max_delay` cannot be kept; `stable_after` and
//!   `max_restarts` are (in whole seconds).
//! - Changes are found by looking: a stat of supervisord's log four times a second, a call where it grew.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use tokio::sync::broadcast;

use super::{LogLine, ProcessEvent, ProcessSpec, ProcessState, ProcessSupervisor, SupervisorError, failed, marked};
use crate::{app::AppName, blocking::blocking, durable};

mod app;
mod calls;
mod config;
mod diagnose;
mod error;
mod exits;
mod files;
mod launch;
mod observed;
mod poll;
mod rpc;
mod shared;
mod xml;

pub use config::main_config;
pub use diagnose::diagnose;
pub use error::{Fault, SupervisordError};
use files::Files;
use rpc::Call;
use shared::Shared;

/// The folder of the apps' files, in supervisord's.
const PROGRAMS: &str = "programs";
/// How often apps that are to end are looked at, all of them.
const STOP_EVERY: Duration = Duration::from_millis(100);
/// What has the kernel end a process when its parent ends; part of util-linux since 2.33.
const SETPRIV: &str = "/usr/bin/setpriv";

/// Where supervisord works, and how much of the logs is kept.
#[derive(Debug, Clone)]
pub struct SupervisordSettings {
    /// supervisord's folder: its configuration, socket and log, and the apps' files. Not every path will do; see
    /// [`SupervisordError::Folder`].
    pub dir: PathBuf,
    /// The apps' logs.
    pub log_dir: PathBuf,
    /// The size in bytes at which an app's log is rotated.
    pub max_log_bytes: u64,
    /// How many rotated logs of an app are kept beside the current one.
    pub kept_logs: usize,
    /// How long a call is tried again while supervisord is away, as when it is started again.
    pub patience: Duration,
}

impl SupervisordSettings {
    /// Settings with the defaults: logs of 10 MiB, three rotated ones kept, 10 s of patience.
    pub fn new(dir: impl Into<PathBuf>, log_dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            log_dir: log_dir.into(),
            max_log_bytes: 10 << 20,
            kept_logs: 3,
            patience: Duration::from_secs(10),
        }
    }

    /// The file to start supervisord with: `supervisord -c <file>`.
    pub fn config_file(&self) -> PathBuf {
        self.dir.join("supervisord.conf")
    }

    /// supervisord's socket, for its own user only.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("supervisor.sock")
    }

    /// supervisord's own log.
    pub fn log_file(&self) -> PathBuf {
        self.dir.join("supervisord.log")
    }

    /// The apps' program and launch files.
    pub fn programs(&self) -> PathBuf {
        self.dir.join(PROGRAMS)
    }

    fn spools(&self) -> PathBuf {
        self.dir.join("output")
    }

    /// Makes everything ready for a supervisord: its folders and main file. To be called before each start of supervisord.
    /// Blocks.
    pub fn prepare(&self) -> Result<(), SupervisordError> {
        self.make_folders()?;
        let path = self.config_file();
        durable::write(&path, main_config(self).as_bytes(), 0o600).map_err(|source| SupervisordError::File {
            action: "write",
            path,
            source,
        })
    }

    /// Mends or deletes program files that make no sense: with one of them supervisord would not start. To be called before
    /// the first start of supervisord, while no [`SupervisordSupervisor`] is open, which writes these files. Blocks.
    pub fn mend(&self) -> Result<(), SupervisordError> {
        self.make_folders()?;
        Files::new(self).read_all().map(drop)
    }

    fn make_folders(&self) -> Result<(), SupervisordError> {
        config::check(self)?;
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| SupervisordError::File { action, path, source }
        };
        for folder in [&self.dir, &self.programs(), &self.spools()] {
            durable::create_private_dir(folder).map_err(failed("make", folder))?;
        }
        std::fs::metadata(SETPRIV).map(drop).map_err(failed("find", Path::new(SETPRIV)))
    }

    /// Has the supervisord of this folder end every app, all of them at once, and waits until none is left or the time is
    /// over. A supervisord that is told to end itself ends one after another, one a second at best.
    pub async fn stop_all(&self, limit: Duration) -> Result<(), SupervisordError> {
        let client = rpc::Client::new(&self.socket(), &self.log_file(), Duration::ZERO)?;
        let stop = Call("supervisor.stopAllProcesses", vec![xml::Value::Bool(false)]);
        let begun = Instant::now();
        while begun.elapsed() < limit {
            // again: one that had just ended by itself is started again by the next tick
            client.once(&stop).await?;
            let (_, infos) = poll::look(&client).await?;
            if infos.iter().all(|info| info.pid == 0 && info.is_at_rest()) {
                break;
            }
            tokio::time::sleep(STOP_EVERY).await;
        }
        Ok(())
    }

    /// Ends every process that an earlier supervisord of this folder left behind; how many there were. To be called while
    /// none runs. Blocks, up to some seconds.
    pub fn end_left_behind(&self) -> io::Result<usize> {
        let programs = self.programs();
        marked::end(|process| process.is_below(&programs))
    }

    /// The same for a lab that has another supervisor from now on. What says that there was one goes too, first of all the
    /// apps' files: the next supervisord would start what they say, whatever became of the apps meanwhile.
    pub fn retire(&self) -> io::Result<usize> {
        durable::remove(&self.programs())?;
        durable::remove(&self.config_file())?;
        self.end_left_behind()
    }
}

/// Has supervisord supervise the apps.
#[derive(Debug)]
pub struct SupervisordSupervisor {
    shared: Arc<Shared>,
}

impl SupervisordSupervisor {
    /// Opens the supervisor over a supervisord that runs, or is just being started, with
    /// [`SupervisordSettings::prepare`]'s file; waits for it as long as the settings' patience. What runs is not touched;
    /// programs of supervisord's that are no app's are ended. One process at a time may do so (the lab's lock sees to it).
    pub async fn open(settings: SupervisordSettings) -> Result<Self, SupervisordError> {
        let known = blocking({
            let settings = settings.clone();
            move || {
                settings.make_folders()?;
                Files::new(&settings).read_all()
            }
        });
        let known = known.await?;
        let shared = Arc::new(Shared::new(settings)?);
        let pid = shared.meet(known).await?;
        shared.tasks.spawn(poll::run(shared.clone(), pid));
        Ok(Self { shared })
    }

    /// Ends the supervisor's own work; the apps keep running, and what they print waits in their files.
    pub async fn shutdown(&self) {
        self.shared.stopping.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    /// Does `work` to its end, even when the caller goes away.
    async fn run<T, W>(&self, action: &'static str, app: &AppName, work: W) -> Result<T, SupervisorError>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, SupervisorError>> + Send + 'static,
    {
        if self.shared.stopping.is_cancelled() {
            return Err(failed(action, app)("the supervisor is shutting down"));
        }
        match self.shared.tasks.spawn(work).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(failed(action, app)("the runtime is shutting down")),
            },
        }
    }
}

/// Its tasks end; the apps keep running.
impl Drop for SupervisordSupervisor {
    fn drop(&mut self) {
        self.shared.stopping.cancel();
    }
}

#[async_trait]
impl ProcessSupervisor for SupervisordSupervisor {
    fn backend(&self) -> &'static str {
        "supervisord"
    }

    async fn start(&self, spec: ProcessSpec) -> Result<(), SupervisorError> {
        let (shared, app) = (self.shared.clone(), spec.app.clone());
        self.run("start", &app, async move { shared.start(spec).await }).await
    }

    async fn stop(&self, app: &AppName) -> Result<(), SupervisorError> {
        let (shared, name) = (self.shared.clone(), app.clone());
        self.run("stop", app, async move { shared.stop(&name).await }).await
    }

    async fn remove(&self, app: &AppName) -> Result<(), SupervisorError> {
        let (shared, name) = (self.shared.clone(), app.clone());
        self.run("remove", app, async move { shared.remove(&name).await }).await
    }

    async fn state(&self, app: &AppName) -> Result<Option<ProcessState>, SupervisorError> {
        let Some(known) = self.shared.app(app) else { return Ok(None) };
        self.shared.is_in_touch().map_err(failed("see", app))?;
        Ok(Some(known.state()))
    }

    async fn list(&self) -> Result<BTreeMap<AppName, ProcessState>, SupervisorError> {
        let apps = self.shared.all();
        if let Some((name, _)) = apps.first_key_value() {
            self.shared.is_in_touch().map_err(failed("see", name))?;
        }
        Ok(apps.into_iter().map(|(name, app)| (name, app.state())).collect())
    }

    async fn logs(&self, app: &AppName, lines: usize) -> Result<Vec<LogLine>, SupervisorError> {
        let known = self.shared.app(app).ok_or_else(|| SupervisorError::Unknown(app.clone()))?;
        known.output.logs(app, lines).await
    }

    async fn follow(&self, app: &AppName, lines: usize) -> Result<BoxStream<'static, LogLine>, SupervisorError> {
        let known = self.shared.app(app).ok_or_else(|| SupervisorError::Unknown(app.clone()))?;
        known.output.follow(app, lines).await
    }

    fn events(&self) -> broadcast::Receiver<ProcessEvent> {
        self.shared.events.subscribe()
    }
}
