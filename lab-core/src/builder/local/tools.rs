//! Package managers and Node.js, fetched by npm.
//!
//! ```text
//! <cache>/tools/<name>/<version>/bin/           what goes into PATH
//! <cache>/tools/<name>/<version>/node_modules/  the package, as npm laid it
//! <cache>/tools/.<name>-<version>.lock          held while it is fetched
//! <cache>/tools/.fetch-…/                       a fetch at work, or what a crash left of one
//! ```

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use semver::Version;
use tokio::process::Command;

use self::pins::{Node, Wanted};
use super::{environment::find, release::Build, stop::joined};
use crate::{
    builder::{
        BuildError,
        plan::{Frontend, Tool},
    },
    durable, file_lock,
    pocketbase::process,
};

pub(super) mod pins;

/// How long a tool may take to tell its version.
const TELLS_VERSION: Duration = Duration::from_secs(20);

/// Programs that are a package manager's.
const MANAGERS: &[(&str, &str)] =
    &[("pnpm", "pnpm"), ("pnpx", "pnpm"), ("yarn", "yarn"), ("bun", "bun"), ("bunx", "bun")];

/// What a frontend is built with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Toolbox {
    /// `PATH`: what was fetched, then the machine's.
    pub path: String,
    /// The package manager with its version, and Node.js with its own: what dependencies are installed for.
    pub names: Vec<String>,
}

/// What is to be fetched for a frontend, and what cannot be had as it asks.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// To be fetched, Node.js first.
    pub fetched: Vec<Wanted>,
    /// What of the machine's is used, with its version.
    pub machine: Vec<String>,
    /// What is told.
    pub warnings: Vec<String>,
}

/// Chooses the tools of `frontend`, for a machine whose Node.js is `machine`.
pub(super) fn choose(frontend: &Frontend, machine: Option<&Version>) -> Choice {
    let mut choice = Choice::default();
    let range = frontend.node.as_deref().unwrap_or("*");
    match pins::node(range, machine) {
        Node::Machine => {}
        Node::Fetched(node) => {
            choice.fetched.extend(pins::npm_for(&node.version));
            choice.fetched.insert(0, node);
        }
        Node::Unknown => choice
            .warnings
            .push(format!("the frontend asks for Node `{range}`, which Lab does not know: built with the server's")),
    }
    if !choice.fetched.iter().any(|wanted| wanted.name == "node") {
        choice.machine.push(format!("node {}", machine.map(Version::to_string).unwrap_or_default()));
    }
    // npm comes with Node.js
    choice.fetched.extend(manager(frontend).filter(|tool| tool.name != "npm").and_then(|tool| pins::manager(&tool)));
    choice
}

/// The one that is stated, or that a command names.
fn manager(frontend: &Frontend) -> Option<Tool> {
    frontend.manager.clone().or_else(|| {
        let mut programs = frontend.commands.iter().filter_map(|words| words.first());
        let named = programs.find_map(|name| MANAGERS.iter().find(|(program, _)| program == name));
        named.map(|(_, name)| Tool { name: (*name).to_owned(), version: None })
    })
}

impl Build {
    /// Everything that `frontend` is built with, fetched where the machine does not have it.
    pub(super) async fn toolbox(&self, frontend: &Frontend) -> Result<Toolbox, BuildError> {
        let choice = choose(frontend, self.machine_node().await.as_ref());
        for warning in &choice.warnings {
            self.log.warn(warning);
        }
        let (mut names, mut folders) = (choice.machine, Vec::new());
        for wanted in &choice.fetched {
            match self.fetch(wanted).await {
                Ok((version, folder)) => {
                    self.log.say(&format!("{} {version}", wanted.name));
                    names.push(format!("{} {version}", wanted.name));
                    // a manager may bring programs of its own: before Node.js's
                    folders.insert(0, folder);
                }
                Err(error) if error.must_end() => return Err(error),
                Err(error) => {
                    if find(wanted.name, &self.settings.path).is_none() {
                        return Err(error);
                    }
                    let Wanted { name, version, .. } = wanted;
                    self.log
                        .setback(&format!("{name} {version} could not be fetched ({error}): built with the server's"));
                    names.push(format!("{name} of the server"));
                }
            }
        }
        let folders = folders.iter().map(|folder| folder.to_string_lossy().into_owned());
        let path = folders.chain([self.settings.path.clone()]).collect::<Vec<_>>().join(":");
        Ok(Toolbox { path, names })
    }

    pub(super) async fn machine_node(&self) -> Option<Version> {
        version(&self.settings.path, "node", &["--version"]).await
    }

