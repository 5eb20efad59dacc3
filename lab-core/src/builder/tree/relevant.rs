//! Which files' content detection reads, and how much of it.

use super::paths;

/// Enough of a lock file to know its generation, or of a change log to know the newest version.
const HEAD: u64 = 4 << 10;

/// How the files are called that PocketBase's dashboard exports collections to.
pub const SCHEMA: &str = "pb_schema";

/// The whole file, as far as the limits allow.
const WHOLE: u64 = u64::MAX;

/// Files by name, in small letters.
const NAMES: &[(&str, u64)] = &[
    ("lab.toml", WHOLE),
    ("go.mod", WHOLE),
    ("go.work", WHOLE),
    ("package.json", WHOLE),
    ("angular.json", WHOLE),
    ("turbo.json", WHOLE),
    ("pnpm-workspace.yaml", WHOLE),
    (".yarnrc.yml", HEAD),
    (".npmrc", HEAD),
    (".nvmrc", HEAD),
    (".node-version", HEAD),
    (".tool-versions", HEAD),
    ("mise.toml", HEAD),
    (".mise.toml", HEAD),
    (".pb-version", HEAD),
    (".pb_version", HEAD),
    (".pocketbase-version", HEAD),
    (".gitmodules", WHOLE),
    (".gitattributes", HEAD),
    ("makefile", WHOLE),
    ("gnumakefile", WHOLE),
    ("devbox.json", HEAD),
    ("captain-definition", HEAD),
    ("justfile", WHOLE),
    (".justfile", WHOLE),
    ("procfile", HEAD),
    ("procfile.dev", HEAD),
    ("taskfile.yml", WHOLE),
    ("taskfile.yaml", WHOLE),
    ("fly.toml", HEAD),
    ("render.yaml", WHOLE),
    ("railway.json", HEAD),
    ("railway.toml", HEAD),
    ("nixpacks.toml", HEAD),
    (".gitlab-ci.yml", WHOLE),
    ("containerfile", WHOLE),
    ("yarn.lock", HEAD),
    ("pnpm-lock.yaml", HEAD),
    ("package-lock.json", HEAD),
    (".env", HEAD),
    ("env.example", HEAD),
    ("example.env", HEAD),
    ("sample.env", HEAD),
    ("env.sample", HEAD),
    ("env.template", HEAD),
];

/// Files by how the name starts.
const STARTS: &[(&str, u64)] = &[
    ("next.config.", WHOLE),
    ("nuxt.config.", WHOLE),
    ("svelte.config.", WHOLE),
    ("astro.config.", WHOLE),
    ("vite.config.", WHOLE),
    ("vue.config.", WHOLE),
    ("react-router.config.", WHOLE),
    ("tsconfig", HEAD),
    ("tsup.config.", HEAD),
    ("tsdown.config.", HEAD),
    ("rollup.config.", HEAD),
    ("app.config.", WHOLE),
    (".eleventy.", WHOLE),
    ("eleventy.config.", WHOLE),
    ("dockerfile", WHOLE),
    ("readme", 64 << 10),
    (".env.", HEAD),
    (SCHEMA, 16 << 10),
];

/// Files by how the name ends.
const ENDS: &[(&str, u64)] = &[
    (".go", WHOLE),
    (".sh", WHOLE),
    (".ps1", WHOLE),
    (".bat", WHOLE),
    (".dockerfile", WHOLE),
    (".pb.js", WHOLE),
    (".pb.ts", WHOLE),
    ("changelog.md", HEAD),
];

/// How many bytes of the file at `path` detection wants to read: 0 for most.
pub fn relevant(path: &str) -> u64 {
    let name = paths::name(path).to_ascii_lowercase();
    let by_name = NAMES.iter().find(|(it, _)| *it == name);
    let by_start = || STARTS.iter().find(|(start, _)| name.starts_with(start));
    let by_end = || ENDS.iter().find(|(end, _)| name.ends_with(end));
    if let Some((_, bytes)) = by_name.or_else(by_start).or_else(by_end) {
        return *bytes;
    }
    let folder = paths::parent(path);
    let is_workflow = folder.ends_with(".github/workflows") && paths::ends_in(&name, &[".yml", ".yaml"]);
    let is_code = paths::ends_in(&name, &[".js", ".ts", ".mjs", ".cjs", ".py"]);
    let is_script = is_code && (name.contains("pocketbase") || name.contains("pb") || is_scripts_folder(folder));
    let is_compose = name.contains("compose") && paths::ends_in(&name, &[".yml", ".yaml"]);
    if is_workflow || is_script || is_compose || is_migration(&name) || (is_code && is_codes_folder(folder)) {
        WHOLE
    } else {
        0
    }
}

/// Whether a folder's name says that it holds hooks or migrations, or it is in PocketBase's folder of hooks.
fn is_codes_folder(folder: &str) -> bool {
    let name = paths::name(folder).to_ascii_lowercase();
    let is_inside = || folder.split('/').any(|name| name == "pb_hooks");
    name.starts_with("pb_") || name.contains("migrations") || name.contains("hooks") || is_inside()
}

/// Whether a folder is for scripts, by its name.
pub fn is_scripts_folder(folder: &str) -> bool {
    ["scripts", "script", "bin", "tools"].contains(&paths::name(folder).to_ascii_lowercase().as_str())
}

/// Whether PocketBase could have given a migration that name: seconds since 1970, then words.
pub fn is_migration(name: &str) -> bool {
    let digits = name.bytes().take_while(u8::is_ascii_digit).count();
    digits >= 8 && paths::ends_in(name, &[".js", ".ts"]) && !name.ends_with(".d.ts")
}
