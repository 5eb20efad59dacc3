//! The registry as one JSON file, `apps.json`:
//!
//! ```json
//! {"version": 1, "apps": {"myapp": {"name": "myapp", "repository": "https://…", "port": 8091, "status": "running", …}}}
//! ```

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Registry, RegistryError, memory::Records};
use crate::{
    app::{App, AppName},
    blocking::blocking,
    durable::{self, LockError, LockFile},
};

/// The version of the form that this program writes, and the newest it reads.
const VERSION: u32 = 1;

/// The file's form. Unknown fields, there and in each app, are kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Document {
    /// Files from before there was a version count as the first.
    #[serde(default = "first_version")]
    version: u32,
    apps: BTreeMap<AppName, App>,
    #[serde(flatten)]
    extra: serde_json::Map<String, serde_json::Value>,
}

fn first_version() -> u32 {
    VERSION
}

/// A registry in one file, written crash-safe, for one process at a time.
#[derive(Debug, Clone)]
pub struct FileRegistry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    extra: serde_json::Map<String, serde_json::Value>,
    /// What the file holds: readers never wait for a write.
    records: ArcSwap<Records>,
    /// Serialises writers, from reading `records` until the file and then `records` are replaced. Held only on threads
    /// for blocking work.
    writer: Mutex<()>,
    _lock: LockFile,
}

impl FileRegistry {
    /// Opens the registry at `path`, whose folder must be there; a missing file is an empty registry. Blocks briefly.
    ///
    /// # Errors
    /// [`RegistryError::InUse`] while another process has it; [`RegistryError::Corrupt`] for content that cannot be read,
    /// which is moved aside, and for every later attempt until that file is dealt with: a lab that began again with no
    /// apps would take the running ones for leftovers.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, RegistryError> {
        let path = path.into();
        let mut lock_path = path.clone().into_os_string();
        lock_path.push(".lock");
        let lock = LockFile::acquire(Path::new(&lock_path)).map_err(|error| match error {
            LockError::Held(holder) => RegistryError::InUse { place: path.display().to_string(), holder },
            LockError::Io(source) => storage("lock", &path)(source),
        })?;
        let document = read(&path)?;
        Ok(Self(Arc::new(Inner {
            path,
            extra: document.extra,
            records: ArcSwap::from_pointee(Records(document.apps)),
            writer: Mutex::new(()),
            _lock: lock,
        })))
    }

    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Records) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let inner = self.0.clone();
        // to its end even when the caller is dropped: the file and the memory must not part
        blocking(move || inner.change(change)).await
    }
}

impl Inner {
    fn change<T>(&self, change: impl FnOnce(&mut Records) -> Result<T, RegistryError>) -> Result<T, RegistryError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut records = Records::clone(&self.records.load());
        let value = change(&mut records)?;
        let document = Document { version: VERSION, apps: records.0, extra: self.extra.clone() };
        let text = serde_json::to_vec_pretty(&document).map_err(|e| storage("write", &self.path)(e.into()))?;
        durable::write(&self.path, &text, 0o600).map_err(storage("write", &self.path))?;
        self.records.store(Arc::new(Records(document.apps)));
        Ok(value)
    }
}

fn storage(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RegistryError {
    let place = path.display().to_string();
    move |source| RegistryError::Storage { action, place, source: source.into() }
}

fn read(path: &Path) -> Result<Document, RegistryError> {
    let corrupt = |reason: String, kept_as: &Path| RegistryError::Corrupt {
        place: path.display().to_string(),
        reason,
        kept_as: kept_as.display().to_string(),
    };
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match earlier_set_aside(path).map_err(storage("read", path))? {
                Some(kept_as) => Err(corrupt("an earlier start found it unreadable".to_owned(), &kept_as)),
                None => Ok(Document { version: VERSION, apps: BTreeMap::new(), extra: serde_json::Map::new() }),
            };
        }
        Err(error) => return Err(storage("read", path)(error)),
    };
    let reason = match serde_json::from_slice::<Document>(&text) {
        Ok(document) if document.version > VERSION => {
            // a newer Lab's file is fine, only not for us: it stays where it is
            return Err(corrupt(format!("it was written by a newer version of Lab (form {})", document.version), path));
        }
        Ok(document) => match document.apps.iter().find(|(name, app)| **name != app.name) {
            None => return Ok(document),
            Some((name, app)) => format!("the entry `{name}` is named `{}` inside", app.name),
        },
        Err(error) => error.to_string(),
    };
    let kept_as = durable::set_aside(path).map_err(storage("set aside", path))?;
    Err(corrupt(reason, &kept_as))
}

fn earlier_set_aside(path: &Path) -> io::Result<Option<PathBuf>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    let prefix = format!("{}.unreadable-", name.to_string_lossy());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

