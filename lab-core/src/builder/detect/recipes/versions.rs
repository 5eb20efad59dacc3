//! Versions of PocketBase that recipes name.

use std::collections::BTreeMap;

use super::{Kind, Recipe};
use crate::{builder::detect::version::FIRST_WITH_HEALTH, pocketbase::Generation};

/// The version that a recipe pins, as an exact one. `latest` is none.
pub(in super::super) fn pinned(recipe: &Recipe<'_>) -> Option<String> {
    pinned_with(recipe, &BTreeMap::new())
}

/// The same with what other recipes set: a Dockerfile's `ARG VERSION` has its value in a compose file or an `.env`.
pub(in super::super) fn pinned_with(recipe: &Recipe<'_>, others: &BTreeMap<String, String>) -> Option<String> {
    match recipe.kind {
        Kind::Changelog => changelog(recipe.text),
        Kind::Readme => url(recipe.text, &BTreeMap::new()).or_else(|| prose(recipe.text)),
        Kind::Compose => image(recipe.text, others).or_else(|| general(recipe, others)),
        Kind::Dockerfile | Kind::Script | Kind::Package | Kind::Program => {
            general(recipe, others).or_else(|| image(recipe.text, others))
        }
    }
}

/// What recipes set, the most believable first.
pub(in super::super) fn set_by<'a>(recipes: impl Iterator<Item = &'a Recipe<'a>>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for recipe in recipes {
        for (name, value) in variables(recipe.text) {
            all.entry(name).or_insert(value);
        }
    }
    all
}

/// The version in the name of one of PocketBase's archives: `pocketbase_0.28.4_linux_amd64.zip`.
pub(in super::super) fn of_archive(name: &str) -> Option<String> {
    url(name, &BTreeMap::new())
}

fn general(recipe: &Recipe<'_>, others: &BTreeMap<String, String>) -> Option<String> {
    let own = variables(recipe.text);
    let named = own.iter().filter(|(name, _)| is_pocketbase_version(name)).find_map(|(_, value)| exact(value));
    let known = || others.clone().into_iter().chain(own.clone()).collect();
    named.or_else(|| url(recipe.text, &known())).or_else(|| tool(recipe))
}

/// `PB_VERSION`, `POCKETBASE_VERSION`, `pocketbaseVersion`, `$PocketBaseVersion` …
fn is_pocketbase_version(name: &str) -> bool {
    let name: String = name.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
    let about = name.contains("pocketbase") || name.starts_with("pb") || name.contains("pbv");
    about && (name.contains("version") || name.ends_with("tag") || name.ends_with("ver"))
}

/// Everything that looks like `NAME=value`, `NAME: value`, `NAME := value`, `NAME ?= value`, `ENV NAME value`.
fn variables(text: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim().trim_start_matches("- ");
        if line.starts_with('#') || line.starts_with("//") {
            continue;
        }
        for (at, _) in line.match_indices(['=', ':']).take(8) {
            let name = line[..at].trim_end_matches([':', '?', ' ', '"', '\'']);
            let name = name.rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or_default();
            let value = line[at + 1..].trim_start_matches(['=', '-', ' ', '"', '\'']);
            add(&mut all, name, value);
        }
        let mut words = line.split_whitespace();
        if words.next().is_some_and(|word| word.eq_ignore_ascii_case("env")) {
            let (name, value) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            add(&mut all, name, value.trim_matches(['"', '\'']));
        }
    }
    all
}

fn add(all: &mut BTreeMap<String, String>, name: &str, value: &str) {
    let value = value.strip_prefix("${").and_then(|it| it.split_once(":-")).map_or(value, |(_, default)| default);
    if !name.is_empty() && starts_a_version(value) {
        all.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
}

fn starts_a_version(text: &str) -> bool {
    text.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit())
}

/// `…/releases/download/v0.28.4/…`, `pocketbase_0.28.4_linux_amd64.zip`, either with a variable.
fn url(text: &str, variables: &BTreeMap<String, String>) -> Option<String> {
    const BEFORE: &[&str] = &["pocketbase/releases/download/", "pocketbase/releases/tag/", "pocketbase_"];
    for before in BEFORE {
        for (at, _) in text.match_indices(before) {
            let rest = text[at + before.len()..].trim_start_matches(['v', '"', '\'']);
            if let Some(version) = exact(rest) {
                return Some(version);
            }
            if let Some(version) = value(rest, variables).and_then(exact) {
                return Some(version);
            }
        }
    }
    None
}

/// The value of the variable that a text begins with: `$NAME`, `${NAME}`, `$(NAME)`, `%NAME%`, `{NAME}`.
fn value<'a>(text: &str, variables: &'a BTreeMap<String, String>) -> Option<&'a str> {
    let name = text.strip_prefix(['$', '%', '{'])?.trim_start_matches(['{', '(']);
    let name = &name[..name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(name.len())];
    // `$PB_VERSION_linux` is written `${PB_VERSION}_linux`, so a name ends where a variable does
    let value = variables.get(name).or_else(|| variables.get(name.split("_linux").next()?));
    value.map(String::as_str)
}

