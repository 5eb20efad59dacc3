//! Binaries that are on this machine already.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use semver::Version;

use super::{MAX_BINARY, PocketBaseError, PocketBaseSource, Reason, failed, no_such, probe};
use crate::blocking::blocking;

/// A folder of `<version>/pocketbase`, or one binary.
#[derive(Debug, Clone)]
pub struct LocalBinaries(PathBuf);

impl LocalBinaries {
    /// The folder or binary at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

#[async_trait]
impl PocketBaseSource for LocalBinaries {
    fn origin(&self) -> String {
        self.0.display().to_string()
    }

    async fn fetch(&self, version: &Version, destination: &Path) -> Result<(), PocketBaseError> {
        let place = if self.0.is_dir() { self.0.join(version.to_string()).join("pocketbase") } else { self.0.clone() };
        if !place.is_file() {
            return Err(no_such(self.origin(), version));
        }
        let to = destination.to_owned();
        let copied = blocking(move || -> std::io::Result<()> {
            if std::fs::metadata(&place)?.len() > MAX_BINARY {
                return Err(std::io::Error::other("it is larger than any PocketBase"));
            }
            std::fs::copy(&place, &to).map(drop)
        });
        copied.await.map_err(|e| failed("copy", self.origin(), version, e))?;
        // one binary has one version: whether it is the wanted one, only it can tell
        let said = probe::ask(destination).await;
        let said = said.map_err(|e| failed("run", self.origin(), version, Reason(e.to_string())))?;
        if probe::names(&said, version) { Ok(()) } else { Err(no_such(self.origin(), version)) }
    }

    /// Those of a folder; a single binary would have to be run to tell.
    async fn versions(&self) -> Result<Vec<Version>, PocketBaseError> {
        let folder = self.0.clone();
        let names = move || -> Vec<Version> {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
        };
        Ok(blocking(names).await)
    }
}
