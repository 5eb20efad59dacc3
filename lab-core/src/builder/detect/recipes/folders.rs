//! Folders that recipes give to PocketBase: `--hooksDir=backend/hooks`, `COPY db/migrations /pb/pb_migrations`,
//! `./public:/pb/pb_public`.

use super::{Kind, Recipe, Scope, dockerfile, paths};
use crate::builder::{
    detect::pocketbase::is_hook,
    tree::{Kind as Entry, is_migration},
};

/// What a folder is for PocketBase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Role {
    Hooks,
    Migrations,
    Public,
    Data,
}

/// A folder of the tree that a recipe gives a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Named {
    pub role: Role,
    /// From the tree.
    pub path: String,
    /// The recipe.
    pub file: String,
}

/// PocketBase's flags, and the variables that images and scripts call the same.
const FLAGS: &[(&str, Role)] = &[
    ("--hooksDir", Role::Hooks),
    ("--migrationsDir", Role::Migrations),
    ("--publicDir", Role::Public),
    ("--dir", Role::Data),
    ("HOOKS_DIR", Role::Hooks),
    ("MIGRATIONS_DIR", Role::Migrations),
    ("PUBLIC_DIR", Role::Public),
];

/// Names of PocketBase's folders, its own and those that people give them.
const NAMES: &[(&str, Role)] = &[
    ("pb_hooks", Role::Hooks),
    ("hooks", Role::Hooks),
    ("pb_migrations", Role::Migrations),
    ("migrations", Role::Migrations),
    ("pb_public", Role::Public),
    ("public", Role::Public),
    ("pb_data", Role::Data),
    ("data", Role::Data),
];

/// So many folders are believed of one file.
const MAX_SAID: usize = 64;

/// A longer path is none.
const MAX_PATH: usize = 512;

/// What `path` would be by its name alone.
fn by_name(path: &str) -> Option<Role> {
    let name = paths::name(path.trim_end_matches(['/', '*'])).to_ascii_lowercase();
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, role)| *role)
}

/// Whether a folder holds what one of that role must.
pub(in super::super) fn is_role(scope: &Scope<'_>, path: &str, role: Role) -> bool {
    let Some(folder) = scope.folder(path) else { return false };
    let mut files = scope.tree.children(&folder).filter(|(_, kind)| matches!(kind, Entry::File { .. }));
    match role {
        Role::Hooks => files.any(|(path, _)| is_hook(paths::name(path))),
        Role::Migrations => files.any(|(path, _)| {
            // a call of its own: other tools' migrations have functions of that name too; what is in a folder whose name
            // says nothing is not read
            let calls = || scope.tree.text(path).is_none_or(|text| text.lines().any(|it| it.starts_with("migrate(")));
            let name = paths::name(path);
            (is_migration(name) || paths::ends_in(name, &[".js"])) && calls()
        }),
        Role::Public => files.any(|(path, _)| paths::ends_in(path, &[".html"])),
        Role::Data => files.any(|(path, _)| paths::name(path) == "data.db"),
    }
}

/// Every folder that a recipe names and that is what it should be.
pub(in super::super) fn named(scope: &Scope<'_>) -> Vec<Named> {
    let mut all: Vec<Named> = Vec::new();
    for recipe in scope.recipes.iter().filter(|it| it.says_folders() && !it.is_aside()) {
        if !recipe.names_pocketbase() {
            continue;
        }
        let bases = bases(recipe, scope);
        for (role, path) in said(recipe).into_iter().take(MAX_SAID) {
            let found = bases.iter().find_map(|base| {
                let path = paths::normal(base, &path)?;
                (!path.is_empty() && is_role(scope, &path, role)).then_some(path)
            });
            let named = found.map(|path| Named { role, path, file: recipe.path.to_owned() });
            all.extend(named.filter(|named| !all.contains(named)));
        }
    }
    all
}

