//! Installed dependencies that are kept from one build of an app to its next: `<cache>/dependencies/<app>/`.
//!
//! They belong to one app, so no other app's build can change them, and are taken away by the build that uses them: one
//! that fails gives none back.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use walkdir::{DirEntry, WalkDir};

use super::{place::Checkout, release::Build, stop::joined, tools::Toolbox};
use crate::{
    builder::{BuildError, plan::Frontend},
    durable,
    pocketbase::digest::Sum,
};

/// What package managers call the folder.
pub(super) const MODULES: &str = "node_modules";

/// Files that say which versions are installed.
const LOCKS: &[&str] =
    &["package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb"];

/// Further files that change what is installed; and every file in a folder called `patches`.
const SETTINGS: &[&str] =
    &["package.json", "pnpm-workspace.yaml", ".pnpmfile.cjs", ".npmrc", ".yarnrc", ".yarnrc.yml", "bunfig.toml"];

/// Scripts of a package that an install runs.
const SCRIPTS: &[&str] = &["preinstall", "install", "postinstall", "prepare"];

/// Packages and patches of a repository; with more, nothing is kept.
const MAX_FILES: usize = 1000;

/// Folders inside folders that are looked at.
const MAX_DEPTH: usize = 8;

/// What an entry's `entry.json` says.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    key: String,
    /// Where its folders `0`, `1` … were, from the tree.
    folders: Vec<PathBuf>,
}

/// The dependencies of one frontend.
#[derive(Debug)]
pub(super) struct Dependencies {
    kept: Option<Kept>,
}

#[derive(Debug, Clone)]
struct Kept {
    /// The app's entry.
    place: PathBuf,
    /// Changes with everything that installed dependencies depend on.
    key: String,
    /// The folder that holds all packages.
    root: PathBuf,
    /// What an install would run besides.
    scripts: Vec<String>,
}

impl Dependencies {
    /// Looks at the checkout, before anything is installed in it.
    pub(super) async fn of(build: &Build, frontend: &Frontend, toolbox: &Toolbox) -> Result<Self, BuildError> {
        let Some(app) = &build.job.app else { return Ok(Self { kept: None }) };
        let place = build.settings.cache_dir.join("dependencies").join(app.as_str());
        let (checkout, frontend, names) = (build.checkout.clone(), frontend.clone(), toolbox.names.clone());
        let look = move || look(&checkout, &frontend, &names);
        let found = joined(tokio::task::spawn_blocking(look).await, "read", build.checkout.path())?;
        let kept = found.ok().flatten().map(|(key, root, scripts)| Kept { place, key, root, scripts });
        Ok(Self { kept })
    }

    /// Puts what the build before kept into the checkout, if it fits.
    pub(super) async fn restore(&self, build: &Build) -> Result<bool, BuildError> {
        let Some(kept) = self.kept.clone() else { return Ok(false) };
        let (place, checkout) = (kept.place.clone(), build.checkout.clone());
        let restored = tokio::task::spawn_blocking(move || kept.restore(&checkout)).await;
        let is_there = joined(restored, "restore", &place)?.unwrap_or(false);
        if is_there {
            build.log.say("the dependencies of the build before are used: the lock file has not changed");
        }
        Ok(is_there)
    }

    /// Takes the dependencies out of the checkout for the next build.
    pub(super) async fn keep(&self, build: &Build) {
        let Some(kept) = self.kept.clone() else { return };
        let checkout = build.checkout.clone();
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || kept.keep(&checkout)).await {
            tracing::debug!(error = %error, "dependencies were not kept");
        }
    }

    /// What is run instead of the install command `words` when the dependencies are there; none: it must run.
    pub(super) fn instead_of(&self, words: &[String]) -> Option<Vec<Vec<String>>> {
        let kept = self.kept.as_ref()?;
        let [manager, verb, rest @ ..] = words else { return None };
        let is_install = ["npm", "pnpm", "yarn", "bun"].contains(&manager.as_str())
            && ["install", "ci", "i"].contains(&verb.as_str())
            // yarn since 2 keeps a record of the install beside the folder, without which it runs nothing
            && !rest.iter().any(|word| word.ends_with("immutable"));
        let script = |name: &String| vec![manager.clone(), "run".to_owned(), name.clone()];
        is_install.then(|| kept.scripts.iter().map(script).collect())
    }
}

impl Kept {
    fn restore(&self, checkout: &Checkout) -> io::Result<bool> {
        let Ok(text) = fs::read(self.place.join("entry.json")) else { return Ok(false) };
        let entry: Entry = serde_json::from_slice(&text).map_err(io::Error::other)?;
        if entry.key != self.key {
            return Ok(false);
        }
        for (index, folder) in entry.folders.iter().enumerate() {
            let to = target(checkout, folder)?;
            if let Err(error) = fs::rename(self.place.join(index.to_string()), &to) {
                // a part of them is worse than none
                for folder in &entry.folders[..index] {
                    durable::remove(&target(checkout, folder)?)?;
                }
                return Err(error);
            }
        }
        durable::remove(&self.place)?;
        Ok(true)
    }

