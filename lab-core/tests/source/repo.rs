//! Bare repositories made of bytes, with fixed times so that the same content has the same hash.

use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid, Repository, Signature, Time};
use lab_core::testing::source::FakeCommit;

pub(crate) const FILE: u32 = 0o100_644;
pub(crate) const PROGRAM: u32 = 0o100_755;
pub(crate) const LINK: u32 = 0o120_000;
pub(crate) const TREE: u32 = 0o040_000;
pub(crate) const SUBMODULE: u32 = 0o160_000;

pub(crate) struct Repo {
    pub(crate) path: PathBuf,
    pub(crate) git: Repository,
}

impl Repo {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let mut options = git2::RepositoryInitOptions::new();
        options.bare(true).external_template(false).initial_head("main");
        let git = Repository::init_opts(&path, &options).unwrap();
        Self { path, git }
    }

    pub(crate) fn blob(&self, content: impl AsRef<[u8]>) -> Oid {
        self.git.blob(content.as_ref()).unwrap()
    }

    /// A tree of exactly these entries: libgit2's own builder refuses hostile names.
    pub(crate) fn tree(&self, entries: &[(u32, &[u8], Oid)]) -> Oid {
        let mut sorted = entries.to_vec();
        sorted.sort_by_key(|(mode, name, _)| [*name, if *mode == TREE { b"/" } else { b"" }].concat());
        let mut bytes = Vec::new();
        for (mode, name, id) in sorted {
            bytes.extend(format!("{mode:o} ").bytes());
            bytes.extend_from_slice(name);
            bytes.push(0);
            bytes.extend_from_slice(id.as_bytes());
        }
        self.git.odb().unwrap().write(ObjectType::Tree, &bytes).unwrap()
    }

    pub(crate) fn commit_tree(&self, message: &str, tree: Oid, parents: &[Oid]) -> Oid {
        let by = Signature::new("Ada L.", "ada@example.com", &Time::new(1_700_000_000, 0)).unwrap();
        let tree = self.git.find_tree(tree).unwrap();
        let parents: Vec<_> = parents.iter().map(|id| self.git.find_commit(*id).unwrap()).collect();
        self.git.commit(None, &by, &by, message, &tree, &parents.iter().collect::<Vec<_>>()).unwrap()
    }

    /// A commit of text files on `branch`, on top of it.
    pub(crate) fn commit(&self, branch: &str, message: &str, files: &[(&str, &str)]) -> Oid {
        let files = files.iter().map(|(path, content)| ((*path).to_owned(), content.as_bytes().to_vec()));
        let tree = self.folder(&files.collect::<Vec<_>>());
        self.commit_on(branch, message, tree)
    }

    pub(crate) fn commit_on(&self, branch: &str, message: &str, tree: Oid) -> Oid {
        let name = format!("refs/heads/{branch}");
        let parent = self.git.refname_to_id(&name).ok();
        let id = self.commit_tree(message, tree, parent.as_slice());
        self.point(&name, id);
        id
    }

    pub(crate) fn point(&self, reference: &str, id: Oid) {
        self.git.reference(reference, id, true, "").unwrap();
    }

    fn folder(&self, files: &[(String, Vec<u8>)]) -> Oid {
        let mut entries: Vec<(u32, Vec<u8>, Oid)> = Vec::new();
        let mut folders: std::collections::BTreeMap<&str, Vec<(String, Vec<u8>)>> = std::collections::BTreeMap::new();
        for (path, content) in files {
            match path.split_once('/') {
                Some((folder, rest)) => folders.entry(folder).or_default().push((rest.to_owned(), content.clone())),
                None => entries.push((FILE, path.clone().into_bytes(), self.blob(content))),
            }
        }
        for (folder, files) in folders {
            entries.push((TREE, folder.into(), self.folder(&files)));
        }
        self.tree(&entries.iter().map(|(mode, name, id)| (*mode, name.as_slice(), *id)).collect::<Vec<_>>())
    }

    /// Makes the repository hold exactly these commits on `main`.
    pub(crate) fn publish(path: &Path, commits: &[FakeCommit]) -> Self {
        drop(std::fs::remove_dir_all(path));
        let repo = Self::new(path);
        for commit in commits {
            let files: Vec<_> = commit.files.clone().into_iter().collect();
            let tree = repo.folder(&files);
            repo.commit_on("main", &commit.message, tree);
        }
        repo
    }
}
