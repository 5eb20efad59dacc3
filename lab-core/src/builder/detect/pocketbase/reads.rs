//! What hooks and migrations read beside their own folders: `require(`${__hooks}/../lib/x.js`)`,
//! `$os.readFile("./seed/data.json")`.

use tree_sitter::{Node, Parser};

use super::{Folders, Scope, paths};
use crate::builder::{
    BuildError,
    detect::{
        Notes,
        generation::{self, MAX_BYTES, nodes, text},
        reads::{self, MAX_PATH, plain},
    },
    tree::Kind,
};

/// Code without any of these reads nothing: most migrations are big and have none.
const READS: &[&str] = &["require(", "$os.", "$template", "$filesystem", "__hooks", "__dirname"];

/// What is bigger was hardly committed for hooks to read.
const MAX_FILE: u64 = 16 << 20;
const MAX_FOLDER: u64 = 64 << 20;

/// So many texts of an app are looked for.
const MAX_TEXTS: usize = 4096;

/// From where a path goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// The folder of the hooks.
    Hooks,
    /// The folder of the file that says it.
    Own,
    /// The working directory, or for `require` the folder of the file.
    Here,
}

/// A path as the code says it.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    from: From,
    path: String,
}

/// What `lab.toml` states, else what the code names.
pub(in super::super) fn reads(
    scope: &Scope<'_>,
    folders: &Folders,
    notes: &mut Notes,
) -> Result<Vec<String>, BuildError> {
    if let Some(stated) = reads::stated(scope, &scope.stated.base, None)? {
        return Ok(stated);
    }
    let Some(mut parser) = generation::parser() else { return Ok(Vec::new()) };
    let code = [&folders.hooks, &folders.migrations].into_iter().flatten().filter_map(|folder| scope.folder(folder));
    let (mut found, mut bytes, mut texts) = (Vec::new(), MAX_BYTES, MAX_TEXTS);
    for (file, text) in code.flat_map(|folder| scope.tree.texts_below(&folder)) {
        let may = paths::ends_in(file, &[".js", ".cjs", ".mjs", ".ts"]) && READS.iter().any(|word| text.contains(word));
        if !may || text.len() > bytes {
            continue;
        }
        bytes -= text.len();
        let said = said(&mut parser, text);
        for said in said.iter().take(texts) {
            found.extend(there(scope, folders, file, said).map(|path| (path, format!("`{file}` names it"))));
        }
        texts -= said.len().min(texts);
    }
    Ok(reads::told(found, notes))
}

/// The texts of a file that may be paths.
fn said(parser: &mut Parser, source: &str) -> Vec<Said> {
    let Some(tree) = parser.parse(source, None) else { return Vec::new() };
    let all = nodes(&tree).filter_map(|node| match node.kind() {
        "string" => {
            let start =
                node.prev_named_sibling().filter(|_| node.parent().is_some_and(|it| it.kind() == "binary_expression"));
            Some(Said { from: start.map_or(From::Here, |start| from(start, source)), path: literal(node, source)? })
        }
        "template_string" => template(node, source),
        "call_expression" => joined(node, source),
        _ => None,
    });
    let is_path = |said: &Said| {
        let path = said.path.as_str();
        path.len() <= MAX_PATH && path.contains(['/', '.']) && !path.contains(char::is_whitespace)
    };
    all.filter(is_path).collect()
}

/// What a name at the start of a path stands for.
fn from(node: Node<'_>, source: &str) -> From {
    match text(node, source) {
        "__hooks" => From::Hooks,
        "__dirname" => From::Own,
        _ => From::Here,
    }
}

/// What is between quotes.
fn literal(node: Node<'_>, source: &str) -> Option<String> {
    let said = text(node, source);
    let said = said.get(1..said.len().checked_sub(1)?)?;
    (!said.contains('\\')).then(|| said.to_owned())
}

/// `${__hooks}/../data/${name}.json`, with `$` for what only running it would tell.
fn template(node: Node<'_>, source: &str) -> Option<Said> {
    let (mut said, mut start) = (Said { from: From::Here, path: String::new() }, node.start_byte() + 1);
    let mut cursor = node.walk();
    for part in node.named_children(&mut cursor).filter(|part| part.kind() == "template_substitution") {
        said.path.push_str(source.get(start..part.start_byte())?);
        let named = part.named_child(0).map_or(From::Here, |name| from(name, source));
        if said.path.is_empty() && named != From::Here {
            said.from = named;
        } else {
            said.path.push('$');
        }
        start = part.end_byte();
    }
    said.path.push_str(source.get(start..node.end_byte().checked_sub(1)?)?);
    Some(said)
}

