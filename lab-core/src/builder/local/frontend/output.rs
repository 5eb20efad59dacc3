//! Where a frontend's build put its result.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::super::{log::Log, place::Checkout};
use crate::builder::{BuildError, plan::Frontend};

/// Where builds usually put it, most usual first.
const USUAL: &[&str] =
    &["dist", "build", "out", ".output/public", "pb_public", "_site", ".vitepress/dist", "build/client", "public"];

/// The folder to serve: what the plan says, else what is usual. None: the build made nothing to serve. Blocks.
pub(in super::super) fn output(
    checkout: &Checkout,
    frontend: &Frontend,
    log: &Log,
) -> Result<Option<PathBuf>, BuildError> {
    if let Some(said) = &frontend.output {
        let there = checkout.find(said)?.filter(|path| path.is_dir());
        // what was detected may be wrong: the program of a server is nothing to serve
        if let Some(found) = there.as_ref().filter(|found| !frontend.optional || has_page(found)) {
            return Ok(Some(found.clone()));
        }
        let missing = if there.is_some() { "a page in " } else { "" };
        let Some((usual, found)) = usual(checkout, &frontend.directory)? else {
            return Err(BuildError::Invalid {
                what: format!("the build did not make {missing}`{}`", said.display()),
                reason:
                    "state the folder it makes, from the repository's root, in `lab.toml`: `[frontend]` with `output`"
                        .to_owned(),
            });
        };
        let (said, usual) = (said.display(), usual.display());
        log.say(&format!("the build did not make {missing}`{said}`: `{usual}` is taken instead"));
        return Ok(Some(found));
    }
    if let Some((usual, found)) = usual(checkout, &frontend.directory)? {
        log.say(&format!("`{}` is served as `pb_public`", usual.display()));
        return Ok(Some(found));
    }
    log.say(
        "the frontend's build made none of the usual folders with an `index.html`: `pb_public` is deployed without it",
    );
    Ok(None)
}

/// So many entries of a folder are looked at for a page.
const MAX_ENTRIES: usize = 10_000;

/// Whether there is a page in a folder: at its top, or deeper where no server's program is beside it.
fn has_page(folder: &Path) -> bool {
    let depth = if folder.join("server").is_dir() { 1 } else { 4 };
    let is_page =
        |entry: DirEntry| entry.file_type().is_file() && entry.path().extension().is_some_and(|end| end == "html");
    folder.join("index.html").is_file()
        || WalkDir::new(folder).max_depth(depth).into_iter().take(MAX_ENTRIES).flatten().any(is_page)
}

/// The first usual folder with a page in it, or one of its folders with one (Angular: `dist/<name>/browser`).
fn usual(checkout: &Checkout, directory: &Path) -> Result<Option<(PathBuf, PathBuf)>, BuildError> {
    for name in USUAL {
        let folder = directory.join(name);
        let mut inner = vec![folder.clone()];
        if *name == "dist"
            && let Some(found) = checkout.find(&folder)?
            && let Ok(entries) = found.read_dir()
        {
            let mut names: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.file_name())).collect();
            names.sort();
            inner.extend(names.iter().take(50).flat_map(|name| [folder.join(name).join("browser"), folder.join(name)]));
        }
        for candidate in inner {
            if let Some(found) = checkout.find(&candidate)?.filter(|found| found.join("index.html").is_file()) {
                return Ok(Some((candidate, found)));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, sync::Arc};

    use super::{super::super::redact::Redact, *};
    use crate::progress::Silent;

    #[test]
    fn what_was_only_detected_must_hold_a_page() {
        let dir = tempfile::tempdir().expect("tempdir");
        let checkout = Checkout::open(dir.path()).expect("open");
        let log = Log::new(Arc::new(Silent), Redact::new(std::iter::empty()), 1000);
        let find = |optional: bool| {
            let said = Frontend {
                directory: PathBuf::new(),
                commands: Vec::new(),
                output: Some("dist".into()),
                node: None,
                manager: None,
                env: BTreeMap::new(),
                optional,
            };
            let found = output(&checkout, &said, &log).map_err(|error| error.to_string());
            found.map(|found| found.expect("one").strip_prefix(checkout.path()).expect("inside").to_owned())
        };
        let write = |path: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("create");
            fs::write(path, "x").expect("write");
        };
        write("dist/server/entry.mjs");
        assert!(find(true).expect_err("no page").contains("a page in `dist`"));
        assert_eq!(find(false), Ok("dist".into()));
        write("dist/client/index.html");
        assert_eq!(find(true), Ok("dist/client".into()));
        fs::remove_dir_all(dir.path().join("dist/server")).expect("remove");
        assert_eq!(find(true), Ok("dist".into()));
    }
}
