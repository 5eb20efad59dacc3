//! Apps that are files for the official PocketBase binary.

use super::{
    Candidate, Scope,
    candidate::{DEPTH, Rule},
    paths,
};
use crate::builder::lab_toml::ServerKind;

pub(super) const RULE: Rule = Rule {
    kind: ServerKind::PocketBase,
    looked_for: "`pb_hooks` with `*.pb.js`, `pb_migrations` with `*.js`, or `pb_public` with files",
    find,
};

/// A folder, and which files in it count.
type Folder = (&'static str, fn(&str) -> bool);

/// PocketBase's own folders, and what makes each more than an empty one.
const FOLDERS: &[Folder] =
    &[("pb_hooks", is_hook), ("pb_migrations", is_migration), (PUBLIC, |name| name != ".gitkeep")];

const PUBLIC: &str = "pb_public";

fn is_hook(name: &str) -> bool {
    name.ends_with(".pb.js") || name.ends_with(".pb.ts")
}

fn is_migration(name: &str) -> bool {
    [".js", ".ts"].iter().any(|end| name.ends_with(end))
}

fn find(scope: &Scope<'_>) -> Vec<Candidate> {
    scope.tree.folders(&scope.root, DEPTH).into_iter().filter_map(|root| candidate(scope, root)).collect()
}

fn candidate(scope: &Scope<'_>, root: String) -> Option<Candidate> {
    let found: Vec<&str> = FOLDERS
        .iter()
        .filter(|(name, counts)| scope.tree.holds(&paths::join(&root, name), counts))
        .map(|(name, _)| *name)
        .collect();
    if found.is_empty() {
        return None;
    }
    let code = found.iter().any(|name| *name != PUBLIC);
    let names: Vec<String> = found.iter().map(|name| format!("`{}`", paths::join(&root, name))).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    let reason = format!("{} {verb} there: files for the official PocketBase", names.join(", "));
    Some(Candidate::new(scope, ServerKind::PocketBase, root, code, reason))
}
