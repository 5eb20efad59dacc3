//! A consistent copy of data that an app is writing to.

use std::{
    ffi::OsStr,
    fs, io,
    io::Read,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
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
/// Where `PocketBase` puts uploads: files of a name of their own, written once. A visitor chooses what is in them.
const UPLOADS: &str = "storage";
/// Where it puts its own backups, also written once.
const BACKUPS: &str = "backups";
/// What it is about to delete. Neither this nor the backups are in the backups that it makes.
const DELETED: &str = ".pb_temp_to_delete";
/// `PocketBase` writes what an upload's headers are into a file beside it, in place; and a short file costs more as a
/// second name than it saves.
const ATTRIBUTES: &str = "attrs";
const SHORT: u64 = 4 << 10;
/// So many bytes stay free for the apps when a copy is made that is kept.
const RESERVE: u64 = 64 << 20;
/// How long a database may be locked by the app before the copy fails.
const LOCKED: Duration = Duration::from_secs(10);
/// How many of `SQLite`'s steps are done between two looks whether the copy is still wanted.
const STEPS: i32 = 10_000;
/// So much of what is left out is told.
const MOST_LEFT_OUT: usize = 20;

/// What a copy may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyLimits {
    /// Bytes that have to be written: uploads that get a second name cost none.
    pub max_bytes: u64,
    /// Whether it is kept: on disk when the copy returns, with the backups that `PocketBase` made itself. Otherwise it is one
    /// that is thrown away soon.
    pub is_kept: bool,
}

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// The databases, relative to the folder.
    pub databases: Vec<PathBuf>,
    /// Bytes that were written.
    pub bytes: u64,
    /// Uploads and backups that share what is in them with the data: by their blocks, where the file system can, else as a
    /// second name.
    pub linked: u64,
    /// What is neither file nor folder, which no app of `PocketBase` makes: left out, relative to the folder. At most 20.
    pub left_out: Vec<PathBuf>,
}

/// Copies the folder `from` to `to`, which must not exist. The app may run: each database is copied as it was at one
/// moment, and every upload is there that a record of it names. What a failure leaves of it is for the caller to delete.
/// Blocks.
///
/// # Errors
/// [`DataError::TooLarge`] and [`DataError::NoSpace`] before anything is copied, [`DataError::Cancelled`] soon after `cancel`.
pub fn copy(from: &Path, to: &Path, limits: CopyLimits, cancel: &CancellationToken) -> Result<Copied, DataError> {
    let mut entries = list(from, Path::new(""))?;
    let bytes = entries.iter().map(Entry::len).sum();
    if bytes > limits.max_bytes {
        return Err(DataError::TooLarge { bytes, limit: limits.max_bytes });
    }
    if limits.is_kept {
        fits(bytes, to.parent().unwrap_or(to))?;
    }
    durable::create_private_dir(to).map_err(file("create", to))?;
    let mut copying = Copying { to, cancel, copied: Copied::default(), can_clone: true };
    // a record's files are there before the record is, so they are looked for once the databases are copied: an upload too
    // many harms nobody
    entries.sort_by_key(|entry| entry.kind);
    copying.entries(&entries)?;
    copying.entries(&list(from, Path::new(UPLOADS))?)?;
    if limits.is_kept {
        copying.entries(&list(from, Path::new(BACKUPS))?)?;
        let folder = fs::File::open(to).map_err(file("open", to))?;
        rustix::fs::syncfs(&folder).map_err(|e| file("sync", to)(e.into()))?;
    }
    Ok(copying.copied)
}

/// Whether so much more fits on the disk of `folder`, with something left for the apps.
fn fits(bytes: u64, folder: &Path) -> Result<(), DataError> {
    let disk = rustix::fs::statvfs(folder).map_err(|e| file("look at the disk of", folder)(e.into()))?;
    let (needed, free) = (bytes.saturating_add(RESERVE), disk.f_bavail.saturating_mul(disk.f_frsize));
    if free < needed {
        return Err(DataError::NoSpace { needed, free });
    }
    Ok(())
}

/// One thing below the folder that is copied.
#[derive(Debug)]
struct Entry {
    found: DirEntry,
    top: PathBuf,
    kind: Kind,
}

/// In the order in which they are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
            Kind::Database => {
                let mut beside = self.found.path().as_os_str().to_owned();
                beside.push(BESIDE[0]);
                let len = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
                len(self.found.path()) + len(Path::new(&beside))
            }
            Kind::Folder | Kind::Other => 0,
        }
    }
}

