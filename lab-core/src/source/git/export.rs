//! Writes a plan: folders, then files as they were committed (no filters, no hooks), links last, so that nothing is ever
//! written through one.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink},
    path::Path,
};

use super::{
    fault::{Origin, escape},
    job::Job,
    links,
    plan::{Plan, PlannedFile, path_of},
};
use crate::{progress::Unit, source::SourceError};

/// How a Git LFS pointer begins (<https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>).
const LFS: &[u8] = b"version https://git-lfs";

/// The longest pointer: "must be less than 1024 bytes" (the same page).
const MAX_POINTER: u64 = 1024;

/// The most LFS files a warning names.
const MAX_NAMED: usize = 5;

impl Plan {
    /// Writes everything into the empty folder `root`.
    pub(super) fn write(self, job: &Job, origin: &Origin, root: &Path) -> Result<(), SourceError> {
        let failed = |path: &[u8], error: &io::Error| match error.kind() {
            // in a folder of our own only the tree itself can have made it
            io::ErrorKind::AlreadyExists => origin.hostile(path, "is there twice"),
            _ => origin.failed(format!("cannot write `{}`: {error}", escape(path, 300))),
        };
        for folder in &self.folders {
            let made = fs::DirBuilder::new().mode(0o755).create(root.join(path_of(folder)));
            made.map_err(|error| failed(folder, &error))?;
        }
        let (mut done, mut pointers) = (0, Vec::new());
        for file in &self.files {
            job.stop.check()?;
            if self.write_file(origin, root, file)?.map_err(|error| failed(&file.path, &error))? {
                pointers.push(file.path.as_slice());
            }
            done += file.size;
            job.amount(done, self.bytes, Unit::Bytes);
        }
        warn_of_pointers(job, &pointers);
        let (inside, outside) = links::sort(self.links);
        for link in outside {
            let (path, target) = (escape(&link.path, 300), escape(&link.target, 300));
            job.warn(&format!("left out the link `{path}`: `{target}` leads outside of the repository or in circles"));
        }
        for link in inside {
            job.stop.check()?;
            let made = symlink(path_of(&link.target), root.join(path_of(&link.path)));
            made.map_err(|error| failed(&link.path, &error))?;
        }
        Ok(())
    }

    /// Writes one file and tells whether it is an LFS pointer.
    fn write_file(&self, origin: &Origin, root: &Path, file: &PlannedFile) -> Result<io::Result<bool>, SourceError> {
        let Some(repository) = self.repositories.get(file.from) else { return Ok(Ok(false)) };
        let blob = repository.find_blob(file.blob).map_err(|error| origin.damaged(&error))?;
        let content = blob.content();
        let mode = if file.executable { 0o755 } else { 0o644 };
        let path = root.join(path_of(&file.path));
        let opened = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
        let written = opened.and_then(|mut opened| opened.write_all(content));
        Ok(written.map(|()| file.size < MAX_POINTER && content.starts_with(LFS)))
    }
}

fn warn_of_pointers(job: &Job, pointers: &[&[u8]]) {
    if pointers.is_empty() {
        return;
    }
    let named: Vec<String> = pointers.iter().take(MAX_NAMED).map(|path| escape(path, 200)).collect();
    let more = if pointers.len() > MAX_NAMED { " …" } else { "" };
    job.warn(&format!(
        "files kept in Git LFS come as pointers only, {} of them: {}{more}; commit what the app needs",
        pointers.len(),
        named.join(", ")
    ));
}
