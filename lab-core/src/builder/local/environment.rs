//! What commands find in their environment, and where programs are.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{LocalBuilderSettings, processes::MARKER};
use crate::builder::BuildError;

/// Settings of tools that are the same in every build.
const FIXED: &[(&str, &str)] = &[
    ("CI", "1"),
    ("NO_COLOR", "1"),
    ("LANG", "C.UTF-8"),
    ("CGO_ENABLED", "0"),
    // a toolchain that is fetched behind one's back is neither bounded nor explained
    ("GOTOOLCHAIN", "local"),
    ("GOTELEMETRY", "off"),
    // else only root could delete the cache
    ("GOFLAGS", "-modcacherw"),
    ("npm_config_audit", "false"),
    ("npm_config_fund", "false"),
    ("npm_config_progress", "false"),
    ("npm_config_update_notifier", "false"),
    ("COREPACK_ENABLE_DOWNLOAD_PROMPT", "0"),
    ("YARN_ENABLE_TELEMETRY", "0"),
    ("DISABLE_OPENCOLLECTIVE", "1"),
    ("ASTRO_TELEMETRY_DISABLED", "1"),
    ("NEXT_TELEMETRY_DISABLED", "1"),
    ("NUXT_TELEMETRY_DISABLED", "1"),
];

/// Where tools keep what they download, below the cache.
const CACHES: &[(&str, &str)] = &[
    ("GOCACHE", "go-build"),
    ("GOMODCACHE", "go-mod"),
    ("npm_config_cache", "npm"),
    ("YARN_CACHE_FOLDER", "yarn"),
    ("BUN_INSTALL_CACHE_DIR", "bun"),
    ("COREPACK_HOME", "corepack"),
];

/// The environment of a build's commands. `home` is the build's own: what one build writes there reaches no other.
pub(super) fn environment(
    settings: &LocalBuilderSettings,
    job: &BTreeMap<String, String>,
    home: &Path,
    marker: &str,
) -> BTreeMap<String, String> {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let mut env: BTreeMap<String, String> =
        FIXED.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    env.extend(CACHES.iter().map(|(name, folder)| ((*name).to_owned(), text(settings.cache_dir.join(folder)))));
    env.insert("HOME".to_owned(), text(home.to_owned()));
    env.insert("TMPDIR".to_owned(), text(home.join("tmp")));
    env.insert("PATH".to_owned(), settings.path.clone());
    env.extend(settings.env.clone());
    env.extend(job.clone());
    // without it, what leaves the process group could not be found
    env.insert(MARKER.to_owned(), marker.to_owned());
    env
}

/// Adds what only the command's own program understands: npm warns of settings that are pnpm's.
pub(super) fn tune(env: &mut BTreeMap<String, String>, words: &[String], cache_dir: &Path) {
    if words.first().is_some_and(|program| program == "pnpm") {
        // up to version 10, and from 11 on
        for prefix in ["npm_config", "pnpm_config"] {
            let store = cache_dir.join("pnpm").to_string_lossy().into_owned();
            env.entry(format!("{prefix}_store_dir")).or_insert(store);
            // hard links into its store would let one app's build change another's packages
            env.entry(format!("{prefix}_package_import_method")).or_insert_with(|| "clone-or-copy".to_owned());
        }
    }
}

/// Managers that Node.js's `corepack` brings.
const COREPACK: &[&str] = &["pnpm", "yarn"];

/// The program that `words` start with, and its arguments.
pub(super) fn program(words: &[String], directory: &Path, path: &str) -> Result<(PathBuf, Vec<String>), BuildError> {
    let Some((name, arguments)) = words.split_first() else {
        return Err(BuildError::Invalid { what: "a command".to_owned(), reason: "is empty".to_owned() });
    };
    if name.contains('/') {
        let program = directory.join(name);
        let reason = || "is not a program that can be run (is its executable bit committed?)".to_owned();
        return is_program(&program)
            .then(|| (program, arguments.to_vec()))
            .ok_or_else(|| BuildError::Invalid { what: format!("`{name}`"), reason: reason() });
    }
    if let Some(program) = find(name, path) {
        return Ok((program, arguments.to_vec()));
    }
    match find("corepack", path) {
        Some(corepack) if COREPACK.contains(&name.as_str()) => Ok((corepack, words.to_vec())),
        _ => Err(BuildError::MissingProgram { program: name.clone() }),
    }
}

fn find(name: &str, path: &str) -> Option<PathBuf> {
    // a relative folder in PATH would be the repository's to fill
    path.split(':')
        .map(Path::new)
        .filter(|folder| folder.is_absolute())
        .map(|it| it.join(name))
        .find(|it| is_program(it))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
