//! [`FakePocketBase`]: a source whose binaries are small shell scripts.

use std::{
    collections::VecDeque,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use semver::Version;

use crate::pocketbase::{PocketBaseError, PocketBaseSource};

/// A source of scripts that say they are the wanted version. A cloneable handle.
#[derive(Debug, Clone, Default)]
pub struct FakePocketBase(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    only: Option<Vec<Version>>,
    says: Option<String>,
    delay: Duration,
    failures: VecDeque<PocketBaseError>,
    journal: Vec<Version>,
}

impl FakePocketBase {
    /// A source that has every version.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has these versions only.
    pub fn only(&self, versions: impl IntoIterator<Item = Version>) {
        self.state().only = Some(versions.into_iter().collect());
    }

    /// Lets the scripts say this instead of the wanted version.
    pub fn say(&self, text: &str) {
        self.state().says = Some(text.to_owned());
    }

    /// Lets every fetch take as long.
    pub fn delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// Lets a coming fetch fail.
    pub fn fail_next(&self, error: PocketBaseError) {
        self.state().failures.push_back(error);
    }

    /// The versions that were fetched so far, failures included.
    pub fn journal(&self) -> Vec<Version> {
        self.state().journal.clone()
    }
}

#[async_trait]
impl PocketBaseSource for FakePocketBase {
    fn origin(&self) -> String {
        "a fake".to_owned()
    }

    async fn fetch(&self, version: &Version, destination: &Path) -> Result<(), PocketBaseError> {
        let (failure, delay, there, says) = {
            let mut state = self.state();
            state.journal.push(version.clone());
            let there = state.only.as_ref().is_none_or(|only| only.contains(version));
            (state.failures.pop_front(), state.delay, there, state.says.clone())
        };
        tokio::time::sleep(delay).await;
        if let Some(failure) = failure {
            return Err(failure);
        }
        if !there {
            let (origin, version, platform) = (self.origin(), version.to_string(), "any".to_owned());
            return Err(PocketBaseError::NoSuchVersion { origin, version, platform });
        }
        let says = says.unwrap_or_else(|| format!("pocketbase version {version}"));
        let script = format!("#!/bin/sh\necho '{}'\n", says.replace('\'', ""));
        let written = std::fs::write(destination, script)
            .and_then(|()| std::fs::set_permissions(destination, std::fs::Permissions::from_mode(0o755)));
        written.map_err(|source| PocketBaseError::Failed {
            action: "write",
            origin: self.origin(),
            version: version.to_string(),
            source: source.into(),
        })
    }

    async fn versions(&self) -> Result<Vec<Version>, PocketBaseError> {
        Ok(self.state().only.clone().unwrap_or_default())
    }
}
