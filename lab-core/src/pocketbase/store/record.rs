//! What a binary was when it came, to see cheaply that it still is.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use serde::{Deserialize, Serialize};

use crate::{durable, pocketbase::digest::Sum};

/// The binary's name in its version's folder.
pub(super) const BINARY: &str = "pocketbase";

/// The record's name beside it.
const RECORD: &str = "record.json";

/// The record beside a binary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    sha256: String,
    size: u64,
    /// Nanoseconds since 1970: whole seconds would miss a quick overwrite.
    modified: i64,
    origin: String,
}

/// Whether a version can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// As it came.
    Sound,
    /// Not there, without its record, or damaged.
    Missing,
}

impl Record {
    /// Of the binary at `path`.
    pub(super) fn of(path: &Path, origin: String) -> io::Result<Self> {
        let (size, modified) = stamp(&fs::symlink_metadata(path)?);
        Ok(Self { sha256: Sum::of(path)?.hex(), size, modified, origin })
    }

    /// Writes it into `folder`.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        durable::write(&folder.join(RECORD), &serde_json::to_vec_pretty(self)?, 0o644)
    }

    fn read(folder: &Path) -> io::Result<Option<Self>> {
        match fs::read(folder.join(RECORD)) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn stamp(meta: &fs::Metadata) -> (u64, i64) {
    (meta.len(), meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec()))
}

/// Compares size and time, and the content only where these differ: a copied store has other times.
pub(super) fn check(folder: &Path) -> io::Result<State> {
    let path = folder.join(BINARY);
    let meta = match fs::symlink_metadata(&path) {
        Ok(meta) if meta.is_file() && meta.mode() & 0o111 == 0o111 => meta,
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => return Ok(State::Missing),
    };
    let Some(mut record) = Record::read(folder)? else { return Ok(State::Missing) };
    let (size, modified) = stamp(&meta);
    if (record.size, record.modified) == (size, modified) {
        return Ok(State::Sound);
    }
    if Sum::of(&path)?.hex() != record.sha256 {
        return Ok(State::Missing);
    }
    (record.size, record.modified) = (size, modified);
    record.write(folder)?;
    Ok(State::Sound)
}