/// `$filepath.join(__hooks, "..", "data", "x.json")`
fn joined(call: Node<'_>, source: &str) -> Option<Said> {
    let function = call.child_by_field_name("function")?.child_by_field_name("property")?;
    let arguments = call.child_by_field_name("arguments").filter(|_| text(function, source) == "join")?;
    let mut said = Said { from: From::Here, path: String::new() };
    let mut cursor = arguments.walk();
    for (at, part) in arguments.named_children(&mut cursor).enumerate() {
        match from(part, source) {
            From::Here if part.kind() == "string" => said.path.push_str(&literal(part, source)?),
            named if at == 0 && named != From::Here => said.from = named,
            _ => said.path.push('$'),
        }
        said.path.push('/');
    }
    Some(said)
}

/// What the repository has at a path.
fn there(scope: &Scope<'_>, folders: &Folders, file: &str, said: &Said) -> Option<String> {
    let beside = |folder: &Option<String>| folder.as_deref().map(|folder| paths::parent(folder).to_owned());
    let homes: Vec<String> = [&folders.hooks, &folders.migrations].into_iter().filter_map(beside).collect();
    let hooks =
        folders.hooks.clone().unwrap_or_else(|| paths::join(homes.first().map_or("", String::as_str), "pb_hooks"));
    let path = plain(&said.path);
    // `process.cwd() + "/x.json"`, and most of them are addresses: no folder is meant
    let is_after = said.from == From::Here && path.starts_with('/');
    let inside = path.trim_start_matches('/');
    let own = paths::parent(file).to_owned();
    let bases = match said.from {
        From::Hooks => vec![hooks],
        From::Own => vec![own],
        From::Here if inside.starts_with('.') => [homes.clone(), vec![String::new(), own]].concat(),
        From::Here => [homes.clone(), vec![String::new()]].concat(),
    };
    let ends = ["", ".js", ".json", "/index.js"];
    let mut all = bases.iter().filter_map(|base| paths::normal(base, inside));
    let found = all.find_map(|path| {
        ends.iter().map(|end| format!("{path}{end}")).find(|path| is_data(scope, folders, path, is_after))
    })?;
    // a module may want what is beside it
    let module = paths::parent(&found);
    let is_alone = module.is_empty()
        || homes.iter().any(|home| home == module)
        || !paths::ends_in(&found, &[".js", ".cjs", ".mjs"]);
    Some(if !is_alone && is_data(scope, folders, module, false) { module.to_owned() } else { found })
}

/// Whether a path is something to read that is not in the release anyway, nor what only its owner may see.
fn is_data(scope: &Scope<'_>, folders: &Folders, path: &str, is_file: bool) -> bool {
    let is_own = |folder: &str| path == folder || paths::is_below(path, folder) || paths::is_below(folder, path);
    if path.is_empty()
        || folders.all().any(is_own)
        || path.split('/').any(|name| matches!(name, "pb_data" | "node_modules"))
    {
        return false;
    }
    match scope.tree.kind(path) {
        Some(Kind::File { size }) => *size <= MAX_FILE,
        Some(Kind::Folder) if !is_file && !path.split('/').any(|name| name.starts_with('.')) => {
            let beside = |name: &str| scope.tree.kind(&paths::join(path, name)).is_some();
            let size = |kind: &Kind| if let Kind::File { size } = kind { *size } else { 0 };
            let bytes: u64 = scope.tree.below(path).map(|(_, kind)| size(kind)).sum();
            !beside("package.json") && !beside("go.mod") && (1..=MAX_FOLDER).contains(&bytes)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_hooks_say_them() {
        let source = r#"
            const a = require(`${__hooks}/../lib/a.js`), b = require(__hooks + "/../b.json"), re = /['"]/;
            routerAdd('GET', "/x/{id}", (e) => e.json(200, $os.readFile($filepath.join(__hooks, "..", "data", name, "c.json"))))
            $template.loadFiles(`${__dirname}/views/${page}.html`, './views/layout.html')
            // require("./comment.js")
            const words = "two words.", plain = "posts", bad = "unended
        "#;
        let mut parser = generation::parser().expect("parser");
        let all = said(&mut parser, source);
        let of = |from: From| -> Vec<&str> {
            all.iter().filter(|said| said.from == from).map(|said| said.path.as_str()).collect()
        };
        assert_eq!(of(From::Hooks), ["/../lib/a.js", "/../b.json", "/../data/$/c.json/"]);
        assert_eq!(of(From::Own), ["/views/$.html"]);
        assert_eq!(of(From::Here), ["/x/{id}", "..", "c.json", "./views/layout.html"]);
    }
}
