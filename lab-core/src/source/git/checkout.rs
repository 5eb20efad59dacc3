//! The finished tree, on its way to its destination.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::fault::Reported;
use crate::{
    durable,
    source::{Commit, SourceError},
};

/// A private folder beside the destination, deleted unless it gets there.
#[derive(Debug)]
pub(super) struct Spot(TempDir);

impl Spot {
    pub(super) fn beside(destination: &Path) -> io::Result<Self> {
        let folder = destination
            .parent()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the destination has no parent folder"))?;
        fs::create_dir_all(folder)?;
        let made = tempfile::Builder::new()
            .prefix(".checkout-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in(folder)?;
        Ok(Self(made))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// What a thread hands over.
#[derive(Debug)]
pub(super) struct Checkout {
    commit: Commit,
    spot: Spot,
}

impl Checkout {
    pub(super) fn new(commit: Commit, spot: Spot) -> Self {
        Self { commit, spot }
    }

    /// Renames the tree to `destination`: the last step, so that the destination holds all of it or is not there.
    pub(super) fn place(self, destination: &Path, repository: &str) -> Result<Commit, SourceError> {
        let Self { commit, spot } = self;
        let renamed = if destination.symlink_metadata().is_ok() {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "the destination exists already"))
        } else {
            fs::rename(spot.path(), destination)
        };
        match renamed {
            Ok(()) => {
                let _gone: PathBuf = spot.0.keep();
                Ok(commit)
            }
            Err(error) => {
                drop(durable::remove(spot.path()));
                let source = Reported(format!("cannot put the files into place: {error}")).into();
                Err(SourceError::Failed { repository: repository.to_owned(), source })
            }
        }
    }
}
