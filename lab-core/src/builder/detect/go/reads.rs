//! Files that a Go program reads at run time, in its working directory: what its code names and the repository has.

use std::collections::{BTreeMap, BTreeSet};

use super::{Notes, Scope, needs, paths};
use crate::builder::{
    BuildError,
    detect::{
        reads::{self, MAX_PATH, first, is_reserved, plain},
        variables,
    },
    plan::Frontend,
};

/// Folders that are there for programs that put their names together.
const USUAL: &[&str] = &["assets", "public", "static", "templates", "views"];

const OFTEN: &str = "programs often read such a folder";

/// Folders whose names are words that a program says for other reasons.
const CODE: &[&str] =
    &["bin", "build", "cmd", "deploy", "docker", "docs", "internal", "pkg", "scripts", "src", "test", "tests"];

/// So many texts are looked at: far more than programs have.
const MAX_TEXTS: usize = 50_000;

/// What `lab.toml` states, else what is found: paths of the tree, none inside another.
pub(in super::super) fn reads(
    scope: &Scope<'_>,
    module: &str,
    frontend: Option<&Frontend>,
    notes: &mut Notes,
) -> Result<Vec<String>, BuildError> {
    if let Some(stated) = reads::stated(scope, module, Some("app"))? {
        return Ok(stated);
    }
    let output = frontend.and_then(|frontend| frontend.output.as_deref()?.to_str());
    let mut known = Known { scope, module, output, paths: BTreeMap::new(), left: MAX_TEXTS };
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for (file, text) in needs::files(scope, module) {
        for group in groups(text) {
            for path in known.named(&group) {
                all.entry(path).or_insert_with(|| format!("`{file}` names it"));
            }
        }
    }
    for path in of_usual_names(scope, module) {
        all.entry(path).or_insert_with(|| OFTEN.to_owned());
    }
    Ok(reads::told(all.into_iter().collect(), notes))
}

/// Folders of usual names beside a program whose code is not here, unless `lab.toml` states what it reads; `known` are
/// there already.
pub(in super::super) fn usual(scope: &Scope<'_>, home: &str, known: &[String], notes: &mut Notes) -> Vec<String> {
    if scope.stated.server().is_some_and(|server| server.files.is_some()) {
        return Vec::new();
    }
    let is_new = |path: &String| !known.iter().any(|known| known == path || paths::is_below(path, known));
    let found = of_usual_names(scope, home).into_iter().filter(is_new).map(|path| (path, OFTEN.to_owned()));
    reads::told(found.collect(), notes)
}

fn of_usual_names(scope: &Scope<'_>, home: &str) -> Vec<String> {
    let all = USUAL.iter().map(|name| paths::join(home, name));
    all.filter(|path| is_data(scope, home, path)).collect()
}

/// What the code names beside the module, by `../`, where the release can hold both at their places; some of it may be
/// Lab's own folders, which are there anyway. None: nothing.
pub(in super::super) fn beside(
    scope: &Scope<'_>,
    module: &str,
    frontend: Option<&Frontend>,
    notes: &mut Notes,
) -> Option<Vec<String>> {
    if module.is_empty() || is_taken(module) {
        return None;
    }
    let output = frontend.and_then(|frontend| frontend.output.as_deref()?.to_str());
    let mut looked_at: BTreeSet<String> = BTreeSet::new();
    let mut found: BTreeSet<String> = BTreeSet::new();
    for (file, text) in needs::files(scope, module).filter(|(_, text)| text.contains("..")) {
        for group in groups(text) {
            let together = group.join("/");
            for said in group.iter().copied().chain([together.as_str()]).filter(|said| said.starts_with("../")) {
                let Some(path) = paths::normal(module, &plain(said)) else { continue };
                if looked_at.len() == MAX_TEXTS || !looked_at.insert(path.clone()) {
                    continue;
                }
                let outside = path != module && !paths::is_below(&path, module) && !paths::is_below(module, &path);
                let is_built = output.is_some_and(|output| path == output || paths::is_below(&path, output));
                // `app.DataDir() + "/../pb_hooks"` is no path from where the program runs
                let is_labs =
                    ["pb_hooks", "pb_migrations", "pb_public"].contains(&path.as_str()) && scope.tree.is_folder(&path);
                let is_there = is_labs || (is_built && !is_taken(&path)) || is_data(scope, "", &path);
                if outside && is_there && found.len() < reads::MAX_FILES && found.insert(path.clone()) {
                    notes.say(format!("`{file}` names `{path}` beside the module: the program runs in `{module}`"));
                }
            }
        }
    }
    if found.is_empty() {
        return None;
    }
    let mut files: Vec<String> = found.into_iter().filter(|path| !is_taken(path)).collect();
    files.dedup_by(|one, before| paths::is_below(one, before));
    Some(files)
}

