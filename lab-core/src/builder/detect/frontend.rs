//! The frontend that is built and served beside an app.
//!
//! A frontend that Lab cannot serve never keeps the backend from being deployed: it is left out, and the plan says why.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    BuildError, Candidate, Notes, Resolved, Scope, candidate,
    embed::{Embed, embeds},
    frameworks,
    frameworks::Verdict,
    package::Package,
    path, paths,
};
use crate::builder::{
    lab_toml::{FrontendSection, Section},
    plan::Frontend,
};

/// Where frontends are, most likely first.
const NAMES: &[&str] = &["frontend", "web", "client", "ui", "app", "www", "site", "webapp"];

/// A package whose build may be the frontend.
struct Found {
    package: Package,
    /// The tool and what its build gives; none: a build script of an unknown tool.
    verdict: Option<(&'static str, Verdict)>,
    /// The result's folder, from the tree, when it is known.
    output: Option<String>,
    rank: Rank,
}

/// What speaks for a package, the weightiest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// The Go program embeds what it builds.
    embedded: bool,
    /// Its build writes `pb_public`.
    writes_public: bool,
    /// Its folder's name; the root of the app comes after all of them.
    place: Reverse<usize>,
}

/// The frontend to build, if any.
pub(super) fn find(
    scope: &Scope<'_>,
    chosen: &Candidate,
    public: Option<&str>,
    notes: &mut Notes,
) -> Result<Option<Frontend>, BuildError> {
    match &scope.stated.toml.frontend {
        Some(Section::Off) => Ok(None),
        Some(Section::On(section)) => stated(scope, chosen, section, notes).map(Some),
        None => Ok(detected(scope, chosen, public, notes)),
    }
}

fn detected(scope: &Scope<'_>, chosen: &Candidate, public: Option<&str>, notes: &mut Notes) -> Option<Frontend> {
    let found = best(scope, chosen, notes)?;
    let file = paths::join(&found.package.folder, "package.json");
    if let Some((name, Verdict::Server { instead })) = &found.verdict {
        notes.say(format!(
            "`{file}` is {name} rendered by a server, which Lab does not run: deployed without it; to serve it as files, use {instead}"
        ));
        return None;
    }
    let meant = found.rank.writes_public || found.rank.embedded;
    if let Some(public) = public
        && scope.tree.is_file(&paths::join(public, "index.html"))
        && !meant
    {
        notes.say(format!(
            "`{public}/index.html` is committed and no build writes there: served as it is, `{file}` is not built; `[frontend]` in `lab.toml` changes that"
        ));
        return None;
    }
    let tool = found.verdict.as_ref().map_or("its `build` script", |(name, _)| name);
    let manager = found.package.manager(scope);
    notes.say(format!("`{file}` is a frontend ({tool}), built with {} and served as `pb_public`", manager.name));
    let script = match &found.verdict {
        Some((_, Verdict::Static { script: Some(script), .. })) => script,
        _ => &["run", "build"] as &[&str],
    };
    Some(Frontend {
        directory: path(&found.package.folder),
        commands: vec![words(manager.install), words(&[&[manager.name], script].concat())],
        output: found.output.as_deref().map(path),
        node: None,
        manager: None,
        env: BTreeMap::new(),
    })
}

/// The most likely package, server-rendered or not; none when there is none or several are as likely.
fn best(scope: &Scope<'_>, chosen: &Candidate, notes: &mut Notes) -> Option<Found> {
    let embeds = embeds(scope, chosen);
    let folders = folders(scope, chosen, &embeds);
    let mut all: Vec<Found> = folders.iter().filter_map(|folder| found(scope, chosen, &embeds, folder)).collect();
    all.sort_by_key(|found| Reverse(found.rank));
    if let [first, second, ..] = all.as_slice()
        && first.rank == second.rank
    {
        let (first, second) = (&first.package.folder, &second.package.folder);
        notes.say(format!(
            "`{first}` and `{second}` could both be the frontend: deployed without; name one by `[frontend]` with `directory` in `lab.toml`"
        ));
        return None;
    }
    all.into_iter().next()
}

/// The app's folder, the one that was looked in, and the folders in both; beside a backend's folder too.
fn folders(scope: &Scope<'_>, chosen: &Candidate, embeds: &[Embed]) -> Vec<String> {
    let mut roots = vec![chosen.root.as_str(), scope.root.as_str()];
    if paths::is_below(&chosen.root, &scope.root) {
        roots.push(paths::parent(&chosen.root));
    }
    if scope.rooted && candidate::is_backend_name(&scope.root) {
        roots.push(paths::parent(&scope.root));
    }
    let mut all: Vec<String> = roots.into_iter().flat_map(|root| scope.tree.folders(root, 1)).collect();
    all.extend(embeds.iter().filter_map(|embed| embed.package.clone()));
    // by the last name alone: a person may have named a root below `examples`
    all.retain(|folder| {
        [&chosen.root, &scope.root].contains(&folder) || candidate::decoy(paths::name(folder), "").is_none()
    });
    all.sort();
    all.dedup();
    all
}

