//! Packages whose build may be the frontend, the likeliest first.

use std::cmp::Reverse;

use super::{Candidate, Embed, Package, Scope, Verdict, frameworks, paths};
use crate::builder::detect::{candidate, recipes::Kind, recipes::dockerfile};

/// Where frontends are, most likely first.
const NAMES: &[&str] =
    &["frontend", "web", "client", "ui", "app", "www", "site", "webapp", "front", "website", "dashboard", "spa"];

/// So many packages are looked at.
const MAX_PACKAGES: usize = 60;

/// So many recipes say what is in `pb_public`.
const MAX_ABOUT: usize = 16;

/// A package whose build may be the frontend.
pub(super) struct Found {
    pub package: Package,
    /// The tool and what its build gives; none: a build script of an unknown tool.
    pub verdict: Option<(&'static str, Verdict)>,
    /// The result's folder, from the tree, when it is known.
    pub output: Option<String>,
    pub rank: Rank,
}

/// What speaks for a package, the weightiest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// The Go program embeds what it builds.
    pub embedded: bool,
    /// Its build writes `pb_public`.
    pub writes_public: bool,
    /// A recipe puts its files into `pb_public`.
    pub named: bool,
    /// Its folder's name; the root of the app comes after all of them.
    pub place: Reverse<usize>,
    /// The nearer to the root the better.
    pub near: Reverse<usize>,
}

/// Every package that may be one.
pub(super) fn all(scope: &Scope<'_>, chosen: &Candidate, embeds: &[Embed]) -> Vec<Found> {
    let folders = folders(scope, chosen, embeds);
    let packages = folders.iter().filter(|folder| scope.tree.is_file(&paths::join(folder, "package.json")));
    let mut all: Vec<Found> =
        packages.take(MAX_PACKAGES).filter_map(|folder| found(scope, chosen, embeds, folder)).collect();
    // a script that only runs another package's leaves its own install and output to that one
    let delegates: Vec<bool> = all
        .iter()
        .map(|one| {
            all.iter().any(|other| {
                paths::is_below(&other.package.folder, &one.package.folder) && runs(&one.package, &other.package)
            })
        })
        .collect();
    let passes_on: Vec<(String, bool)> = all
        .iter()
        .map(|other| {
            let by = all
                .iter()
                .zip(&delegates)
                .any(|(one, delegates)| *delegates && runs(&one.package, &other.package) && one.says_public());
            (other.package.folder.clone(), by)
        })
        .collect();
    for found in &mut all {
        found.rank.named |= passes_on.iter().any(|(folder, by)| *by && *folder == found.package.folder);
    }
    let mut kept = delegates.iter();
    all.retain(|_| kept.next() != Some(&true));
    all.sort_by_key(|found| Reverse(found.rank));
    all
}

/// The app's folder, the one that was looked in, and the folders in both; beside a backend's folder too.
fn folders(scope: &Scope<'_>, chosen: &Candidate, embeds: &[Embed]) -> Vec<String> {
    let mut roots = vec![(chosen.root.as_str(), 1), (scope.root.as_str(), 2)];
    if paths::is_below(&chosen.root, &scope.root) {
        roots.push((paths::parent(&chosen.root), 1));
    }
    if scope.rooted && candidate::is_backend_name(&scope.root) {
        roots.push((paths::parent(&scope.root), 1));
    }
    // what is embedded may be deeper
    let modules = embeds.iter().map(|embed| (paths::parent(&embed.target), 0));
    let outer = embeds.iter().map(|embed| (paths::parent(paths::parent(&embed.target)), 0));
    let mut all: Vec<String> = Vec::new();
    for (root, depth) in roots.into_iter().chain(modules).chain(outer) {
        let below = scope.tree.folders(root, depth).into_iter();
        all.extend(below.filter(|folder| folder == root || candidate::decoy(folder, root).is_none()));
    }
    all.sort();
    all.dedup();
    all
}

