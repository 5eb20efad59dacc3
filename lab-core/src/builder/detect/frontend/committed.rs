//! Frontends that are committed as they are served.

use super::{Candidate, Found, Scope, paths};
use crate::builder::lab_toml::ServerKind;

/// Where builds put their result.
const OUTPUTS: &[&str] = &["dist", "build", "out"];

/// Folders of pages that were written by hand.
const PLAIN: &[&str] =
    &["public", "frontend", "web", "client", "ui", "www", "site", "website", "static", "dist", "build"];

fn has_page(scope: &Scope<'_>, folder: &str) -> bool {
    scope.tree.is_file(&paths::join(folder, "index.html"))
}

/// The committed result of a package's build.
pub(super) fn built(scope: &Scope<'_>, found: &Found) -> Option<String> {
    let folder = &found.package.folder;
    let outputs = match &found.output {
        Some(output) => vec![output.clone()],
        None => OUTPUTS.iter().map(|name| paths::join(folder, name)).collect(),
    };
    outputs.into_iter().find(|output| output != folder && has_page(scope, output))
}

/// A folder with a page beside an app for the official PocketBase, that no package could build.
pub(super) fn plain(scope: &Scope<'_>, chosen: &Candidate) -> Option<String> {
    if chosen.kind == ServerKind::Go || scope.stated.toml.public.is_some() {
        return None;
    }
    let beside = paths::is_below(&chosen.root, &scope.root).then(|| paths::parent(&chosen.root));
    let roots = [Some(chosen.root.as_str()), beside, Some(scope.root.as_str())];
    let is_package = |folder: &str| scope.tree.is_file(&paths::join(folder, "package.json"));
    // a page in a Flutter project is a template for its build
    let is_flutter = |folder: &str| scope.tree.is_file(&paths::join(folder, "pubspec.yaml"));
    let free = roots.into_iter().flatten().filter(|root| !is_package(root) && !is_flutter(root));
    let mut folders = free.flat_map(|root| PLAIN.iter().flat_map(|name| called(scope, root, name)));
    folders.find(|folder| has_page(scope, folder) && !is_package(folder) && !is_flutter(folder))
}

/// What is in a folder by that name, in small letters or capitals.
fn called(scope: &Scope<'_>, root: &str, name: &str) -> Vec<String> {
    let all = scope.tree.children(root).map(|(path, _)| path);
    all.filter(|path| paths::name(path).eq_ignore_ascii_case(name)).map(str::to_owned).collect()
}
