//! What is kept of each process, so that a supervisor opened again finds it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::process::{Identity, Process, leads_group};
use crate::{
    app::AppName,
    durable,
    supervisor::{
        ProcessSpec, file,
        marked::{self, Marked},
    },
};

/// `<run>/<app>.json`. Holds the app's environment: readable for the lab's user only.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) spec: ProcessSpec,
    /// The random value of [`marked::MARK`] for every process of this start and its restarts. Written before
    /// the first of them is started: one that a crash leaves unrecorded is found by it.
    pub(super) mark: String,
    /// Whether it should run.
    pub(super) wanted: bool,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record").field("spec", &self.spec).field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl Record {
    pub(super) fn new(spec: ProcessSpec) -> Self {
        Self { spec, mark: uuid::Uuid::new_v4().to_string(), wanted: true }
    }

    /// Writes it; it is on disk when this returns. Blocks.
    pub(super) fn write(&self, run_dir: &Path) -> io::Result<()> {
        durable::write(&file(run_dir, &self.spec.app, "json"), &serde_json::to_vec(self)?, 0o600)
    }

    /// Every record. An unreadable one is set aside with a warning, and its process is ended: two on one folder of data
    /// would be worse than a restart.
    pub(super) fn read_all(run_dir: &Path) -> io::Result<Vec<Self>> {
        let (mut records, mut is_one_unreadable): (Vec<Self>, bool) = (Vec::new(), false);
        for entry in fs::read_dir(run_dir)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match serde_json::from_slice::<Self>(&fs::read(&path)?) {
                Ok(record) if file(run_dir, &record.spec.app, "json") == path => records.push(record),
                _ => {
                    let kept_as = durable::set_aside(&path)?;
                    tracing::warn!(file = %path.display(), kept_as = %kept_as.display(),
                        "the record of a process was unreadable");
                    is_one_unreadable = true;
                }
            }
        }
        if is_one_unreadable {
            let known: Vec<String> = records.iter().map(|record| record.mark.clone()).collect();
            marked::kill(|process| process.is_of(run_dir) && !known.contains(&process.mark))?;
        }
        Ok(records)
    }

    /// The process of this record, where it still runs. `all` holds every marked process, looked up at most once.
    pub(super) fn find(
        &self,
        run_dir: &Path,
        boot: &str,
        all: &mut Option<Vec<Marked>>,
    ) -> io::Result<Option<Process>> {
        if let Some(identity) = noted(run_dir, &self.spec.app)?
            && identity.boot == boot
            && let Some(process) = Process::of(identity.pid)?
            && process.identity == identity
        {
            return Ok(Some(process));
        }
        if !self.wanted {
            return Ok(None);
        }
        // started, or started again, just before a crash: not recorded yet
        if all.is_none() {
            *all = Some(marked::all()?);
        }
        let leaders = all.iter().flatten().filter(|found| found.mark == self.mark && leads_group(found.pid));
        for found in leaders {
            if let Some(process) = Process::of(found.pid)? {
                return Ok(Some(process));
            }
        }
        Ok(None)
    }
}

/// Notes an app's process in `<run>/<app>.pid`. Not for the disk: a crash of the machine ends the process as well, and
/// what `fsync` costs the app's own start would wait for. Blocks.
pub(super) fn note(run_dir: &Path, app: &AppName, identity: &Identity) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(run_dir)?;
    serde_json::to_writer(&mut file, identity)?;
    file.persist(file_of_note(run_dir, app)).map_err(|e| e.error)?;
    Ok(())
}

/// The process that was noted last. A note that cannot be read is none: the mark finds the process too.
fn noted(run_dir: &Path, app: &AppName) -> io::Result<Option<Identity>> {
    match fs::read(file_of_note(run_dir, app)) {
        Ok(note) => Ok(serde_json::from_slice(&note).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn file_of_note(run_dir: &Path, app: &AppName) -> PathBuf {
    file(run_dir, app, "pid")
}

/// Deletes all that is kept of an app's process. Blocks.
pub(super) fn forget(run_dir: &Path, app: &AppName) -> io::Result<()> {
    durable::remove(&file_of_note(run_dir, app))?;
    durable::remove(&file(run_dir, app, "json"))
}
