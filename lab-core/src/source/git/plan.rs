//! What a tree holds, checked before anything is written.

use std::path::PathBuf;

use git2::{ObjectType, Oid, Repository};

use super::{fault::Origin, job::Job};
use crate::source::SourceError;

/// The most files, folders and links.
const MAX_ENTRIES: usize = 200_000;

/// The most folders inside one another.
const MAX_DEPTH: usize = 100;

/// The longest path in bytes; the kernel takes 4096 with the destination's own part (`PATH_MAX`).
const MAX_PATH: usize = 3000;

/// The longest name: the kernel's `NAME_MAX`.
const MAX_NAME: usize = 255;

/// A file to write.
#[derive(Debug)]
pub(super) struct PlannedFile {
    pub(super) path: Vec<u8>,
    pub(super) blob: Oid,
    pub(super) size: u64,
    pub(super) executable: bool,
    /// Which of [`Plan::repositories`] holds the blob.
    pub(super) from: usize,
}

/// A symbolic link to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlannedLink {
    pub(super) path: Vec<u8>,
    pub(super) target: Vec<u8>,
}

/// A submodule's place.
#[derive(Debug)]
pub(super) struct Gitlink {
    /// Below the root of everything.
    pub(super) path: Vec<u8>,
    /// Below the root of its own repository.
    pub(super) inner: Vec<u8>,
    pub(super) commit: Oid,
}

/// Everything to write, over all submodules.
pub(super) struct Plan {
    pub(super) repositories: Vec<Repository>,
    /// Parents before children.
    pub(super) folders: Vec<Vec<u8>>,
    pub(super) files: Vec<PlannedFile>,
    pub(super) links: Vec<PlannedLink>,
    pub(super) bytes: u64,
    max_bytes: u64,
    entries: usize,
}

impl Plan {
    pub(super) fn new(max_bytes: u64) -> Self {
        let (repositories, folders, files, links) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { repositories, folders, files, links, bytes: 0, max_bytes, entries: 0 }
    }

    /// Adds the tree of `commit` below `prefix` and answers with its submodules.
    pub(super) fn add(
        &mut self,
        job: &Job,
        origin: &Origin,
        repository: Repository,
        commit: Oid,
        prefix: &[u8],
    ) -> Result<Vec<Gitlink>, SourceError> {
        let damaged = |error: git2::Error| origin.damaged(&error);
        let root = repository.find_commit(commit).map_err(damaged)?.tree_id();
        let mut walk =
            Walk { plan: self, job, origin, repository: &repository, gitlinks: Vec::new(), root: prefix.len() };
        let mut waiting = vec![(root, prefix.to_vec(), depth(prefix))];
        while let Some((tree, path, depth)) = waiting.pop() {
            waiting.extend(walk.tree(tree, &path, depth)?);
        }
        let gitlinks = walk.gitlinks;
        self.repositories.push(repository);
        Ok(gitlinks)
    }
}

fn depth(path: &[u8]) -> usize {
    if path.is_empty() { 0 } else { path.split(|byte| *byte == b'/').count() }
}

/// `folder/name`, or `name` at the root.
pub(super) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

/// Bytes as a path.
pub(super) fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

struct Walk<'a> {
    plan: &'a mut Plan,
    job: &'a Job,
    origin: &'a Origin,
    repository: &'a Repository,
    gitlinks: Vec<Gitlink>,
    /// How many bytes of a path stand before the repository's own part.
    root: usize,
}

impl Walk<'_> {
    /// Adds one folder's entries; answers with its subfolders.
    fn tree(&mut self, id: Oid, folder: &[u8], depth: usize) -> Result<Vec<(Oid, Vec<u8>, usize)>, SourceError> {
        self.job.stop.check()?;
        let tree = self.repository.find_tree(id).map_err(|e| self.origin.damaged(&e))?;
        let mut subfolders = Vec::new();
        for entry in &tree {
            let name = entry.name_bytes();
            let path = join(folder, name);
            self.check(name, &path, depth)?;
            match entry.filemode_raw() & 0o170_000 {
                0o040_000 => {
                    self.plan.folders.push(path.clone());
                    subfolders.push((entry.id(), path, depth + 1));
                }
                0o100_000 => self.file(path, entry.id(), entry.filemode_raw() & 0o100 != 0)?,
                0o120_000 => self.link(path, entry.id())?,
                0o160_000 => {
                    self.plan.folders.push(path.clone());
                    let inner = path.get(self.root..).unwrap_or_default();
                    let inner = inner.strip_prefix(b"/").unwrap_or(inner).to_vec();
                    self.gitlinks.push(Gitlink { path, inner, commit: entry.id() });
                }
                _ => return Err(self.origin.hostile(&path, "is no file, folder, link or submodule")),
            }
        }
        Ok(subfolders)
    }

    fn check(&mut self, name: &[u8], path: &[u8], depth: usize) -> Result<(), SourceError> {
        let hostile = |reason| Err(self.origin.hostile(path, reason));
        if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0) {
            return hostile("is not a file name");
        }
        if name.eq_ignore_ascii_case(b".git") {
            return hostile("would be taken for git's own folder");
        }
        if name.len() > MAX_NAME || path.len() > MAX_PATH {
            return hostile("has too long a name");
        }
        if depth >= MAX_DEPTH {
            return hostile("is in too many folders");
        }
        self.plan.entries += 1;
        if self.plan.entries > MAX_ENTRIES {
            return Err(self.origin.failed(format!("it holds more than {MAX_ENTRIES} files and folders")));
        }
        Ok(())
    }

    fn size(&self, blob: Oid) -> Result<u64, SourceError> {
        let odb = self.repository.odb().map_err(|e| self.origin.damaged(&e))?;
        let (size, kind) = odb.read_header(blob).map_err(|e| self.origin.damaged(&e))?;
        if kind == ObjectType::Blob {
            Ok(size as u64)
        } else {
            Err(self.origin.failed(format!("{blob} is not a file")))
        }
    }

    fn file(&mut self, path: Vec<u8>, blob: Oid, executable: bool) -> Result<(), SourceError> {
        let size = self.size(blob)?;
        self.plan.bytes = self.plan.bytes.saturating_add(size);
        if self.plan.bytes > self.plan.max_bytes {
            return Err(self.origin.too_large(self.plan.max_bytes));
        }
        let from = self.plan.repositories.len();
        self.plan.files.push(PlannedFile { path, blob, size, executable, from });
        Ok(())
    }

    fn link(&mut self, path: Vec<u8>, blob: Oid) -> Result<(), SourceError> {
        if self.size(blob)? > MAX_PATH as u64 {
            return Err(self.origin.hostile(&path, "is a link with too long a target"));
        }
        let target = self.repository.find_blob(blob).map_err(|e| self.origin.damaged(&e))?.content().to_vec();
        self.plan.links.push(PlannedLink { path, target });
        Ok(())
    }
}
