//! Which generation of PocketBase's API an app's code is written for, by reading it with a real parser.
//!
//! The parser goes on after what it does not understand, so one odd file (TypeScript, a template) does not hide the
//! others.

use std::{cmp::Ordering, iter};

use tree_sitter::{Node, Parser};

use super::{Scope, folders::Folders, paths, pocketbase::is_hook};
use crate::pocketbase::Generation;

mod words;

/// So much code is read: newest and oldest migrations first, after the hooks. It keeps detection in milliseconds.
pub(super) const MAX_BYTES: usize = 512 << 10;

/// What the code says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Code {
    /// The files that speak for the older generation.
    pub before: Vec<String>,
    /// The files that speak for the newer one.
    pub from: Vec<String>,
}

impl Code {
    /// The generation, where all the code agrees; of mixed code that of the migrations, which end the server when they
    /// fail, the newest one first.
    pub(super) fn generation(&self) -> Option<Generation> {
        match (self.before.is_empty(), self.from.is_empty()) {
            (true, true) => None,
            (false, true) => Some(Generation::Before023),
            (true, false) => Some(Generation::From023),
            (false, false) => {
                let newest = |files: &[String]| {
                    files
                        .iter()
                        .filter(|file| !is_hook(paths::name(file)))
                        .map(|file| paths::name(file).to_owned())
                        .max()
                };
                let older = newest(&self.before) > newest(&self.from);
                Some(if older { Generation::Before023 } else { Generation::From023 })
            }
        }
    }

    /// Whether no version runs all of it.
    pub(super) fn is_mixed(&self) -> bool {
        !self.before.is_empty() && !self.from.is_empty()
    }
}

/// A parser of JavaScript.
pub(super) fn parser() -> Option<Parser> {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_javascript::LANGUAGE.into()).is_ok().then_some(parser)
}

/// Reads an app's hooks and migrations, and where they say nothing, what hooks require.
pub(super) fn read(scope: &Scope<'_>, folders: &Folders) -> Code {
    let mut code = Code::default();
    let Some(mut parser) = parser() else { return code };
    let mut left = MAX_BYTES;
    for files in [files, modules] {
        if code != Code::default() {
            break;
        }
        for file in files(scope, folders) {
            let Some(text) = scope.tree.text(file) else { continue };
            if text.len() > left {
                continue;
            }
            left -= text.len();
            match of_text(&mut parser, text) {
                Some(Generation::Before023) => code.before.push(file.to_owned()),
                Some(Generation::From023) => code.from.push(file.to_owned()),
                None => {}
            }
        }
    }
    code
}

/// The modules in the folder of the hooks: PocketBase loads those that hooks require.
fn modules<'a>(scope: &'a Scope<'_>, folders: &Folders) -> Vec<&'a str> {
    let Some(hooks) = folders.hooks.as_deref().and_then(|folder| scope.folder(folder)) else { return Vec::new() };
    let files = scope.tree.texts_below(&hooks).map(|(path, _)| path);
    let is_own = |path: &str| !path.split('/').any(|name| name == "node_modules");
    files.filter(|path| paths::ends_in(path, &[".js", ".cjs"]) && !is_hook(paths::name(path)) && is_own(path)).collect()
}

/// The files that PocketBase loads: those in the folders themselves.
fn files<'a>(scope: &'a Scope<'_>, folders: &Folders) -> Vec<&'a str> {
    let of = |folder: &Option<String>, wanted: fn(&str) -> bool| -> Vec<&'a str> {
        let Some(folder) = folder.as_deref().and_then(|folder| scope.folder(folder)) else { return Vec::new() };
        let files = scope.tree.children(&folder).map(|(path, _)| path);
        files.filter(|path| wanted(paths::name(path))).collect()
    };
    let mut all = of(&folders.hooks, is_hook);
    let migrations = of(&folders.migrations, |name| paths::ends_in(name, &[".js", ".ts"]));
    // from both ends, so that a limit leaves out the middle
    let half = migrations.len().div_ceil(2);
    let newest = migrations.iter().rev().take(half);
    let oldest = migrations.iter().take(migrations.len() - half);
    let mut oldest = oldest.copied();
    for path in newest {
        all.push(path);
        all.extend(oldest.next());
    }
    all
}

/// What one file says; of contradicting words the more frequent ones, and what is only supposed where they say nothing.
fn of_text(parser: &mut Parser, text: &str) -> Option<Generation> {
    let tree = parser.parse(text, None)?;
    more(nodes(&tree).filter_map(|node| words::judge(node, text)))
        .or_else(|| more(nodes(&tree).filter_map(|node| words::suppose(node, text))))
}

/// What is said more often.
fn more(words: impl Iterator<Item = Generation>) -> Option<Generation> {
    let (mut before, mut from) = (0_usize, 0_usize);
    for word in words {
        match word {
            Generation::Before023 => before += 1,
            Generation::From023 => from += 1,
        }
    }
    match before.cmp(&from) {
        Ordering::Greater => Some(Generation::Before023),
        Ordering::Less => Some(Generation::From023),
        Ordering::Equal => None,
    }
}

/// Every node in order, without recursion: a hostile file may be nested as deep as it is long.
pub(super) fn nodes(tree: &tree_sitter::Tree) -> impl Iterator<Item = Node<'_>> {
    let mut cursor = tree.walk();
    let mut next = Some(tree.root_node());
    iter::from_fn(move || {
        let node = next.take()?;
        let mut is_there = cursor.goto_first_child() || cursor.goto_next_sibling();
        while !is_there && cursor.goto_parent() {
            is_there = cursor.goto_next_sibling();
        }
        next = is_there.then(|| cursor.node());
        Some(node)
    })
}

/// The text of a node.
pub(super) fn text<'a>(node: Node<'_>, source: &'a str) -> &'a str {
    source.get(node.byte_range()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
