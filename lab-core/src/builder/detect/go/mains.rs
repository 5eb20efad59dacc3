//! The programs of a Go module.

use std::collections::{BTreeMap, BTreeSet};

use super::{LIBRARY, Scope, is_go, paths};
use crate::builder::detect::candidate;

/// A main package.
#[derive(Debug, Clone)]
pub(super) struct Main {
    /// Its folder, from the tree.
    pub folder: String,
    /// Whether PocketBase is compiled into it, by itself or by a package of the module.
    pub uses: bool,
    /// Whether its own files make a PocketBase.
    pub starts: bool,
    /// Whether it is in no folder of examples, tools or tests.
    pub genuine: bool,
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
    let users = users(&packages, module, module_name(go_mod));
    let main = |(folder, files): (&String, &Files<'_>)| {
        let own: Vec<&str> = files.iter().copied().filter(|text| is_main(text)).collect();
        if own.is_empty() {
            return None;
        }
        Some(Main {
            folder: folder.clone(),
            uses: users.contains(folder),
            starts: own.iter().any(|text| ["pocketbase.New", "core.NewBaseApp"].iter().any(|call| text.contains(call))),
            genuine: candidate::decoy(folder, module).is_none(),
        })
    };
    packages.iter().filter_map(main).collect()
}

fn packages<'a>(scope: &'a Scope<'_>, module: &str) -> BTreeMap<String, Files<'a>> {
    let ignored = |name: &str| matches!(name, "testdata" | "vendor" | "node_modules") || name.starts_with(['_', '.']);
    let inner: Vec<&str> = scope
        .tree
        .texts_below(module)
        .filter(|(path, _)| paths::name(path) == "go.mod")
        .map(|(path, _)| paths::parent(path))
        .filter(|folder| *folder != module)
        .collect();
    let mut all: BTreeMap<String, Files<'a>> = BTreeMap::new();
    for (path, text) in scope.tree.texts_below(module).filter(|(path, _)| is_go(path)) {
        let folder = paths::parent(path);
        let elsewhere = inner.iter().any(|inner| folder == *inner || paths::is_below(folder, inner));
        if !elsewhere && !paths::relative(folder, module).split('/').any(ignored) {
            all.entry(folder.to_owned()).or_default().push(text);
        }
    }
    all
}

/// The packages that import PocketBase, by themselves or by another package of the module.
fn users(packages: &BTreeMap<String, Files<'_>>, module: &str, name: &str) -> BTreeSet<String> {
    let library = format!("\"{LIBRARY}");
    let own = format!("\"{name}/");
    let mut users = BTreeSet::new();
    let mut importers: BTreeMap<String, BTreeSet<&String>> = BTreeMap::new();
    let mut todo: Vec<String> = Vec::new();
    for (folder, files) in packages {
        if files.iter().any(|text| text.contains(&library)) {
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
        users.insert(folder);
    }
    users
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
