//! Apps that are Go programs with PocketBase as a library.

use super::{
    BuildError, Candidate, Notes, Scope,
    candidate::{DEPTH, Rule},
    path, paths, pocketbase,
    recipes::Kind,
};
use crate::builder::{
    lab_toml::ServerKind,
    plan::{NEEDS_C, Server},
    tree,
};

mod env;
mod mains;
mod needs;
mod reads;

pub(super) use env::{env_file, fixed, listens};
use mains::{Holds, Main, mains};
pub(super) use needs::files;
pub(super) use reads::{beside, reads, serves, usual};

pub(super) const RULE: Rule = Rule {
    kind: ServerKind::Go,
    looked_for: "`go.mod` that requires `github.com/pocketbase/pocketbase`, with a main package",
    find,
};

const LIBRARY: &str = "github.com/pocketbase/pocketbase";

/// The part of it that runs hooks.
const JSVM: &str = "github.com/pocketbase/pocketbase/plugins/jsvm";

fn find(scope: &Scope<'_>) -> Vec<Candidate> {
    let in_depth = |depth: usize| -> Vec<Candidate> {
        let modules = scope.tree.texts_below(&scope.root).filter(|(path, _)| paths::name(path) == "go.mod");
        let folders = modules.map(|(path, _)| paths::parent(path).to_owned());
        folders
            .filter(|folder| paths::depth_below(folder, &scope.root) <= depth)
            .filter_map(|root| candidate(scope, root))
            .collect()
    };
    let near = in_depth(DEPTH);
    if near.is_empty() { in_depth(usize::MAX) } else { near }
}

fn candidate(scope: &Scope<'_>, root: String) -> Option<Candidate> {
    let file = paths::join(&root, "go.mod");
    let required = requires(scope.tree.text(&file)?)?;
    let mains = mains(scope, &root);
    let uses = mains.iter().any(Main::uses);
    let makes = mains.iter().any(|main| main.holds == Holds::All);
    // nobody tidied it up: what the program imports says more
    if required.indirect && !uses {
        return None;
    }
    let reason = match &required.version {
        Some(version) => format!("`{file}` requires PocketBase {version}: a Go program"),
        None => format!("`{file}` is PocketBase itself: a Go program"),
    };
    // a tool that only uses parts of PocketBase, or that is beside the official program, is not the app
    let is_app = makes && !runs_official(scope, &root);
    let mut candidate = Candidate::new(scope, ServerKind::Go, root, if is_app { 2 } else { 0 }, reason);
    candidate.rank.runs = uses || !mains.is_empty();
    candidate.rank.go = is_app;
    Some(candidate)
}

/// Whether the official program is run instead of the one in `module`: what is beside it, or above it where the app is
/// looked for, fetches that one, and nothing builds this one from Go.
fn runs_official(scope: &Scope<'_>, module: &str) -> bool {
    let is_other = |path: &str| nearest(scope, path).is_some_and(|nearest| nearest != module);
    let used = || scope.recipes.iter().filter(|it| it.kind <= Kind::Script && !it.is_aside() && !is_other(it.path));
    let fetched = |folder: &str| {
        used().any(|it| {
            let is_image = it.kind <= Kind::Compose && paths::parent(it.path) == folder;
            is_image && (it.text.contains("pocketbase/releases") || it.text.contains("/pocketbase:"))
        })
    };
    let official = (module != scope.root && fetched(&scope.root)) || (leaves_hooks(scope, module) && fetched(module));
    official && !used().any(|it| ["go build", "go run", "go install"].iter().any(|word| it.text.contains(word)))
}

/// The folder of the Go module that a file is in.
fn nearest<'a>(scope: &Scope<'_>, path: &'a str) -> Option<&'a str> {
    paths::above(path).find(|folder| scope.tree.is_file(&paths::join(folder, "go.mod")))
}

/// Whether a module has hooks beside it that its program could not run.
fn leaves_hooks(scope: &Scope<'_>, module: &str) -> bool {
    let hooks = paths::join(module, "pb_hooks");
    scope.tree.holds(&hooks, pocketbase::is_hook) && !files(scope, module).any(|(_, text)| text.contains(JSVM))
}

/// What a `go.mod` says of PocketBase.
struct Required {
    /// None: it is a copy of PocketBase itself.
    version: Option<String>,
    indirect: bool,
}

fn requires(go_mod: &str) -> Option<Required> {
    if mains::module_name(go_mod) == LIBRARY {
        return Some(Required { version: None, indirect: false });
    }
    required(go_mod, LIBRARY).map(|(version, indirect)| Required { version: Some(version.to_owned()), indirect })
}

/// The version of a library that a `go.mod` requires, without its `v`, and whether only another one needs it.
fn required<'a>(go_mod: &'a str, library: &str) -> Option<(&'a str, bool)> {
    go_mod.lines().find_map(|line| {
        let (code, comment) = line.split_once("//").unwrap_or((line, ""));
        let mut words = code.split_whitespace().skip_while(|word| *word == "require");
        let found = words.next()? == library;
        let version = words.next().filter(|_| found)?.strip_prefix('v')?;
        Some((version, comment.contains("indirect")))
    })
}

/// The Go version that a `go.mod` asks for: `toolchain go1.24.1`, else `go 1.24`.
fn go_version(go_mod: &str) -> Option<String> {
    let after = |start: &str| {
        let line = go_mod.lines().find_map(|line| line.trim().strip_prefix(start))?;
        let version = line.split_whitespace().next()?.split("//").next()?;
        let digits = version.starts_with(|c: char| c.is_ascii_digit());
        let plain = version.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
        (digits && plain && version.len() <= 32).then(|| version.to_owned())
    };
    after("toolchain go").or_else(|| after("go "))
}

