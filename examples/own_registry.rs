//! A registry of one's own: the apps are files in a folder, one each. It passes the suite that `lab-core` publishes:
//!
//! ```text
//! cargo test -p lab-examples --example own_registry
//! ```
//! Run as a program it lists what is in the folder that is given.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use lab_core::{
    App, AppName,
    registry::{Registry, RegistryError},
};

/// `<folder>/<app>.json`. For one process at a time.
#[derive(Debug)]
struct FolderRegistry {
    folder: PathBuf,
    /// Makes a read and the write that follows from it one step.
    gate: Mutex<()>,
}

impl FolderRegistry {
    fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), gate: Mutex::default() }
    }

    fn gate(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, name: &AppName) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    fn read(&self, name: &AppName) -> Result<Option<App>, RegistryError> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|e| failed("read", &path, e)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path, error)),
        }
    }

    fn write(&self, app: &App) -> Result<(), RegistryError> {
        let path = self.path(&app.name);
        let text = serde_json::to_vec_pretty(app).map_err(|e| failed("write", &path, e))?;
        // temporary file, sync, rename, sync: the library's own helper
        lab_core::durable::write(&path, &text, 0o600).map_err(|e| failed("write", &path, e))
    }
}

fn failed(
    action: &'static str,
    path: &Path,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> RegistryError {
    RegistryError::Storage { action, place: path.display().to_string(), source: source.into() }
}

#[async_trait]
impl Registry for FolderRegistry {
    fn backend(&self) -> &'static str {
        "folder"
    }

    async fn create(&self, mut app: App) -> Result<App, RegistryError> {
        let _gate = self.gate();
        if self.read(&app.name)?.is_some() {
            return Err(RegistryError::AlreadyExists(app.name));
        }
        app.revision = 1;
        self.write(&app)?;
        Ok(app)
    }

    async fn get(&self, name: &AppName) -> Result<Option<App>, RegistryError> {
        self.read(name)
    }

    async fn list(&self) -> Result<Vec<App>, RegistryError> {
        let entries = fs::read_dir(&self.folder).map_err(|e| failed("read", &self.folder, e))?;
        let names =
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json")?.parse().ok());
        let mut names: Vec<AppName> = names.collect();
        names.sort();
        names.iter().filter_map(|name| self.read(name).transpose()).collect()
    }

    async fn update(&self, mut app: App) -> Result<App, RegistryError> {
        let _gate = self.gate();
        let stored = self.read(&app.name)?.ok_or_else(|| RegistryError::NotFound(app.name.clone()))?;
        if stored.revision != app.revision {
            return Err(RegistryError::Stale { app: app.name, expected: app.revision, found: stored.revision });
        }
        app.revision += 1;
        self.write(&app)?;
        Ok(app)
    }

    async fn remove(&self, name: &AppName) -> Result<(), RegistryError> {
        let path = self.path(name);
        lab_core::durable::remove(&path).map_err(|e| failed("delete", &path, e))
    }
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a program for people")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("give a folder")?;
    for app in FolderRegistry::new(folder).list().await? {
        println!("{} {}", app.name, app.status);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lab_core::testing::Subject;

    use super::*;

    lab_core::registry_conformance!(async {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Subject::<dyn Registry>::new(Arc::new(FolderRegistry::new(folder.path()))).with(folder)
    });
}
