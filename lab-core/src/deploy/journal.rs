//! What is kept of a deployment while it runs: its record, written before each step, and its log, written as it comes.

use std::{
    fs,
    io::Write,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::BoxStream};
use jiff::Timestamp;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    sync::watch,
};

use super::{DeployEvent, DeployEventKind, DeployStep, Deployment, StepOutcome, StepRecord, store::write_record};
use crate::{
    Error,
    blocking::blocking,
    layout::AppDirs,
    progress::{Amount, Progress},
};

/// The most that is kept of one deployment's log, in bytes.
const MAX_LOG: u64 = 32 << 20;
/// The least time between two amounts.
const AMOUNT_EVERY: Duration = Duration::from_millis(200);

/// The record and log of a deployment that is under way.
#[derive(Debug)]
pub(crate) struct Journal {
    dirs: AppDirs,
    /// Guards the record in memory; never held across an await.
    record: Mutex<Deployment>,
    /// Guards the log file and its counters; held for one short write to the page cache.
    log: Mutex<Log>,
    /// The `seq` of the last event in the file.
    written: watch::Sender<u64>,
}

#[derive(Debug)]
struct Log {
    file: fs::File,
    seq: u64,
    bytes: u64,
    is_full: bool,
    last_amount: Option<Instant>,
}

impl Journal {
    /// Begins to keep `record`, which is on disk when this returns.
    pub(crate) async fn create(dirs: AppDirs, record: Deployment) -> Result<Self, Error> {
        blocking(move || {
            let folder = dirs.deployments();
            fs::create_dir_all(&folder).map_err(Error::storage("create", &folder))?;
            let path = dirs.deployment_log(record.id);
            let file = fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .map_err(Error::storage("create", &path))?;
            write_record(&dirs, &record)?;
            let log = Log { file, seq: 0, bytes: 0, is_full: false, last_amount: None };
            Ok(Self { dirs, record: Mutex::new(record), log: Mutex::new(log), written: watch::Sender::new(0) })
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, Deployment> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record as it is now.
    pub(crate) fn record(&self) -> Deployment {
        self.lock().clone()
    }

    /// Changes the record; it is on disk when this returns.
    pub(crate) async fn update(&self, change: impl FnOnce(&mut Deployment)) -> Result<(), Error> {
        let record = {
            let mut record = self.lock();
            change(&mut record);
            record.clone()
        };
        let dirs = self.dirs.clone();
        blocking(move || write_record(&dirs, &record)).await
    }

    /// Runs one step between its two entries.
    pub(crate) async fn step<T>(
        &self,
        step: DeployStep,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let begins = StepRecord { step, started_at: Timestamp::now(), millis: None, outcome: None };
        self.update(|record| record.steps.push(begins)).await?;
        self.emit(DeployEventKind::StepStarted { step });
        let begun = Instant::now();
        let result = work.await;
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        // on disk with the next write; a crash before it loses only the time taken
        if let Some(last) = self.lock().steps.last_mut() {
            last.millis = Some(millis);
            last.outcome = Some(if result.is_ok() { StepOutcome::Done } else { StepOutcome::Failed });
        }
        self.emit(match result {
            Ok(_) => DeployEventKind::StepFinished { step, millis },
            Err(_) => DeployEventKind::StepFailed { step, millis },
        });
        result
    }

    /// Tells that something was taken back. It is in the record on disk with the next write.
    pub(crate) fn undone(&self, what: impl Into<String>) {
        let what = what.into();
        self.lock().undone.push(what.clone());
        self.emit(DeployEventKind::Undone { what });
    }

    /// Writes an event to the log. A log that cannot be written is no reason to fail a deployment.
    pub(crate) fn emit(&self, kind: DeployEventKind) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let is_chatter = matches!(kind, DeployEventKind::Log { .. } | DeployEventKind::Amount { .. });
        if is_chatter && log.is_full {
            return;
        }
        log.append(kind);
        if is_chatter && log.bytes > MAX_LOG {
            log.is_full = true;
            log.append(DeployEventKind::Log {
                line: format!("… the log passed {MAX_LOG} bytes; the rest is left out"),
            });
        }
        self.written.send_replace(log.seq);
    }

    /// Wakes readers of the log.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }
}

impl Log {
    fn append(&mut self, kind: DeployEventKind) {
        self.seq += 1;
        let event = DeployEvent { seq: self.seq, time: Timestamp::now(), kind };
        let Ok(mut line) = serde_json::to_vec(&event) else { return };
        line.push(b'\n');
        self.bytes += line.len() as u64;
        if let Err(error) = self.file.write_all(&line) {
            tracing::warn!(%error, "an event of a deployment could not be written to its log");
        }
    }
}

impl Progress for Journal {
    fn log(&self, line: &str) {
        self.emit(DeployEventKind::Log { line: line.to_owned() });
    }

    fn amount(&self, amount: Amount) {
        {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            if log.last_amount.is_some_and(|last| last.elapsed() < AMOUNT_EVERY) {
                return;
            }
            log.last_amount = Some(Instant::now());
        }
        self.emit(DeployEventKind::Amount { done: amount.done, total: amount.total, unit: amount.unit });
    }
}

/// What the log at `path` holds above `after`, then what comes while `live` does.
pub(crate) async fn read_log(
    path: std::path::PathBuf,
    live: Option<watch::Receiver<u64>>,
    after: u64,
) -> Result<BoxStream<'static, DeployEvent>, Error> {
    let file = tokio::fs::File::open(&path).await.map_err(Error::storage("read", &path))?;
    let state = Reader { file: BufReader::new(file), line: Vec::new(), live, is_done: false };
    let events = futures_util::stream::unfold(state, |mut reader| async {
        let event = reader.next().await?;
        Some((event, reader))
    });
    Ok(events.filter(move |event| std::future::ready(event.seq > after)).boxed())
}

struct Reader {
    file: BufReader<tokio::fs::File>,
    line: Vec<u8>,
    live: Option<watch::Receiver<u64>>,
    is_done: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<DeployEvent> {
        while !self.is_done {
            // keeps a part of a line that is being written, for the next turn
            self.file.read_until(b'\n', &mut self.line).await.ok()?;
            if self.line.ends_with(b"\n") {
                let event: Option<DeployEvent> = serde_json::from_slice(&self.line).ok();
                self.line.clear();
                if let Some(event) = event {
                    self.is_done = matches!(event.kind, DeployEventKind::Finished { .. });
                    return Some(event);
                }
                // the torn line of a crash or a full disk: the next one is whole
                continue;
            }
            match &mut self.live {
                None => return None,
                Some(live) => {
                    if live.changed().await.is_err() {
                        // it ended: what it wrote last is still to be read
                        self.live = None;
                    }
                }
            }
        }
        None
    }
}
