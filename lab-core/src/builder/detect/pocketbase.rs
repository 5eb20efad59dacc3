//! Apps that are files for the official PocketBase binary.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Candidate, Scope,
    candidate::{self, DEPTH, Rule},
    folders::Folders,
    paths,
    recipes::{Kind, Recipe, Role, is_role, versions},
    version,
};
use crate::builder::{lab_toml::ServerKind, tree::Kind as Entry};

mod reads;

pub(super) use reads::reads;

pub(super) const RULE: Rule = Rule {
    kind: ServerKind::PocketBase,
    looked_for: "`pb_hooks` with `*.pb.js`, `pb_migrations` with `*.js`, `pb_public` with files, an exported `pb_schema.json`, or something that fetches PocketBase",
    find,
};

/// A folder, and which files in it count.
type Folder = (&'static str, Role, fn(&str) -> bool);

/// PocketBase's own folders, and what makes each more than an empty one.
const FOLDERS: &[Folder] = &[
    ("pb_hooks", Role::Hooks, is_hook),
    ("pb_migrations", Role::Migrations, is_migration),
    ("pb_public", Role::Public, |name| name != ".gitkeep"),
];

/// Whether PocketBase loads a file of that name as hooks.
pub(super) fn is_hook(name: &str) -> bool {
    paths::ends_in(name, &[".pb.js", ".pb.ts"])
}

fn is_migration(name: &str) -> bool {
    paths::ends_in(name, &[".js", ".ts"])
}

/// What is in one folder.
#[derive(Debug, Default)]
struct Found {
    folders: Folders,
    /// A recipe at the root gives these folders to PocketBase.
    pointed: bool,
    /// Which recipe gave a folder of another name.
    by: Option<String>,
}

fn find(scope: &Scope<'_>) -> Vec<Candidate> {
    let near = by_content(scope, DEPTH + 1);
    // deeper ones are looked at only when there is none nearer: they are rarely the app
    let mut found = if near.is_empty() { by_content(scope, usize::MAX) } else { near };
    by_recipes(scope, &mut found);
    let started = Started::find(scope);
    let all: Vec<Candidate> = found.into_iter().map(|(root, found)| candidate(scope, &started, root, found)).collect();
    if all.is_empty() { traces(scope).into_iter().collect() } else { all }
}

/// Apps by what their folders are called or hold.
fn by_content(scope: &Scope<'_>, depth: usize) -> BTreeMap<String, Found> {
    let mut all: BTreeMap<String, Found> = BTreeMap::new();
    let mut inside: Option<String> = None;
    for path in scope.tree.folders_and_links(&scope.root, depth) {
        if path == scope.root || inside.as_ref().is_some_and(|inside| paths::is_below(&path, inside)) {
            continue;
        }
        let name = paths::name(&path).to_ascii_lowercase();
        let own = FOLDERS.iter().find(|(known, ..)| *known == name);
        let role = match own {
            Some((_, role, counts)) => scope.tree.holds(&path, counts).then_some(*role),
            None if is_role(scope, &path, Role::Hooks) && !is_home(scope, &path) => Some(Role::Hooks),
            None if name.contains("migrations") && is_role(scope, &path, Role::Migrations) => Some(Role::Migrations),
            None => None,
        };
        if own.is_some() || role == Some(Role::Hooks) {
            inside = Some(path.clone());
        }
        if let Some(role) = role {
            let found = all.entry(paths::parent(&path).to_owned()).or_default();
            // PocketBase's own name wins over another one beside it
            let slot = found.folders.slot(role);
            if slot.is_none() || own.is_some() {
                *slot = Some(path);
            }
        }
    }
    all
}

/// Whether PocketBase's own folders are in a folder: then it does not load hooks that lie beside them.
fn is_home(scope: &Scope<'_>, folder: &str) -> bool {
    let own = |name: &str| name == "pb_data" || FOLDERS.iter().any(|(known, ..)| *known == name);
    let mut inside = scope.tree.children(folder).filter(|(_, kind)| !matches!(kind, Entry::File { .. }));
    inside.any(|(path, _)| own(&paths::name(path).to_ascii_lowercase()))
}

/// Apps by what recipes call their folders.
fn by_recipes(scope: &Scope<'_>, all: &mut BTreeMap<String, Found>) {
    let named =
        scope.named.iter().filter(|named| named.role != Role::Data && paths::is_below(&named.path, &scope.root));
    let mut files: Vec<(&str, Vec<_>)> = Vec::new();
    for named in named {
        match files.iter_mut().find(|(file, _)| *file == named.file) {
            Some((_, same)) => same.push(named),
            None => files.push((&named.file, vec![named])),
        }
    }
    for (file, named) in files {
        let roles: Vec<Role> = named.iter().map(|named| named.role).collect();
        let is_one = roles.iter().enumerate().all(|(index, role)| !roles[..index].contains(role));
        let roots: Vec<&str> = named.iter().map(|named| paths::parent(&named.path)).collect();
        let common = roots.iter().skip(1).fold(roots[0], |common, root| paths::common(common, root));
        for (named, root) in named.iter().zip(&roots) {
            // a file that names two of a kind speaks of several apps
            let root = if is_one { common } else { root };
            if root != paths::parent(&named.path)
                && let Some(own) = all.get_mut(paths::parent(&named.path))
            {
                let slot = own.folders.slot(named.role);
                if slot.as_ref() == Some(&named.path) {
                    *slot = None;
                }
            }
            let found = all.entry(root.to_owned()).or_default();
            let slot = found.folders.slot(named.role);
            let known = slot.as_ref() == Some(&named.path);
            if !known && found.by.is_none() {
                *slot = Some(named.path.clone());
                found.by = Some(file.to_owned());
            } else if slot.is_none() {
                *slot = Some(named.path.clone());
            }
            let readme = scope.recipes.iter().any(|recipe| recipe.path == file && recipe.kind == Kind::Readme);
            found.pointed |= paths::parent(file) == scope.root && !readme;
        }
    }
    all.retain(|_, found| found.folders != Folders::default());
}

fn candidate(scope: &Scope<'_>, started: &Started<'_>, root: String, found: Found) -> Candidate {
    let folders = found.folders;
    let code = u8::from(folders.hooks.is_some()) + u8::from(folders.migrations.is_some());
    let names: Vec<String> = folders.all().map(|path| format!("`{path}`")).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    let by = found.by.map(|file| format!(", named by `{file}`")).unwrap_or_default();
    let reason = format!("{} {verb} there{by}: files for PocketBase", names.join(", "));
    let mut candidate = Candidate::new(scope, ServerKind::PocketBase, root, code, reason);
    candidate.rank.pointed = found.pointed;
    candidate.rank.fetched = started.rank(&candidate.root);
    candidate.folders = folders;
    candidate
}

/// Folders that recipes start PocketBase in.
struct Started<'a> {
    /// With a recipe in them that fetches it.
    fetching: BTreeSet<&'a str>,
    /// Those that compose files build or mount, and those above them.
    composed: BTreeSet<String>,
}

