//! The role that keeps the apps' processes running.

use std::{
    collections::BTreeMap,
    fmt, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::io::{Interest, unix::AsyncFd};

use crate::app::AppName;

pub(crate) mod marked;
pub mod native;
mod output;
pub mod supervisord;

pub(crate) use output::{Lines, clean};

/// How many changes a slow receiver of events may be behind before it misses some.
const EVENT_BACKLOG: usize = 1024;
/// How long a process may take to go after SIGKILL.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// One app's process: everything needed to start it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// Whose process.
    pub app: AppName,
    /// The program, an absolute path.
    pub program: PathBuf,
    /// Its arguments, without the program's name.
    pub args: Vec<String>,
    /// Its working directory.
    pub directory: PathBuf,
    /// Its whole environment: nothing is inherited.
    pub env: BTreeMap<String, String>,
    /// How long it may take to end after SIGTERM before its group gets SIGKILL.
    pub stop_grace: Duration,
    /// When it is started again.
    pub restart: RestartPolicy,
}

/// Without the environment's values, which may be secret.
impl fmt::Debug for ProcessSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessSpec")
            .field("app", &self.app)
            .field("program", &self.program)
            .field("args", &self.args)
            .field("directory", &self.directory)
            .field("env", &self.env.keys())
            .field("stop_grace", &self.stop_grace)
            .field("restart", &self.restart)
            .finish()
    }
}

/// When a process that ended by itself is started again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// The wait before the second restart (the first is at once); doubles with each, with jitter of up to a quarter.
    pub first_delay: Duration,
    /// The longest wait.
    pub max_delay: Duration,
    /// A process that ran this long has recovered: the count starts again.
    pub stable_after: Duration,
    /// After this many restarts without recovering it is failed.
    pub max_restarts: u32,
}

impl Default for RestartPolicy {
    /// 100 ms doubling to 30 s, stable after 10 s, failed after 8 restarts (about 13 s).
    fn default() -> Self {
        Self {
            first_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(30),
            stable_after: Duration::from_secs(10),
            max_restarts: 8,
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Unknown: it was adopted, and only a parent is told.
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Unknown => f.write_str("unknown exit"),
        }
    }
}

/// What is observed of an app's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ProcessState {
    /// It runs. Whether it answers is for a health check to say.
    Running {
        /// Its process id.
        pid: u32,
        /// Since when (UTC).
        since: Timestamp,
        /// How often it was restarted since it was last stable.
        restarts: u32,
    },
    /// It ended and will be started again.
    BackingOff {
        /// How it ended.
        exit: Exit,
        /// How often it was restarted since it was last stable.
        restarts: u32,
        /// When it will be started (UTC).
        until: Timestamp,
    },
    /// It is being stopped.
    Stopping,
    /// It was stopped because that was asked for.
    Stopped,
    /// It ended too often, or could not be started.
    Failed {
        /// Why, for a person.
        reason: String,
        /// The last lines of its log.
        last_lines: Vec<String>,
    },
}

/// A change of an app's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessEvent {
    /// Whose.
    pub app: AppName,
    /// What it is now.
    pub state: ProcessState,
}

/// One line that an app printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was read (UTC).
    pub time: Timestamp,
    /// The text, without line end, colours and control characters; at most 8 KiB.
    pub text: String,
}

/// Why the supervisor could not do it.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// No process of that app was ever given to it.
    #[error("the supervisor knows no process of `{0}`")]
    Unknown(AppName),
    /// It could not be started.
    #[error("cannot start `{}` for `{app}`", .program.display())]
    Start {
        /// Whose.
        app: AppName,
        /// What.
        program: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is still there after SIGKILL (a disk or network file system that hangs).
    #[error("the process of `{app}` did not end within {} s of SIGKILL; it may wait for a disk", .waited.as_secs())]
    WillNotEnd {
        /// Whose.
        app: AppName,
        /// How long was waited.
        waited: Duration,
    },
    /// The backend failed.
    #[error("cannot {action} the process of `{app}`")]
    Failed {
        /// `stop`, `record` …
        action: &'static str,
        /// Whose.
        app: AppName,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Keeps processes running.
///
/// # Contract
/// - `start` makes the given process the app's one: it runs afterwards. The same specification again changes nothing
///   while it runs; another one replaces it, the old one having ended before the new one starts: never two at once.
/// - A program that cannot be started is an error of `start`, and the state is `Failed`.
/// - A process that ends by itself is started again by its [`RestartPolicy`], then `Failed`, with its last lines.
/// - `start` of a failed or stopped app starts it with the count at zero.
/// - `stop` returns when the process and its whole group are gone; SIGTERM first, SIGKILL after the grace. It is
///   idempotent, and stopping an app that is not known is `Ok(())`.
/// - `remove` is `stop`, then everything about the app is forgotten, logs too.
/// - `state` of an unknown app is `Ok(None)`.
/// - What the process prints is in `logs` soon after, in order; lines that hold PocketBase's `pbinstall` link are not.
/// - `events` tells every change from the moment it is called; a receiver that is too slow misses some and reads `state`.
/// - A supervisor opened again on the same state finds the processes that still run, and they never noticed.
/// - One app's calls and crashes never disturb another's.
#[async_trait]
pub trait ProcessSupervisor: fmt::Debug + Send + Sync + 'static {
    /// The name of the technology: `native`, `supervisord`, `memory` …
    fn backend(&self) -> &'static str;
    /// Makes this the app's running process.
    async fn start(&self, spec: ProcessSpec) -> Result<(), SupervisorError>;
    /// Ends the app's process.
    async fn stop(&self, app: &AppName) -> Result<(), SupervisorError>;
    /// Ends it and forgets it.
    async fn remove(&self, app: &AppName) -> Result<(), SupervisorError>;
    /// What is observed of it.
    async fn state(&self, app: &AppName) -> Result<Option<ProcessState>, SupervisorError>;
    /// Every app it knows.
    async fn list(&self) -> Result<BTreeMap<AppName, ProcessState>, SupervisorError>;
    /// The last `lines` lines it printed, oldest first.
    async fn logs(&self, app: &AppName, lines: usize) -> Result<Vec<LogLine>, SupervisorError>;
    /// The last `lines` lines, then new ones as they come, without a gap, until dropped or the app is removed.
    async fn follow(&self, app: &AppName, lines: usize) -> Result<BoxStream<'static, LogLine>, SupervisorError>;
    /// Changes from now on.
    fn events(&self) -> tokio::sync::broadcast::Receiver<ProcessEvent>;
}

fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    action: &'static str,
    app: &AppName,
) -> impl FnOnce(E) -> SupervisorError {
    let app = app.clone();
    move |source| SupervisorError::Failed { action, app, source: source.into() }
}

fn file(folder: &Path, app: &AppName, extension: &str) -> PathBuf {
    folder.join(format!("{app}.{extension}"))
}

/// Why an app is failed that was restarted as often as its policy allows.
fn gave_up(restarts: u32, exit: Exit) -> String {
    format!("it ended {} times in a row, last with {exit}", restarts + 1)
}

/// Registers a descriptor to wait until it is readable.
#[expect(deprecated, reason = "sound here: `OwnedFd` closes nothing while `AsyncFd` holds it; the successor is unsafe")]
fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}
