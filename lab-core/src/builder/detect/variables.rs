//! Variables of the environment that an app seems to want.

use std::collections::{BTreeMap, BTreeSet};

use super::{Scope, candidate, go, package::Package, paths};
use crate::VariableName;

/// A longer list of imported names is none.
const MAX_IMPORT: usize = 4 << 10;

/// So many names are told.
const MAX_HINTS: usize = 64;

/// How Go programs read a variable: `os.Getenv(`, a function of their own like `getEnv(`, a field's tag.
const READS: &[&str] = &["etenv(", "etEnv(", "LookupEnv(", "nvOr(", "nvOrDefault(", "nvDefault(", "env:", "envconfig:"];

/// Ends of names that hold the address of PocketBase in a frontend. It is served from the same address, so `/` is right.
const ADDRESSES: &[&str] = &[
    "POCKETBASE_URL",
    "POCKETBASE_HOST",
    "PB_URL",
    "PB_HOST",
    "API_URL",
    "API_BASE_URL",
    "BACKEND_URL",
    "POCKETBASE",
    "SERVER_URL",
];

/// Beginnings of the names that a frontend's tool hands to the browser.
const PUBLIC: &[&str] =
    &["VITE_", "PUBLIC_", "NEXT_PUBLIC_", "NUXT_PUBLIC_", "REACT_APP_", "VUE_APP_", "ASTRO_", "GATSBY_"];

/// Create React App, and what runs its scripts.
const REACT_SCRIPTS: &[&str] = &["react-scripts", "react-app-rewired", "@craco/craco"];

/// Names that `.env.example` and the like mention, where an app and its frontend would have one, and that the app's own
/// code reads: hooks, migrations, a Go program.
pub(super) fn hints(scope: &Scope<'_>, code: &[Option<&str>], module: Option<&str>) -> Vec<String> {
    let examples = scope.tree.texts().filter(|(path, _)| is_example(paths::name(path)));
    let near = examples.filter(|(path, _)| {
        let folder = paths::parent(path);
        paths::depth_below(path, &scope.root) <= candidate::DEPTH + 1 && candidate::decoy(folder, &scope.root).is_none()
    });
    let mut names: BTreeSet<&str> = near.flat_map(|(_, text)| assigned(text).map(|(name, _)| name)).collect();
    let scripts = code.iter().flatten().flat_map(|folder| scope.tree.texts_below(folder));
    names.extend(scripts.flat_map(|(_, text)| arguments(text, &["$os.getenv(", "process.env["]).chain(members(text))));
    let program = module.into_iter().flat_map(|module| go::files(scope, module));
    // `env:"NAME,required"` of a field
    names.extend(program.flat_map(|(_, text)| arguments(text, READS)).filter_map(|said| said.split(',').next()));
    // what Lab sets is nobody's to give
    names.retain(|name| name.parse::<VariableName>().is_ok());
    names.into_iter().take(MAX_HINTS).map(str::to_owned).collect()
}

/// The texts that calls of these have as their first argument.
pub(super) fn arguments<'a>(text: &'a str, calls: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    calls.iter().flat_map(move |call| text.match_indices(call)).filter_map(move |(at, call)| {
        let rest = text[at + call.len()..].trim_start();
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
        let (argument, _) = rest[1..].split_once(quote)?;
        Some(argument)
    })
}

/// The names in `process.env.NAME`.
fn members(text: &str) -> impl Iterator<Item = &str> {
    const BEFORE: &str = "process.env.";
    text.match_indices(BEFORE).filter_map(|(at, _)| {
        let rest = &text[at + BEFORE.len()..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        // tools that put files together leave this one
        Some(&rest[..end]).filter(|name| *name != "NODE_ENV")
    })
}

/// `.env.example`, `.env.local.sample`, `env.template`, `example.env`
fn is_example(name: &str) -> bool {
    let words: Vec<String> = name.split(['.', '_', '-']).map(str::to_ascii_lowercase).collect();
    let says = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
    says(&["env"]) && says(&["example", "sample", "template", "dist", "default", "defaults"])
}

/// The lines that set a variable.
fn assigned(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let line = line.trim();
        let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
        let name = name.trim();
        let good = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        good.then(|| (name, value.trim().trim_matches(['"', '\''])))
    })
}

/// What a frontend's build is given so that it succeeds without its owner's values: the address of PocketBase, unless
/// a committed file names a real one, names that `SvelteKit` insists on, and for Create
/// React App that it is not in CI, where it takes each warning for an error.
pub(super) fn build(scope: &Scope<'_>, package: &Package) -> BTreeMap<String, String> {
    let folders: Vec<&str> = std::iter::once(package.folder.as_str()).chain(paths::above(&package.folder)).collect();
    let mut set: BTreeMap<&str, &str> = BTreeMap::new();
    let mut mentioned: BTreeSet<&str> = BTreeSet::new();
    for (path, text) in scope.tree.texts() {
        let name = paths::name(path);
        if !folders.contains(&paths::parent(path)) || !(name.starts_with(".env") || is_example(name)) {
            continue;
        }
        for (name_of, value) in assigned(text) {
            mentioned.insert(name_of);
            if matches!(name, ".env" | ".env.production") {
                set.insert(name_of, value);
            }
        }
    }
    let wanted = kit(scope, package);
    let mut all = BTreeMap::new();
    if REACT_SCRIPTS.iter().any(|name| package.has(name)) {
        all.insert("CI".to_owned(), "false".to_owned());
    }
    for name in mentioned.iter().copied().chain(wanted.iter().copied()) {
        let is_address = ADDRESSES.iter().any(|end| name.ends_with(end));
        let is_public = PUBLIC.iter().any(|start| name.starts_with(start));
        let is_good = set.get(name).is_some_and(|value| !value.is_empty() && !is_nobodys(value));
        if is_address && is_public && !is_good {
            all.insert(name.to_owned(), "/".to_owned());
        } else if wanted.contains(name) && !set.contains_key(name) {
            // an empty value is one: only a missing name ends the build
            all.insert(name.to_owned(), String::new());
        }
    }
    all
}

/// Hosts that are a developer's own machine, or stand for one that its reader is to put there.
const NOBODYS: &[&str] = &["localhost", "127.0.0.1", "0.0.0.0", "[::1]", "//your", ".your-", "yourdomain"];

fn is_nobodys(address: &str) -> bool {
    NOBODYS.iter().any(|host| address.contains(host))
}

/// Names that a `SvelteKit` package imports from `$env/static/…`: its build fails on those that nobody sets.
fn kit<'a>(scope: &'a Scope<'_>, package: &Package) -> BTreeSet<&'a str> {
    if !package.has("@sveltejs/kit") {
        return BTreeSet::new();
    }
    let sources = paths::join(&package.folder, "src");
    let mut all = BTreeSet::new();
    for (_, text) in scope.tree.texts_below(&sources) {
        for module in ["$env/static/public", "$env/static/private"] {
            for (at, _) in text.match_indices(module) {
                let before = &text[text.floor_char_boundary(at.saturating_sub(MAX_IMPORT))..at];
                // `import { A, B as b } from '$env/static/public'`
                let Some((head, names)) = before.rsplit_once('{') else { continue };
                if !head.trim_end().ends_with("import") {
                    continue;
                }
                let names = names.split('}').next().unwrap_or_default().split(',');
                all.extend(
                    names.filter_map(|name| name.split_whitespace().next()).filter(|name| {
                        name.len() <= 128 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                    }),
                );
            }
        }
    }
    all
}
