//! The programs of a Go module.

use std::collections::{BTreeMap, BTreeSet};

use super::{LIBRARY, Scope, is_go, paths};
use crate::builder::detect::candidate;

/// What of PocketBase is compiled into a program, by itself or by a package of the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holds {
    /// Nothing.
    Nothing,
    /// Parts, as a tool for an app has them.
    Parts,
    /// One is made.
    All,
}

/// A main package.
#[derive(Debug, Clone)]
pub(super) struct Main {
    /// Its folder, from the tree.
    pub folder: String,
    /// What of PocketBase is in it.
    pub holds: Holds,
    /// Whether its own files make a PocketBase.
    pub starts: bool,
    /// Whether its own files run one.
    pub runs: bool,
    /// Whether it is in no folder of examples, tools or tests, and is not called like something that only helps.
    pub genuine: bool,
}

/// Words in the names of programs that help an app and do not serve it.
const HELPS: &[&str] = &[
    "bench",
    "cli",
    "cron",
    "debug",
    "gen",
    "generate",
    "generator",
    "import",
    "importer",
    "job",
    "jobs",
    "loadtest",
    "migrate",
    "migration",
    "migrations",
    "migrator",
    "script",
    "seed",
    "seeder",
    "tool",
    "worker",
];

/// Calls that run a PocketBase.
const RUNS: &[&str] = &[".Start()", ".Execute()", "apis.Serve("];

impl Main {
    /// Whether PocketBase is compiled into it.
    pub(super) fn uses(&self) -> bool {
        self.holds != Holds::Nothing
    }
}

/// The Go files of a package.
type Files<'a> = Vec<&'a str>;

/// What a `go.mod` calls its module.
pub(super) fn module_name(go_mod: &str) -> &str {
    let name = go_mod.lines().find_map(|line| line.strip_prefix("module "));
    name.and_then(|name| name.split_whitespace().next()).unwrap_or_default().trim_matches('"')
}

/// The main packages of the module in `module`, those of modules inside it apart.
pub(super) fn mains(scope: &Scope<'_>, module: &str) -> Vec<Main> {
    let packages = packages(scope, module);
    let go_mod = scope.tree.text(&paths::join(module, "go.mod")).unwrap_or_default();
    let name = module_name(go_mod);
    let parts = format!("\"{LIBRARY}");
    let users = reaching(&packages, module, name, |text| text.contains(&parts));
    let makers = reaching(&packages, module, name, makes);
    let main = |(folder, files): (&String, &Files<'_>)| {
        let own: Vec<&str> = files.iter().copied().filter(|text| is_main(text)).collect();
        if own.is_empty() {
            return None;
        }
        Some(Main {
            folder: folder.clone(),
            holds: match (makers.contains(folder), users.contains(folder)) {
                (true, _) => Holds::All,
                (false, true) => Holds::Parts,
                (false, false) => Holds::Nothing,
            },
            starts: own.iter().any(|text| makes(text)),
            runs: own.iter().any(|text| RUNS.iter().any(|call| text.contains(call))),
            genuine: candidate::decoy(folder, module).is_none() && !helps(paths::relative(folder, module)),
        })
    };
    packages.iter().filter_map(main).collect()
}

fn packages<'a>(scope: &'a Scope<'_>, module: &str) -> BTreeMap<String, Files<'a>> {
    let ignored = |name: &str| matches!(name, "testdata" | "vendor" | "node_modules") || name.starts_with(['_', '.']);
    let inner: BTreeSet<&str> = scope
        .tree
        .texts_below(module)
        .filter(|(path, _)| paths::name(path) == "go.mod")
        .map(|(path, _)| paths::parent(path))
        .filter(|folder| *folder != module)
        .collect();
    let mut all: BTreeMap<String, Files<'a>> = BTreeMap::new();
    for (path, text) in scope.tree.texts_below(module).filter(|(path, _)| is_go(path)) {
        let folder = paths::parent(path);
        let elsewhere = std::iter::once(folder).chain(paths::above(folder)).any(|folder| inner.contains(folder));
        if !elsewhere && !paths::relative(folder, module).split('/').any(ignored) {
            all.entry(folder.to_owned()).or_default().push(text);
        }
    }
    all
}

/// Whether a Go file makes a PocketBase: the package that is called so has nothing else.
fn makes(text: &str) -> bool {
    text.contains(&format!("\"{LIBRARY}\"")) || text.contains("core.NewBaseApp(")
}

/// Whether the last name of a path says that the program only helps.
fn helps(path: &str) -> bool {
    let name = paths::name(path).to_ascii_lowercase();
    name.split(['-', '_', '.']).any(|word| HELPS.contains(&word))
}

/// The packages with a file that `is_one` says yes to, and those that import them, also by another package of the module.
fn reaching(
    packages: &BTreeMap<String, Files<'_>>,
    module: &str,
    name: &str,
    is_one: impl Fn(&str) -> bool,
) -> BTreeSet<String> {
    let own = format!("\"{name}/");
    let mut reaching = BTreeSet::new();
    let mut importers: BTreeMap<String, BTreeSet<&String>> = BTreeMap::new();
    let mut todo: Vec<String> = Vec::new();
    for (folder, files) in packages {
        if files.iter().any(|text| is_one(text)) {
            todo.push(folder.clone());
        }
        let imports = files.iter().flat_map(|text| text.match_indices(&own).map(|(at, own)| &text[at + own.len()..]));
        for import in imports.filter(|_| !name.is_empty()).filter_map(|rest| rest.split('"').next()) {
            importers.entry(paths::join(module, import)).or_default().insert(folder);
        }
    }
    while let Some(folder) = todo.pop() {
        let by = importers.remove(&folder).unwrap_or_default();
        todo.extend(by.into_iter().cloned());
        reaching.insert(folder);
    }
    reaching
}

/// Whether a Go file is of a main package that a build takes.
fn is_main(text: &str) -> bool {
    let ignored = text.lines().take_while(|line| !line.starts_with("package ")).any(|line| {
        let line = line.trim();
        line.starts_with("//go:build ignore") || line.starts_with("// +build ignore")
    });
    let package = text.lines().map(str::trim).find(|line| line.starts_with("package "));
    !ignored && package.is_some_and(|line| line.split_whitespace().nth(1) == Some("main"))
}