/// Calls whose argument is a folder that is served.
const SERVED: &[&str] = &["os.DirFS(", "http.Dir(", ".Static(\"/\","];

/// Names in the paths of folders that hold a frontend, rather than what a program's users bring.
const FRONTENDS: &[&str] = &[
    ".output", "build", "client", "dist", "frontend", "html", "out", "public", "site", "static", "ui", "web", "webapp",
    "www",
];

/// The folder in the module that the program serves, where nothing of it is committed, and the file that says so: recipes
/// put the frontend's build there.
pub(in super::super) fn serves<'a>(scope: &'a Scope<'_>, module: &str) -> Option<(String, &'a str)> {
    needs::files(scope, module).find_map(|(file, text)| {
        let mut said =
            variables::arguments(text, SERVED).filter(|said| said.len() <= MAX_PATH && **said == plain(said));
        let path = said.find_map(|said| {
            let path = paths::normal(module, said)?;
            let inside = paths::relative(&path, module);
            let is_new = path != module && paths::is_below(&path, module) && !is_taken(inside);
            let is_page = inside.split('/').any(|name| FRONTENDS.contains(&name));
            (is_new && is_page && !scope.tree.holds(&path, |name| !name.starts_with('.'))).then_some(path)
        })?;
        Some((path, file))
    })
}

/// Whether a release has something of Lab's own at a path, the program among it.
fn is_taken(inside: &str) -> bool {
    is_reserved(inside) || first(inside) == "app"
}

/// What is known of the paths that code names: each is looked at once, however often it is named.
struct Known<'a> {
    scope: &'a Scope<'a>,
    module: &'a str,
    output: Option<&'a str>,
    paths: BTreeMap<String, bool>,
    /// So many more texts are looked at.
    left: usize,
}

impl Known<'_> {
    /// The longest paths that texts, which are arguments side by side, make together and alone.
    fn named(&mut self, group: &[&str]) -> Vec<String> {
        let mut all = Vec::new();
        let mut from = 0;
        while from < group.len() && self.left > 0 {
            self.left -= 1;
            let longest = (from + 1..=group.len().min(from + 8)).rev().find_map(|to| {
                let path = paths::normal(self.module, &plain(&group[from..to].join("/")))?;
                self.read(path).map(|path| (path, to))
            });
            from = longest.as_ref().map_or(from + 1, |(_, to)| *to);
            all.extend(longest.map(|(path, _)| path));
        }
        all
    }

    /// What is read where the code names `path`: it, or what the frontend's build makes.
    fn read(&mut self, path: String) -> Option<String> {
        let built = self.output.filter(|output| path == *output || paths::is_below(&path, output));
        if let Some(output) = built.filter(|output| paths::is_below(output, self.module)) {
            return Some(output.to_owned());
        }
        let is_data = match self.paths.get(&path) {
            Some(is_data) => *is_data,
            None => *self.paths.entry(path.clone()).or_insert_with(|| is_data(self.scope, self.module, &path)),
        };
        is_data.then_some(path)
    }
}

