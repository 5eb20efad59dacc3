//! Where a frontend's build put its result.

use std::path::{Path, PathBuf};

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
        if let Some(found) = checkout.find(said)?.filter(|path| path.is_dir()) {
            return Ok(Some(found));
        }
        let Some((usual, found)) = usual(checkout, &frontend.directory)? else {
            return Err(BuildError::Invalid {
                what: format!("the build did not make `{}`", said.display()),
                reason:
                    "state the folder it makes, from the repository's root, in `lab.toml`: `[frontend]` with `output`"
                        .to_owned(),
            });
        };
        log.say(&format!("the build did not make `{}`: `{}` is taken instead", said.display(), usual.display()));
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
