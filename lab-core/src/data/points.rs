//! Data points: copies of an app's data that are kept, and how one takes the place of the data.
//!
//! A restore first makes a whole copy of the data point beside the data, then exchanges the two by one rename, so that at
//! any moment there is whole data in the place of the data. What was replaced becomes a data point itself: a restore can be
//! taken back. A mark in the copy tells after a crash on which side of the exchange it came.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Collection, CopyLimits, Newer, aside, check, collections, copy};
use crate::{
    AppName, DataPointId, DeploymentId, Error, ReleaseId,
    deploy::store::{read_json, readable},
    durable,
    layout::AppDirs,
};

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests;

/// A data point's own file.
const RECORD: &str = "point.json";
/// A data point's data.
pub(super) const DATA: &str = "pb_data";
/// In data that takes the place of other data: the id of the data point that the other becomes.
pub(super) const MARK: &str = ".lab-restored";

/// Why a data point was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum PointReason {
    /// Somebody asked for it.
    Asked,
    /// Before a deployment let another release at the data.
    Deploy {
        /// Which.
        deployment: DeploymentId,
    },
    /// It is what a restore replaced.
    Replaced {
        /// By which data point.
        by: DataPointId,
    },
    /// A deployment or a restore that failed had it: what was before is in its place again.
    TakenBack,
}

/// What a look at a data point found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// When (UTC).
    pub at: Timestamp,
    /// What is wrong with it: nothing, if all is well.
    pub wrong: Vec<String>,
    /// Whether PocketBase was started on a copy of it.
    #[serde(default)]
    pub started: bool,
}

/// A copy of an app's data that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataPoint {
    /// Its name.
    pub id: DataPointId,
    /// Whose data.
    pub app: AppName,
    /// When it was the app's data (UTC).
    pub taken_at: Timestamp,
    /// Why it was taken.
    #[serde(flatten)]
    pub reason: PointReason,
    /// The release that worked with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseId>,
    /// Bytes that it takes beside what it shares with the app's data and other data points.
    pub bytes: u64,
    /// What is in it.
    pub collections: Vec<Collection>,
    /// What was there and is not in it, because it is neither file nor folder. At most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<PathBuf>,
    /// What the last look at it found; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<Checked>,
}

/// Every data point, newest first. Blocks.
pub(crate) fn list(dirs: &AppDirs) -> Result<Vec<DataPoint>, Error> {
    let folder = dirs.points();
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::storage("read", &folder)(error)),
    };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut points: Vec<_> = ids.filter_map(|id| readable(read(dirs, id))).collect();
    points.sort_unstable_by_key(|point| std::cmp::Reverse(point.id));
    Ok(points)
}

/// One data point; `None` where it is not there. Blocks.
pub(crate) fn read(dirs: &AppDirs, id: DataPointId) -> Result<Option<DataPoint>, Error> {
    let path = dirs.point(id).join(RECORD);
    match read_json(&path) {
        Ok(point) => Ok(Some(point)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::storage("read", &path)(error)),
    }
}

/// Where a data point's data is.
pub(crate) fn data_of(dirs: &AppDirs, id: DataPointId) -> PathBuf {
    dirs.point(id).join(DATA)
}

/// What of the app's data is not in a data point, by collection. Blocks.
pub(crate) fn newer(dirs: &AppDirs, id: DataPointId) -> Result<Vec<Newer>, Error> {
    Ok(super::newer(&dirs.data(), &dirs.point(id).join(DATA))?)
}

/// A data point as one file. Blocks.
pub(crate) fn export(dirs: &AppDirs, id: DataPointId, work: &Path) -> Result<fs::File, Error> {
    Ok(super::zip(&dirs.point(id).join(DATA), work)?)
}

/// Takes a data point of the app's data. Blocks.
pub(crate) fn take(
    dirs: &AppDirs,
    app: &AppName,
    reason: PointReason,
    release: Option<ReleaseId>,
    cancel: &CancellationToken,
) -> Result<DataPoint, Error> {
    let id = DataPointId::new();
    let making = making(dirs, id)?;
    let taken = (|| {
        let copied = copy(&dirs.data(), &making.join(DATA), UNBOUNDED, cancel)?;
        let collections = collections(&making.join(DATA))?;
        let (app, taken_at, bytes, left_out) = (app.clone(), Timestamp::now(), copied.bytes, copied.left_out);
        let point = DataPoint { id, app, taken_at, reason, release, bytes, collections, left_out, checked: None };
        write(&making, &point)?;
        durable::rename(&making, &dirs.point(id)).map_err(Error::storage("keep", &making))?;
        Ok(point)
    })();
    if taken.is_err() {
        // an error of its own would say less than the first
        let _ = durable::remove(&making);
    }
    taken
}

/// A disk that is full is told as such; there is no other bound.
const UNBOUNDED: CopyLimits = CopyLimits { max_bytes: u64::MAX, is_kept: true };