fn found(scope: &Scope<'_>, chosen: &Candidate, embeds: &[Embed], folder: &str) -> Option<Found> {
    let package = Package::read(scope, folder)?;
    if !package.scripts.contains_key("build") {
        return None;
    }
    let verdict = frameworks::judge(scope, &package);
    let name = paths::name(folder).to_ascii_lowercase();
    let is_root = folder == chosen.root || folder == scope.root;
    let place = NAMES.iter().position(|known| *known == name && !is_root);
    // a build script in a folder of any name is a frontend only when its tools say so
    if place.is_none() && !is_root && verdict.is_none() {
        return None;
    }
    let embed = embeds.iter().find(|embed| embed.package.as_deref() == Some(folder)).map(|embed| embed.target.clone());
    let public = named_public(&package);
    let output = embed.clone().or_else(|| public.clone()).or_else(|| output_of(&package, verdict.as_ref()));
    let rank = Rank {
        embedded: embed.is_some()
            || output.as_ref().is_some_and(|output| embeds.iter().any(|embed| embed.target == *output)),
        writes_public: output.as_deref().is_some_and(|output| paths::name(output) == "pb_public"),
        place: Reverse(match place {
            Some(place) => place,
            None if is_root && !package.is_workspace => NAMES.len(),
            None if is_root => NAMES.len() + 2,
            None => NAMES.len() + 1,
        }),
    };
    Some(Found { package, verdict, output, rank })
}

fn output_of(package: &Package, verdict: Option<&(&'static str, Verdict)>) -> Option<String> {
    match verdict {
        Some((_, Verdict::Static { output: Some(output), .. })) => paths::normal(&package.folder, output),
        _ => None,
    }
}

/// The `pb_public` that the build script names, such as in `vite build && cp -r dist ../pb_public`.
fn named_public(package: &Package) -> Option<String> {
    let script = package.script("build");
    let word =
        script.split([' ', '=', '"', '\'', ';', '&']).find(|word| word.split('/').any(|name| name == "pb_public"))?;
    let (before, _) = word.split_once("pb_public")?;
    paths::normal(&package.folder, &format!("{before}pb_public"))
}

/// What `[frontend]` says, completed by what is found.
fn stated(
    scope: &Scope<'_>,
    chosen: &Candidate,
    section: &FrontendSection,
    notes: &mut Notes,
) -> Result<Frontend, BuildError> {
    let file = scope.stated.path();
    let invalid = |reason: String| BuildError::Invalid { what: format!("`{file}`, `frontend`"), reason };
    let folder = if let Some(directory) = &section.directory {
        scope.stated_folder(directory)?
    } else {
        let found = best(scope, chosen, notes);
        found.ok_or_else(|| invalid("needs a `directory`: none was found".to_owned()))?.package.folder
    };
    let package = Package::read(scope, &folder);
    let verdict = package.as_ref().and_then(|package| frameworks::judge(scope, package));
    let manager = package.as_ref().map(|package| package.manager(scope));
    let mut commands = Vec::new();
    match &section.install {
        Some(install) => commands.push(install.0.clone()),
        None => commands.extend(manager.map(|manager| words(manager.install))),
    }
    match (&section.build, &package, manager) {
        (Some(build), ..) => commands.push(build.0.clone()),
        (None, Some(package), Some(manager)) if package.scripts.contains_key("build") => {
            commands.push(words(&[manager.name, "run", "build"]));
        }
        _ => {
            let shown = paths::shown(&folder);
            return Err(invalid(format!("needs `build`: no `package.json` with a `build` script is in `{shown}`")));
        }
    }
    commands.retain(|words| !words.is_empty());
    let detected = package.as_ref().and_then(|it| named_public(it).or_else(|| output_of(it, verdict.as_ref())));
    let output = match &section.output {
        Some(output) => {
            let in_tree = scope.stated.in_tree(output);
            if scope.tree.resolve(&in_tree) == Resolved::Outside {
                return Err(scope.stated.wrong(output, &format!("`{in_tree}` leads out of the repository")));
            }
            Some(in_tree)
        }
        None => detected,
    };
    notes.say(format!("the frontend is in `{}`: `{file}` says so", paths::shown(&folder)));
    Ok(Frontend {
        directory: path(&folder),
        commands,
        output: output.as_deref().map(path),
        node: None,
        manager: None,
        env: BTreeMap::new(),
    })
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