/// Everything in the folder `below` of `from` that is to be copied, folders before what is in them; of the whole of `from`,
/// where `below` is empty, without the folders of which each is listed by itself or not at all.
fn list(from: &Path, below: &Path) -> Result<Vec<Entry>, DataError> {
    let is_all = below.as_os_str().is_empty();
    let mut entries = Vec::new();
    let walk =
        WalkDir::new(from.join(below)).min_depth(usize::from(is_all)).follow_root_links(is_all).sort_by_file_name();
    let is_meant = |entry: &DirEntry| {
        let apart = [UPLOADS, BACKUPS, DELETED];
        !(is_all && entry.depth() == 1 && apart.iter().any(|name| entry.file_name() == *name))
    };
    for entry in walk.into_iter().filter_entry(is_meant) {
        let entry = match entry {
            Ok(entry) => entry,
            // the app may delete files while they are listed
            Err(error) if is_gone(&error) && (error.depth() > 0 || !is_all) => continue,
            Err(error) => {
                let path = error.path().unwrap_or(from).to_owned();
                return Err(DataError::File { action: "read", path, source: error.into() });
            }
        };
        match kind(&entry, is_all) {
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
fn kind(entry: &DirEntry, may_be_database: bool) -> io::Result<Option<Kind>> {
    let kind = entry.file_type();
    Ok(Some(if kind.is_dir() {
        Kind::Folder
    } else if !kind.is_file() {
        Kind::Other
    } else if may_be_database && is_database(entry.path())? {
        Kind::Database
    } else if may_be_database && is_beside_a_database(entry.path()) {
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

/// Whether this is among what the app only keeps, whatever is in it: never a database. `relative` to the data's folder.
pub(super) fn is_kept_only(relative: &Path) -> bool {
    [UPLOADS, BACKUPS].iter().any(|folder| relative.starts_with(folder))
}

/// Whether a file of so many bytes may have two names: what the app keeps and never writes into.
pub(super) fn is_shared(relative: &Path, bytes: u64) -> bool {
    is_kept_only(relative) && bytes >= SHORT && relative.extension().is_none_or(|end| end != ATTRIBUTES)
}

/// A copy under way.
struct Copying<'a> {
    to: &'a Path,
    cancel: &'a CancellationToken,
    copied: Copied,
    /// Whether the file system can share blocks, as far as is known.
    can_clone: bool,
}

impl Copying<'_> {
    fn entries(&mut self, entries: &[Entry]) -> Result<(), DataError> {
        for entry in entries {
            if self.cancel.is_cancelled() {
                return Err(DataError::Cancelled);
            }
            self.entry(entry)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), DataError> {
        let (relative, from) = (entry.relative(), entry.found.path());
        let target = self.to.join(relative);
        match entry.kind {
            Kind::Folder => durable::create_private_dir(&target).map_err(file("create", &target))?,
            Kind::Other if self.copied.left_out.len() < MOST_LEFT_OUT => self.copied.left_out.push(relative.to_owned()),
            Kind::Other => {}
            Kind::Database => {
                vacuum_into(from, &target, self.cancel)?;
                self.copied.databases.push(relative.to_owned());
                self.copied.bytes += fs::metadata(&target).map_err(file("read", &target))?.len();
            }
            Kind::File { bytes } => {
                if is_shared(relative, bytes) && self.share(from, &target) {
                    self.copied.linked += 1;
                    return Ok(());
                }
                match fs::copy(from, &target) {
                    Ok(bytes) => self.copied.bytes += bytes,
                    Err(error) if error.kind() == io::ErrorKind::NotFound && !from.exists() => {}
                    Err(source) => return Err(file("copy", from)(source)),
                }
            }
        }
        Ok(())
    }

    /// Makes `to` the same file without writing it again; false where that cannot be: another file system, or one without
    /// links. Shared blocks are better than a second name: who writes into one of the two leaves the other as it was.
    fn share(&mut self, from: &Path, to: &Path) -> bool {
        self.can_clone = self.can_clone && clone(from, to).is_ok();
        self.can_clone || fs::hard_link(from, to).is_ok()
    }
}

/// Makes `to` a file of its own with the blocks of `from` (`FICLONE`): Btrfs and XFS can. Nothing is left of a failure.
pub(super) fn clone(from: &Path, to: &Path) -> io::Result<()> {
    let source = fs::File::open(from)?;
    let mode = source.metadata()?.mode();
    let target = fs::OpenOptions::new().write(true).create_new(true).mode(mode & 0o777).open(to)?;
    let cloned = rustix::fs::ioctl_ficlone(&target, &source).map_err(io::Error::from);
    // the mode above is less what the process masks
    cloned.and_then(|()| target.set_permissions(source.metadata()?.permissions())).inspect_err(|_| {
        let _ = fs::remove_file(to);
    })
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