/// Where a data point is while it is made: a name that no id has.
pub(super) fn making(dirs: &AppDirs, id: DataPointId) -> Result<std::path::PathBuf, Error> {
    let path = dirs.points().join(format!(".{id}"));
    durable::create_private_dir(&path).map_err(Error::storage("create", &path))?;
    Ok(path)
}

fn write(folder: &Path, point: &DataPoint) -> Result<(), Error> {
    let path = folder.join(RECORD);
    let text = serde_json::to_vec_pretty(point).map_err(|e| Error::storage("write", &path)(e.into()))?;
    durable::write(&path, &text, 0o600).map_err(Error::storage("write", &path))
}

/// Looks whether a data point is whole, and keeps what was found. Blocks.
pub(crate) fn verify(dirs: &AppDirs, id: DataPointId) -> Result<Vec<String>, Error> {
    Ok(check(&data_of(dirs, id))?)
}

/// Keeps what a look at a data point found. Blocks.
pub(crate) fn keep_checked(dirs: &AppDirs, mut point: DataPoint, checked: Checked) -> Result<DataPoint, Error> {
    point.checked = Some(checked);
    write(&dirs.point(point.id), &point)?;
    Ok(point)
}

/// Deletes all but the newest `keep`, and of those all but the newest that are older than `since`; none that is in use. Blocks.
pub(crate) fn prune(
    dirs: &AppDirs,
    keep: usize,
    since: Timestamp,
    in_use: impl Fn(DataPointId) -> bool,
) -> Result<(), Error> {
    for (n, point) in list(dirs)?.into_iter().enumerate().skip(1) {
        if (n >= keep || point.taken_at < since) && !in_use(point.id) {
            let path = dirs.point(point.id);
            durable::remove(&path).map_err(Error::storage("delete", &path))?;
        }
    }
    Ok(())
}

/// A data point that is ready to take the place of the data.
#[derive(Debug)]
pub(crate) struct Restore {
    dirs: AppDirs,
    /// What the replaced data becomes.
    replaced: DataPoint,
}

impl Restore {
    /// Makes it ready, beside the data. Blocks.
    pub(crate) fn prepare(
        dirs: &AppDirs,
        point: &DataPoint,
        release: Option<ReleaseId>,
        cancel: &CancellationToken,
    ) -> Result<Self, Error> {
        // of an earlier restore, which could not keep what it replaced
        recover(dirs, &point.app, |_| Fate::Stays)?;
        let (id, app) = (DataPointId::new(), point.app.clone());
        let reason = PointReason::Replaced { by: point.id };
        let (taken_at, collections, left_out) = (Timestamp::now(), Vec::new(), Vec::new());
        let replaced = DataPoint { id, app, taken_at, reason, release, bytes: 0, collections, left_out, checked: None };
        let restore = Self { dirs: dirs.clone(), replaced };
        let prepared = (|| {
            let making = making(dirs, id)?;
            copy(&dirs.point(point.id).join(DATA), &making.join(DATA), UNBOUNDED, cancel)?;
            let mark = making.join(DATA).join(MARK);
            durable::write(&mark, id.to_string().as_bytes(), 0o600).map_err(Error::storage("write", &mark))?;
            // last: with it and without the mark it is what a restore replaced
            write(&making, &restore.replaced)
        })();
        match prepared {
            Ok(()) => Ok(restore),
            Err(error) => {
                let _ = durable::remove(&restore.making());
                Err(error)
            }
        }
    }

    fn making(&self) -> std::path::PathBuf {
        self.dirs.points().join(format!(".{}", self.replaced.id))
    }

    /// The data point that the replaced data becomes.
    pub(crate) fn replaced(&self) -> DataPointId {
        self.replaced.id
    }

    /// Exchanges the data and the copy. Nothing may be using the data. Blocks.
    pub(crate) fn exchange(&self) -> Result<(), Error> {
        exchange(&self.dirs, &self.making())
    }

    /// Keeps the data as it is now: what it replaced becomes a data point. Blocks.
    pub(crate) fn keep(&self) -> Result<DataPoint, Error> {
        keep(&self.dirs, &self.making(), self.replaced.clone())
    }

    /// Takes it back, on whichever side of the exchange it is. Where the app `has_run` with it, it is to be kept. Nothing
    /// may be using the data. Blocks.
    pub(crate) fn take_back(&self, has_run: bool) -> Result<(), Error> {
        take_back(&self.dirs, &self.making(), self.replaced.id, has_run)
    }

    /// Keeps or deletes what was taken back. Blocks.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        clear(&self.dirs, &self.making())
    }
}

fn exchange(dirs: &AppDirs, making: &Path) -> Result<(), Error> {
    let (data, other) = (dirs.data(), making.join(DATA));
    durable::exchange(&other, &data).map_err(Error::storage("exchange", &data))
}

/// Whether the data is what a restore put there that makes the data point `id` of what it replaced.
pub(crate) fn is_exchanged(dirs: &AppDirs, id: DataPointId) -> bool {
    has_mark(&dirs.data(), id)
}

