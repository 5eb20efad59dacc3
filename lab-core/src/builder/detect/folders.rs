//! Where an app's hooks, migrations and files to serve are.

use super::{BuildError, Candidate, Resolved, Scope, paths, recipes::Role};
use crate::builder::lab_toml::{FolderSection, Section, ServerKind};

/// The folders that an app has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Folders {
    pub hooks: Option<String>,
    pub migrations: Option<String>,
    pub public: Option<String>,
}

impl Folders {
    /// The folder of a role; data has none here.
    pub(super) fn slot(&mut self, role: Role) -> &mut Option<String> {
        match role {
            Role::Hooks => &mut self.hooks,
            Role::Migrations => &mut self.migrations,
            Role::Public | Role::Data => &mut self.public,
        }
    }

    /// Those that are there.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        [&self.hooks, &self.migrations, &self.public].into_iter().filter_map(|folder| folder.as_deref())
    }
}

/// What `lab.toml` says, else what the app was recognised by or a recipe names, else what is in the app's folder, else
/// what is in the folder that was looked in (a Go module often has its own folder, beside these).
pub(super) fn find(scope: &Scope<'_>, chosen: &Candidate) -> Result<Folders, BuildError> {
    let toml = &scope.stated.toml;
    let hooks = toml.hooks.as_ref().map(|section| section.on().map(|hooks| hooks.path.as_ref()));
    let of = |section: &'_ Option<Section<FolderSection>>| {
        section.as_ref().map(|section| section.on().map(|folder| Some(folder.path.clone())))
    };
    let mut found = Folders::default();
    for (role, name, stated) in [
        (Role::Hooks, "pb_hooks", hooks.map(|section| section.map(Option::<&_>::cloned))),
        (Role::Migrations, "pb_migrations", of(&toml.migrations)),
        (Role::Public, "pb_public", of(&toml.public)),
    ] {
        *found.slot(role) = match stated {
            Some(None) => None,
            Some(Some(Some(path))) => Some(scope.stated_folder(&path)?),
            Some(Some(None)) | None => match chosen.folders.clone().slot(role) {
                Some(known) => Some(known.clone()),
                None => detected(scope, chosen, role, name)?,
            },
        };
    }
    Ok(found)
}

fn detected(scope: &Scope<'_>, chosen: &Candidate, role: Role, name: &str) -> Result<Option<String>, BuildError> {
    let counts = |file: &str| match role {
        // a Go program may have packages of these names
        Role::Hooks | Role::Migrations => paths::ends_in(file, &[".js", ".ts"]),
        Role::Public | Role::Data => file != ".gitkeep",
    };
    for root in [&chosen.root, &scope.root] {
        let path = paths::join(root, name);
        if scope.tree.resolve(&path) == Resolved::Outside {
            return Err(BuildError::Invalid {
                what: format!("`{path}`"),
                reason: "is a link that leads out of the repository".to_owned(),
            });
        }
        if scope.tree.holds(&path, counts) {
            return Ok(Some(path));
        }
    }
    // a Go program is given them as its recipes give them
    let named = scope.named.iter().filter(|_| chosen.kind == ServerKind::Go);
    Ok(named.into_iter().find(|named| named.role == role).map(|named| named.path.clone()))
}
