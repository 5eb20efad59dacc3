//! What a `package.json` says that matters here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Scope, manager::Pnpm, paths};

/// A package.
#[derive(Debug, Clone)]
pub(super) struct Package {
    /// Its folder.
    pub folder: String,
    /// Its name.
    pub name: String,
    /// Its scripts.
    pub scripts: BTreeMap<String, String>,
    /// Its dependencies of both kinds, with the range of each.
    pub dependencies: BTreeMap<String, String>,
    /// The names of those that it needs where it runs.
    pub needed: BTreeSet<String>,
    /// Whether it is the root of a workspace.
    pub is_workspace: bool,
    /// `pnpm@9.1.0`
    pub manager: Option<String>,
    /// `engines` and `volta`: versions of tools that it asks for, by their names.
    pub engines: BTreeMap<String, String>,
}

impl Package {
    /// Reads the `package.json` in `folder`; none when there is none or it cannot be read.
    pub(super) fn read(scope: &Scope<'_>, folder: &str) -> Option<Self> {
        let json: Value = serde_json::from_str(scope.tree.text(&paths::join(folder, "package.json"))?).ok()?;
        let texts = |key: &str| -> BTreeMap<String, String> {
            let object = json.get(key).and_then(Value::as_object).into_iter().flatten();
            object.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
        };
        Some(Self {
            folder: folder.to_owned(),
            name: json.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            scripts: texts("scripts"),
            dependencies: texts("devDependencies").into_iter().chain(texts("dependencies")).collect(),
            needed: texts("dependencies").into_keys().collect(),
            is_workspace: json.get("workspaces").is_some()
                || Pnpm::read(scope, folder).is_some_and(|pnpm| pnpm.has_packages()),
            manager: json.get("packageManager").and_then(Value::as_str).map(str::to_owned),
            engines: texts("engines").into_iter().chain(texts("volta")).collect(),
        })
    }

    /// Whether it depends on `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.dependencies.contains_key(name)
    }

    /// The first script that builds it for serving.
    pub(super) fn build_script(&self) -> Option<&'static str> {
        const SCRIPTS: &[&str] = &["build", "build:prod", "build:production", "build:web", "build:client", "generate"];
        SCRIPTS.iter().copied().find(|name| self.scripts.contains_key(*name))
    }

    /// The workspace that it is a member of: the nearest folder above with a package that says it is one.
    pub(super) fn workspace(&self, scope: &Scope<'_>) -> Option<Self> {
        paths::above(&self.folder).filter_map(|folder| Self::read(scope, folder)).find(|package| package.is_workspace)
    }

    /// Whether what it depends on is built in the same workspace.
    pub(super) fn needs_siblings(&self) -> bool {
        self.dependencies.values().any(|range| range.starts_with("workspace:"))
    }

    /// What the script `name` runs, with what npm runs before and after it.
    pub(super) fn script(&self, name: &str) -> String {
        let all = [format!("pre{name}"), name.to_owned(), format!("post{name}")];
        all.iter().filter_map(|name| self.scripts.get(name).map(String::as_str)).collect::<Vec<_>>().join(" && ")
    }

    /// The text of the configuration files whose name starts so, without comment lines and spaces, with one kind of
    /// quotes: enough to look for a setting.
    pub(super) fn config(&self, scope: &Scope<'_>, start: &str) -> String {
        let depth = paths::depth(&self.folder) + 1;
        scope
            .tree
            .below(&self.folder)
            .filter(|(path, _)| paths::depth(path) == depth && paths::name(path).starts_with(start))
            .filter_map(|(path, _)| scope.tree.text(path))
            .flat_map(str::lines)
            .filter(|line| !line.trim_start().starts_with("//"))
            .flat_map(str::chars)
            .filter(|c| !c.is_whitespace())
            .map(|c| if matches!(c, '"' | '`') { '\'' } else { c })
            .collect()
    }
}
