//! Crashes for tests: from one change on disk on, nothing below a folder changes any more.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

static ARMED: Mutex<Vec<Armed>> = Mutex::new(Vec::new());

struct Armed {
    folder: PathBuf,
    /// Changes that still happen.
    left: usize,
    /// Changes that happened.
    done: usize,
    has_crashed: bool,
    on_crash: Box<dyn Fn() + Send>,
}

/// A crash that waits for its moment, until it is dropped.
pub struct Crash {
    folder: PathBuf,
}

impl fmt::Debug for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crash").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Crash {
    /// After so many changes below `folder`, every further one fails, as if the process were gone. `on_crash` is called at
    /// the first of them.
    pub fn after(changes: usize, folder: &Path, on_crash: impl Fn() + Send + 'static) -> Self {
        let folder = folder.to_owned();
        let on_crash = Box::new(on_crash);
        armed().push(Armed { folder: folder.clone(), left: changes, done: 0, has_crashed: false, on_crash });
        Self { folder }
    }

    /// How many changes there were, and whether it came to the crash.
    pub fn seen(&self) -> (usize, bool) {
        let armed = armed();
        let it = armed.iter().find(|it| it.folder == self.folder);
        it.map_or((0, false), |it| (it.done, it.has_crashed))
    }
}

impl Drop for Crash {
    fn drop(&mut self) {
        armed().retain(|it| it.folder != self.folder);
    }
}

fn armed() -> MutexGuard<'static, Vec<Armed>> {
    ARMED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A crash in the middle of deleting the folder `path`, which leaves part of it.
pub(super) fn removal(path: &Path) -> io::Result<()> {
    change(path).inspect_err(|_| {
        let first = std::fs::read_dir(path).ok().and_then(|mut entries| entries.find_map(Result::ok));
        // the crash is what is told
        let _ = first.map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => std::fs::remove_dir_all(entry.path()),
            _ => std::fs::remove_file(entry.path()),
        });
    })
}

/// Before a change at `path`.
pub(super) fn change(path: &Path) -> io::Result<()> {
    let mut armed = armed();
    let Some(it) = armed.iter_mut().find(|it| path.starts_with(&it.folder)) else { return Ok(()) };
    if it.left > 0 {
        (it.left, it.done) = (it.left - 1, it.done + 1);
        return Ok(());
    }
    if !it.has_crashed {
        it.has_crashed = true;
        (it.on_crash)();
    }
    Err(io::Error::other("crashed"))
}
