//! Which package manager a frontend is installed and built with, and which Node it asks for.

use super::{Scope, package::Package, paths};
use crate::builder::plan::Tool;

/// A package manager, and how it installs.
#[derive(Debug, Clone)]
pub(super) struct Manager {
    /// Its name, which is its program, and its version.
    pub tool: Tool,
    /// Installs: exactly what the lock file says, where there is one.
    pub install: &'static [&'static str],
    /// Why this one.
    pub reason: String,
}

impl Manager {
    /// Installs what is needed where it runs: as plain folders, and without scripts, which make nothing that hooks could
    /// run.
    pub(super) fn packages(&self) -> Vec<&'static str> {
        let is_berry = self.install.iter().any(|word| word.ends_with("immutable"));
        let further: &[&str] = match self.tool.name.as_str() {
            "npm" => &["--omit=dev", "--ignore-scripts"],
            "pnpm" => &["--prod", "--ignore-scripts", "--config.node-linker=hoisted"],
            "yarn" if is_berry => &["--mode=skip-build"],
            _ => &["--production", "--ignore-scripts"],
        };
        [self.install, further].concat()
    }
}

struct Row {
    name: &'static str,
    locks: &'static [&'static str],
    /// With a lock file, and without one.
    install: [&'static [&'static str]; 2],
}

/// Of several lock files the first one counts: npm's comes last, because a forgotten `npm install` leaves one behind.
const MANAGERS: &[Row] = &[
    Row {
        name: "pnpm",
        locks: &["pnpm-lock.yaml"],
        install: [&["pnpm", "install", "--frozen-lockfile"], &["pnpm", "install", "--no-frozen-lockfile"]],
    },
    Row {
        name: "bun",
        locks: &["bun.lock", "bun.lockb"],
        install: [&["bun", "install", "--frozen-lockfile"], &["bun", "install"]],
    },
    Row {
        name: "yarn",
        locks: &["yarn.lock"],
        install: [&["yarn", "install", "--frozen-lockfile"], &["yarn", "install"]],
    },
    Row {
        name: "npm",
        locks: &["package-lock.json", "npm-shrinkwrap.json"],
        install: [&["npm", "ci"], &["npm", "install"]],
    },
];

/// Yarn since 2 calls the same things otherwise, and keeps to the lock file by itself where it believes to be in CI.
const BERRY: [&[&str]; 2] = [&["yarn", "install", "--immutable"], &["yarn", "install", "--no-immutable"]];

/// pnpm in a folder below settings of its own, which it would take for a workspace without packages.
const ALONE: [&[&str]; 2] = [
    &["pnpm", "install", "--frozen-lockfile", "--ignore-workspace"],
    &["pnpm", "install", "--no-frozen-lockfile", "--ignore-workspace"],
];

/// By `packageManager`, else by the lock file, both of the package or else of its workspace.
pub(super) fn find(scope: &Scope<'_>, package: &Package) -> Manager {
    let workspace = package.workspace(scope);
    let places: Vec<&Package> = [Some(package), workspace.as_ref()].into_iter().flatten().collect();
    let lock = |row: &Row| {
        let mut files = places.iter().flat_map(|place| row.locks.iter().map(|lock| paths::join(&place.folder, lock)));
        files.find(|lock| scope.tree.is_file(lock))
    };
    let named = places.iter().find_map(|place| place.manager.as_deref());
    let (named, version) = match named.map(|text| text.split_once('@').unwrap_or((text, ""))) {
        Some((name, version)) => (Some(name), version.split('+').next().filter(|version| !version.is_empty())),
        None => (None, None),
    };
    let by_name = || MANAGERS.iter().find(|row| Some(row.name) == named);
    let by_lock = || MANAGERS.iter().find(|row| lock(row).is_some());
    let by_engine =
        || MANAGERS.iter().find(|row| row.name != "npm" && places.iter().any(|it| it.engines.contains_key(row.name)));
    let npm = &MANAGERS[MANAGERS.len() - 1];
    let (row, mut reason) = match (by_name(), by_lock(), by_engine()) {
        (Some(row), ..) => (row, "`packageManager`".to_owned()),
        (None, Some(row), _) => (row, String::new()),
        (None, None, Some(row)) => (row, "`engines`".to_owned()),
        (None, None, None) => (npm, "no lock file".to_owned()),
    };
    let locked = lock(row);
    if let Some(locked) = &locked
        && reason.is_empty()
    {
        reason = format!("`{locked}`");
    }
    let version = version.filter(|_| named == Some(row.name)).map(str::to_owned);
    let pnpm = Pnpm::nearest(scope, &package.folder).filter(|_| row.name == "pnpm");
    let version = version.or_else(|| {
        let wrote = generation(scope, row.name, locked.as_deref(), &places);
        let is_newer = wrote.as_deref().is_none_or(|wrote| wrote == "9") && pnpm.as_ref().is_some_and(Pnpm::is_newer);
        if is_newer { Some("10".to_owned()) } else { wrote }
    });
    let is_berry = row.name == "yarn" && version.as_ref().is_some_and(|version| !version.starts_with('1'));
    let is_alone = pnpm.as_ref().is_some_and(|pnpm| !pnpm.has_packages() && pnpm.folder != package.folder);
    let install = match row.install {
        _ if is_berry => BERRY,
        _ if is_alone => ALONE,
        usual => usual,
    };
    Manager {
        tool: Tool { name: row.name.to_owned(), version },
        install: install[usize::from(locked.is_none())],
        reason,
    }
}