/// An image with PocketBase in its name: `FROM ghcr.io/muchobien/pocketbase:0.22.21`, `image: x/pocketbase:0.28@sha256:…`.
fn image(text: &str, variables: &BTreeMap<String, String>) -> Option<String> {
    text.lines().find_map(|line| {
        let line = line.trim();
        if line.starts_with('#') {
            return None;
        }
        let at = line.to_ascii_lowercase().find("pocketbase:")?;
        let before = line[..at].to_ascii_lowercase();
        let is_image = before.starts_with("from ") || before.contains("image:") || before.contains('/');
        let tag = &line[at + "pocketbase:".len()..];
        // `${PB_VERSION:-0.28.4}`
        let tag = tag.trim_start_matches('v');
        let default = tag.strip_prefix("${").and_then(|it| it.split_once(":-")).map(|(_, default)| default);
        let tag = value(tag, variables).or(default).unwrap_or(tag);
        if is_image { exact(tag) } else { None }
    })
}

/// `pocketbase 0.28.4` of `.tool-versions`, `pocketbase = "0.28.4"`, `pocketbase@0.28.4`, a file that is only a version.
fn tool(recipe: &Recipe<'_>) -> Option<String> {
    if recipe.path.ends_with("version") && recipe.kind == Kind::Script {
        return exact(recipe.text.trim().trim_start_matches('v'));
    }
    // in a `package.json` this is the JavaScript SDK's version
    if recipe.kind == Kind::Package {
        return None;
    }
    recipe.text.lines().find_map(|line| {
        line.to_ascii_lowercase().match_indices("pocketbase").find_map(|(at, name)| {
            let after = &line[at + name.len()..];
            let rest = after.trim_start_matches(['"', '\'', ' ', '=', '@', 'v', '\t']);
            if after.len() - rest.len() <= 6 { exact(rest) } else { None }
        })
    })
}

/// `PocketBase v0.28.4`, `PocketBase (0.28.4)`, but not the SDK's.
fn prose(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    lower.match_indices("pocketbase").find_map(|(at, word)| {
        let rest = lower.get(at + word.len()..)?;
        let gap = rest.find(|c: char| c.is_ascii_digit())?;
        let between = rest.get(..gap).filter(|between| between.len() <= 24)?;
        let foreign = ["sdk", "js", "npm", "dart", "\n", "http", "@", "node", "/", ">", "<", "^"];
        if foreign.iter().any(|word| between.contains(word)) {
            return None;
        }
        let told = rest.get(gap..)?;
        let after = told.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').trim_start();
        let is_minimum = between.contains("least")
            || between.contains("minimum")
            || AT_LEAST.iter().any(|words| after.starts_with(words));
        if is_minimum { None } else { exact(told) }
    })
}

/// What follows the oldest version that will do, which is not the version to use.
const AT_LEAST: [&str; 9] =
    ["+", "or later", "or newer", "or higher", "or above", "and later", "and newer", "and above", "and up"];

/// The newest version of PocketBase's own change log, which its archive holds.
fn changelog(text: &str) -> Option<String> {
    const OWN: &[&str] = &[
        "pocketbase/pocketbase/",
        "Admin UI",
        "JSVM",
        "superuser",
        "dbx",
        "goja",
        "`$app",
        "modernc.org",
        "golang.org/x/",
        "Go deps",
        "npm dep",
        "Dart SDK",
        "thanks @",
    ];
    // an app's own may have one of the words
    let is_own = OWN.iter().filter(|word| text.contains(*word)).count() > 1;
    let version = text.lines().filter_map(|line| line.strip_prefix("## v")).find_map(exact)?;
    let minor: u64 = version.split('.').nth(1)?.parse().ok()?;
    (is_own && minor >= FIRST_WITH_HEALTH).then_some(version)
}

/// The version at the start of a text: all three numbers, or two of them: then the newest known one of that minor.
fn exact(text: &str) -> Option<String> {
    let text = text.trim_start_matches('v');
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let parts: Vec<u64> =
        text[..end].trim_end_matches('.').split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    let (minor, patch) = match parts[..] {
        [0, minor, patch] => (minor, Some(patch)),
        // two numbers alone are often something else, unless a tag or a variable says them
        [0, minor] if !text[end..].starts_with('+') => (minor, None),
        _ => return None,
    };
    // PocketBase began with 0.1, and is far from 0.1000
    if minor == 0 || minor > 999 {
        return None;
    }
    Some(patch.map_or_else(|| newest_patch(minor), |patch| format!("0.{minor}.{patch}")))
}

/// The newest patch that is known of a minor version.
fn newest_patch(minor: u64) -> String {
    let known = [Generation::Before023, Generation::From023].map(Generation::newest);
    let same = known.into_iter().find(|known| known.starts_with(&format!("0.{minor}.")));
    same.map_or_else(|| format!("0.{minor}.0"), str::to_owned)
}

#[cfg(test)]
mod tests;
