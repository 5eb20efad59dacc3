//! Takes the binary out of an archive.

use std::{
    fs,
    io::{self, Read, Seek},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use sha2::{Digest, Sha256};

/// The largest binary that is unpacked, in bytes: several times what PocketBase is.
const MAX_BINARY: u64 = 256 << 20;

/// Writes the one file of the archive whose last name is `pocketbase` to `destination` and returns its SHA-256. No other
/// entry is written, whatever it is called. Blocks.
pub(super) fn binary(archive: impl Read + Seek, destination: &Path) -> io::Result<[u8; 32]> {
    let mut archive = zip::ZipArchive::new(archive).map_err(io::Error::other)?;
    let name = archive
        .file_names()
        .filter_map(|name| Some(name.ok()?.into_owned()))
        .find(|name| name.rsplit('/').next() == Some("pocketbase"))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the archive holds no file `pocketbase`"))?;
    let entry = archive.by_name(&name).map_err(io::Error::other)?;
    let mut output = fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(destination)?;
    let mut hashed = Hashing { hash: Sha256::new(), inner: entry.take(MAX_BINARY + 1) };
    let size = io::copy(&mut hashed, &mut output)?;
    if size > MAX_BINARY {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the binary in the archive is absurdly large"));
    }
    Ok(hashed.hash.finalize().into())
}

/// The content of a small text file of the archive whose name ends so.
pub(super) fn text(archive: impl Read + Seek, name_end: &str) -> io::Result<String> {
    let mut archive = zip::ZipArchive::new(archive).map_err(io::Error::other)?;
    let name =
        archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).find(|name| name.ends_with(name_end));
    let name = name
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("the archive holds no file `{name_end}`")))?;
    let mut text = String::new();
    archive.by_name(&name).map_err(io::Error::other)?.take(1 << 20).read_to_string(&mut text)?;
    Ok(text)
}

struct Hashing<R> {
    hash: Sha256,
    inner: R,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}