/// How recipes call folders of hooks, there or not.
pub(in super::super) fn hooks(scope: &Scope<'_>) -> Vec<String> {
    let recipes = scope.recipes.iter().filter(|it| it.says_folders() && !it.is_aside() && it.names_pocketbase());
    let said = recipes.flat_map(|recipe| said(recipe).into_iter().take(MAX_SAID));
    let mut names: Vec<String> =
        said.filter(|(role, _)| *role == Role::Hooks).map(|(_, path)| paths::name(&path).to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

/// Where a path that a recipe says may start.
fn bases(recipe: &Recipe<'_>, scope: &Scope<'_>) -> Vec<String> {
    let own = paths::parent(recipe.path);
    let mut bases = vec![own.to_owned(), scope.root.clone(), paths::parent(own).to_owned()];
    // `cd backend && ./pocketbase serve --hooksDir hooks`
    let words = recipe.text.split_whitespace().collect::<Vec<_>>();
    let moved = words.windows(2).filter(|pair| pair[0].trim_matches(['"', '(']) == "cd");
    bases.extend(moved.take(8).filter_map(|pair| paths::normal(own, pair[1].trim_matches(['"', '\'', ';', '&']))));
    bases
}

/// The folders that a recipe says, as it writes them.
fn said(recipe: &Recipe<'_>) -> Vec<(Role, String)> {
    let mut moves: Vec<(String, String)> = match recipe.kind {
        Kind::Dockerfile => dockerfile::copies(recipe.text),
        Kind::Compose => volumes(recipe.text),
        _ => Vec::new(),
    };
    let mut all: Vec<(Role, String)> = Vec::new();
    for (role, value) in flags(recipe.text) {
        // inside an image the flag's folder is one that was copied or mounted there
        let from = moves.iter().find(|(_, to)| to.trim_end_matches('/') == value).map(|(from, _)| from.clone());
        all.push((role, from.unwrap_or(value)));
    }
    moves.retain(|(_, to)| by_name(to).is_some());
    all.extend(moves.into_iter().filter_map(|(from, to)| Some((by_name(&to)?, clean(&from)))));
    all.retain(|(_, path)| !path.is_empty());
    all
}

/// `pb_migration[s]/*`, as some write to copy what may not be there.
fn clean(path: &str) -> String {
    path.trim_end_matches('*').trim_end_matches('/').replace(['[', ']'], "")
}

fn flags(text: &str) -> Vec<(Role, String)> {
    let mut all = Vec::new();
    for (flag, role) in FLAGS {
        for (at, _) in text.match_indices(flag).take(MAX_SAID) {
            let rest = &text[at + flag.len()..];
            let Some(value) = rest.strip_prefix(['=', ' ', '"', '\'', ',', ':', '\t']) else { continue };
            let value = value.trim_start_matches([' ', '"', '\'', ',', '=', '\t', '\\', '\n']);
            let value = &value[..value.floor_char_boundary(MAX_PATH)];
            let end = value.find(|c: char| c.is_whitespace() || "\"',;&|)]`\\".contains(c)).unwrap_or(value.len());
            all.push((*role, known_part(&value[..end])));
        }
    }
    all
}

/// A path without the variables at its start: what is after them is looked for near by.
fn known_part(value: &str) -> String {
    let value = value.trim_start_matches("./").trim_end_matches('/');
    let Some((before, after)) = value.rsplit_once('}') else {
        return if value.starts_with('$') {
            value.split_once('/').map_or(String::new(), |(_, rest)| rest.to_owned())
        } else {
            value.to_owned()
        };
    };
    // `${HOOKS_DIR:-hooks}`
    let default = before.rsplit_once(":-").map_or("", |(_, default)| default);
    paths::normal("", &format!("{default}{after}").trim_start_matches('/').replace("./", "")).unwrap_or_default()
}

/// `./a:/b` and the long form with `source` and `target`.
fn volumes(text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut source: Option<String> = None;
    for line in text.lines() {
        let line = line.split(" #").next().unwrap_or_default().trim().trim_start_matches("- ").trim();
        let line = line.trim_matches(['"', '\'']);
        if let Some(value) = line.strip_prefix("source:") {
            source = Some(value.trim().trim_matches(['"', '\'']).to_owned());
        } else if let (Some(target), Some(from)) = (line.strip_prefix("target:"), &source) {
            all.push((known_part(from), target.trim().trim_matches(['"', '\'']).to_owned()));
        } else if let Some((from, to)) = line.rsplit_once(":/") {
            let from = from.trim();
            if from.starts_with(['.', '$']) || from.contains('/') {
                all.push((known_part(from), format!("/{}", to.split(':').next().unwrap_or_default())));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_volumes_are_read_as_people_write_them() {
        let all = |text: &str| flags(text).into_iter().map(|(_, path)| path).collect::<Vec<_>>();
        assert_eq!(all("pocketbase serve --hooksDir=./backend/hooks --dir \"data\""), ["backend/hooks", "data"]);
        assert_eq!(all("[\"serve\", \"--hooksDir\", \"/pb/hooks\"]"), ["/pb/hooks"]);
        assert_eq!(all("--publicDir=$ROOT/site/"), ["site"]);
        assert_eq!(all("--migrationsDir=${M:-db/migrations}"), ["db/migrations"]);
        assert_eq!(
            volumes("- ./hooks:/pb_hooks # optional\n- \"${D:-./db}/m:/pb/pb_migrations:ro\"\n- data:/pb_data\n"),
            [("hooks".to_owned(), "/pb_hooks".to_owned()), ("db/m".to_owned(), "/pb/pb_migrations".to_owned())]
        );
    }
}
