//! What the apps print: from the files they write into, cleaned, into logs that are rotated. Every backend whose apps
//! outlive the lab uses it.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use futures_util::stream::BoxStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{LogLine, SupervisorError, failed};
use crate::{app::AppName, blocking::blocking, durable};

mod lines;
mod log;
mod spool;

pub(crate) use lines::{Lines, clean};
use log::AppLog;
use spool::{Spool, Spools};

/// How many last lines a failed app's state holds.
const LAST_LINES: usize = 20;
/// How long the last output of a process that ended may take to be read.
const SETTLES: Duration = Duration::from_millis(50);

/// Where the apps' output goes.
#[derive(Debug, Clone)]
pub(super) struct OutputSettings {
    /// The files the apps write into.
    pub(super) spool_dir: PathBuf,
    /// Their logs.
    pub(super) log_dir: PathBuf,
    /// The size in bytes at which a log is rotated.
    pub(super) max_log_bytes: u64,
    /// How many rotated logs are kept beside the current one.
    pub(super) kept_logs: usize,
}

/// The output of all apps.
#[derive(Debug)]
pub(super) struct Outputs {
    settings: OutputSettings,
    spools: Spools,
}

/// One app's output.
#[derive(Debug, Clone)]
pub(super) struct Output {
    log: Arc<AppLog>,
    pub(super) spool: Spool,
}

impl Outputs {
    /// Makes the folders and watches them. Needs a running tokio runtime; blocks briefly.
    pub(super) fn open(
        settings: OutputSettings,
        tasks: &TaskTracker,
        stopping: &CancellationToken,
    ) -> io::Result<Self> {
        for folder in [&settings.spool_dir, &settings.log_dir] {
            durable::create_private_dir(folder)?;
        }
        let spools = Spools::open(settings.spool_dir.clone(), tasks, stopping.clone());
        Ok(Self { settings, spools })
    }

    /// Begins to read what an app prints.
    pub(super) fn add(&self, app: &AppName, tasks: &TaskTracker, stopping: &CancellationToken) -> io::Result<Output> {
        let OutputSettings { log_dir, max_log_bytes, kept_logs, .. } = &self.settings;
        let log = Arc::new(AppLog::open(log_dir, app, *max_log_bytes, *kept_logs)?);
        let spool = self.spools.add(app, log.clone(), tasks, stopping)?;
        Ok(Output { log, spool })
    }
}

impl Output {
    /// The last lines of an app that failed just now, after a moment for its last words to be read.
    pub(super) async fn last_words(&self) -> Vec<String> {
        tokio::time::sleep(SETTLES).await;
        let log = self.log.clone();
        let lines = blocking(move || log.tail(LAST_LINES)).await.unwrap_or_default();
        lines.into_iter().map(|line| line.text).collect()
    }

    /// The last `lines` lines, oldest first.
    pub(super) async fn logs(&self, app: &AppName, lines: usize) -> Result<Vec<LogLine>, SupervisorError> {
        let log = self.log.clone();
        blocking(move || log.tail(lines)).await.map_err(failed("read the log of", app))
    }

    /// The last `lines` lines, then those that come.
    pub(super) async fn follow(
        &self,
        app: &AppName,
        lines: usize,
    ) -> Result<BoxStream<'static, LogLine>, SupervisorError> {
        let log = self.log.clone();
        blocking(move || log.follow(lines)).await.map_err(failed("read the log of", app))
    }

    /// Ends the reader and deletes everything. Blocks.
    pub(super) fn delete(&self) -> io::Result<()> {
        self.spool.delete()?;
        self.log.delete()
    }
}