/// Whether a path is something to read, rather than code or what Lab sees to.
fn is_data(scope: &Scope<'_>, module: &str, path: &str) -> bool {
    let inside = paths::relative(path, module);
    let hidden = |name: &str| {
        (name.starts_with('.') && !name.starts_with(".env.")) || matches!(name, "node_modules" | "vendor" | "testdata")
    };
    if !paths::is_below(path, module)
        || is_reserved(inside)
        || first(inside) == "app"
        || CODE.contains(&inside)
        || inside.split('/').any(hidden)
    {
        return false;
    }
    let is_code = |name: &str| paths::ends_in(name, &[".go", ".mod", ".sum", ".templ"]);
    let beside = |name: &str| scope.tree.kind(&paths::join(path, name)).is_some();
    if scope.tree.is_file(path) {
        return !is_code(paths::name(path));
    }
    scope.tree.is_folder(path)
        && !beside("package.json")
        && !beside("go.mod")
        && scope.tree.holds(path, |name| !is_code(name))
}

/// The texts of a Go file, its imports apart, those together that only commas are between.
fn groups(text: &str) -> Vec<Vec<&str>> {
    let mut groups: Vec<Vec<&str>> = Vec::new();
    let mut rest = after_imports(text);
    let mut is_beside = false;
    while let Some(at) = rest.find(['"', '`', '\'', '/', ',', '+', '(', ')', ';', '\n']) {
        let between = &rest[..at];
        is_beside &= between.trim().is_empty();
        let mark = rest.as_bytes()[at];
        let after = &rest[at + 1..];
        rest = match mark {
            b'/' if after.starts_with('/') => after.split_once('\n').map_or("", |(_, rest)| rest),
            b'/' if after.starts_with('*') => after.split_once("*/").map_or("", |(_, rest)| rest),
            b'\'' => &after[end_of(after, '\'').unwrap_or(0)..],
            b'"' | b'`' => {
                let end = if mark == b'"' { end_of(after, '"') } else { after.find('`').map(|at| at + 1) };
                let Some(end) = end else { return groups };
                let said = &after[..end - 1];
                // `folder + "/name"`
                let said = said.strip_prefix('/').unwrap_or(said);
                if said.len() > MAX_PATH || said.is_empty() || said.contains(char::is_whitespace) {
                    is_beside = false;
                } else if is_beside && let Some(group) = groups.last_mut() {
                    group.push(said);
                } else {
                    groups.push(vec![said]);
                    is_beside = true;
                }
                &after[end..]
            }
            b',' | b'\n' => after,
            _ => {
                is_beside = false;
                after
            }
        };
    }
    groups
}

/// What follows the imports: their paths name packages.
fn after_imports(text: &str) -> &str {
    let mut at = 0;
    let mut is_inside = false;
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        let line = line.trim();
        let begins = line.starts_with("import ") || line.starts_with("import(");
        is_inside = (is_inside || (begins && line.contains('('))) && !line.starts_with(')') && !line.ends_with(')');
        if begins || is_inside || (line.starts_with(')') && end > 0) {
            end = at;
        }
        if ["func ", "var ", "const ", "type "].iter().any(|word| line.starts_with(word)) && !is_inside {
            break;
        }
    }
    &text[end..]
}

/// Where a text that `quote` ends is over, in bytes, the quote included.
fn end_of(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let ends = c == quote && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        (ends || c == '\n').then(|| at + c.len_utf8())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_go_reads_them() {
        let text = r#"package main

import (
	"html/template"
	x "x/static"
)

import "embed"

// "a comment", it's
/* "another" */
var quote = '"'
const sql = `select *
from x`

func main() {
	read(filepath.Join("internal", "schema",
		"one.json"), "other")
	f("with \" in it", "two words", `raw/path`)
	open(dir + "/views/x.html")
}
"#;
        let expected: &[&[&str]] = &[&["internal", "schema", "one.json"], &["other"], &["raw/path"], &["views/x.html"]];
        assert_eq!(groups(text), expected);
        assert_eq!(groups("package x\nvar a = \"unended"), Vec::<Vec<&str>>::new());
    }
}