impl<'a> Started<'a> {
    fn find(scope: &'a Scope<'_>) -> Self {
        let in_use = || scope.recipes.iter().filter(|it| it.kind < Kind::Readme && !it.is_aside());
        let fetching = in_use().filter(|it| fetches(it)).map(|it| paths::parent(it.path)).collect();
        let mut composed = BTreeSet::new();
        for recipe in in_use().filter(|it| it.kind == Kind::Compose) {
            let words = recipe.text.split(|c: char| c.is_whitespace() || matches!(c, ':' | '"' | '\''));
            for path in words.filter_map(|word| paths::normal(paths::parent(recipe.path), word)) {
                let is_there = |path: &&str| !path.is_empty() && scope.tree.kind(path).is_some();
                composed.extend(paths::above(&path).chain([path.as_str()]).filter(is_there).map(str::to_owned));
            }
        }
        Self { fetching, composed }
    }

    fn rank(&self, root: &str) -> u8 {
        2 * u8::from(self.fetching.contains(root)) + u8::from(self.composed.contains(root))
    }
}

/// Whether a recipe brings PocketBase.
pub(super) fn fetches(recipe: &Recipe<'_>) -> bool {
    let is_image = recipe.kind <= Kind::Compose && recipe.text.contains("/pocketbase:");
    is_image || recipe.text.contains("pocketbase/releases") || versions::pinned(recipe).is_some()
}

/// What is left of an app when none of its folders are there: committed data, a program, something that fetches
/// PocketBase, or collections that it exported.
fn traces(scope: &Scope<'_>) -> Option<Candidate> {
    let genuine = |path: &str| candidate::decoy(paths::parent(path), &scope.root).is_none();
    let data = scope.tree.below(&scope.root).find(|(path, _)| path.ends_with("pb_data/data.db") && genuine(path));
    let program = || scope.tree.below(&scope.root).find(|(path, _)| is_program(scope, path) && genuine(path));
    let recipe = || scope.recipes.iter().find(|it| it.kind < Kind::Readme && !it.is_aside() && fetches(it));
    let (path, what) = match data {
        Some((path, _)) => (path, "is there: data of the official PocketBase"),
        None => match program() {
            Some((path, _)) => (path, "is there: PocketBase with nothing but its own"),
            None => match recipe() {
                Some(recipe) => (recipe.path, "runs PocketBase: the official one with nothing but its own"),
                None => {
                    (version::exports(scope).next()?, "is there: collections that the official PocketBase exported")
                }
            },
        },
    };
    let mut candidate =
        Candidate::new(scope, ServerKind::PocketBase, scope.root.clone(), 0, format!("`{path}` {what}"));
    candidate.rank.content = false;
    Some(candidate)
}

/// Whether a file is a committed PocketBase.
pub(super) fn is_program(scope: &Scope<'_>, path: &str) -> bool {
    let name = paths::name(path).to_ascii_lowercase();
    scope.tree.magic(path).is_some() && (name == "pb" || name == "pb.exe" || name.starts_with("pocketbase"))
}
