//! What is committed beside an app's code: data, pointers to what is elsewhere.

use super::{
    BuildError, Candidate, Notes, Resolved, Scope, candidate, folders::Folders, paths, pocketbase, recipes::Role,
    version,
};
use crate::builder::tree::{Kind, Magic};

/// A committed data folder that a new app may be seeded from: beside the app's folders, else the only one.
pub(super) fn seed(scope: &Scope<'_>, folders: &Folders, module: Option<&str>, notes: &mut Notes) -> Option<String> {
    let is_data = |folder: &str| {
        let file = paths::join(folder, "data.db");
        let full = matches!(scope.tree.kind(&file), Some(Kind::File { size }) if *size > 0);
        full && scope.tree.magic(&file) != Some(Magic::LfsPointer)
    };
    let named = scope.named.iter().filter(|named| named.role == Role::Data).map(|named| named.path.clone());
    let homes = folders.all().map(paths::parent).chain(module).map(|home| paths::join(home, "pb_data"));
    let near = homes.chain([paths::join(&scope.root, "pb_data")]).chain(named).find(|folder| is_data(folder));
    let found = near.or_else(|| {
        let all = scope.tree.below(&scope.root).filter_map(|(path, _)| path.strip_suffix("/data.db"));
        let genuine = all.filter(|folder| {
            paths::name(folder) == "pb_data" && candidate::decoy(folder, &scope.root).is_none() && is_data(folder)
        });
        let mut genuine = genuine;
        genuine.next().filter(|_| genuine.next().is_none()).map(str::to_owned)
    })?;
    notes.say(format!("`{found}` is committed data: a new app is seeded from it only on request (`--seed-data`)"));
    Some(found)
}

/// Git LFS keeps some files elsewhere, and only pointers are here: no app runs on pointers to its code.
pub(super) fn pointers(scope: &Scope<'_>, folders: &Folders, notes: &mut Notes) -> Result<(), BuildError> {
    let pointers: Vec<&str> =
        scope.tree.magics().filter(|(_, magic)| *magic == Magic::LfsPointer).map(|(path, _)| path).collect();
    let inside = |folder: &Option<String>| {
        let folder = match scope.tree.resolve(folder.as_deref()?) {
            Resolved::Inside(folder) => folder,
            Resolved::Missing | Resolved::Outside => return None,
        };
        let code = |path: &str| paths::ends_in(path, &[".js", ".ts"]);
        pointers.iter().find(|path| paths::is_below(path, &folder) && code(path)).copied()
    };
    if let Some(path) = inside(&folders.hooks).or_else(|| inside(&folders.migrations)) {
        return Err(BuildError::Invalid {
            what: format!("`{path}`"),
            reason: "is a Git LFS pointer, and the app cannot run without its content; commit the file itself: \
                     `git lfs migrate export --include=\"*.js\"`"
                .to_owned(),
        });
    }
    if let Some(first) = pointers.first() {
        let more = if pointers.len() > 1 { format!(" and {} more", pointers.len() - 1) } else { String::new() };
        notes.warn(format!(
            "`{first}`{more} hold only Git LFS pointers, which Lab does not fetch: they are left as they are"
        ));
    }
    Ok(())
}

/// Tells of exported collections where nothing else makes any: PocketBase does not read them by itself.
pub(super) fn exports(scope: &Scope<'_>, folders: &Folders, notes: &mut Notes) {
    if folders.migrations.is_none()
        && let Some(file) = version::exports(scope).next()
    {
        notes.warn(format!(
            "`{file}` holds collections that PocketBase does not make by itself: the dashboard imports it (Settings, Import collections)"
        ));
    }
}

/// Tells of hooks that lie beside the folder that PocketBase loads.
pub(super) fn strays(scope: &Scope<'_>, chosen: &Candidate, folders: &Folders, notes: &mut Notes) {
    let mut beside = scope.tree.children(&chosen.root).map(|(path, _)| path);
    if folders.hooks.is_none()
        && let Some(path) = beside.find(|path| pocketbase::is_hook(paths::name(path)))
    {
        notes.warn(format!("`{path}` is in no folder of hooks: PocketBase does not load it; move it into `pb_hooks`"));
    }
}

/// Submodules whose folder is empty here.
pub(super) fn submodules(scope: &Scope<'_>, notes: &mut Notes) {
    let text = scope.tree.text(".gitmodules").unwrap_or_default();
    let named = text.lines().filter_map(|line| line.trim().strip_prefix("path")?.trim_start().strip_prefix('='));
    let empty = named.map(str::trim).filter(|path| scope.tree.below(path).next().is_none());
    for path in empty.take(8) {
        notes.warn(format!("the submodule `{path}` is empty here: what it holds is not part of the app"));
    }
}
