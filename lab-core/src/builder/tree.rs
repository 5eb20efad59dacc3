//! What detection looks at: a listing of a checkout, with the content of the few files that matter.
//!
//! A tree is plain data. [`Tree::read`] makes one from a folder, [`Tree::of`] from a table in a test; what is decided on
//! it is then a pure function.

use std::{collections::BTreeMap, ops::Bound};

pub mod paths;
mod program;
mod read;
mod relevant;

pub use program::Program;
pub use read::Limits;
pub use relevant::{SCHEMA, is_migration, is_scripts_folder, relevant};

/// What a file is by its first bytes, where that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Magic {
    /// A program for Linux, with the number of its processor (`e_machine`).
    Elf(u16),
    /// A program for another system of that format, such as FreeBSD.
    OtherElf,
    /// A program for macOS.
    MachO,
    /// A program for Windows.
    Pe,
    /// A pointer to content that Git LFS keeps elsewhere.
    LfsPointer,
}

impl Magic {
    /// A program for Linux on a processor as this machine has it. Source: the numbers in `elf.h`.
    pub const HERE: Self = Self::Elf(match std::env::consts::ARCH.as_bytes() {
        b"x86" => 3,
        b"arm" => 40,
        b"x86_64" => 62,
        b"aarch64" => 183,
        b"riscv64" => 243,
        // nothing is for it
        _ => 0,
    });

    /// What a program of that kind runs on, for a person.
    pub fn platform(self) -> &'static str {
        match self {
            Self::Elf(62) => "Linux on x86-64",
            Self::Elf(183) => "Linux on ARM64",
            Self::Elf(_) => "Linux on another processor",
            Self::OtherElf => "another Unix",
            Self::MachO => "macOS",
            Self::Pe => "Windows",
            Self::LfsPointer => "nothing",
        }
    }

    /// Looks at the first bytes of a file.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            // Linux leaves the system unsaid, or says 3
            [0x7f, b'E', b'L', b'F', _, _, _, system, ..] if bytes.len() >= 20 => Some(match system {
                0 | 3 => Self::Elf(u16::from_le_bytes([bytes[18], bytes[19]])),
                _ => Self::OtherElf,
            }),
            [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe, ..] => Some(Self::MachO),
            [b'M', b'Z', ..] => Some(Self::Pe),
            _ if bytes.starts_with(b"version https://git-lfs.github.com/spec/") => Some(Self::LfsPointer),
            _ => None,
        }
    }
}

/// What a path of a tree is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File {
        /// Its size in bytes.
        size: u64,
    },
    /// A folder.
    Folder,
    /// A symbolic link, as it is written; never followed while reading.
    Link {
        /// What it says.
        target: String,
    },
    /// A socket, pipe or device.
    Other,
}

/// Where a path leads once the links on its way are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// To this path of the tree.
    Inside(String),
    /// To nothing.
    Missing,
    /// Out of the tree, or in circles.
    Outside,
}

/// A listing. Paths are relative, with `/` between names; the tree itself is the empty path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    entries: BTreeMap<String, Kind>,
    texts: BTreeMap<String, String>,
    magic: BTreeMap<String, Magic>,
    programs: BTreeMap<String, Program>,
    /// What was left out, one sentence each.
    pub remarks: Vec<String>,
}

/// So many links are followed on the way to one path.
const MAX_LINKS: usize = 16;

