//! Where an app's hooks, migrations and files to serve are.

use super::{BuildError, Candidate, Resolved, Scope, paths};
use crate::builder::lab_toml::{FolderSection, Section};

/// The folders that an app has.
#[derive(Debug, Default)]
pub(super) struct Folders {
    pub hooks: Option<String>,
    pub migrations: Option<String>,
    pub public: Option<String>,
}

/// What `lab.toml` says, else what is in the app's folder, else what is in the folder that was looked in (a Go module
/// often has its own folder, beside these).
pub(super) fn find(scope: &Scope<'_>, chosen: &Candidate) -> Result<Folders, BuildError> {
    let toml = &scope.stated.toml;
    let one = |section: &Option<Section<FolderSection>>, name: &str| match section {
        Some(Section::Off) => Ok(None),
        Some(Section::On(folder)) => scope.stated_folder(&folder.path).map(Some),
        None => detected(scope, chosen, name),
    };
    Ok(Folders {
        hooks: one(&toml.hooks, "pb_hooks")?,
        migrations: one(&toml.migrations, "pb_migrations")?,
        public: one(&toml.public, "pb_public")?,
    })
}

fn detected(scope: &Scope<'_>, chosen: &Candidate, name: &str) -> Result<Option<String>, BuildError> {
    for root in [&chosen.root, &scope.root] {
        let path = paths::join(root, name);
        if scope.tree.resolve(&path) == Resolved::Outside {
            return Err(BuildError::Invalid {
                what: format!("`{path}`"),
                reason: "is a link that leads out of the repository".to_owned(),
            });
        }
        if scope.tree.holds(&path, |file| file != ".gitkeep") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
