//! Where in a release the files are that an app reads.

use std::path::Path;

use super::{BuildPlan, Server};
use crate::builder::SEED;

/// What Lab itself puts into a release, beside the program.
pub(crate) const RESERVED: &[&str] = &["pb_data", "pb_hooks", "pb_migrations", "pb_public", "release.json", SEED];

impl BuildPlan {
    /// Each of `files`, and every place in the release where the app may look for it: seen from a Go program's module;
    /// for a committed program from where that is; for it and the official PocketBase from where the hooks and the migrations are, and from the repository itself, because
    /// nothing says in which of them its owner starts it.
    pub(crate) fn placed(&self) -> Vec<(&Path, &Path)> {
        let beside = [&self.hooks, &self.migrations].map(|folder| folder.as_deref().and_then(Path::parent));
        let (mut bases, program): (Vec<&Path>, _) = match &self.server {
            // where it runs in the module's folder, everything is at its place in the tree
            Server::Go { .. } if self.directory.is_some() => (vec![Path::new("")], "app"),
            Server::Go { module, .. } => (vec![module], "app"),
            Server::PocketBase { .. } => (beside.into_iter().flatten().chain([Path::new("")]).collect(), "pocketbase"),
            Server::Program { path, .. } => {
                (path.parent().into_iter().chain(beside.into_iter().flatten()).chain([Path::new("")]).collect(), "app")
            }
        };
        bases.dedup();
        let is_free = |place: &Path| {
            place.iter().next().is_some_and(|first| first != program && RESERVED.iter().all(|name| first != *name))
        };
        let mut all = Vec::new();
        for file in &self.files {
            let places = bases.iter().filter_map(|base| file.strip_prefix(base).ok());
            all.extend(places.filter(|place| is_free(place)).map(|place| (file.as_path(), place)));
        }
        all
    }
}