    fn keep(&self, checkout: &Checkout) -> io::Result<()> {
        let all = self.place.parent().ok_or_else(|| io::Error::other("no folder"))?;
        fs::create_dir_all(all)?;
        let work = tempfile::Builder::new().prefix(".keep-").tempdir_in(all)?;
        let mut entry = Entry { key: self.key.clone(), folders: Vec::new() };
        for folder in modules(&self.root) {
            fs::rename(&folder, work.path().join(entry.folders.len().to_string()))?;
            let inside = folder.strip_prefix(checkout.path()).map_err(io::Error::other)?;
            entry.folders.push(inside.to_owned());
        }
        if entry.folders.is_empty() {
            return Ok(());
        }
        let text = serde_json::to_vec(&entry).map_err(io::Error::other)?;
        fs::write(work.path().join("entry.json"), text)?;
        durable::remove(&self.place)?;
        fs::rename(work.path(), &self.place)?;
        // moved: nothing is left to delete
        let _ = work.keep();
        Ok(())
    }
}

/// Where a folder goes: below a folder that is really in the checkout, and not there yet.
fn target(checkout: &Checkout, folder: &Path) -> io::Result<PathBuf> {
    let parent = checkout.folder(folder.parent().unwrap_or(Path::new(""))).map_err(io::Error::other)?;
    let to = parent.join(MODULES);
    if to.symlink_metadata().is_ok() { Err(io::ErrorKind::AlreadyExists.into()) } else { Ok(to) }
}

/// The outermost folders of modules, none of them a link.
fn modules(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut walk = WalkDir::new(root).max_depth(MAX_DEPTH).into_iter();
    while let Some(entry) = walk.next() {
        let Ok(entry) = entry else { continue };
        if entry.file_type().is_dir() && entry.file_name() == MODULES {
            found.push(entry.into_path());
            walk.skip_current_dir();
        }
    }
    found
}

/// The key, the folder that holds all packages, and what an install would run besides. None: nothing can be kept, because
/// no lock file says what is installed, because modules are committed, or because other packages have scripts as well.
fn look(
    checkout: &Checkout,
    frontend: &Frontend,
    tools: &[String],
) -> Result<Option<(String, PathBuf, Vec<String>)>, BuildError> {
    let directory = checkout.folder(&frontend.directory)?;
    let has_lock = |folder: &Path| LOCKS.iter().any(|lock| folder.join(lock).is_file());
    let above = directory.ancestors().take_while(|folder| folder.starts_with(checkout.path()));
    let Some(root) = above.filter(|folder| has_lock(folder)).last().map(Path::to_owned) else { return Ok(None) };
    Ok(key(&root, &directory, frontend, tools).ok().flatten().map(|(key, scripts)| (key, root, scripts)))
}

fn key(
    root: &Path,
    directory: &Path,
    frontend: &Frontend,
    tools: &[String],
) -> io::Result<Option<(String, Vec<String>)>> {
    let mut hash = Sha256::new();
    let mut add = |text: &[u8]| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    for words in frontend.commands.split_last().map_or(&[][..], |(_, installs)| installs) {
        add(words.join("\0").as_bytes());
    }
    for tool in tools {
        add(tool.as_bytes());
    }
    let (mut scripts, mut count) = (Vec::new(), 0);
    let is_seen = |entry: &DirEntry| entry.file_name() != ".git";
    for entry in WalkDir::new(root).max_depth(MAX_DEPTH).sort_by_file_name().into_iter().filter_entry(is_seen) {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy();
        if name == MODULES {
            return Ok(None);
        }
        let is_patch = entry.path().parent().is_some_and(|parent| parent.ends_with("patches"));
        let counts = LOCKS.contains(&name.as_ref()) || SETTINGS.contains(&name.as_ref()) || is_patch;
        if !entry.file_type().is_file() || !counts {
            continue;
        }
        count += 1;
        if count > MAX_FILES {
            return Ok(None);
        }
        let mut content = Vec::new();
        File::open(entry.path())?.take(64 << 20).read_to_end(&mut content)?;
        add(entry.path().strip_prefix(root).unwrap_or(entry.path()).as_os_str().as_encoded_bytes());
        add(&content);
        if name == "package.json" {
            let found = lifecycle(&content);
            if entry.path().parent() == Some(directory) {
                scripts = found;
            } else if !found.is_empty() {
                return Ok(None);
            }
        }
    }
    Ok(Some((Sum::from(hash).hex(), scripts)))
}

/// The scripts of a `package.json` that an install runs, in their order.
fn lifecycle(content: &[u8]) -> Vec<String> {
    let json: serde_json::Value = serde_json::from_slice(content).unwrap_or_default();
    let has = |name: &&&str| json.get("scripts").and_then(|scripts| scripts.get(**name)).is_some();
    SCRIPTS.iter().filter(has).map(|name| (*name).to_owned()).collect()
}
