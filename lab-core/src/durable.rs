//! Writes that survive a crash: temporary file, fsync, rename, fsync of the folder.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, symlink},
    path::Path,
};

/// Replaces the file at `path` by `content`: after a crash it holds the old content or the new, never a part. `mode` is
/// the file's, such as `0o600`.
pub fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
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
    let folder = parent(link)?;
    let temporary = tempfile::Builder::new().prefix(".tmp-").make_in(folder, |path| symlink(target, path))?;
    temporary.into_temp_path().persist(link).map_err(|e| e.error)?;
    sync_dir(folder)
}

/// Renames, durably. Both must be on one file system.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_dir(parent(to)?)?;
    sync_dir(parent(from)?)
}

/// Deletes a file or a whole folder; what is not there is fine.
pub fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
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