impl Tree {
    /// A tree of files with their content; their folders come by themselves. A path that ends in `/` is a folder, a
    /// content that starts with `-> ` a link.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, content) in files {
            match (path.strip_suffix('/'), content.strip_prefix("-> ")) {
                (Some(folder), _) => tree.insert(folder, Kind::Folder),
                (None, Some(target)) => tree.insert(path, Kind::Link { target: target.to_owned() }),
                (None, None) => tree.insert_file(path, content),
            }
        }
        tree
    }

    /// Adds a file with its content.
    pub fn insert_file(&mut self, path: &str, content: &str) {
        self.insert(path, Kind::File { size: content.len() as u64 });
        if self.kind(path).is_none() {
            return;
        }
        self.remember(path, content.as_bytes());
        if program::is_named(paths::name(path)) && self.is_program(path) {
            self.programs.extend(program::read(content.as_bytes()).map(|said| (path.to_owned(), said)));
        }
        self.texts.insert(path.to_owned(), content.replace("\r\n", "\n"));
    }

    fn remember(&mut self, path: &str, first: &[u8]) {
        if let Some(magic) = Magic::of(first) {
            self.magic.insert(path.to_owned(), magic);
        }
    }

    /// What the file at `path` is by its first bytes, where that matters.
    pub fn magic(&self, path: &str) -> Option<Magic> {
        self.magic.get(path).copied()
    }

    /// Every file that is something by its first bytes.
    pub fn magics(&self) -> impl Iterator<Item = (&str, Magic)> {
        self.magic.iter().map(|(path, magic)| (path.as_str(), *magic))
    }

    /// The committed PocketBase programs that say something of themselves, and what.
    pub fn programs(&self) -> impl Iterator<Item = (&str, &Program)> {
        self.programs.iter().map(|(path, program)| (path.as_str(), program))
    }

    /// What the PocketBase program at `path` says of itself, if it does.
    pub fn program(&self, path: &str) -> Option<&Program> {
        self.programs.get(path)
    }

    fn is_program(&self, path: &str) -> bool {
        self.magic(path).is_some_and(|magic| magic != Magic::LfsPointer)
    }

    /// Every file whose content was read, in order.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Every file below `folder` whose content was read, in order.
    pub fn texts_below(&self, folder: &str) -> impl Iterator<Item = (&str, &str)> + use<'_> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        self.texts
            .range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded))
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .take_while(move |(path, _)| path.starts_with(&prefix))
    }

    /// What is in `folder` itself, in order. What is deeper is jumped over, however much it is.
    pub fn children(&self, folder: &str) -> impl Iterator<Item = (&str, &Kind)> + use<'_> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut from = Bound::Included(prefix.clone());
        std::iter::from_fn(move || {
            loop {
                let start = from.as_ref().map(String::as_str);
                let (path, kind) = self.entries.range::<str, _>((start, Bound::Unbounded)).next()?;
                match path.strip_prefix(&prefix)?.split_once('/') {
                    None => {
                        from = Bound::Excluded(path.clone());
                        return Some((path.as_str(), kind));
                    }
                    // `0` is the character after `/`
                    Some((name, _)) => from = Bound::Included(format!("{prefix}{name}0")),
                }
            }
        })
    }

    fn insert(&mut self, path: &str, kind: Kind) {
        // no folder has such names: a tree of them would mislead
        if path.split('/').any(|name| matches!(name, "" | "." | "..")) {
            return;
        }
        let mut folder = path;
        while let Some((parent, _)) = folder.rsplit_once('/') {
            self.entries.entry(parent.to_owned()).or_insert(Kind::Folder);
            folder = parent;
        }
        self.entries.insert(path.to_owned(), kind);
    }

    /// What `path` is, itself, without following a link.
    pub fn kind(&self, path: &str) -> Option<&Kind> {
        if path.is_empty() { Some(&Kind::Folder) } else { self.entries.get(path) }
    }

    /// The content of a file that matters, links followed.
    pub fn text(&self, path: &str) -> Option<&str> {
        match self.resolve(path) {
            Resolved::Inside(path) => self.texts.get(&path).map(String::as_str),
            Resolved::Missing | Resolved::Outside => None,
        }
    }

    /// Whether `path` is a folder, links followed.
    pub fn is_folder(&self, path: &str) -> bool {
        matches!(self.resolve(path), Resolved::Inside(path) if self.kind(&path) == Some(&Kind::Folder))
    }

    /// Whether `path` is a file, links followed.
    pub fn is_file(&self, path: &str) -> bool {
        matches!(self.resolve(path), Resolved::Inside(path) if matches!(self.kind(&path), Some(Kind::File { .. })))
    }

    /// Where `path` leads.
    pub fn resolve(&self, path: &str) -> Resolved {
        let mut todo: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut at = String::new();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." if at.is_empty() => return Resolved::Outside,
                ".." => {
                    at = paths::parent(&at).to_owned();
                    continue;
                }
                _ => {}
            }
            let next = paths::join(&at, &name);
            match self.entries.get(&next) {
                None => return Resolved::Missing,
                Some(Kind::Link { target }) => {
                    links += 1;
                    if links > MAX_LINKS || target.starts_with('/') {
                        return Resolved::Outside;
                    }
                    todo.extend(target.split('/').rev().map(str::to_owned));
                }
                Some(_) => at = next,
            }
        }
        Resolved::Inside(at)
    }

    /// Everything below `folder`, itself not included, in order.
    pub fn below(&self, folder: &str) -> impl Iterator<Item = (&str, &Kind)> + use<'_> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        self.entries
            .range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded))
            .map(|(path, kind)| (path.as_str(), kind))
            .take_while(move |(path, _)| path.starts_with(&prefix))
    }

    /// Whether a file whose name `wanted` says yes to is anywhere below `folder`, which may be a link.
    pub fn holds(&self, folder: &str, wanted: impl Fn(&str) -> bool) -> bool {
        let Resolved::Inside(folder) = self.resolve(folder) else { return false };
        self.below(&folder).any(|(path, kind)| !matches!(kind, Kind::Folder | Kind::Other) && wanted(paths::name(path)))
    }

    /// As [`Self::folders`], with links that lead to folders; what is behind a link is not entered.
    pub fn folders_and_links(&self, below: &str, depth: usize) -> Vec<String> {
        let is_one = |path: &str, kind: &Kind| match kind {
            Kind::Folder => true,
            Kind::Link { .. } => self.is_folder(path),
            Kind::File { .. } | Kind::Other => false,
        };
        let inside = self.below(below).filter(|(path, _)| paths::depth_below(path, below) <= depth);
        let inside = inside.filter(|(path, kind)| is_one(path, kind)).map(|(path, _)| path.to_owned());
        std::iter::once(below.to_owned()).chain(inside).collect()
    }

    /// The tree itself and its folders, as deep as `depth` names, without links.
    pub fn folders(&self, below: &str, depth: usize) -> Vec<String> {
        if depth == 0 {
            return vec![below.to_owned()];
        }
        std::iter::once(below.to_owned())
            .chain(
                self.below(below)
                    .filter(|(path, kind)| **kind == Kind::Folder && paths::depth_below(path, below) <= depth)
                    .map(|(path, _)| path.to_owned()),
            )
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_inside_and_never_out() {
        let tree = Tree::of(&[
            ("site/dist/index.html", "hi"),
            ("pb_public", "-> site/dist"),
            ("out", "-> ../elsewhere"),
            ("absolute", "-> /etc"),
            ("circle", "-> circle"),
            ("site/back", "-> ../pb_public"),
        ]);
        assert_eq!(tree.resolve("pb_public/index.html"), Resolved::Inside("site/dist/index.html".to_owned()));
        assert_eq!(tree.resolve("site/back"), Resolved::Inside("site/dist".to_owned()));
        assert!(tree.is_file("pb_public/index.html") && tree.is_folder("site/back"));
        for path in ["out", "absolute", "circle", "../x", "site/../../x"] {
            assert_eq!(tree.resolve(path), Resolved::Outside, "{path}");
        }
        assert_eq!(tree.resolve("nothing"), Resolved::Missing);
        assert_eq!(tree.text("pb_public/index.html"), Some("hi"));
    }

    #[test]
    fn what_is_below_a_folder_is_not_what_only_starts_like_it() {
        let tree = Tree::of(&[("a/x", ""), ("a-b/y", ""), ("a/b/z", ""), ("aa", "")]);
        assert_eq!(tree.below("a").map(|(path, _)| path).collect::<Vec<_>>(), ["a/b", "a/b/z", "a/x"]);
        assert_eq!(tree.children("").map(|(path, _)| path).collect::<Vec<_>>(), ["a", "a-b", "aa"]);
        assert_eq!(tree.children("a").map(|(path, _)| path).collect::<Vec<_>>(), ["a/b", "a/x"]);
        assert_eq!(tree.folders("", 1), ["", "a", "a-b"]);
        assert_eq!(tree.folders("a", 1), ["a", "a/b"]);
    }
}
