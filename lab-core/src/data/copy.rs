//! A consistent copy of data that an app is writing to.

use std::{
    ffi::OsStr,
    fs, io,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio_util::sync::CancellationToken;
use walkdir::{DirEntry, WalkDir};

use super::DataError;
use crate::durable;

/// The first bytes of every `SQLite` database (<https://sqlite.org/fileformat.html>, 1.3).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// What `SQLite` keeps beside a database while it is open. A copy by `VACUUM INTO` holds what is in them.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];
/// Where `PocketBase` puts uploads: files of a name of their own, written once.
const UPLOADS: &str = "storage";
/// How long a database may be locked by the app before the copy fails.
const LOCKED: Duration = Duration::from_secs(10);
/// How many of `SQLite`'s steps are done between two looks whether the copy is still wanted.
const STEPS: i32 = 10_000;

/// What a copy may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyLimits {
    /// Bytes that have to be written: uploads that get a second name cost none.
    pub max_bytes: u64,
}

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// The databases, relative to the folder.
    pub databases: Vec<PathBuf>,
    /// Bytes that were written.
    pub bytes: u64,
    /// Uploads that got a second name.
    pub linked: u64,
    /// What is neither file nor folder, which no app of `PocketBase` makes: left out, relative to the folder.
    pub left_out: Vec<PathBuf>,
}

/// Copies the folder `from` to `to`, which must not exist. The app may run: each database is copied as it was at one
/// moment. The copy is on disk when this returns; what a failure leaves of it is for the caller to delete. Blocks.
///
/// # Errors
/// [`DataError::TooLarge`] before anything is copied, [`DataError::Cancelled`] soon after `cancel`.
pub fn copy(from: &Path, to: &Path, limits: CopyLimits, cancel: &CancellationToken) -> Result<Copied, DataError> {
    let entries = list(from)?;
    let bytes = entries.iter().filter(|entry| !is_upload(entry.relative())).map(Entry::len).sum();
    if bytes > limits.max_bytes {
        return Err(DataError::TooLarge { bytes, limit: limits.max_bytes });
    }
    let mut copied = Copied::default();
    durable::create_private_dir(to).map_err(file("create", to))?;
    for entry in entries {
        if cancel.is_cancelled() {
            return Err(DataError::Cancelled);
        }
        copy_entry(&entry, to, cancel, &mut copied)?;
    }
    let folder = fs::File::open(to).map_err(file("open", to))?;
    rustix::fs::syncfs(&folder).map_err(|e| file("sync", to)(e.into()))?;
    Ok(copied)
}

/// One thing below the folder that is copied.
#[derive(Debug)]
struct Entry {
    found: DirEntry,
    top: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    Database,
    File { bytes: u64 },
    Other,
}

impl Entry {
    fn relative(&self) -> &Path {
        self.found.path().strip_prefix(&self.top).unwrap_or(Path::new(""))
    }

    fn len(&self) -> u64 {
        match self.kind {
            Kind::File { bytes } => bytes,
            Kind::Database => self.found.metadata().map_or(0, |metadata| metadata.len()),
            Kind::Folder | Kind::Other => 0,
        }
    }
}

/// Everything below `from` that is to be copied, folders before what is in them.
fn list(from: &Path) -> Result<Vec<Entry>, DataError> {
    let mut entries = Vec::new();
    for entry in WalkDir::new(from).min_depth(1).sort_by_file_name() {
        let entry = match entry {
            Ok(entry) => entry,
            // the app may delete files while they are listed
            Err(error) if is_gone(&error) && error.depth() > 0 => continue,
            Err(error) => {
                let path = error.path().unwrap_or(from).to_owned();
                return Err(DataError::File { action: "read", path, source: error.into() });
            }
        };
        match kind(&entry) {
            Ok(None) => {}
            Ok(Some(kind)) => entries.push(Entry { found: entry, top: from.to_owned(), kind }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(file("read", entry.path())(source)),
        }
    }
    Ok(entries)
}

fn is_gone(error: &walkdir::Error) -> bool {
    error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// What it is; `None` for what `SQLite` keeps beside a database.
fn kind(entry: &DirEntry) -> io::Result<Option<Kind>> {
    let kind = entry.file_type();
    Ok(Some(if kind.is_dir() {
        Kind::Folder
    } else if !kind.is_file() {
        Kind::Other
    } else if is_database(entry.path())? {
        Kind::Database
    } else if is_beside_a_database(entry.path()) {
        return Ok(None);
    } else {
        Kind::File { bytes: entry.metadata()?.len() }
    }))
}

/// Whether the file at `path` is an `SQLite` database that was ever written to.
pub(super) fn is_database(path: &Path) -> io::Result<bool> {
    let mut first = [0; MAGIC.len()];
    match fs::File::open(path)?.read_exact(&mut first) {
        Ok(()) => Ok(&first == MAGIC),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_beside_a_database(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(OsStr::to_str) else { return false };
    let database = BESIDE.iter().find_map(|end| name.strip_suffix(end));
    database.is_some_and(|name| is_database(&path.with_file_name(name)).unwrap_or(false))
}

pub(super) fn is_upload(relative: &Path) -> bool {
    relative.starts_with(UPLOADS)
}

fn copy_entry(entry: &Entry, to: &Path, cancel: &CancellationToken, copied: &mut Copied) -> Result<(), DataError> {
    let (relative, from) = (entry.relative(), entry.found.path());
    let target = to.join(relative);
    match entry.kind {
        Kind::Folder => durable::create_private_dir(&target).map_err(file("create", &target))?,
        Kind::Other => copied.left_out.push(relative.to_owned()),
        Kind::Database => {
            vacuum_into(from, &target, cancel)?;
            copied.databases.push(relative.to_owned());
            copied.bytes += fs::metadata(&target).map_err(file("read", &target))?.len();
        }
        Kind::File { .. } => {
            let linked = if is_upload(relative) {
                fs::hard_link(from, &target)
            } else {
                Err(io::ErrorKind::CrossesDevices.into())
            };
            let done = match linked {
                Ok(()) => {
                    copied.linked += 1;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
                // another file system, or one without links
                Err(_) => fs::copy(from, &target),
            };
            match done {
                Ok(bytes) => copied.bytes += bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound && !from.exists() => {}
                Err(source) => return Err(file("copy", from)(source)),
            }
        }
    }
    Ok(())
}

/// Copies one moment of a database that others may be writing to (<https://sqlite.org/lang_vacuum.html>, "VACUUM INTO").
fn vacuum_into(from: &Path, to: &Path, cancel: &CancellationToken) -> Result<(), DataError> {
    let failed = |source: rusqlite::Error| {
        if source.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) {
            return DataError::Cancelled;
        }
        DataError::Database { action: "copy", path: from.to_owned(), source }
    };
    let database = open(from).map_err(failed)?;
    let wanted = cancel.clone();
    database.progress_handler(STEPS, Some(move || wanted.is_cancelled()));
    let target = to.to_str().ok_or_else(|| failed(rusqlite::Error::InvalidPath(to.to_owned())))?;
    database.execute("VACUUM INTO ?1", [target]).map_err(failed)?;
    Ok(())
}

/// A database, for reading only.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags)?;
    database.busy_timeout(LOCKED)?;
    Ok(database)
}

pub(super) fn file<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> DataError + 'a {
    move |source| DataError::File { action, path: path.to_owned(), source }
}
