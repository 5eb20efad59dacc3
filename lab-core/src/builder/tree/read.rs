//! Makes a tree from a folder.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::Read,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{Kind, Tree, paths, program, relevant::relevant};
use crate::builder::BuildError;

/// How much of a checkout is looked at. What is beyond is left out, and the tree says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files and folders.
    pub entries: usize,
    /// Folders inside folders.
    pub depth: usize,
    /// Bytes of one file that are read.
    pub file_bytes: u64,
    /// Bytes of all files together.
    pub total_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 200_000, depth: 24, file_bytes: 256 << 10, total_bytes: 32 << 20 }
    }
}

/// Folders that are listed but not entered: they are never where an app is, and they are big.
const CLOSED: &[&str] = &[".git", "node_modules", ".svelte-kit", ".next", ".nuxt", ".pnpm-store"];

/// The folder of an app's data: its own files are listed, what is in its folders is not.
const DATA: &str = "pb_data";

/// So many programs are asked what they are: each is tens of megabytes to look through.
const MAX_PROGRAMS: usize = 4;

impl Tree {
    /// Reads `folder`, its shallow parts first and never through a link. Blocks.
    pub fn read(folder: &Path, limits: &Limits) -> Result<Self, BuildError> {
        let mut reading = Reading {
            tree: Self::default(),
            limits,
            bytes: 0,
            unreadable: 0,
            programs: 0,
            has_lfs: false,
            kits: Vec::new(),
        };
        reading.walk(folder)?;
        Ok(reading.tree)
    }
}

struct Reading<'a> {
    tree: Tree,
    limits: &'a Limits,
    bytes: u64,
    unreadable: usize,
    programs: usize,
    /// Whether a `.gitattributes` names Git LFS.
    has_lfs: bool,
    /// The folders of `SvelteKit` packages: their sources tell which variables a build cannot do without.
    kits: Vec<String>,
}

impl Reading<'_> {
    fn walk(&mut self, root: &Path) -> Result<(), BuildError> {
        let mut queue = VecDeque::from([(root.to_owned(), String::new())]);
        while let Some((folder, path)) = queue.pop_front() {
            let failed = |source| BuildError::Io { action: "read", path: folder.clone(), source };
            let mut children: Vec<_> = fs::read_dir(&folder)
                .map_err(failed)?
                .take(self.limits.entries + 1)
                .collect::<Result<_, _>>()
                .map_err(failed)?;
            children.sort_by_key(fs::DirEntry::file_name);
            for child in children {
                if self.tree.entries.len() >= self.limits.entries {
                    let remark = format!("only the first {} files and folders were looked at", self.limits.entries);
                    self.tree.remarks.push(remark);
                    return Ok(());
                }
                let Ok(name) = child.file_name().into_string() else {
                    self.unreadable += 1;
                    continue;
                };
                let inside = paths::join(&path, &name);
                if self.add(&child.path(), &name, &inside)
                    && !CLOSED.contains(&name.as_str())
                    && paths::name(&path) != DATA
                    && paths::depth(&inside) < self.limits.depth
                {
                    queue.push_back((child.path(), inside));
                }
            }
        }
        if self.unreadable > 0 {
            self.tree.remarks.push(format!("{} names that are not UTF-8 were passed over", self.unreadable));
        }
        Ok(())
    }

    /// Adds what is at `on_disk`; says whether it is a folder.
    fn add(&mut self, on_disk: &Path, name: &str, path: &str) -> bool {
        let kind = match fs::symlink_metadata(on_disk) {
            Ok(meta) if meta.is_dir() => Kind::Folder,
            Ok(meta) if meta.is_file() => Kind::File { size: meta.len() },
            Ok(meta) if meta.is_symlink() => Kind::Link { target: link_target(on_disk) },
            // gone while reading counts as never there
            _ => Kind::Other,
        };
        if let Kind::File { size } = kind {
            self.look_into(on_disk, name, path, size);
        }
        let is_folder = kind == Kind::Folder;
        self.tree.insert(path, kind);
        is_folder
    }

    /// Reads what matters of a file.
    fn look_into(&mut self, on_disk: &Path, name: &str, path: &str, size: u64) {
        let wanted =
            if self.is_kits_source(path) { relevant(path).max(self.limits.file_bytes) } else { relevant(path) };
        if wanted > 0 && self.bytes < self.limits.total_bytes {
            let Some(bytes) = read(on_disk, wanted.min(self.limits.file_bytes)) else { return };
            self.bytes += bytes.len() as u64;
            let text = String::from_utf8_lossy(&bytes);
            // one kind of line ends, so that nobody has to think of the other
            let text = if text.contains('\r') { text.replace("\r\n", "\n") } else { text.into_owned() };
            self.has_lfs |= name == ".gitattributes" && text.contains("filter=lfs");
            if name.starts_with("svelte.config.") {
                self.kits.push(paths::parent(path).to_owned());
            }
            self.tree.remember(path, &bytes);
            self.tree.texts.insert(path.to_owned(), text);
        } else if program::is_named(name) {
            self.tree.remember(path, &read(on_disk, 256).unwrap_or_default());
            if self.tree.is_program(path) && self.programs < MAX_PROGRAMS {
                self.programs += 1;
                let said = open(on_disk).and_then(program::read);
                self.tree.programs.extend(said.map(|said| (path.to_owned(), said)));
            }
        } else if self.has_lfs && (100..=250).contains(&size) {
            self.tree.remember(path, &read(on_disk, 64).unwrap_or_default());
        }
    }

    fn is_kits_source(&self, path: &str) -> bool {
        paths::ends_in(path, &[".svelte", ".ts", ".js"])
            && self.kits.iter().any(|kit| paths::is_below(path, &paths::join(kit, "src")))
    }
}