    /// The version that was fetched, now or before, and the folder of its programs.
    async fn fetch(&self, wanted: &Wanted) -> Result<(Version, PathBuf), BuildError> {
        match (self.fetch_exactly(wanted, &wanted.version).await, &wanted.instead) {
            (Err(BuildError::CommandFailed { last_lines, .. }), Some(instead)) if is_unknown(&last_lines) => {
                let Wanted { name, version, .. } = wanted;
                self.log.warn(&format!("{name} {version} is not in the registry: built with {name} {instead}"));
                Ok((instead.clone(), self.fetch_exactly(wanted, instead).await?))
            }
            (fetched, _) => Ok((wanted.version.clone(), fetched?)),
        }
    }

    async fn fetch_exactly(&self, wanted: &Wanted, version: &Version) -> Result<PathBuf, BuildError> {
        let tools = self.settings.cache_dir.join("tools");
        let place = tools.join(wanted.name).join(version.to_string());
        let programs = place.join("bin");
        if used(&place, &programs, wanted.name) {
            return Ok(programs);
        }
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| BuildError::Io { action, path, source }
        };
        let lock = tools.join(format!(".{}-{version}.lock", wanted.name));
        let _lock = tokio::select! {
            biased;
            why = self.stop.wait() => return Err(why),
            locked = file_lock::lock(lock.clone()) => locked.map_err(failed("lock", &lock))?,
        };
        // another build may have been faster
        if used(&place, &programs, wanted.name) {
            return Ok(programs);
        }
        let work = tempfile::Builder::new().prefix(".fetch-").tempdir_in(&tools).map_err(failed("create", &tools))?;
        let spec = format!("{}@{version}", wanted.package);
        // install scripts would fetch from elsewhere, past what the registry vouches for
        let words = ["npm", "install", "--prefix", ".", "--no-save", "--no-package-lock", "--ignore-scripts", &spec];
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        self.command(&words, work.path(), self.env.clone()).await?;
        let (package, name, to) = (wanted.package.clone(), wanted.name, place.clone());
        let settle = move || {
            link_programs(work.path(), &package, name)?;
            rustix::fs::syncfs(fs::File::open(work.path())?)?;
            to.parent().map_or(Ok(()), fs::create_dir_all)?;
            durable::remove(&to)?;
            durable::rename(work.path(), &to)?;
            // moved: nothing is left to delete
            let _ = work.keep();
            Ok(())
        };
        joined(tokio::task::spawn_blocking(settle).await, "store", &place)?.map_err(failed("store", &place))?;
        Ok(programs)
    }
}

/// Whether it is there; then it counts as used now.
fn used(place: &Path, programs: &Path, name: &str) -> bool {
    let is_there = programs.join(name).exists();
    if is_there && let Ok(folder) = fs::File::open(place) {
        // only the order of deletion rests on it
        let _ = folder.set_modified(SystemTime::now());
    }
    is_there
}

/// npm's texts for a version that is not there.
fn is_unknown(last_lines: &[String]) -> bool {
    last_lines.iter().any(|line| line.contains("ETARGET") || line.contains("E404"))
}

/// Makes `bin` with a link to each program of the package.
fn link_programs(root: &Path, package: &str, name: &str) -> io::Result<()> {
    let programs = root.join("bin");
    fs::create_dir(&programs)?;
    let laid = root.join("node_modules/.bin");
    if laid.is_dir() {
        for entry in fs::read_dir(&laid)? {
            let program = entry?.file_name();
            symlink(Path::new("../node_modules/.bin").join(&program), programs.join(&program))?;
        }
    }
    if !programs.join(name).exists() {
        // bun's package only holds the program
        symlink(Path::new("../node_modules").join(package).join("bin").join(name), programs.join(name))?;
    }
    if name == "bun" {
        symlink("bun", programs.join("bunx"))?;
    }
    if programs.join(name).exists() { Ok(()) } else { Err(io::Error::other("the package holds no such program")) }
}

/// What a program of `path` says its version is.
pub(super) async fn version(path: &str, program: &str, arguments: &[&str]) -> Option<Version> {
    let mut command = Command::new(find(program, path)?);
    command.args(arguments).env_clear().env("PATH", path).env("HOME", "/nonexistent").env("GOTOOLCHAIN", "local");
    let finished = process::run(command, TELLS_VERSION).await.ok()?;
    let mut words =
        finished.stdout.split_whitespace().map(|word| word.trim_start_matches("go").trim_start_matches('v'));
    words.find_map(lenient)
}

/// A version that may have fewer than three numbers, as Go's have: `1.27`
pub(super) fn lenient(text: &str) -> Option<Version> {
    let dots = text.matches('.').count();
    let whole = match dots {
        1 => format!("{text}.0"),
        _ => text.to_owned(),
    };
    Version::parse(&whole).ok()
}
