//! What a Go program embeds and a build may have to make.

use std::collections::BTreeMap;

use super::{Candidate, Scope, go, paths};
use crate::builder::{lab_toml::ServerKind, tree::Kind};

/// So deep below the module `//go:embed` lines are looked for.
const DEPTH: usize = 6;

/// So many are believed.
const MAX_EMBEDS: usize = 200;

/// What is committed of a folder that is embedded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Committed {
    /// Nothing: the program cannot be compiled before it is there.
    Missing,
    /// Something without a page, such as a `.gitkeep`.
    Empty,
    /// All of it.
    Whole,
}

/// A path that is embedded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Embed {
    /// The path.
    pub target: String,
    /// What of it is there.
    pub committed: Committed,
    /// The Go file that says so.
    pub file: String,
}

impl Embed {
    /// Whether a build has to make it.
    pub(super) fn is_wanted(&self) -> bool {
        self.committed != Committed::Whole
    }

    /// Whether the program cannot be compiled before a build has made it.
    pub(super) fn is_missing(&self) -> bool {
        self.committed == Committed::Missing
    }

    /// Whether a build that writes into `folder` makes it.
    pub(super) fn is_made_in(&self, folder: &str) -> bool {
        self.target == folder || paths::is_below(&self.target, folder)
    }

    /// Whether it may be what a frontend's build makes, rather than a single file.
    pub(super) fn is_folder(&self) -> bool {
        !paths::name(&self.target).contains('.')
    }
}

/// Reads the `//go:embed` lines of a Go program.
pub(super) fn embeds(scope: &Scope<'_>, chosen: &Candidate) -> Vec<Embed> {
    if chosen.kind != ServerKind::Go {
        return Vec::new();
    }
    let mut files: BTreeMap<String, &str> = BTreeMap::new();
    for folder in scope.tree.folders(&chosen.root, DEPTH) {
        for (file, text) in go::go_files(scope, &folder) {
            let patterns =
                text.lines().filter_map(|line| line.strip_prefix("//go:embed ")).flat_map(str::split_whitespace);
            for target in patterns.filter_map(|pattern| target(&folder, pattern)) {
                if files.len() < MAX_EMBEDS {
                    files.entry(target).or_insert(file);
                }
            }
        }
    }
    let embed = |(target, file): (String, &str)| {
        let committed = committed(scope, &target);
        Embed { target, committed, file: file.to_owned() }
    };
    let mut all: Vec<Embed> = files.into_iter().map(embed).collect();
    all.sort_by(|a, b| (a.committed, &a.target).cmp(&(b.committed, &b.target)));
    all
}

fn committed(scope: &Scope<'_>, target: &str) -> Committed {
    if scope.tree.is_file(target) {
        return Committed::Whole;
    }
    // Go takes no folder without files, and leaves out hidden ones
    if !scope.tree.holds(target, |_| true) {
        return Committed::Missing;
    }
    let placeholder = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.starts_with('.') || name.starts_with("placeholder") || name.starts_with("readme")
    };
    if !scope.tree.holds(target, |name| !placeholder(name)) {
        return Committed::Empty;
    }
    // a page of a few words only keeps the place
    let page = scope.tree.kind(&paths::join(target, "index.html"));
    let alone = scope.tree.below(target).filter(|(_, kind)| matches!(kind, Kind::File { .. })).count() == 1;
    match page {
        Some(Kind::File { size }) if alone && *size < 200 => Committed::Empty,
        _ => Committed::Whole,
    }
}

/// The path that a pattern names, unless only an evaluation could tell.
fn target(folder: &str, pattern: &str) -> Option<String> {
    let pattern = pattern.trim_matches(['"', '`']).trim_start_matches("all:");
    let pattern = pattern.trim_end_matches("/**").trim_end_matches("/*");
    if pattern.contains(['*', '?', '[']) || pattern.is_empty() { None } else { paths::normal(folder, pattern) }
}