/// A `pnpm-workspace.yaml`: from pnpm 10 on it holds settings as well, also where there is no workspace.
pub(super) struct Pnpm<'a> {
    folder: &'a str,
    text: &'a str,
}

impl<'a> Pnpm<'a> {
    /// The one that pnpm finds from `folder` upwards.
    fn nearest(scope: &Scope<'a>, folder: &'a str) -> Option<Self> {
        std::iter::once(folder).chain(paths::above(folder)).find_map(|folder| Self::read(scope, folder))
    }

    /// The one in `folder`.
    pub(super) fn read(scope: &Scope<'a>, folder: &'a str) -> Option<Self> {
        let text = scope.tree.text(&paths::join(folder, "pnpm-workspace.yaml"))?;
        Some(Self { folder, text })
    }

    /// Whether it makes a workspace.
    pub(super) fn has_packages(&self) -> bool {
        self.keys().any(|key| key == "packages")
    }

    /// Whether pnpm 9 ends with an error at it, or passes over what it says.
    fn is_newer(&self) -> bool {
        !self.has_packages() || self.keys().any(|key| !["packages", "catalog", "catalogs"].contains(&key))
    }

    fn keys(&self) -> impl Iterator<Item = &'a str> {
        let top = self.text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '"'));
        top.filter_map(|line| Some(line.split_once(':')?.0.trim_matches(['"', ' '])))
    }
}

/// The version that wrote the lock file, as far as its format tells. Sources: pnpm's and yarn's documentation of their
/// lock files' versions.
fn generation(scope: &Scope<'_>, name: &str, lock: Option<&str>, places: &[&Package]) -> Option<String> {
    let text = lock.and_then(|lock| scope.tree.text(lock)).unwrap_or_default();
    let after = |key: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key));
        line.map(|value| value.trim().trim_matches(['\'', '"']).to_owned())
    };
    let major = match name {
        "pnpm" => match after("lockfileVersion:")?.split('.').next()? {
            "9" => "9",
            "6" => "8",
            "5" => "7",
            _ => return None,
        },
        "yarn" if text.contains("yarn lockfile v1") => "1",
        "yarn" => {
            let release = |place: &&Package| {
                let settings = scope.tree.text(&paths::join(&place.folder, ".yarnrc.yml"))?;
                let path = settings.lines().find_map(|line| line.strip_prefix("yarnPath:"))?;
                path.trim().rsplit("yarn-").next()?.strip_suffix(".cjs").map(str::to_owned)
            };
            if let Some(release) = places.iter().find_map(release) {
                return Some(release);
            }
            let is_modern = places.iter().any(|it| scope.tree.is_file(&paths::join(&it.folder, ".yarnrc.yml")));
            match after("version:").as_deref() {
                Some("4" | "5") => "2",
                Some("6" | "7") => "3",
                Some(_) => "4",
                None if is_modern => "4",
                None => return None,
            }
        }
        _ => return None,
    };
    Some(major.to_owned())
}

/// Files with nothing but a version of Node.
const VERSION_FILES: &[&str] = &[".nvmrc", ".node-version"];

/// Names of the long-term versions. Source: Node's release schedule.
const LONG_TERM: &[(&str, &str)] = &[
    ("argon", "4"),
    ("boron", "6"),
    ("carbon", "8"),
    ("dubnium", "10"),
    ("erbium", "12"),
    ("fermium", "14"),
    ("gallium", "16"),
    ("hydrogen", "18"),
    ("iron", "20"),
    ("jod", "22"),
    ("krypton", "24"),
];

/// The Node version that a package asks for, as the text of a semver range: by a file, else by its `package.json`; the
/// nearest to it counts.
pub(super) fn node(scope: &Scope<'_>, package: &Package) -> Option<String> {
    std::iter::once(package.folder.as_str()).chain(paths::above(&package.folder)).find_map(|folder| {
        let text = |name: &str| scope.tree.text(&paths::join(folder, name));
        let by_file = || VERSION_FILES.iter().find_map(|name| node_version(text(name)?.lines().next()?));
        let by_tools = || {
            let mut lines = text(".tool-versions")?.lines();
            lines.find_map(|line| node_version(line.strip_prefix("nodejs ").or_else(|| line.strip_prefix("node "))?))
        };
        let by_package = || {
            let range = Package::read(scope, folder)?.engines.get("node")?.trim().to_owned();
            (!range.is_empty() && range != "*" && range.len() <= 64).then_some(range)
        };
        by_file().or_else(by_tools).or_else(by_package)
    })
}

fn node_version(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches('v');
    if let Some(name) = text.strip_prefix("lts/") {
        let known = LONG_TERM.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
        return known.map(|(_, major)| (*major).to_owned());
    }
    let good = text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    good.then(|| text.to_owned())
}
