//! Apps that are Go programs with PocketBase as a library.

use super::{
    BuildError, Candidate, Notes, Scope,
    candidate::{DEPTH, Rule},
    path, paths,
};
use crate::builder::{lab_toml::ServerKind, plan::Server};

pub(super) const RULE: Rule =
    Rule { kind: ServerKind::Go, looked_for: "`go.mod` that requires `github.com/pocketbase/pocketbase`", find };

const LIBRARY: &str = "github.com/pocketbase/pocketbase";

fn find(scope: &Scope<'_>) -> Vec<Candidate> {
    scope.tree.folders(&scope.root, DEPTH).into_iter().filter_map(|root| candidate(scope, root)).collect()
}

fn candidate(scope: &Scope<'_>, root: String) -> Option<Candidate> {
    let file = paths::join(&root, "go.mod");
    let version = requires(scope.tree.text(&file)?)?;
    let reason = format!("`{file}` requires PocketBase {version}: a Go program");
    Some(Candidate::new(scope, ServerKind::Go, root, true, reason))
}

/// The version of PocketBase that a `go.mod` requires directly.
fn requires(go_mod: &str) -> Option<String> {
    go_mod.lines().find_map(|line| {
        let (code, comment) = line.split_once("//").unwrap_or((line, ""));
        let mut words = code.split_whitespace().skip_while(|word| *word == "require");
        let found = words.next()? == LIBRARY && !comment.contains("indirect");
        let version = words.next().filter(|_| found)?;
        version.starts_with('v').then(|| version.trim_start_matches('v').to_owned())
    })
}

/// How the module in `module` is built.
pub(super) fn server(scope: &Scope<'_>, module: &str, notes: &mut Notes) -> Result<Server, BuildError> {
    let server = scope.stated.server();
    let package = match server.and_then(|server| server.package.as_ref()) {
        Some(stated) => {
            let folder = paths::join(module, stated.get_ref().as_str());
            if !mains(scope, module).iter().any(|(main, _)| *main == folder) {
                let reason = format!("`{}` holds no Go file of `package main`", paths::shown(&folder));
                return Err(scope.stated.wrong(stated, &reason));
            }
            folder
        }
        None => main(scope, module, notes)?,
    };
    let relative = paths::relative(&package, module);
    let tags = server.and_then(|server| server.tags.as_ref());
    Ok(Server::Go {
        module: path(module),
        package: if relative.is_empty() { ".".to_owned() } else { format!("./{relative}") },
        tags: tags.map_or_else(
            || vec!["production".to_owned()],
            |tags| tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
        ),
        pocketbase: scope.tree.text(&paths::join(module, "go.mod")).and_then(requires),
        cgo: false,
        go: None,
    })
}

/// The folder of the main package: the module's own, else the only one that makes a PocketBase, else the only one in
/// `cmd`, else the only one.
fn main(scope: &Scope<'_>, module: &str, notes: &mut Notes) -> Result<String, BuildError> {
    let all = mains(scope, module);
    let cmd = paths::join(module, "cmd");
    let ways: [Way<'_>; 4] = [
        ("at the module's root", &|folder, _| folder == module),
        ("the only main package that uses PocketBase", &|_, uses| uses),
        ("the only main package in `cmd`", &|folder, _| paths::is_below(folder, &cmd)),
        ("the only main package", &|_, _| true),
    ];
    for (why, fits) in ways {
        let mut fitting = all.iter().filter(|(folder, uses)| fits(folder, *uses));
        if let (Some((folder, _)), None) = (fitting.next(), fitting.next()) {
            notes.say(format!("the main package is `{}`: {why}", paths::shown(folder)));
            return Ok(folder.clone());
        }
    }
    let what = format!("the Go module `{}`", paths::shown(module));
    if all.is_empty() {
        return Err(BuildError::Invalid { what, reason: "holds no main package".to_owned() });
    }
    let shown: Vec<_> =
        all.iter().take(8).map(|(folder, _)| format!("`{}`", paths::relative(folder, module))).collect();
    let reason = format!(
        "has {} main packages: {}; say which one in `lab.toml`: `[server]` with `package = \"{}\"`",
        all.len(),
        shown.join(", "),
        paths::relative(&all[0].0, module)
    );
    Err(BuildError::Invalid { what, reason })
}

/// Why a main package is the one, and whether one fits, by its folder and whether it uses PocketBase.
type Way<'a> = (&'static str, &'a dyn Fn(&str, bool) -> bool);

/// The folders with a main package, and whether each names PocketBase.
fn mains(scope: &Scope<'_>, module: &str) -> Vec<(String, bool)> {
    let mut found: Vec<(String, bool)> = Vec::new();
    let mut inner: Vec<String> = Vec::new();
    for folder in scope.tree.folders(module, usize::MAX) {
        let ignored =
            |name: &str| matches!(name, "testdata" | "vendor" | "node_modules") || name.starts_with(['_', '.']);
        let is_inner = folder != module && scope.tree.is_file(&paths::join(&folder, "go.mod"));
        if is_inner {
            inner.push(folder.clone());
        }
        if inner.iter().any(|inner| folder == *inner || paths::is_below(&folder, inner))
            || paths::relative(&folder, module).split('/').any(ignored)
        {
            continue;
        }
        let sources: Vec<&str> = go_files(scope, &folder).map(|(_, text)| text).filter(|text| is_main(text)).collect();
        if !sources.is_empty() {
            found.push((folder, sources.iter().any(|text| text.contains(LIBRARY))));
        }
    }
    found
}

/// The Go files in a folder itself, tests apart: name and text.
pub(super) fn go_files<'a>(scope: &'a Scope<'_>, folder: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let depth = paths::depth(folder) + 1;
    scope.tree.below(folder).filter_map(move |(path, _)| {
        let counts = go_file(path) && !path.ends_with("_test.go") && paths::depth(path) == depth;
        counts.then(|| scope.tree.text(path).map(|text| (path, text)))?
    })
}

fn go_file(path: &str) -> bool {
    path.strip_suffix(".go").is_some()
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
