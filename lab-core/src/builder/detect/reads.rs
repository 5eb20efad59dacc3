//! Files that an app reads at run time, in its working directory: what `lab.toml` states, else what its code names and
//! the repository has.

use super::{BuildError, Notes, Scope, paths};
use crate::builder::{lab_toml::RepoPath, plan::RESERVED};

/// So many are believed, and so many are told one by one.
pub(super) const MAX_FILES: usize = 64;
const MAX_TOLD: usize = 8;

/// A longer text is no path.
pub(super) const MAX_PATH: usize = 256;

/// What `lab.toml` states, relative to `base`; a release has a program of its own there too.
pub(super) fn stated(scope: &Scope<'_>, base: &str, program: Option<&str>) -> Result<Option<Vec<String>>, BuildError> {
    let Some(stated) = scope.stated.server().and_then(|server| server.files.as_ref()) else { return Ok(None) };
    let path = |file: &toml::Spanned<RepoPath>| match file.get_ref().as_str() {
        inside if !inside.is_empty() && !is_reserved(inside) && program != Some(first(inside)) => {
            Ok(paths::join(base, inside))
        }
        inside => Err(scope.stated.wrong(file, &format!("`{}` is Lab's own there", paths::shown(inside)))),
    };
    stated.iter().map(path).collect::<Result<_, _>>().map(Some)
}

/// What was found, each with why: paths of the tree, none inside another.
pub(super) fn told(mut found: Vec<(String, String)>, notes: &mut Notes) -> Vec<String> {
    found.sort();
    found.dedup_by(|one, before| one.0 == before.0 || paths::is_below(&one.0, &before.0));
    found.truncate(MAX_FILES);
    for (path, why) in found.iter().take(MAX_TOLD) {
        notes.say(format!("`{path}` is there at run time: {why}"));
    }
    found.into_iter().map(|(path, _)| path).collect()
}

/// Whether a release has something of Lab's own at a path of the working directory.
pub(super) fn is_reserved(inside: &str) -> bool {
    RESERVED.contains(&first(inside))
}

/// The first name of a path.
pub(super) fn first(path: &str) -> &str {
    path.split('/').next().unwrap_or_default()
}

/// A path until where only running the program would tell: `web/*.html`, `views/%s.html`.
pub(super) fn plain(path: &str) -> String {
    let names = path.split('/').take_while(|name| !name.contains(['*', '?', '[', '{', '%', '$']));
    names.collect::<Vec<_>>().join("/")
}
