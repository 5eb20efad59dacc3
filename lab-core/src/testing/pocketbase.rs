//! A source of programs that say they are PocketBase.

use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;

use crate::pocketbase::{PocketBaseError, PocketBaseSource, platform};

/// Brings a shell script that prints a version and otherwise sleeps. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct FakePocketBase {
    says: Option<String>,
    fetches: Arc<AtomicUsize>,
    fails: Arc<AtomicBool>,
}

impl FakePocketBase {
    /// One whose programs print this version, whichever was asked for.
    pub fn saying(version: &str) -> Self {
        Self { says: Some(version.to_owned()), ..Self::default() }
    }

    /// How often it was asked.
    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    /// Makes the next fetch fail.
    pub fn fail_next(&self) {
        self.fails.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl PocketBaseSource for FakePocketBase {
    fn origin(&self) -> String {
        "a fake".to_owned()
    }

    async fn fetch(&self, version: &semver::Version, destination: &Path) -> Result<(), PocketBaseError> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        if self.fails.swap(false, Ordering::SeqCst) {
            let (origin, version) = (self.origin(), version.to_string());
            return Err(PocketBaseError::NoSuchVersion { origin, version, platform: platform() });
        }
        let says = self.says.clone().unwrap_or_else(|| version.to_string());
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && {{ echo 'pocketbase version {says}'; exit; }}\nexec sleep 1000\n"
        );
        std::fs::write(destination, script).expect("the destination can be written");
        let permissions = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(destination, permissions).expect("the destination can be changed");
        Ok(())
    }
}
