//! The deployments that are kept on disk.

use std::{fs, io, path::Path};

use jiff::Timestamp;

use super::{DeployEvent, DeployEventKind, DeployState, Deployment, Problem, StepOutcome};
use crate::{DeploymentId, Error, durable, layout::AppDirs};

/// The ids that are kept, newest first. Blocks.
pub(crate) fn ids(dirs: &AppDirs) -> Result<Vec<DeploymentId>, Error> {
    let folder = dirs.deployments();
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::storage("read", &folder)(error)),
    };
    let mut ids: Vec<DeploymentId> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".json")?.parse().ok()).collect();
    ids.sort_unstable_by(|a, b| b.cmp(a));
    Ok(ids)
}

/// One record; `None` where it is not there. Blocks.
pub(crate) fn read(dirs: &AppDirs, id: DeploymentId) -> Result<Option<Deployment>, Error> {
    let path = dirs.deployment_record(id);
    match read_json(&path) {
        Ok(record) => Ok(Some(record)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::storage("read", &path)(error)),
    }
}

/// The newest record that can be read. Blocks.
pub(crate) fn newest(dirs: &AppDirs) -> Result<Option<Deployment>, Error> {
    Ok(ids(dirs)?.into_iter().find_map(|id| readable(read(dirs, id))))
}

/// One of many: a file that cannot be read is told, and no reason to be without the others.
pub(crate) fn readable<T>(read: Result<Option<T>, Error>) -> Option<T> {
    read.unwrap_or_else(|error| {
        tracing::warn!(error = error.report(), "a record is left out; delete its file, or put it right");
        None
    })
}

/// Ends the record and the log of a deployment that was under way when the lab ended: it `stands` if the app's record names
/// its release. Blocks.
pub(crate) fn end_cut(dirs: &AppDirs, record: &mut Deployment, stands: bool) -> Result<(), Error> {
    let (state, outcome) = if stands {
        (DeployState::Succeeded, StepOutcome::Done)
    } else {
        (DeployState::Interrupted, StepOutcome::Interrupted)
    };
    let problem = (!stands).then(|| Problem {
        code: "interrupted".to_owned(),
        message: "the lab ended while this deployment ran; what was before is as it was: deploy again".to_owned(),
    });
    record.state = state;
    record.finished_at = Some(Timestamp::now());
    record.problem.clone_from(&problem);
    if let Some(last) = record.steps.last_mut() {
        last.outcome.get_or_insert(outcome);
    }
    let path = dirs.deployment_log(record.id);
    append_end(&path, state, problem).map_err(Error::storage("write", &path))?;
    write_record(dirs, record)
}

/// Adds to a record what was taken back after the lab had ended. Blocks.
pub(crate) fn keep_undone(dirs: &AppDirs, id: DeploymentId, undone: Vec<String>) -> Result<(), Error> {
    let Some(mut record) = read(dirs, id)? else { return Ok(()) };
    record.undone.extend(undone);
    write_record(dirs, &record)
}

/// Ends the log of a deployment that nothing writes any more.
fn append_end(path: &Path, state: DeployState, problem: Option<Problem>) -> io::Result<()> {
    use io::Write;
    let text = fs::read(path).or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(Vec::new()) } else { Err(e) })?;
    let last = text
        .split(|b| *b == b'\n')
        .rev()
        .find_map(|line| serde_json::from_slice::<DeployEvent>(line).ok())
        .map_or(0, |event| event.seq);
    let event =
        DeployEvent { seq: last + 1, time: Timestamp::now(), kind: DeployEventKind::Finished { state, problem } };
    let mut line = if text.is_empty() || text.ends_with(b"\n") { Vec::new() } else { vec![b'\n'] };
    line.extend(serde_json::to_vec(&event)?);
    line.push(b'\n');
    fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(&line)
}

/// Deletes all but the newest `keep` records with their logs. Blocks.
pub(crate) fn prune(dirs: &AppDirs, keep: usize) -> Result<(), Error> {
    for id in ids(dirs)?.into_iter().skip(keep.max(1)) {
        for path in [dirs.deployment_log(id), dirs.deployment_record(id)] {
            durable::remove(&path).map_err(Error::storage("delete", &path))?;
        }
    }
    Ok(())
}

/// Writes a record; it is on disk when this returns. Blocks.
pub(crate) fn write_record(dirs: &AppDirs, record: &Deployment) -> Result<(), Error> {
    let path = dirs.deployment_record(record.id);
    let text = serde_json::to_vec_pretty(record).map_err(|e| Error::storage("write", &path)(e.into()))?;
    durable::write(&path, &text, 0o600).map_err(Error::storage("write", &path))
}

pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<T> {
    let text = fs::read(path)?;
    serde_json::from_slice(&text).map_err(Into::into)
}
