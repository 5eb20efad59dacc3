//! Binaries that are on this machine already.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use semver::Version;

use super::{PocketBaseError, PocketBaseSource, platform};
use crate::blocking::blocking;

/// A folder with `<version>/pocketbase` for each version.
#[derive(Debug, Clone)]
pub struct LocalBinaries {
    folder: PathBuf,
}

impl LocalBinaries {
    /// The binaries below `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }
}

#[async_trait]
impl PocketBaseSource for LocalBinaries {
    fn origin(&self) -> String {
        self.folder.display().to_string()
    }

    async fn fetch(&self, version: &Version, destination: &Path) -> Result<(), PocketBaseError> {
        let binary = self.folder.join(version.to_string()).join("pocketbase");
        let destination = destination.to_owned();
        // copied, not linked: what happens to the original must not happen to the apps
        let copied = blocking(move || std::fs::copy(&binary, &destination)).await;
        copied.map(drop).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => PocketBaseError::NoSuchVersion {
                origin: self.origin(),
                version: version.to_string(),
                platform: platform(),
            },
            _ => PocketBaseError::Failed {
                action: "copy",
                origin: self.origin(),
                version: version.to_string(),
                source: source.into(),
            },
        })
    }
}