#[async_trait]
impl Registry for FileRegistry {
    fn backend(&self) -> &'static str {
        "file"
    }

    async fn create(&self, app: App) -> Result<App, RegistryError> {
        self.change(|records| records.create(app)).await
    }

    async fn get(&self, name: &AppName) -> Result<Option<App>, RegistryError> {
        Ok(self.0.records.load().0.get(name).cloned())
    }

    async fn list(&self) -> Result<Vec<App>, RegistryError> {
        Ok(self.0.records.load().0.values().cloned().collect())
    }

    async fn update(&self, app: App) -> Result<App, RegistryError> {
        self.change(|records| records.update(app)).await
    }

    async fn remove(&self, name: &AppName) -> Result<(), RegistryError> {
        if !self.0.records.load().0.contains_key(name) {
            return Ok(());
        }
        let name = name.clone();
        self.change(move |records| {
            records.0.remove(&name);
            Ok(())
        })
        .await
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::testing::{Subject, registry::app};

    fn temporary() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("apps.json");
        (dir, path)
    }

    crate::registry_conformance!(async {
        let (dir, path) = temporary();
        Subject::<dyn Registry>::new(Arc::new(FileRegistry::open(path).expect("open"))).with(dir)
    });

    #[tokio::test]
    async fn what_was_written_is_there_after_opening_again_in_the_documented_form() {
        let (_dir, path) = temporary();
        let registry = FileRegistry::open(&path).expect("open");
        let stored = registry.create(app("myapp")).await.expect("create");
        drop(registry);
        let document: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("json");
        let entry = &document["apps"]["myapp"];
        for field in ["name", "repository", "port", "status", "created_at", "last_deploy", "subdomain"] {
            assert!(entry.get(field).is_some(), "{field} is missing in {entry}");
        }
        assert_eq!(document["version"], 1);
        assert!(entry["created_at"].as_str().is_some_and(|t| t.ends_with('Z')), "UTC: {entry}");
        let registry = FileRegistry::open(&path).expect("open again");
        assert_eq!(registry.get(&stored.name).await.expect("get"), Some(stored));
    }

    #[tokio::test]
    async fn unknown_fields_survive_a_rewrite() {
        let (_dir, path) = temporary();
        let registry = FileRegistry::open(&path).expect("open");
        registry.create(app("myapp")).await.expect("create");
        drop(registry);
        let mut document: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("json");
        document["future"] = serde_json::json!({"a": 1});
        document["apps"]["myapp"]["colour"] = "blue".into();
        fs::write(&path, document.to_string()).expect("write");
        let registry = FileRegistry::open(&path).expect("open");
        registry.create(app("other")).await.expect("create");
        let document: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("json");
        assert_eq!(document["future"]["a"], 1);
        assert_eq!(document["apps"]["myapp"]["colour"], "blue");
    }

    #[test]
    fn a_second_writer_is_refused_with_the_first_ones_pid() {
        let (_dir, path) = temporary();
        let _first = FileRegistry::open(&path).expect("open");
        let error = FileRegistry::open(&path).expect_err("in use");
        assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error}");
    }

    #[test]
    fn an_unreadable_file_is_kept_and_blocks_every_start_until_someone_acts() {
        for content in ["{", "[]", r#"{"apps": {"a": 1}}"#, r#"{"apps": {"WWW": {}}}"#, "\u{0}"] {
            let (dir, path) = temporary();
            fs::write(&path, content).expect("write");
            for _ in 0..2 {
                let error = FileRegistry::open(&path).expect_err("corrupt");
                assert!(matches!(error, RegistryError::Corrupt { .. }), "{error}");
            }
            let kept: Vec<_> = fs::read_dir(dir.path())
                .expect("dir")
                .filter_map(|e| fs::read_to_string(e.expect("entry").path()).ok())
                .collect();
            assert!(kept.iter().any(|c| c == content), "{kept:?}");
        }
    }

    #[test]
    fn a_newer_form_is_refused_and_left_in_place() {
        let (_dir, path) = temporary();
        fs::write(&path, r#"{"version": 2, "apps": {}}"#).expect("write");
        assert!(FileRegistry::open(&path).expect_err("newer").to_string().contains("newer version"));
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_failed_write_changes_nothing() {
        let (dir, path) = temporary();
        let registry = FileRegistry::open(&path).expect("open");
        // as root no permission stops a write, but a missing folder does
        fs::rename(dir.path(), dir.path().with_extension("moved")).expect("rename");
        let error = registry.create(app("myapp")).await.expect_err("no folder");
        assert!(matches!(error, RegistryError::Storage { action: "write", .. }), "{error}");
        assert_eq!(registry.list().await.expect("list"), []);
        fs::remove_dir_all(dir.path().with_extension("moved")).expect("clean");
    }
}
