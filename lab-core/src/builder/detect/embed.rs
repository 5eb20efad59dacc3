//! Folders that a Go program embeds and that its frontend's build makes.

use super::{Candidate, Scope, candidate::DEPTH, go, paths};
use crate::builder::lab_toml::ServerKind;

/// A folder that is embedded and not committed.
#[derive(Debug, Clone)]
pub(super) struct Embed {
    /// The folder.
    pub target: String,
    /// The nearest package above it, inside the Go module.
    pub package: Option<String>,
}

/// Reads the `//go:embed` lines near the module's root.
pub(super) fn embeds(scope: &Scope<'_>, chosen: &Candidate) -> Vec<Embed> {
    if chosen.kind != ServerKind::Go {
        return Vec::new();
    }
    let mut all = Vec::new();
    for folder in scope.tree.folders(&chosen.root, DEPTH + 1) {
        for (_, text) in go::go_files(scope, &folder) {
            let patterns =
                text.lines().filter_map(|line| line.strip_prefix("//go:embed ")).flat_map(str::split_whitespace);
            let targets = patterns.filter_map(|pattern| target(&folder, pattern));
            all.extend(targets.filter(|target| scope.tree.kind(target).is_none()));
        }
    }
    all.into_iter().map(|target| Embed { package: package(scope, chosen, &target), target }).collect()
}

/// The folder that a pattern names, unless only an evaluation could tell.
fn target(folder: &str, pattern: &str) -> Option<String> {
    let pattern = pattern.trim_matches('"').trim_start_matches("all:").trim_end_matches("/*");
    if pattern.contains(['*', '?', '[']) { None } else { paths::normal(folder, pattern) }
}

fn package(scope: &Scope<'_>, chosen: &Candidate, target: &str) -> Option<String> {
    let mut folder = paths::parent(target);
    loop {
        if scope.tree.is_file(&paths::join(folder, "package.json")) {
            return Some(folder.to_owned());
        }
        if folder.is_empty() || folder == chosen.root {
            return None;
        }
        folder = paths::parent(folder);
    }
}
