//! What a `package.json` says that matters here.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Scope, paths};

/// A package.
#[derive(Debug, Clone)]
pub(super) struct Package {
    /// Its folder.
    pub folder: String,
    /// Its scripts.
    pub scripts: BTreeMap<String, String>,
    /// Its dependencies of both kinds, with the range of each.
    pub dependencies: BTreeMap<String, String>,
    /// Whether it is the root of a workspace.
    pub is_workspace: bool,
    /// `pnpm@9.1.0`
    pub manager: Option<String>,
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
            scripts: texts("scripts"),
            dependencies: texts("devDependencies").into_iter().chain(texts("dependencies")).collect(),
            is_workspace: json.get("workspaces").is_some()
                || scope.tree.is_file(&paths::join(folder, "pnpm-workspace.yaml")),
            manager: json.get("packageManager").and_then(Value::as_str).map(str::to_owned),
        })
    }

    /// Whether it depends on `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.dependencies.contains_key(name)
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

    /// How its manager installs exactly what the lock file says, and builds.
    pub(super) fn manager(&self, scope: &Scope<'_>) -> Manager {
        let locked =
            |manager: &&Manager| manager.locks.iter().any(|lock| scope.tree.is_file(&paths::join(&self.folder, lock)));
        let named = self.manager.as_deref().and_then(|text| text.split('@').next());
        let by_lock: Vec<&Manager> = MANAGERS.iter().filter(locked).collect();
        let said = by_lock.iter().find(|manager| Some(manager.name) == named).or(by_lock.first());
        let mut manager = said.map_or_else(
            || MANAGERS.iter().find(|it| Some(it.name) == named).map_or(UNLOCKED_NPM, Manager::unlocked),
            |locked| **locked,
        );
        if manager.name == "yarn" && !manager.install.is_empty() && self.is_modern_yarn(scope) {
            manager.install = if said.is_some() { &["yarn", "install", "--immutable"] } else { manager.install };
        }
        manager
    }

    fn is_modern_yarn(&self, scope: &Scope<'_>) -> bool {
        let classic = self.manager.as_deref().is_none_or(|text| text.starts_with("yarn@1."));
        !classic || scope.tree.is_file(&paths::join(&self.folder, ".yarnrc.yml"))
    }
}

/// A package manager.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manager {
    /// Its name, which is its program.
    pub name: &'static str,
    locks: &'static [&'static str],
    /// Installs.
    pub install: &'static [&'static str],
}

impl Manager {
    fn unlocked(&self) -> Self {
        let install: &[&str] = match self.name {
            "pnpm" => &["pnpm", "install"],
            "yarn" => &["yarn", "install"],
            "bun" => &["bun", "install"],
            _ => &["npm", "install"],
        };
        Self { install, ..*self }
    }
}

/// The package managers; the first one whose lock file is there, unless `packageManager` names another one of these.
const MANAGERS: &[Manager] = &[
    Manager { name: "npm", locks: &["package-lock.json", "npm-shrinkwrap.json"], install: &["npm", "ci"] },
    Manager { name: "pnpm", locks: &["pnpm-lock.yaml"], install: &["pnpm", "install", "--frozen-lockfile"] },
    Manager { name: "yarn", locks: &["yarn.lock"], install: &["yarn", "install", "--frozen-lockfile"] },
    Manager { name: "bun", locks: &["bun.lock", "bun.lockb"], install: &["bun", "install", "--frozen-lockfile"] },
];

const UNLOCKED_NPM: Manager = Manager { name: "npm", locks: &[], install: &["npm", "install"] };
