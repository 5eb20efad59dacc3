//! Writes that survive a crash: temporary file, fsync, rename, fsync of the folder.

use std::{
    fs,
    io::{self, BufRead, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, symlink},
    path::Path,
    time::{Duration, Instant},
};

#[cfg(feature = "testing")]
pub mod crashes;

/// The longest time in which a child of a killed process may still hold what was that process's.
const HANDED_ON: Duration = Duration::from_secs(1);

/// Replaces the file at `path` by `content`: after a crash it holds the old content or the new, never a part. `mode` is
/// the file's, such as `0o600`.
pub fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    change(path)?;
    let folder = parent(path)?;
    let mut file = tempfile::Builder::new()
        .prefix(".tmp-")
        .make_in(folder, |temporary| fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(temporary))?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    sync_dir(folder)
}

/// Makes `link` point to `target`, atomically where it existed.
pub fn replace_symlink(link: &Path, target: &Path) -> io::Result<()> {
    change(link)?;
    let folder = parent(link)?;
    let temporary = tempfile::Builder::new().prefix(".tmp-").make_in(folder, |path| symlink(target, path))?;
    temporary.into_temp_path().persist(link).map_err(|e| e.error)?;
    sync_dir(folder)
}

/// Renames, durably. Both must be on one file system.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    change(to)?;
    fs::rename(from, to)?;
    sync_dir(parent(to)?)?;
    sync_dir(parent(from)?)
}

/// Makes a folder, and those above it, for this user only. One that is there is fine.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    change(path)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Deletes a file or a whole folder; what is not there is fine. A folder has another name before anything in it is deleted:
/// what a crash leaves of it is never taken for the whole. [`sweep`] deletes that.
pub fn remove(path: &Path) -> io::Result<()> {
    change(path)?;
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => remove_folder(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    or_gone(removed)
}

/// How the name of a folder begins that is being deleted.
const REMOVING: &str = ".removing-";

fn remove_folder(path: &Path) -> io::Result<()> {
    let mut name = std::ffi::OsString::from(REMOVING);
    name.push(path.file_name().unwrap_or_default());
    let doomed = path.with_file_name(name);
    // what a crash left of an earlier one of that name
    or_gone(fs::remove_dir_all(&doomed))?;
    // not synced: file systems keep the order of what is done to names
    fs::rename(path, &doomed)?;
    #[cfg(feature = "testing")]
    crashes::removal(&doomed)?;
    fs::remove_dir_all(&doomed)
}

/// Deletes what crashes left of folders that were being deleted in `folder`, which may be missing.
pub fn sweep(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(REMOVING.as_bytes()) {
            change(&entry.path())?;
            or_gone(fs::remove_dir_all(entry.path()))?;
        }
    }
    Ok(())
}

fn or_gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Exchanges two files or folders, durably: at any moment both are there.
pub fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    change(one)?;
    rustix::fs::renameat_with(rustix::fs::CWD, one, rustix::fs::CWD, other, rustix::fs::RenameFlags::EXCHANGE)?;
    sync_dir(parent(one)?)?;
    sync_dir(parent(other)?)
}

/// What tests can make fail: a crash just before a change.
#[cfg(feature = "testing")]
fn change(path: &Path) -> io::Result<()> {
    crashes::change(path)
}

#[cfg(not(feature = "testing"))]
#[expect(clippy::unnecessary_wraps, reason = "a test's crash is an error")]
fn change(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Whether two files or folders differ in what they hold; what is missing in both places does not. Links are compared by
/// where they lead, and not followed.
pub fn differ(one: &Path, other: &Path) -> io::Result<bool> {
    let meta = |path: &Path| match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    };
    let (Some(first), Some(second)) = (meta(one)?, meta(other)?) else {
        return Ok(meta(one)?.is_some() != meta(other)?.is_some());
    };
    if first.file_type() != second.file_type() {
        return Ok(true);
    }
    if first.is_symlink() {
        return Ok(fs::read_link(one)? != fs::read_link(other)?);
    }
    if first.is_file() {
        let same = first.ino() == second.ino() && first.dev() == second.dev();
        return Ok(!same && (first.len() != second.len() || contents_differ(one, other)?));
    }
    let names = |path: &Path| {
        let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name()));
        names.collect::<io::Result<std::collections::BTreeSet<_>>>()
    };
    let (names, others) = (names(one)?, names(other)?);
    if names != others {
        return Ok(true);
    }
    for name in names {
        if differ(&one.join(&name), &other.join(&name))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Of two files of one length.
fn contents_differ(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (io::BufReader::new(fs::File::open(one)?), io::BufReader::new(fs::File::open(other)?));
    loop {
        let (a, b) = (one.fill_buf()?, other.fill_buf()?);
        let length = a.len().min(b.len());
        if length == 0 {
            return Ok(a.len() != b.len());
        }
        if a[..length] != b[..length] {
            return Ok(true);
        }
        one.consume(length);
        other.consume(length);
    }
}

/// A file locked by this process until dropped; the kernel lets go of it however the process ends.
#[derive(Debug)]
pub struct LockFile {
    _file: fs::File,
}

/// Why a [`LockFile`] could not be had.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it; its process id, where it wrote one.
    Held(Option<u32>),
    /// The file cannot be opened or written.
    Io(io::Error),
}

impl LockFile {
    /// Locks the file at `path`, which is made where it is missing, and writes this process's id into it.
    ///
    /// Tries for a second: a process that was killed while it started another leaves its locks with that one until it runs
    /// its own program.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        let begun = Instant::now();
        loop {
            match Self::try_acquire(path) {
                Err(LockError::Held(_)) if begun.elapsed() < HANDED_ON => std::thread::sleep(HANDED_ON / 50),
                other => return other,
            }
        }
    }

    fn try_acquire(path: &Path) -> Result<Self, LockError> {
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // only for the message: an unreadable id is no reason to fail differently
                let _ = file.read_to_string(&mut holder);
                return Err(LockError::Held(holder.trim().parse().ok()));
            }
            Err(fs::TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        file.set_len(0).map_err(LockError::Io)?;
        write!(file, "{}", std::process::id()).map_err(LockError::Io)?;
        Ok(Self { _file: file })
    }
}

/// Moves a file whose content makes no sense out of the way, under a name that says so, and returns that name.
pub fn set_aside(path: &Path) -> io::Result<std::path::PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".unreadable-{}", jiff::Timestamp::now().as_second()));
    let kept_as = std::path::PathBuf::from(name);
    rename(path, &kept_as)?;
    Ok(kept_as)
}

/// Makes the entries of a folder survive a crash.
pub fn sync_dir(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path has no parent folder"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_write_replaces_the_file_and_leaves_no_other() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("a.json");
        write(&path, b"one", 0o600).expect("write");
        write(&path, b"two", 0o600).expect("write");
        assert_eq!(fs::read(&path).expect("read"), b"two");
        assert_eq!(fs::read_dir(dir.path()).expect("dir").count(), 1);
        assert_eq!(fs::metadata(&path).expect("meta").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_link_is_replaced_atomically_and_removal_is_idempotent() {
        let dir = tempfile::tempdir().expect("tempdir");
        let link = dir.path().join("current");
        replace_symlink(&link, Path::new("one")).expect("link");
        replace_symlink(&link, Path::new("two")).expect("link");
        assert_eq!(fs::read_link(&link).expect("read"), Path::new("two"));
        remove(&link).expect("remove");
        remove(&link).expect("remove again");
    }
}
