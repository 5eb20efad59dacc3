//! The npm packages that hooks `require`.

use super::{Folders, Notes, Scope, manager, package::Package, path, paths, variables};
use crate::builder::plan::Packages;

/// How hooks name a package where PocketBase does not look by itself: `${__hooks}/node_modules/x`,
/// `__hooks + "/../node_modules/x"`.
const MODULES: &str = "node_modules/";

const CALLS: &[&str] = &["require(", "require(__hooks + ", "require(__hooks+"];

/// Files that may require one: `PocketPages` has code in its pages.
const CODE: &[&str] = &[".js", ".cjs", ".mjs", ".ts", ".ejs"];

/// Those that the nearest `package.json` lists which lists any: of the hooks' folder, or one above it.
pub(super) fn find(scope: &Scope<'_>, folders: &Folders, notes: &mut Notes) -> Option<Packages> {
    let hooks = folders.hooks.as_deref()?;
    let texts = scope.tree.texts_below(hooks).filter(|(path, _)| paths::ends_in(path, CODE));
    let required: Vec<&str> =
        texts.flat_map(|(_, text)| variables::arguments(text, CALLS)).filter_map(package_of).collect();
    let inside = |folder: &&str| *folder == scope.root || paths::is_below(folder, &scope.root);
    let places = std::iter::once(hooks).chain(paths::above(hooks)).filter(inside);
    let mut packages = places.filter_map(|folder| Package::read(scope, folder));
    let (package, name) = packages.find_map(|package| {
        let name = *required.iter().find(|name| package.needed.contains(**name))?;
        Some((package, name))
    })?;
    let manager = manager::find(scope, &package);
    let file = paths::join(&package.folder, "package.json");
    notes.say(format!("hooks require `{name}`, which `{file}` lists: its packages are installed for them"));
    Some(Packages {
        directory: path(&package.folder),
        install: manager.packages().into_iter().map(str::to_owned).collect(),
        manager: Some(manager.tool),
    })
}

/// The package that an argument of `require` names: `a`, `@a/b`, `a/lib/c.js`; none for a file.
fn package_of(argument: &str) -> Option<&str> {
    let name = argument.rsplit_once(MODULES).map_or(argument, |(_, name)| name);
    let is_file = name.starts_with(['.', '/']) || name.contains("${");
    let names = if name.starts_with('@') { 2 } else { 1 };
    let end = name.match_indices('/').nth(names - 1).map_or(name.len(), |(at, _)| at);
    (!is_file).then(|| &name[..end])
}
