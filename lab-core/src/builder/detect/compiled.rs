//! Hooks that are written in another language, such as TypeScript, and whose build is not committed.

use super::{
    Candidate, Folders, Notes, Scope, frameworks, frontend::words, manager, package::Package, path, paths, variables,
};
use crate::builder::plan::Frontend;

const HOOKS: &str = "pb_hooks";

/// So many folders are looked at for a package.
const MAX_FOLDERS: usize = 200;

/// What names of scripts say that do something else with hooks than build them.
const OTHERS: &[&str] = &["watch", "dev", "test", "lint", "format", "check", "clean", "type", "deploy", "push"];

/// Configurations that name the folder that a build writes to.
const CONFIGS: &[&str] = &["tsconfig", "tsup.config.", "tsdown.config.", "rollup.config.", "vite.config."];

/// The package whose build writes the hooks, and how it is built; none where hooks are committed.
pub(super) fn find(scope: &Scope<'_>, chosen: &Candidate, folders: &Folders, notes: &mut Notes) -> Option<Frontend> {
    let is_hook = |name: &str| name.ends_with(".pb.js");
    let stated = scope.stated.toml.hooks.is_some();
    if stated || folders.hooks.as_deref().is_some_and(|hooks| scope.tree.holds(hooks, is_hook)) {
        return None;
    }
    let homes: Vec<&str> = folders.all().map(paths::parent).chain([chosen.root.as_str()]).collect();
    let mut places: Vec<String> = homes.iter().flat_map(|home| scope.tree.folders(home, 1)).collect();
    places.push(scope.root.clone());
    places.extend(scope.tree.folders(&scope.root, 1));
    let mut packages = places.iter().take(MAX_FOLDERS).filter_map(|folder| Package::read(scope, folder));
    let (package, script, output) = packages.find_map(|package| {
        let (script, output) = writes(scope, &package).filter(|(_, output)| homes.contains(&paths::parent(output)))?;
        // what a framework's own build makes is a frontend
        let is_frontend = package.build_script() == Some(&script) && frameworks::judge(scope, &package).is_some();
        (!is_frontend).then_some((package, script, output))
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
    let is_other = |name: &str| OTHERS.iter().any(|word| name.contains(word));
    let is_build = |name: &&String| (name.starts_with("build") || name.contains("hooks")) && !is_other(name);
    let mut names = package.scripts.keys().filter(is_build);
    let configs: String = CONFIGS.iter().map(|start| package.config(scope, start)).collect();
    names.find_map(|name| {
        let script = package.script(name);
        let config = || match named_config(scope, package, &script) {
            Some((base, text)) => folder(&base, text),
            None => folder(&package.folder, &configs),
        };
        let told = folder(&package.folder, &script).or_else(config)?;
        (!script.contains("--watch")).then(|| (name.clone(), told))
    })
}

/// The configuration that a script names, and the folder that its paths are seen from.
fn named_config<'a>(scope: &Scope<'a>, package: &Package, script: &str) -> Option<(String, &'a str)> {
    let mut words = script.split([' ', '=']);
    words.find(|word| ["-c", "--config", "-p", "--project"].contains(word))?;
    let path = paths::normal(&package.folder, words.next()?)?;
    let text = scope.tree.text(&path)?;
    let base = if text.contains("dirname") { paths::parent(&path) } else { &package.folder };
    Some((base.to_owned(), text))
}

/// The folder of that name that a text names, seen from `base`.
fn folder(base: &str, text: &str) -> Option<String> {
    let mut words = text.split([' ', '=', '"', '\'', ';', '&', ',', '(', ')', ':']);
    let word = words.find(|word| word.split('/').any(|name| name == HOOKS))?;
    let (before, _) = word.split_once(HOOKS)?;
    paths::normal(base, &format!("{before}{HOOKS}"))
}
