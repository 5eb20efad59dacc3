//! Scripts of a package that make single things which a Go program embeds: a style sheet, a bundle.

use std::collections::BTreeSet;

use super::{Candidate, Embed, Frontend, Notes, Package, Scope, frontend, paths, words};

/// Scripts that make what is embedded and not committed.
pub(super) struct Made<'a> {
    package: Package,
    scripts: BTreeSet<String>,
    embeds: Vec<&'a Embed>,
}

/// Those of the package nearest to what they make.
pub(super) fn find<'a>(scope: &Scope<'_>, chosen: &Candidate, embeds: &'a [Embed]) -> Option<Made<'a>> {
    let missing: Vec<&Embed> = embeds.iter().filter(|embed| embed.is_missing()).collect();
    let mut folders: BTreeSet<&str> = missing.iter().flat_map(|embed| paths::above(&embed.target)).collect();
    folders.retain(|folder| *folder == scope.root || paths::is_below(folder, &scope.root));
    folders.extend([chosen.root.as_str(), scope.root.as_str()]);
    // the deepest first
    folders.into_iter().rev().find_map(|folder| {
        let package = Package::read(scope, folder)?;
        let mut made = Made { package, scripts: BTreeSet::new(), embeds: Vec::new() };
        for embed in &missing {
            if let Some(script) = script(&made.package, embed) {
                made.scripts.insert(script);
                made.embeds.push(embed);
            }
        }
        (!made.embeds.is_empty()).then_some(made)
    })
}

/// The script that names what is embedded, or something in it, and ends by itself.
fn script(package: &Package, embed: &Embed) -> Option<String> {
    let names = |text: &str| {
        let mut words = text.split([' ', '=', '"', '\'', ';', '&', '>']).filter(|word| word.contains(['/', '.']));
        words.any(|word| {
            let path = paths::normal(&package.folder, word);
            path.is_some_and(|path| path == embed.target || paths::is_below(&path, &embed.target))
        })
    };
    let ends = |name: &str, text: &str| {
        let is_plain = name.starts_with(char::is_alphanumeric) && !name.contains(['\'', '\n']);
        is_plain
            && !["dev", "start", "watch", "clean"].iter().any(|word| name.contains(word))
            && !text.split(' ').any(|word| word == "-w" || word.starts_with("--watch"))
    };
    let fitting = package.scripts.iter().filter(|(name, text)| names(text) && ends(name, text));
    fitting.map(|(name, _)| name).min_by_key(|name| !name.starts_with("build")).cloned()
}

impl Made<'_> {
    /// Whether they make it.
    pub(super) fn makes(&self, embed: &Embed) -> bool {
        self.embeds.contains(&embed)
    }

    /// How they are run. Nothing of it is served by itself.
    pub(super) fn frontend(&self, scope: &Scope<'_>, notes: &mut Notes) -> Frontend {
        for embed in &self.embeds {
            notes.say(format!("`{}` embeds `{}`, which a script makes first", embed.file, embed.target));
        }
        let scripts: Vec<String> = self.scripts.iter().map(|name| format!("`{name}`")).collect();
        let does = |manager: &str| format!("has the scripts for it ({}), run with {manager}", scripts.join(", "));
        let run = |manager: &str| {
            let runs: Vec<String> = self.scripts.iter().map(|name| format!("{manager} run '{name}'")).collect();
            match self.scripts.first().filter(|_| self.scripts.len() == 1) {
                Some(name) => words(&[manager, "run", name]),
                None => words(&["sh", "-c", &runs.join(" && ")]),
            }
        };
        frontend(scope, &self.package, (does, run), None, notes)
    }
}
