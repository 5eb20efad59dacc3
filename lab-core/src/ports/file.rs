//! Allocations as one JSON file, `ports.json`: `{"allocated": {"myapp": 8091}, "next_port": 8092}`.

use std::{
    collections::BTreeMap,
    fs, io,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;

use super::{
    PortAllocator, PortError,
    memory::{Allocations, is_free},
};
use crate::{
    app::{AppName, Port},
    blocking::blocking,
    durable,
};

/// An allocator in one file, written crash-safe. It takes no lock of its own: the registry beside it does.
#[derive(Debug, Clone)]
pub struct FilePorts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    range: RangeInclusive<u16>,
    /// What the file holds. Held while the file is written, only on threads for blocking work.
    allocations: Mutex<Allocations>,
}

impl FilePorts {
    /// Opens the allocations at `path`, whose folder must be there. A missing file is no allocation; an unreadable one is
    /// moved aside and counts as missing, because the registry knows every app's port and start-up assigns them again.
    pub fn open(path: impl Into<PathBuf>, range: RangeInclusive<u16>) -> Result<Self, PortError> {
        let path = path.into();
        let allocations = match fs::read(&path) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(allocations) => allocations,
                Err(error) => {
                    let kept_as = durable::set_aside(&path).map_err(storage("set aside", &path))?;
                    tracing::warn!(file = %path.display(), kept_as = %kept_as.display(), %error,
                        "the port allocations were unreadable; they are made again from the registry");
                    Allocations::default()
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Allocations::default(),
            Err(error) => return Err(storage("read", &path)(error)),
        };
        Ok(Self(Arc::new(Inner { path, range, allocations: Mutex::new(allocations) })))
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &mut Allocations) -> Result<T, PortError> + Send + 'static,
    ) -> Result<T, PortError> {
        let inner = self.0.clone();
        blocking(move || {
            let mut stored = inner.allocations.lock().unwrap_or_else(PoisonError::into_inner);
            let mut changed = stored.clone();
            let value = work(&inner, &mut changed)?;
            if changed != *stored {
                let text = serde_json::to_vec_pretty(&changed).map_err(|e| storage("write", &inner.path)(e.into()))?;
                durable::write(&inner.path, &text, 0o600).map_err(storage("write", &inner.path))?;
                *stored = changed;
            }
            Ok(value)
        })
        .await
    }
}

fn storage(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PortError {
    let place = path.display().to_string();
    move |source| PortError::Storage { action, place, source: source.into() }
}

#[async_trait]
impl PortAllocator for FilePorts {
    fn backend(&self) -> &'static str {
        "file"
    }

    async fn allocate(&self, app: &AppName) -> Result<Port, PortError> {
        let app = app.clone();
        self.with(move |inner, allocations| allocations.allocate(&app, &inner.range, is_free)).await
    }

    async fn release(&self, app: &AppName) -> Result<(), PortError> {
        let app = app.clone();
        self.with(move |_, allocations| {
            allocations.allocated.remove(&app);
            Ok(())
        })
        .await
    }

    async fn is_free(&self, port: Port) -> Result<bool, PortError> {
        Ok(is_free(port))
    }

    async fn list(&self) -> Result<BTreeMap<AppName, Port>, PortError> {
        self.with(|_, allocations| Ok(allocations.allocated.clone())).await
    }

    async fn assign(&self, allocations: BTreeMap<AppName, Port>) -> Result<(), PortError> {
        self.with(move |_, stored| {
            stored.assign(allocations);
            Ok(())
        })
        .await
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::testing::{Subject, ports::leased_range};

    crate::ports_conformance!(async {
        let dir = tempfile::tempdir().expect("tempdir");
        let (range, lease) = leased_range();
        let ports = FilePorts::open(dir.path().join("ports.json"), range).expect("open");
        Subject::<dyn PortAllocator>::new(Arc::new(ports)).with((dir, lease))
    });

    #[tokio::test]
    async fn allocations_survive_in_the_documented_form() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("ports.json");
        let (range, _lease) = leased_range();
        let ports = FilePorts::open(&path, range.clone()).expect("open");
        let port = ports.allocate(&"myapp".parse().expect("name")).await.expect("allocate");
        let document: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("json");
        assert_eq!(document, serde_json::json!({"allocated": {"myapp": port}, "next_port": port.get() + 1}));
        let again = FilePorts::open(&path, range).expect("open again");
        assert_eq!(again.allocate(&"myapp".parse().expect("name")).await.expect("allocate"), port);
    }

    #[tokio::test]
    async fn an_unreadable_file_is_set_aside_and_made_again() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("ports.json");
        fs::write(&path, "{").expect("write");
        let (range, _lease) = leased_range();
        let ports = FilePorts::open(&path, range).expect("open");
        assert_eq!(ports.list().await.expect("list"), BTreeMap::new());
        assert!(!path.exists());
        assert_eq!(fs::read_dir(dir.path()).expect("dir").count(), 1);
    }
}
