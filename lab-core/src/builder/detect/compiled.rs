//! Hooks that are written in another language, such as TypeScript, and whose build is not committed.

use super::{
    Candidate, Folders, Notes, Scope, frameworks, frontend::words, manager, package::Package, path, paths, variables,
};
use crate::builder::plan::Frontend;

const HOOKS: &str = "pb_hooks";

/// So many folders are looked at for a package.
const MAX_FOLDERS: usize = 200;

/// Configurations that name the folder that a build writes to.
const CONFIGS: &[&str] = &["tsconfig", "tsup.config.", "tsdown.config.", "rollup.config.", "vite.config."];

/// The package whose build writes the hooks, and how it is built; none where hooks are committed.
pub(super) fn find(scope: &Scope<'_>, chosen: &Candidate, folders: &Folders, notes: &mut Notes) -> Option<Frontend> {
    let is_hook = |name: &str| name.ends_with(".pb.js");
    let stated = scope.stated.toml.hooks.is_some();
    if stated || folders.hooks.as_deref().is_some_and(|hooks| scope.tree.holds(hooks, is_hook)) {
        return None;
    }
    let homes = folders.all().map(paths::parent).chain([chosen.root.as_str()]);
    let mut places: Vec<String> = homes.flat_map(|home| scope.tree.folders(home, 1)).collect();
    places.push(scope.root.clone());
    let mut packages = places.iter().take(MAX_FOLDERS).filter_map(|folder| Package::read(scope, folder));
    let (package, script, output) = packages.find_map(|package| {
        // what a framework builds is a frontend
        let is_frontend = frameworks::judge(scope, &package).is_some();
        let (script, output) = writes(scope, &package).filter(|_| !is_frontend)?;
        Some((package, script, output))
    })?;
    let manager = manager::find(scope, &package);
    notes.say(format!(
        "`{}` builds `{output}`, which is not committed, by its script `{script}`",
        paths::join(&package.folder, "package.json")
    ));
    Some(Frontend {
        directory: path(&package.folder),
        commands: vec![words(manager.install), words(&[&manager.tool.name, "run", &script])],
        output: Some(path(&output)),
        node: manager::node(scope, &package),
        env: variables::build(scope, &package),
        manager: Some(manager.tool),
        optional: true,
    })
}

/// The script that builds hooks, and the folder it writes.
fn writes(scope: &Scope<'_>, package: &Package) -> Option<(String, String)> {
    let is_build = |name: &&String| name.starts_with("build") && !name.contains("watch");
    let mut names = package.scripts.keys().filter(is_build);
    let configs: String = CONFIGS.iter().map(|start| package.config(scope, start)).collect();
    names.find_map(|name| {
        let script = package.script(name);
        let told = folder(package, &script).or_else(|| folder(package, &configs))?;
        (!script.contains("--watch")).then(|| (name.clone(), told))
    })
}

/// The folder of that name that a text names, seen from its package.
fn folder(package: &Package, text: &str) -> Option<String> {
    let mut words = text.split([' ', '=', '"', '\'', ';', '&', ',', '(', ')', ':']);
    let word = words.find(|word| word.split('/').any(|name| name == HOOKS))?;
    let (before, _) = word.split_once(HOOKS)?;
    paths::normal(&package.folder, &format!("{before}{HOOKS}"))
}
