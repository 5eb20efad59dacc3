//! What the rules find, and how it is ranked.

use std::cmp::Reverse;

use super::{Scope, folders::Folders, paths};
use crate::builder::lab_toml::ServerKind;

/// Finds one kind of app.
pub(super) struct Rule {
    /// The kind.
    pub kind: ServerKind,
    /// What it looks for, for a person who has none of it.
    pub looked_for: &'static str,
    /// Finds every candidate.
    pub find: fn(&Scope<'_>) -> Vec<Candidate>,
}

/// A folder that may be the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// What kind of app.
    pub kind: ServerKind,
    /// Its folder.
    pub root: String,
    /// Higher is better.
    pub rank: Rank,
    /// PocketBase's folders that it was recognised by.
    pub folders: Folders,
    /// Why it is one.
    pub reason: String,
}

/// What speaks for a candidate, the weightiest first: the order of the fields is the order of the comparison.
#[expect(clippy::struct_excessive_bools, reason = "each is one independent point of a comparison")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// It is not in a folder such as `examples`.
    pub genuine: bool,
    /// There is something to run or to serve: a Go module has a main package.
    pub runs: bool,
    /// A Go module that requires PocketBase says more than a folder's name.
    pub go: bool,
    /// It has hooks, a schema, or both, not only files to serve.
    pub code: u8,
    /// A file at the root says how PocketBase is run with its folders.
    pub pointed: bool,
    /// It is recognised by its content, not only by what fetches or accompanies PocketBase.
    pub content: bool,
    /// What in its folder fetches PocketBase, and what starts it from elsewhere: what is nearer to the root may be left over.
    pub fetched: u8,
    /// The nearer to the root the better.
    pub near: Reverse<usize>,
    /// Its folder has a name that backends have.
    pub named: bool,
}

/// The folder itself and two levels below it: deeper ones add next to nothing and many false finds.
pub(super) const DEPTH: usize = 2;

/// Folders with copies of apps that are not the app.
const DECOYS: &[&str] = &[
    "test",
    "tests",
    "testdata",
    "__tests__",
    "e2e",
    "fixtures",
    "legacy",
    "old",
    "archive",
    "archived",
    "backup",
    "backups",
    "deprecated",
    "example",
    "examples",
    "demo",
    "demos",
    "sample",
    "samples",
    "template",
    "templates",
    "doc",
    "docs",
    "node_modules",
    "vendor",
    "third_party",
    "tools",
    "scripts",
    "playground",
];

/// What folders of backends are called most.
const BACKENDS: &[&str] = &["backend", "pocketbase", "pb", "server", "api"];

/// The name of `path`, below `root`, that makes it a decoy.
pub(super) fn decoy<'a>(path: &'a str, root: &str) -> Option<&'a str> {
    paths::relative(path, root).split('/').find(|name| {
        let name = name.to_ascii_lowercase();
        DECOYS.contains(&name.as_str()) || (name.starts_with('.') && name.len() > 1)
    })
}

/// Whether backends' folders are called that.
pub(super) fn is_backend_name(path: &str) -> bool {
    BACKENDS.contains(&paths::name(path).to_ascii_lowercase().as_str())
}

impl Candidate {
    /// A candidate in `root`, ranked by where it is.
    pub(super) fn new(scope: &Scope<'_>, kind: ServerKind, root: String, code: u8, reason: String) -> Self {
        let rank = Rank {
            genuine: decoy(&root, &scope.root).is_none(),
            runs: true,
            go: kind == ServerKind::Go,
            code,
            pointed: false,
            content: true,
            near: Reverse(paths::depth_below(&root, &scope.root)),
            fetched: 0,
            named: is_backend_name(&root),
        };
        Self { kind, root, rank, folders: Folders::default(), reason }
    }
}