fn found(scope: &Scope<'_>, chosen: &Candidate, embeds: &[Embed], folder: &str) -> Option<Found> {
    let package = Package::read(scope, folder)?;
    let verdict = frameworks::judge(scope, &package).map(|(name, verdict)| match verdict {
        // what the program embeds of it is files, whatever its configuration looks like
        Verdict::Server { .. } if let Some(files) = embedded_in(&package, embeds) => (name, files),
        verdict => (name, verdict),
    });
    package.build_script()?;
    let name = paths::name(folder).to_ascii_lowercase();
    let is_root = folder == chosen.root || folder == scope.root;
    let place = NAMES.iter().position(|known| *known == name && !is_root);
    let public = named_public(&package);
    // a build of unknown tools is a frontend only where one would be: elsewhere it may publish, test or package
    if verdict.is_none() && public.is_none() && place.is_none() {
        return None;
    }
    // hooks that are built from other sources
    if public.is_none() && package.script("build").contains("pb_hooks") {
        return None;
    }
    let output = output(&package, verdict.as_ref());
    let may_make = |target: &str| {
        let inside = paths::parent(target) == folder || paths::is_below(target, folder);
        inside && folder != chosen.root
    };
    // the committed one is what the program serves
    if embeds.iter().any(|embed| !embed.is_wanted() && output.as_deref() == Some(&embed.target)) {
        return None;
    }
    let embed = embeds.iter().filter(|embed| embed.is_wanted()).find(|embed| match &output {
        Some(output) => embed.is_made_in(output),
        None => embed.is_folder() && may_make(&embed.target),
    });
    let output = output.or_else(|| embed.map(|embed| embed.target.clone()));
    let rank = Rank {
        embedded: embed.is_some(),
        writes_public: output.as_deref().is_some_and(|output| paths::name(output) == "pb_public"),
        named: is_named(scope, folder),
        place: Reverse(match place {
            Some(place) => place,
            None if is_root && !package.is_workspace => NAMES.len(),
            None if is_root => NAMES.len() + 2,
            None => NAMES.len() + 1,
        }),
        near: Reverse(paths::depth(folder)),
    };
    Some(Found { package, verdict, output, rank })
}

/// What the program embeds of a package's build.
fn embedded_in(package: &Package, embeds: &[Embed]) -> Option<Verdict> {
    let inside = |embed: &&Embed| paths::is_below(&embed.target, &package.folder);
    let embed = embeds.iter().filter(|embed| embed.is_wanted() && embed.is_folder()).find(inside)?;
    let output = Some(paths::relative(&embed.target, &package.folder).to_owned());
    Some(Verdict::Static { output, scripts: &[] })
}

/// Where a build puts its result, when that is known.
pub(super) fn output(package: &Package, verdict: Option<&(&'static str, Verdict)>) -> Option<String> {
    let output = named_public(package).or_else(|| match verdict {
        Some((_, Verdict::Static { output: Some(output), .. })) => paths::normal(&package.folder, output),
        _ => None,
    });
    // a folder with the sources in it is not for visitors
    output.filter(|output| *output != package.folder && !paths::is_below(&package.folder, output))
}

/// The `pb_public` that the build script names, such as in `vite build && cp -r dist ../pb_public`.
fn named_public(package: &Package) -> Option<String> {
    let script = package.script(package.build_script()?);
    let word =
        script.split([' ', '=', '"', '\'', ';', '&']).find(|word| word.split('/').any(|name| name == "pb_public"))?;
    let (before, _) = word.split_once("pb_public")?;
    paths::normal(&package.folder, &format!("{before}pb_public"))
}

/// Whether a recipe puts what is built in `folder` into `pb_public`.
fn is_named(scope: &Scope<'_>, folder: &str) -> bool {
    let about = scope.recipes.iter().filter(|recipe| !recipe.is_aside() && recipe.text.contains("pb_public"));
    about.take(MAX_ABOUT).any(|recipe| {
        let base = paths::parent(recipe.path);
        // scripts run from their own folder or from the root
        let inside = |word: &str| {
            let word = word.trim_matches(['"', '\'', '(', ')', ';', '*']);
            let mut paths = [base, ""].into_iter().filter_map(|base| paths::normal(base, word));
            paths.any(|path| !folder.is_empty() && (path == folder || paths::is_below(&path, folder)))
        };
        let line_says = |line: &str| line.contains("pb_public") && line.split([' ', '=', ',', ':', '\t']).any(inside);
        match recipe.kind {
            Kind::Dockerfile => {
                dockerfile::stages_into(recipe.text, "pb_public")
                    && dockerfile::copies(recipe.text).iter().any(|(from, _)| {
                        inside(from) || (folder == base && matches!(from.as_str(), "." | "./" | "package.json"))
                    })
            }
            Kind::Script | Kind::Package | Kind::Program | Kind::Compose => recipe.text.lines().any(line_says),
            Kind::Readme | Kind::Changelog => false,
        }
    })
}

/// Whether the build script of `one` runs that of `other`: by its folder or its name.
pub(super) fn runs(one: &Package, other: &Package) -> bool {
    let script = one.build_script().map(|name| one.script(name)).unwrap_or_default();
    let folder = paths::relative(&other.folder, &one.folder);
    let mut words = script.split([' ', '=', '"', '\'', ';', '&', '(', ')']);
    words.any(|word| {
        let word = word.trim_start_matches("./").trim_end_matches(['/', '.']);
        !word.is_empty() && (word == folder || word == other.name)
    })
}

impl Found {
    fn says_public(&self) -> bool {
        self.package.build_script().is_some_and(|name| self.package.script(name).contains("pb_public"))
    }
}
