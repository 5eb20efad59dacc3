//! Paths of a plan, found in the checkout and never outside of it.

use std::path::{Component, Path, PathBuf};

use crate::builder::BuildError;

/// The checkout, as it really is on disk.
#[derive(Debug, Clone)]
pub(super) struct Checkout(PathBuf);

impl Checkout {
    /// Blocks.
    pub(super) fn open(path: &Path) -> Result<Self, BuildError> {
        let real = path.canonicalize();
        real.map(Self).map_err(|source| BuildError::Io { action: "open", path: path.to_owned(), source })
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Where `relative` really is; none when it is not there. Commands of the build have run since it was planned: links
    /// are looked at again. Blocks.
    pub(super) fn find(&self, relative: &Path) -> Result<Option<PathBuf>, BuildError> {
        let escapes = || BuildError::Invalid {
            what: format!("`{}`", relative.display()),
            reason: "leads out of the repository".to_owned(),
        };
        if !relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(escapes());
        }
        let path = self.0.join(relative);
        match path.canonicalize() {
            Ok(real) if real.starts_with(&self.0) => Ok(Some(real)),
            Ok(_) => Err(escapes()),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(source) => Err(BuildError::Io { action: "open", path, source }),
        }
    }

    /// A folder that must be there. Blocks.
    pub(super) fn folder(&self, relative: &Path) -> Result<PathBuf, BuildError> {
        self.find(relative)?.filter(|path| path.is_dir()).ok_or_else(|| BuildError::Invalid {
            what: format!("`{}`", relative.display()),
            reason: "is not a folder of the repository".to_owned(),
        })
    }
}
