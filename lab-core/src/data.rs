//! An app's data as files: consistent copies of it while the app runs, what a copy holds, and whether it is whole.
//!
//! `PocketBase` keeps everything below `pb_data`: `SQLite` databases that it writes to at any moment, and uploaded files that
//! it writes once, under names of their own, and never changes. So a copy is a `VACUUM INTO` of every database, which is
//! one moment of it, and a second name for every uploaded file.

use std::{io, path::PathBuf};

pub(crate) mod aside;
mod copy;
mod export;
mod look;
pub(crate) mod points;
#[cfg(test)]
mod tests;

pub use copy::{Copied, CopyLimits, copy};
pub use export::zip;
pub(crate) use look::look;
pub use look::{Collection, Newer, check, collections, newer};
pub use points::{Checked, DataPoint, PointReason};

/// Why an app's data cannot be copied or read.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It is larger than may be copied.
    #[error("the data holds {bytes} bytes, more than the {limit} that may be copied")]
    TooLarge {
        /// What it holds.
        bytes: u64,
        /// What may be copied.
        limit: u64,
    },
    /// The disk would be full.
    #[error(
        "copying the data needs {} MB of free disk, and {} MB are free: delete what is not needed, or give the lab a larger disk",
        .needed.div_ceil(1_000_000), .free / 1_000_000
    )]
    NoSpace {
        /// Bytes that are needed, with some for the apps.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// It was cancelled, or took too long.
    #[error("the copy was given up before its end")]
    Cancelled,
    /// A database cannot be read or copied.
    #[error("cannot {action} the database `{}`", .path.display())]
    Database {
        /// What was tried.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// A file cannot be read or copied.
    #[error("cannot {action} `{}`", .path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}