/// How the module in `module` is built.
pub(super) fn server(scope: &Scope<'_>, module: &str, notes: &mut Notes) -> Result<Server, BuildError> {
    let server = scope.stated.server();
    let package = match server.and_then(|server| server.package.as_ref()) {
        Some(stated) => {
            let folder = paths::join(module, stated.get_ref().as_str());
            if !mains(scope, module).iter().any(|main| main.folder == folder) {
                let reason = format!("`{}` holds no Go file of `package main`", paths::shown(&folder));
                return Err(scope.stated.wrong(stated, &reason));
            }
            folder
        }
        None => main(scope, module, notes)?,
    };
    let relative = paths::relative(&package, module);
    let go_mod = scope.tree.text(&paths::join(module, "go.mod")).unwrap_or_default();
    let cgo = needs::cgo(scope, module);
    if let Some((file, library)) = &cgo {
        notes.say(format!("`{file}` uses `{library}`{NEEDS_C}"));
    }
    let go = go_version(go_mod);
    if let Some(go) = &go {
        notes.say(format!("`go.mod` asks for Go {go}"));
    }
    let tags = server.and_then(|server| server.tags.as_ref());
    Ok(Server::Go {
        module: path(module),
        package: if relative.is_empty() { ".".to_owned() } else { format!("./{relative}") },
        tags: tags.map_or_else(
            || needs::tags(scope, module, notes),
            |tags| tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
        ),
        pocketbase: requires(go_mod).and_then(|required| required.version),
        generate: needs::generate(scope, module, go_mod, notes),
        cgo: cgo.is_some(),
        go,
    })
}

/// Names of folders with programs that serve, and of those that only help.
const SERVES: &[&str] = &["server", "app", "api", "web", "pocketbase", "pb", "backend", "serve", "main"];

/// The folder of the main package, by the first of these that only one fits.
fn main(scope: &Scope<'_>, module: &str, notes: &mut Notes) -> Result<String, BuildError> {
    let all = mains(scope, module);
    let cmd = paths::join(module, "cmd");
    let built = needs::built(scope, module);
    let named = |main: &Main| SERVES.contains(&paths::name(&main.folder).to_ascii_lowercase().as_str());
    let go_mod = scope.tree.text(&paths::join(module, "go.mod")).unwrap_or_default();
    // `example.com/shop/v2`
    let called = mains::module_name(go_mod).rsplit('/').find(|name| !is_major(name)).unwrap_or_default();
    let ways: [Way<'_>; 12] = [
        ("at the module's root", &|main| main.folder == module && main.uses()),
        ("the only main package that runs on PocketBase", &|main| main.uses()),
        ("the only one that uses PocketBase and is no example or tool", &|main| main.uses() && main.genuine),
        ("the one that is built elsewhere", &|main| main.uses() && built.contains(&main.folder)),
        ("the only one that starts PocketBase", &|main| main.starts && main.genuine),
        ("the only one that runs PocketBase", &|main| main.uses() && main.runs && main.genuine),
        ("the one whose name says that it serves", &|main| main.uses() && main.genuine && named(main)),
        ("the one that is called like the module", &|main| {
            main.uses() && main.genuine && paths::name(&main.folder) == called
        }),
        ("the only one that starts and runs PocketBase", &|main| main.starts && main.runs),
        ("at the module's root, the others use no PocketBase either", &|main| main.folder == module),
        ("the only main package in `cmd`", &|main| paths::is_below(&main.folder, &cmd)),
        ("the only main package", &|_| true),
    ];
    // what makes a PocketBase is never passed over for what only uses it, nor that for what does not
    let most = all.iter().map(|main| main.holds).max();
    for (why, fits) in ways {
        let mut fitting = all.iter().filter(|main| Some(main.holds) == most && fits(main));
        if let (Some(main), None) = (fitting.next(), fitting.next()) {
            notes.say(format!("the main package is `{}`: {why}", paths::shown(&main.folder)));
            let others = all.iter().filter(|other| other.folder != main.folder).take(5);
            for other in others {
                let uses = if other.uses() { "" } else { " without PocketBase" };
                notes.say(format!("`{}`, a main package{uses}, was passed over", paths::shown(&other.folder)));
            }
            return Ok(main.folder.clone());
        }
    }
    let what = format!("the Go module `{}`", paths::shown(module));
    if all.is_empty() {
        return Err(BuildError::Invalid { what, reason: "holds no main package".to_owned() });
    }
    let shown: Vec<_> =
        all.iter().take(8).map(|main| format!("`{}`", paths::shown(paths::relative(&main.folder, module)))).collect();
    let reason = format!(
        "has {} main packages: {}; say which one in `lab.toml`: `[server]` with `package = \"{}\"`",
        all.len(),
        shown.join(", "),
        paths::shown(paths::relative(&all[0].folder, module))
    );
    Err(BuildError::Invalid { what, reason })
}

/// Whether the name in a module's path is its major version.
fn is_major(name: &str) -> bool {
    name.strip_prefix('v').is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// Why a main package is the one, and whether one fits.
type Way<'a> = (&'static str, &'a dyn Fn(&Main) -> bool);

/// The Go files in a folder itself, tests apart: name and text.
pub(super) fn go_files<'a>(scope: &'a Scope<'_>, folder: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let files =
        scope.tree.children(folder).filter(|(path, kind)| is_go(path) && matches!(kind, tree::Kind::File { .. }));
    files.filter_map(|(path, _)| Some((path, scope.tree.text(path)?)))
}

/// Whether a file is Go and no test.
fn is_go(path: &str) -> bool {
    path.strip_suffix(".go").is_some_and(|stem| !stem.ends_with("_test"))
}
