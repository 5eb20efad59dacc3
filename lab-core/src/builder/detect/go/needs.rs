//! What a Go program's build and start need.

use super::{Notes, Scope, is_go, paths, required};
use crate::builder::{detect::recipes::Kind, lab_toml::Tag};

/// The tag that every build gets: many programs embed their frontend only with it.
const TAG: &str = "production";

/// Libraries with C in them. PocketBase itself does without.
const WITH_C: &[&str] = &[
    "github.com/mattn/go-sqlite3",
    "github.com/davidbyttow/govips",
    "github.com/h2non/bimg",
    "gopkg.in/gographics/imagick",
    "github.com/chai2010/webp",
    "github.com/kolesa-team/go-webp",
    "github.com/marcboeker/go-duckdb",
    "github.com/asg017/sqlite-vec-go-bindings/cgo",
    "github.com/tursodatabase/go-libsql",
    "github.com/otiai10/gosseract",
    "gocv.io/x/gocv",
];

/// The Go files of a module, tests and copies of libraries apart.
pub(in super::super) fn files<'a>(scope: &'a Scope<'_>, module: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let module = module.to_owned();
    scope.tree.texts_below(&module).filter(move |(path, _)| {
        let inside = paths::relative(path, &module);
        is_go(path) && !inside.split('/').any(|name| matches!(name, "vendor" | "testdata"))
    })
}

/// The file that uses a library with C in it, and the library. A mention in `go.mod` alone is no use: PocketBase's own
/// dependencies mention one.
pub(super) fn cgo(scope: &Scope<'_>, module: &str) -> Option<(String, &'static str)> {
    files(scope, module).find_map(|(path, text)| {
        // only with cgo, so the program can do without
        let may = text
            .lines()
            .take_while(|line| !line.starts_with("package "))
            .any(|line| line.starts_with("//go:build") && line.contains("cgo"));
        if may {
            return None;
        }
        let by_library = || WITH_C.iter().find(|library| text.contains(&format!("\"{library}"))).copied();
        let by_itself = || text.lines().any(|line| line.trim() == "import \"C\"").then_some("C");
        by_library().or_else(by_itself).map(|library| (path.to_owned(), library))
    })
}

/// The build tags: Lab's own, and those that a recipe builds the program with.
pub(super) fn tags(scope: &Scope<'_>, module: &str, notes: &mut Notes) -> Vec<String> {
    let mut tags = vec![TAG.to_owned()];
    for recipe in scope.recipes.iter().filter(|it| it.kind <= Kind::Script && !it.is_aside()) {
        let folder = paths::parent(recipe.path);
        if !(folder == module || paths::is_below(module, folder) || paths::is_below(folder, module)) {
            continue;
        }
        for line in recipe.text.lines().filter(|line| line.contains("go build")) {
            let Some((_, rest)) = line.split_once("-tags") else { continue };
            let rest = rest.trim_start_matches(['=', ' ']);
            let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
            let value = match quote {
                Some(quote) => rest[1..].split(quote).next(),
                None => rest.split_whitespace().next(),
            };
            for tag in value.unwrap_or_default().split([',', ' ']).filter(|tag| Tag::new(tag).is_ok()) {
                if !tags.iter().any(|known| known == tag) {
                    notes.say(format!("`{}` builds with the tag `{tag}`", recipe.path));
                    tags.push(tag.to_owned());
                }
            }
        }
    }
    tags.truncate(16);
    tags
}

/// The folders of packages that recipes build or run: `go build -o app ./cmd/app`.
pub(super) fn built(scope: &Scope<'_>, module: &str) -> Vec<String> {
    let recipes = scope.recipes.iter().filter(|it| it.kind <= Kind::Script && !it.is_aside());
    let lines = recipes.flat_map(|recipe| recipe.text.lines());
    let calls = lines.filter(|line| line.contains("go build") || line.contains("go run"));
    let words = calls.flat_map(str::split_whitespace).map(|word| word.trim_matches(['"', '\'', ';', '&']));
    let package = |word: &str| {
        let word = word.strip_suffix("main.go").unwrap_or(word);
        let inside = paths::normal("", word.trim_end_matches('/'))?;
        Some(if inside.is_empty() { module.to_owned() } else { paths::join(module, &inside) })
    };
    words.filter(|word| word.starts_with("./") || word.contains('/')).filter_map(package).collect()
}

/// The library of templates that are compiled to Go, as their extension says.
const TEMPL: &str = "github.com/a-h/templ";

/// Commands that make code which is not committed: Go files of `templ`'s templates, by the version that `go.mod` requires.
pub(super) fn generate(scope: &Scope<'_>, module: &str, go_mod: &str, notes: &mut Notes) -> Vec<Vec<String>> {
    let is_version = |version: &&str| semver::Version::parse(version).is_ok();
    let Some(version) = required(go_mod, TEMPL).map(|(version, _)| version).filter(is_version) else {
        return Vec::new();
    };
    let lacking = scope.tree.below(module).map(|(path, _)| path).find(|path| {
        let stem = path.strip_suffix(".templ").filter(|_| !path.split('/').any(|name| name == "vendor"));
        stem.is_some_and(|stem| scope.tree.is_file(path) && !scope.tree.is_file(&format!("{stem}_templ.go")))
    });
    let Some(template) = lacking else { return Vec::new() };
    let command = format!("go run {TEMPL}/cmd/templ@v{version} generate");
    notes.say(format!("the Go code of `{template}` is not committed: `{command}` makes it"));
    vec![command.split(' ').map(str::to_owned).collect()]
}
