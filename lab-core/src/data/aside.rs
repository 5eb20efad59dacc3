//! The data as it was just before a release was started on it: where that fails, it takes its place again.
//!
//! It is copied while requests wait, file by file, as nothing uses the data then: by reference where the file system can do
//! that, else up to a limit. Nothing waits for the disk, so after a crash of the machine it is not trusted. Where it is made
//! and how it takes the place of the data is as with a [restore](super::points).

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use walkdir::{DirEntry, WalkDir};

use super::{
    DataPoint, PointReason,
    copy::{clone, file, is_kept_only, is_shared},
    points::{DATA, MARK, making},
};
use crate::{AppName, DataPointId, Error, durable, layout::AppDirs, procfs::boot_id};

/// Says that the copy is whole, and in which boot of the machine it was made.
pub(super) const BOOT: &str = "boot";

/// What the data becomes that the copy takes the place of.
pub(super) fn replaced(id: DataPointId, app: &AppName) -> DataPoint {
    DataPoint {
        id,
        app: app.clone(),
        taken_at: Timestamp::now(),
        reason: PointReason::TakenBack,
        release: None,
        bytes: 0,
        collections: Vec::new(),
        left_out: Vec::new(),
        checked: None,
    }
}

/// Copies the data, which nothing may be using. Whether it was small enough. Blocks.
pub(crate) fn make(dirs: &AppDirs, id: DataPointId, max_bytes: u64) -> Result<bool, Error> {
    let making = making(dirs, id)?;
    let failed = |source: walkdir::Error| file("read", &dirs.data())(source.into());
    let entries = WalkDir::new(dirs.data()).min_depth(1).into_iter().collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let top = dirs.data();
    let bytes = entries.iter().filter(|entry| entry.file_type().is_file() && !is_kept_only(&relative(&top, entry)));
    let bytes: u64 = bytes.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum();
    let to = making.join(DATA);
    durable::create_private_dir(&to).map_err(Error::storage("create", &to))?;
    for entry in &entries {
        let relative = relative(&top, entry);
        let is_copied = copy(entry, &relative, &to.join(&relative), bytes <= max_bytes);
        if !is_copied.map_err(Error::storage("copy", entry.path()))? {
            durable::remove(&making).map_err(Error::storage("delete", &making))?;
            return Ok(false);
        }
    }
    let marked = fs::write(to.join(MARK), id.to_string()).and_then(|()| fs::write(making.join(BOOT), boot_id()?));
    marked.map_err(Error::storage("write", &making))?;
    Ok(true)
}

fn relative(top: &Path, entry: &DirEntry) -> PathBuf {
    entry.path().strip_prefix(top).unwrap_or(Path::new("")).to_owned()
}

/// Whether it could be copied: `may_write` says whether its bytes may be.
fn copy(entry: &DirEntry, relative: &Path, to: &Path, may_write: bool) -> io::Result<bool> {
    let (from, kind) = (entry.path(), entry.file_type());
    if kind.is_dir() {
        fs::create_dir(to)?;
    } else if kind.is_symlink() {
        symlink(fs::read_link(from)?, to)?;
    } else if kind.is_file() && !(is_shared(relative, entry.metadata()?.len()) && fs::hard_link(from, to).is_ok()) {
        let is_cloned = clone(from, to).is_ok();
        if !is_cloned && !may_write {
            return Ok(false);
        }
        if !is_cloned {
            fs::copy(from, to)?;
        }
    }
    Ok(true)
}

/// Whether the copy for `id` is there, whole. Blocks.
pub(crate) fn is_whole(dirs: &AppDirs, id: DataPointId) -> bool {
    let made = fs::read_to_string(dirs.points().join(format!(".{id}")).join(BOOT));
    made.is_ok_and(|made| boot_id().is_ok_and(|now| now == made))
}

/// Deletes it: the release stands. Blocks.
pub(crate) fn remove(dirs: &AppDirs, id: DataPointId) -> Result<(), Error> {
    let making = dirs.points().join(format!(".{id}"));
    durable::remove(&making).map_err(Error::storage("delete", &making))
}
