//! A registry that forgets when the program ends, and the rules that both registries share.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::{Registry, RegistryError};
use crate::app::{App, AppName};

/// The records and their rules, wherever they are kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Records(pub(super) BTreeMap<AppName, App>);

impl Records {
    pub(super) fn create(&mut self, mut app: App) -> Result<App, RegistryError> {
        if self.0.contains_key(&app.name) {
            return Err(RegistryError::AlreadyExists(app.name));
        }
        app.revision = 1;
        self.0.insert(app.name.clone(), app.clone());
        Ok(app)
    }

    pub(super) fn update(&mut self, mut app: App) -> Result<App, RegistryError> {
        let stored = self.0.get_mut(&app.name).ok_or_else(|| RegistryError::NotFound(app.name.clone()))?;
        if stored.revision != app.revision {
            return Err(RegistryError::Stale { app: app.name, expected: app.revision, found: stored.revision });
        }
        app.revision += 1;
        *stored = app.clone();
        Ok(app)
    }
}

/// A registry in memory: for tests, and for labs that need not survive.
#[derive(Debug, Default)]
pub struct MemoryRegistry {
    /// Guards the records; never held across an await.
    records: Mutex<Records>,
}

impl MemoryRegistry {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Registry for MemoryRegistry {
    fn backend(&self) -> &'static str {
        "memory"
    }

    async fn create(&self, app: App) -> Result<App, RegistryError> {
        self.records().create(app)
    }

    async fn get(&self, name: &AppName) -> Result<Option<App>, RegistryError> {
        Ok(self.records().0.get(name).cloned())
    }

    async fn list(&self) -> Result<Vec<App>, RegistryError> {
        Ok(self.records().0.values().cloned().collect())
    }

    async fn update(&self, app: App) -> Result<App, RegistryError> {
        self.records().update(app)
    }

    async fn remove(&self, name: &AppName) -> Result<(), RegistryError> {
        self.records().0.remove(name);
        Ok(())
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::Subject;

    crate::registry_conformance!(async { Subject::<dyn Registry>::new(Arc::new(MemoryRegistry::new())) });
}
