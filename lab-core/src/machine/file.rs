//! The file that holds a claim. Everything here blocks.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use super::Record;
use crate::durable;

/// No claim is that long; another machine wrote it, and it is read before it is understood.
const MAX_BYTES: u64 = 64 * 1024;

/// What the file holds, if it is there.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut content)?;
    Ok(Some(content))
}

/// Nothing where it is no claim.
pub(super) fn parse(content: &[u8]) -> Option<Record> {
    serde_json::from_slice(content).ok()
}

pub(super) fn write(path: &Path, record: &Record) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        durable::create_private_dir(folder)?;
    }
    let content = serde_json::to_vec_pretty(record).map_err(io::Error::other)?;
    durable::write(path, &content, 0o600)
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    durable::remove(path)?;
    path.parent().map_or(Ok(()), durable::sync_dir)
}
