//! A lock over threads and processes that is waited for without blocking a thread.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::PathBuf,
    time::Duration,
};

use crate::blocking::blocking;

/// How often a busy lock is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// Locks the file at `path`, which is made with its folder where it is missing, until the answer is dropped. The file
/// stays: deleting it would race with its next user.
pub(crate) async fn lock(path: PathBuf) -> io::Result<File> {
    let opened = blocking(move || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::OpenOptions::new().write(true).create(true).truncate(false).open(path)
    });
    let file = opened.await?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(RETRY).await,
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}