/// Opens a regular file: neither a link nor a pipe that took its place since it was looked at.
fn open(path: &Path) -> Option<File> {
    let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
    File::options().read(true).custom_flags(flags.bits()).open(path).ok()
}

/// The first bytes of a regular file.
fn read(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// A target that is not UTF-8 cannot be one of the tree's paths: it leads nowhere.
fn link_target(path: &Path) -> String {
    let target = fs::read_link(path).map(PathBuf::into_os_string).ok().and_then(|target| target.into_string().ok());
    target.filter(|target| !target.is_empty()).unwrap_or_else(|| "/".to_owned())
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    use super::*;

    #[test]
    fn a_folder_is_read_without_following_links() {
        let dir = tempfile::tempdir().expect("tempdir");
        let root = dir.path();
        fs::create_dir_all(root.join("backend/node_modules/x")).expect("create");
        fs::write(root.join("backend/go.mod"), "module x\n").expect("write");
        fs::write(root.join("backend/big.bin"), vec![0; 1000]).expect("write");
        fs::write(root.join("backend/node_modules/x/package.json"), "{}").expect("write");
        fs::write(root.join(OsStr::from_bytes(b"bad-\xff")), "x").expect("write");
        std::os::unix::fs::symlink("/etc", root.join("etc")).expect("link");
        let tree = Tree::read(root, &Limits::default()).expect("read");
        assert_eq!(tree.text("backend/go.mod"), Some("module x\n"));
        assert_eq!(tree.kind("backend/big.bin"), Some(&Kind::File { size: 1000 }));
        assert_eq!(tree.kind("backend/node_modules/x"), None);
        assert_eq!(tree.kind("etc"), Some(&Kind::Link { target: "/etc".to_owned() }));
        assert_eq!(tree.below("etc").count(), 0);
        assert_eq!(tree.remarks.len(), 1);
    }

    #[test]
    fn a_huge_folder_is_read_from_the_top_until_the_limit() {
        let dir = tempfile::tempdir().expect("tempdir");
        fs::create_dir(dir.path().join("a")).expect("create");
        for n in 0..50 {
            fs::write(dir.path().join(format!("a/{n}")), "").expect("write");
        }
        fs::write(dir.path().join("lab.toml"), "").expect("write");
        let tree = Tree::read(dir.path(), &Limits { entries: 10, ..Limits::default() }).expect("read");
        assert!(tree.is_file("lab.toml"));
        assert!(tree.remarks[0].contains("first 10"));
    }
}
