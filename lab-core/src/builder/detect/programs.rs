//! Committed PocketBase programs: which of them serves, and what is told of the others.

use super::{
    BuildError, Candidate, Notes, Resolved, Scope, candidate, folders::Folders, path, paths, pocketbase, version,
};
use crate::builder::{
    plan::Server,
    tree::{Magic, Program},
};

/// The committed program that serves an app which is not built from Go: the one that `lab.toml` names, else PocketBase with
/// code of the app's own in it, for the server's platform, unless something speaks for the official one.
pub(super) fn own(
    scope: &Scope<'_>,
    chosen: &Candidate,
    folders: &Folders,
    notes: &mut Notes,
) -> Result<Option<Server>, BuildError> {
    if let Some(at) = stated(scope)? {
        notes.say(format!("`{at}` is run: `{}` names it", scope.stated.path()));
        let pocketbase = scope.tree.program(&at).and_then(|program| program.version.clone());
        return Ok(Some(Server::Program { path: path(&at), pocketbase }));
    }
    let Some((at, program, code)) = nearest_own(scope, chosen) else { return Ok(None) };
    let version = program.version.as_deref().unwrap_or_default();
    let what = format!("`{at}` is a committed program with code of the app's own (`{code}`), on PocketBase {version}");
    if let Some(why) = version::against(scope, chosen, folders, version) {
        notes.warn(format!("{what}, and is not run: {why}; to have it run, {}", statement(scope, at)));
        return Ok(None);
    }
    notes.say(format!("{what}: it is run as it is"));
    Ok(Some(Server::Program { path: path(at), pocketbase: program.version.clone() }))
}

/// What a person does to have a program run.
fn statement(scope: &Scope<'_>, at: &str) -> String {
    let (path, toml) = (paths::relative(at, &scope.stated.base), scope.stated.path());
    format!("state `program = \"{path}\"` below `[server]` in `{toml}`")
}

/// A committed file that is the very release that runs, wherever it is: it serves where that is not to be had.
pub(super) fn released(scope: &Scope<'_>, version: &str) -> Option<String> {
    let mut all = scope.tree.programs().filter(|(at, program)| {
        let is_it = program.is_official() && program.version.as_deref() == Some(version);
        is_it && is_for_server(scope, at) && paths::is_below(at, &scope.root)
    });
    all.next().map(|(at, _)| at.to_owned())
}

/// Whether the server can run it.
fn is_for_server(scope: &Scope<'_>, at: &str) -> bool {
    scope.tree.magic(at) == Some(scope.settings.programs) && pocketbase::is_program(scope, at)
}

/// The program that `lab.toml` names. Of a name that says nothing, its content is looked at when it is copied.
fn stated(scope: &Scope<'_>) -> Result<Option<String>, BuildError> {
    let Some(stated) = scope.stated.server().and_then(|server| server.program.as_ref()) else { return Ok(None) };
    let at = scope.stated.in_tree(stated);
    let wrong = |what: &str| Err(scope.stated.wrong(stated, &format!("`{}` {what}", paths::shown(&at))));
    let real = match scope.tree.resolve(&at) {
        Resolved::Inside(real) if scope.tree.is_file(&real) => real,
        Resolved::Inside(_) => return wrong("is not a file"),
        Resolved::Missing => return wrong("is not there"),
        Resolved::Outside => return wrong("leads out of the repository"),
    };
    match scope.tree.magic(&real) {
        Some(Magic::LfsPointer) => {
            wrong("is a pointer to a program in Git LFS, which Lab does not fetch: commit the file itself")
        }
        Some(magic) if magic != scope.settings.programs => {
            let (is, wanted) = (magic.platform(), scope.settings.programs.platform());
            wrong(&format!("is a program for {is}, and the server needs one for {wanted}"))
        }
        _ => Ok(Some(at)),
    }
}

/// The programs for the server's platform that may be the app's: those in its folder first, then those below it, above it
/// and beside it, the nearest first. What is beside PocketBase's folders of another app is that app's.
fn near<'a>(scope: &'a Scope<'_>, chosen: &Candidate) -> Vec<(&'a str, &'a Program)> {
    let root = chosen.root.as_str();
    let way = |at: &str| {
        let folder = paths::parent(at);
        let is_genuine = |above: &str| candidate::decoy(folder, above).is_none();
        let order = if folder == root {
            0
        } else if paths::is_below(folder, root) && is_genuine(root) {
            1
        } else if paths::is_below(root, folder) {
            2
        } else if !paths::is_below(folder, root) && is_genuine(&scope.root) && !holds_an_app(scope, folder) {
            3
        } else {
            return None;
        };
        Some((order, paths::depth(folder).abs_diff(paths::depth(root)), paths::name(at).len()))
    };
    let all = scope.tree.programs().filter(|(at, _)| paths::is_below(at, &scope.root) && is_for_server(scope, at));
    let mut all: Vec<_> = all.filter_map(|(at, program)| Some((way(at)?, at, program))).collect();
    all.sort_by_key(|(way, at, _)| (*way, *at));
    all.into_iter().map(|(_, at, program)| (at, program)).collect()
}

fn holds_an_app(scope: &Scope<'_>, folder: &str) -> bool {
    let is_one = |name: &str| ["pb_hooks", "pb_migrations", "pb_public"].contains(&name);
    scope.tree.children(folder).any(|(path, _)| is_one(paths::name(path)))
}

/// The nearest with code of its own, and the package of that code.
fn nearest_own<'a>(scope: &'a Scope<'_>, chosen: &Candidate) -> Option<(&'a str, &'a Program, &'a str)> {
    near(scope, chosen).into_iter().find_map(|(at, program)| Some((at, program, program.own_code()?)))
}

/// Tells of committed programs, where the official PocketBase of that version runs.
pub(super) fn told(scope: &Scope<'_>, chosen: &Candidate, version: &str, released: Option<&str>, notes: &mut Notes) {
    let told = nearest_own(scope, chosen).map(|(at, ..)| at);
    let programs = scope.tree.magics().filter(|(at, _)| pocketbase::is_program(scope, at));
    for (at, magic) in programs.filter(|(at, _)| paths::is_below(at, &scope.root)).take(4) {
        let instead = format!("it is not run, the official PocketBase {version} is");
        let program = scope.tree.program(at);
        let own = program.and_then(|program| program.version.as_deref());
        let code = program.and_then(Program::own_code);
        match (magic, own, code) {
            (Magic::LfsPointer, ..) => notes.warn(format!("`{at}` is a pointer to a program in Git LFS: {instead}")),
            // `own` has told of it
            _ if told == Some(at) => {}
            (_, Some(own), None) if own == version => {
                let else_itself =
                    if released == Some(at) { ", and the file itself where it is not to be had" } else { "" };
                notes.say(format!(
                    "`{at}` is a committed PocketBase {own}: the official one of that version is run{else_itself}"
                ));
            }
            (magic, own, code) => {
                let of = own.map_or("of an unknown version".to_owned(), |own| format!("PocketBase {own}"));
                let more = match code {
                    Some(code) => format!(", and lacks its own code (`{code}`)"),
                    // packed, for example
                    None if own.is_none() && magic == scope.settings.programs => {
                        format!("; to have it run, {}", statement(scope, at))
                    }
                    None => String::new(),
                };
                notes.warn(format!("`{at}` is a committed program for {}, {of}: {instead}{more}", magic.platform()));
            }
        }
    }
}
