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

/// The main packages of the module in `module`, those of modules inside it apart.
pub(super) fn mains(scope: &Scope<'_>, module: &str) -> Vec<Main> {
    let packages = packages(scope, module);
    let go_mod = scope.tree.text(&paths::join(module, "go.mod")).unwrap_or_default();
    let name = go_mod.lines().find_map(|line| line.strip_prefix("module "));
    let name = name.and_then(|name| name.split_whitespace().next()).unwrap_or_default().trim_matches('"');
    let main = |(folder, files): (&String, &Files<'_>)| {
        let own: Vec<&str> = files.iter().copied().filter(|text| is_main(text)).collect();
        if own.is_empty() {
            return None;
        }
        Some(Main {
            folder: folder.clone(),
            uses: uses(&packages, module, name, folder),
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

/// Whether a package or one that it imports from the same module imports PocketBase.
fn uses(packages: &BTreeMap<String, Files<'_>>, module: &str, name: &str, folder: &str) -> bool {
    let library = format!("\"{LIBRARY}");
    let own = format!("\"{name}/");
    let mut seen = BTreeSet::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(folder) = todo.pop() {
        if !seen.insert(folder.clone()) {
            continue;
        }
        for text in packages.get(&folder).into_iter().flatten() {
            if text.contains(&library) {
                return true;
            }
            let imports = text.match_indices(&own).filter_map(|(at, start)| text[at + start.len()..].split('"').next());
            todo.extend(imports.filter(|_| !name.is_empty()).map(|path| paths::join(module, path)));
        }
    }
    false
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
