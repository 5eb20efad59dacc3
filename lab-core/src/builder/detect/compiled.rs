//! Hooks that are written in another language, such as TypeScript, and whose build is not committed.

use super::{
    Candidate, Folders, Notes, Scope, frameworks, frontend, manager, package::Package, path, paths, recipes, variables,
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
    if scope.stated.toml.hooks.is_some() {
        return None;
    }
    let homes: Vec<&str> = folders.all().map(paths::parent).chain([chosen.root.as_str()]).collect();
    let mut places: Vec<String> = homes.iter().flat_map(|home| scope.tree.folders(home, 1)).collect();
    places.push(scope.root.clone());
    places.extend(scope.tree.folders(&scope.root, 1));
    let mut packages = places.iter().take(MAX_FOLDERS).filter_map(|folder| Package::read(scope, folder));
    let names = recipes::hooks(scope);
    let (package, script, output) = packages.find_map(|package| {
        // of that name any app's may be; what a recipe names is this one's
        let is_here = |output: &str| paths::name(output) != HOOKS || homes.contains(&paths::parent(output));
        let (script, output) = writes(scope, &package, &names).filter(|(_, output)| is_here(output))?;
        // what a framework's own build makes is a frontend
        let is_frontend = package.build_script() == Some(&script) && frameworks::judge(scope, &package).is_some();
        (!is_frontend).then_some((package, script, output))
    })?;
    let is_committed = |hooks: &str| scope.tree.holds(hooks, |name| name.ends_with(".pb.js"));
    // what the build reads may be called as PocketBase wants it already
    let is_source = |hooks: &str| paths::is_below(hooks, &package.folder) && paths::name(hooks) != HOOKS;
    if is_committed(&output) || folders.hooks.as_deref().is_some_and(|hooks| is_committed(hooks) && !is_source(hooks)) {
        return None;
    }
    let manager = manager::find(scope, &package);
    notes.say(format!(
        "`{}` builds `{output}`, which is not committed, by its script `{script}`",
        paths::join(&package.folder, "package.json")
    ));
    Some(Frontend {
        directory: path(&package.folder),
        commands: vec![frontend::words(manager.install), frontend::words(&[&manager.tool.name, "run", &script])],
        output: Some(path(&output)),
        node: manager::node(scope, &package),
        env: variables::build(scope, &package),
        manager: Some(manager.tool),
        optional: true,
    })
}

/// The script that builds hooks, and the folder it writes: `pb_hooks`, or one that a recipe names and that is not there.
fn writes(scope: &Scope<'_>, package: &Package, names: &[String]) -> Option<(String, String)> {
    let is_other = |name: &str| OTHERS.iter().any(|word| name.contains(word));
    let is_build = |name: &&String| (name.starts_with("build") || name.contains("hooks")) && !is_other(name);
    let mut scripts = package.scripts.keys().filter(is_build);
    let configs: String = CONFIGS.iter().map(|start| package.config(scope, start)).collect();
    scripts.find_map(|name| {
        let script = package.script(name);
        let config = named_config(scope, package, &script).unwrap_or_else(|| (package.folder.clone(), &configs));
        let mut texts = [(package.folder.clone(), script.as_str()), config].into_iter();
        let own = texts.clone().find_map(|(base, text)| folder(&base, text));
        let told = own.or_else(|| texts.find_map(|(base, text)| named(scope, &base, text, names)))?;
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

/// The words of a text that may be paths.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', '=', '"', '\'', ';', '&', ',', '(', ')', ':'])
}

/// The folder `pb_hooks` that a text names, seen from `base`.
fn folder(base: &str, text: &str) -> Option<String> {
    let word = words(text).find(|word| word.split('/').any(|name| name == HOOKS))?;
    let (before, _) = word.split_once(HOOKS)?;
    paths::normal(base, &format!("{before}{HOOKS}"))
}

/// The folder of one of these names that a text names, seen from `base`, and that is still to be made.
fn named(scope: &Scope<'_>, base: &str, text: &str, names: &[String]) -> Option<String> {
    let of_name = words(text).filter(|word| names.iter().any(|name| name == paths::name(word.trim_end_matches('/'))));
    let mut all = of_name.filter_map(|word| paths::normal(base, word));
    all.find(|path| !path.is_empty() && scope.tree.kind(path).is_none())
}
