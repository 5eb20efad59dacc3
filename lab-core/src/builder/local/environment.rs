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
    // Go fetches the toolchain that `go.mod` asks for through its module proxy and verifies it
    ("GOTOOLCHAIN", "auto"),
    ("GOTELEMETRY", "off"),
    // else only root could delete the cache
    ("GOFLAGS", "-modcacherw"),
    // git hooks are for developers, and browsers for tests: neither is needed here, and browsers are big
    ("HUSKY", "0"),
    ("PUPPETEER_SKIP_DOWNLOAD", "1"),
    ("PUPPETEER_SKIP_CHROMIUM_DOWNLOAD", "1"),
    ("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1"),
    ("CYPRESS_INSTALL_BINARY", "0"),
    ("ELECTRON_SKIP_BINARY_DOWNLOAD", "1"),
    ("npm_config_audit", "false"),
    ("npm_config_fund", "false"),
    ("npm_config_progress", "false"),
    ("npm_config_update_notifier", "false"),
    // the version was chosen: no manager may fetch or refuse another one
    ("COREPACK_ENABLE_STRICT", "0"),
    ("YARN_IGNORE_PATH", "1"),
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
    ("YARN_GLOBAL_FOLDER", "yarn-berry"),
    ("BUN_INSTALL_CACHE_DIR", "bun"),
];

/// pnpm's, which goes by settings of its own.
const PNPM_STORE: &str = "pnpm";

/// The folders below the cache in which tools keep what they download.
pub(super) fn cache_folders() -> impl Iterator<Item = &'static str> {
    CACHES.iter().map(|(_, folder)| *folder).chain([PNPM_STORE])
}

/// Those of one program.
pub(super) fn caches_of(program: &str) -> &'static [&'static str] {
    match program {
        "go" => &["go-build", "go-mod"],
        "npm" | "npx" => &["npm"],
        "pnpm" | "pnpx" => &[PNPM_STORE],
        "yarn" => &["yarn", "yarn-berry"],
        "bun" | "bunx" => &["bun"],
        _ => &[],
    }
}

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
    // the others have names of their own for the registry that npm is told of
    if let Some(registry) = settings.env.get("npm_config_registry") {
        for name in ["YARN_REGISTRY", "YARN_NPM_REGISTRY_SERVER"] {
            env.entry(name.to_owned()).or_insert_with(|| registry.clone());
        }
    }
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
            let store = cache_dir.join(PNPM_STORE).to_string_lossy().into_owned();
            env.entry(format!("{prefix}_store_dir")).or_insert(store);
            env.entry(format!("{prefix}_manage_package_manager_versions")).or_insert_with(|| "false".to_owned());
            env.entry(format!("{prefix}_package_manager_strict")).or_insert_with(|| "false".to_owned());
            // hard links into its store would let one app's build change another's packages
            env.entry(format!("{prefix}_package_import_method")).or_insert_with(|| "clone-or-copy".to_owned());
        }
    }
}

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
    let found = find(name, path).ok_or_else(|| BuildError::MissingProgram { program: name.clone() })?;
    Ok((found, arguments.to_vec()))
}

/// A program of `path`.
pub(super) fn find(name: &str, path: &str) -> Option<PathBuf> {
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
