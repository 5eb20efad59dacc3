//! Files that say how an app is run elsewhere: Dockerfiles, compose files, scripts, CI, README. They are read for what
//! they name and never run.

use super::{Scope, candidate, paths};
use crate::builder::tree::is_scripts_folder;

pub(super) mod dockerfile;
mod folders;
pub(super) mod versions;

pub(super) use folders::{Named, Role, hooks, is_role, named};

/// What kind of file, in the order in which they are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A `Dockerfile`.
    Dockerfile,
    /// A compose file.
    Compose,
    /// A script, a `Makefile`, CI, a platform's settings, a list of tools.
    Script,
    /// The scripts in a `package.json`.
    Package,
    /// A program that names PocketBase, in a folder for scripts: it is believed about the version, not about folders.
    Program,
    /// A `README`.
    Readme,
    /// A change log that came with PocketBase.
    Changelog,
}

/// One such file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recipe<'a> {
    pub kind: Kind,
    pub path: &'a str,
    pub text: &'a str,
}

/// Names of files that are for tests or development only.
const ASIDE: &[&str] =
    &["test", "tests", "e2e", "dev", "development", "local", "debug", "example", "sample", "old", "bak"];

/// So many are read, and so much of each: the time that a hostile repository can take is bounded.
const MAX_RECIPES: usize = 200;
const MAX_BYTES: usize = 64 << 10;

fn start(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_BYTES)]
}

impl<'a> Recipe<'a> {
    /// Every recipe of the tree, the most believable first: by kind, then the nearest to the root.
    pub(super) fn all(tree: &'a super::Tree) -> Vec<Self> {
        let mut all: Vec<Self> =
            tree.texts().filter_map(|(path, text)| Some(Self { kind: kind(path)?, path, text: start(text) })).collect();
        all.retain(|recipe| recipe.kind != Kind::Program || recipe.text.contains("pocketbase"));
        all.sort_by_key(|recipe| (recipe.kind, recipe.is_aside(), paths::depth(recipe.path)));
        all.truncate(MAX_RECIPES);
        all
    }

    /// Whether it is for something other than running the app.
    pub(super) fn is_aside(&self) -> bool {
        let name = paths::name(self.path).to_ascii_lowercase();
        name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| ASIDE.contains(&word)) || is_decoy(self.path)
    }

    /// Whether it is believed about folders.
    fn says_folders(&self) -> bool {
        !matches!(self.kind, Kind::Program | Kind::Changelog)
    }

    /// Whether PocketBase is what it is about.
    pub(super) fn names_pocketbase(&self) -> bool {
        let text = self.text.to_ascii_lowercase();
        text.contains("pocketbase") || text.contains("pb_")
    }
}

/// Scripts, documents and hidden folders hold recipes, though no apps.
fn is_decoy(path: &str) -> bool {
    let decoy = candidate::decoy(paths::parent(path), "");
    decoy.is_some_and(|name| !matches!(name, "scripts" | "tools" | "docs" | "doc") && !name.starts_with('.'))
}

fn kind(path: &str) -> Option<Kind> {
    let name = paths::name(path).to_ascii_lowercase();
    let is_yaml = paths::ends_in(&name, &[".yml", ".yaml"]);
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    Some(match name.as_str() {
        "containerfile" => Kind::Dockerfile,
        "package.json" => Kind::Package,
        _ if (name.starts_with("dockerfile") && !name.ends_with(".dockerignore")) || name.ends_with(".dockerfile") => {
            Kind::Dockerfile
        }
        _ if is_yaml && name.contains("compose") => Kind::Compose,
        _ if name.starts_with("readme") => Kind::Readme,
        _ if name.ends_with("changelog.md") => Kind::Changelog,
        ".tool-versions" | "mise.toml" | ".mise.toml" | ".pb-version" | ".pb_version" | ".pocketbase-version" => {
            Kind::Script
        }
        "makefile" | "gnumakefile" | "devbox.json" | "captain-definition" | "justfile" | ".justfile" | "procfile"
        | "procfile.dev" | "taskfile.yml" | "taskfile.yaml" | "fly.toml" | "render.yaml" | "railway.json"
        | "railway.toml" | "nixpacks.toml" | ".gitlab-ci.yml" => Kind::Script,
        _ if is_yaml && paths::parent(path).ends_with(".github/workflows") => Kind::Script,
        _ if name.starts_with(".env") || paths::ends_in(&name, &[".env"]) || name.starts_with("env.") => Kind::Script,
        _ if matches!(extension, Some("sh" | "ps1" | "bat")) => Kind::Script,
        // `install-pocketbase.mjs`; what is in PocketBase's own folders is code of the app
        _ if is_code(extension)
            && (name.contains("pocketbase") || name.contains("pb"))
            && !name.contains(".pb.")
            && !paths::name(paths::parent(path)).starts_with("pb_") =>
        {
            Kind::Script
        }
        _ if is_code(extension) && is_scripts_folder(paths::parent(path)) => Kind::Program,
        _ => return None,
    })
}

fn is_code(extension: Option<&str>) -> bool {
    matches!(extension, Some("js" | "mjs" | "cjs" | "ts" | "py"))
}

impl Scope<'_> {
    /// The folder that `path` is, links followed.
    pub(super) fn folder(&self, path: &str) -> Option<String> {
        match self.tree.resolve(path) {
            super::Resolved::Inside(path) if self.tree.is_folder(&path) => Some(path),
            _ => None,
        }
    }
}