fn has_mark(data: &Path, id: DataPointId) -> bool {
    fs::read_to_string(data.join(MARK)).is_ok_and(|mark| mark == id.to_string())
}

fn keep(dirs: &AppDirs, making: &Path, mut replaced: DataPoint) -> Result<DataPoint, Error> {
    // what they say is for people: data that cannot be read is kept all the same
    replaced.collections = collections(&making.join(DATA)).unwrap_or_default();
    write(making, &replaced)?;
    for left in [making.join(aside::BOOT), making.join(DATA).join(MARK)] {
        durable::remove(&left).map_err(Error::storage("delete", &left))?;
    }
    let kept = dirs.point(replaced.id);
    durable::rename(making, &kept).map_err(Error::storage("keep", making))?;
    if is_exchanged(dirs, replaced.id) {
        let mark = dirs.data().join(MARK);
        durable::remove(&mark).map_err(Error::storage("delete", &mark))?;
    }
    Ok(replaced)
}

fn take_back(dirs: &AppDirs, making: &Path, id: DataPointId, has_run: bool) -> Result<(), Error> {
    if !is_exchanged(dirs, id) {
        return Ok(());
    }
    if has_run {
        // recorded first: somebody may have been answered that it was written there
        let point = record_of(making)?;
        write(making, &DataPoint { reason: PointReason::TakenBack, release: None, ..point })?;
    }
    exchange(dirs, making)
}

/// What a restore replaced and did not keep, though a later one has put other data in its place.
fn replaced_in(making: &Path, id: DataPointId) -> Option<DataPoint> {
    let data = making.join(DATA);
    let point = read_json::<DataPoint>(&making.join(RECORD)).ok()?;
    (matches!(point.reason, PointReason::Replaced { .. }) && data.is_dir() && !has_mark(&data, id)).then_some(point)
}

/// What is not in the place of the data: kept where an app has run with it, else deleted.
fn clear(dirs: &AppDirs, making: &Path) -> Result<(), Error> {
    match record_of(making) {
        Ok(point) if point.reason == PointReason::TakenBack && !making.join(aside::BOOT).exists() => {
            keep(dirs, making, point).map(|_| ())
        }
        _ => durable::remove(making).map_err(Error::storage("delete", making)),
    }
}

/// Whether one but the newest is older than `since`. Blocks.
pub(crate) fn is_any_old(dirs: &AppDirs, since: Timestamp) -> Result<bool, Error> {
    Ok(list(dirs)?.iter().skip(1).any(|point| point.taken_at < since))
}

fn record_of(making: &Path) -> Result<DataPoint, Error> {
    let path = making.join(RECORD);
    read_json(&path).map_err(Error::storage("read", &path))
}

/// What becomes of data that was to take the place of the app's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// What is in the place of the data stays there.
    Stays,
    /// A restore is taken back; a release may have run with it.
    TakenBack { has_run: bool },
    /// What was there before a release was started takes its place again.
    PutBack,
}

/// Ends what a failure or a crash left: a restore stays or is taken back, and a data point that was being made is deleted.
/// `fate` is asked with the id of the data point that it makes. Nothing may be using data that is exchanged. Blocks.
pub(crate) fn recover(dirs: &AppDirs, app: &AppName, fate: impl Fn(DataPointId) -> Fate) -> Result<(), Error> {
    let folder = dirs.points();
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::storage("read", &folder)(error)),
    };
    let mut is_clear = true;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().and_then(|name| name.strip_prefix('.')) else { continue };
        let making = entry.path();
        let Ok(id) = name.parse::<DataPointId>() else { continue };
        match fate(id) {
            Fate::TakenBack { has_run } => take_back(dirs, &making, id, has_run)?,
            Fate::PutBack if !is_exchanged(dirs, id) && aside::is_whole(dirs, id) => {
                // nothing waited for the disk when it was copied
                let copy = fs::File::open(&making).map_err(Error::storage("open", &making))?;
                rustix::fs::syncfs(&copy).map_err(|e| Error::storage("sync", &making)(e.into()))?;
                write(&making, &aside::replaced(id, app))?;
                exchange(dirs, &making)?;
            }
            Fate::PutBack | Fate::Stays => {}
        }
        let cleared = if is_exchanged(dirs, id) {
            record_of(&making).and_then(|replaced| keep(dirs, &making, replaced)).map(|_| ())
        } else if let Some(replaced) = replaced_in(&making, id) {
            keep(dirs, &making, replaced).map(|_| ())
        } else {
            clear(dirs, &making)
        };
        if let Err(error) = cleared {
            // the data is in its place, and the app can run: it is tried again at the next opening
            tracing::warn!(%app, error = error.report(), "data was neither kept nor deleted");
            is_clear = false;
        }
    }
    let mark = dirs.data().join(MARK);
    if is_clear { durable::remove(&mark).map_err(Error::storage("delete", &mark)) } else { Ok(()) }
}
