//! Several sources, tried in order.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use semver::Version;

use super::{PocketBaseError, PocketBaseSource, failed, no_such};
use crate::blocking::blocking;

/// Tries the next source when one cannot be reached or does not have the version. What is untrusted stops it: a
/// tampered download must be seen.
#[derive(Debug, Clone)]
pub struct Fallback(Vec<Arc<dyn PocketBaseSource>>);

impl Fallback {
    /// `sources`, the first one first.
    pub fn new(sources: impl IntoIterator<Item = Arc<dyn PocketBaseSource>>) -> Self {
        Self(sources.into_iter().collect())
    }
}

#[async_trait]
impl PocketBaseSource for Fallback {
    fn origin(&self) -> String {
        self.0.iter().map(|source| source.origin()).collect::<Vec<_>>().join(", then ")
    }

    async fn fetch(&self, version: &Version, destination: &Path) -> Result<(), PocketBaseError> {
        let mut first_failure = None;
        for source in &self.0 {
            match source.fetch(version, destination).await {
                Ok(()) => return Ok(()),
                Err(error @ (PocketBaseError::Untrusted { .. } | PocketBaseError::Cancelled)) => return Err(error),
                Err(PocketBaseError::NoSuchVersion { .. }) => {}
                Err(error @ PocketBaseError::Failed { .. }) => first_failure = first_failure.or(Some(error)),
            }
            let folder = destination.parent().map(Path::to_owned);
            let emptied = blocking(move || folder.as_deref().map_or(Ok(()), empty)).await;
            emptied.map_err(|e| failed("store", self.origin(), version, e))?;
        }
        Err(first_failure.unwrap_or_else(|| no_such(self.origin(), version)))
    }

    /// Of all that can be asked; an error when none can.
    async fn versions(&self) -> Result<Vec<Version>, PocketBaseError> {
        let (mut all, mut failures) = (Vec::new(), Vec::new());
        for source in &self.0 {
            match source.versions().await {
                Ok(versions) => all.extend(versions),
                Err(error) => failures.push(error),
            }
        }
        if failures.len() == self.0.len()
            && let Some(error) = failures.pop()
        {
            Err(error)
        } else {
            Ok(all)
        }
    }
}

/// The next source is promised an empty folder.
fn empty(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        crate::durable::remove(&entry?.path())?;
    }
    Ok(())
}
