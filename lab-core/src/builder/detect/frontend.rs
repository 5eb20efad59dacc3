//! The frontend that is built and served beside an app.
//!
//! A frontend that Lab cannot serve never keeps the backend from being deployed: it is left out, and the plan says why.

use super::{
    BuildError, Candidate, Notes, Resolved, Scope,
    embed::{Embed, embeds},
    frameworks,
    frameworks::Verdict,
    go, manager,
    package::Package,
    path, paths, variables,
};
use crate::builder::{
    lab_toml::{FrontendSection, Section, ServerKind},
    plan::Frontend,
};

mod committed;
mod packages;
mod scripts;

use packages::Found;

/// What is served beside an app.
#[derive(Debug, Default)]
pub(super) struct Served {
    /// What is built.
    pub built: Option<Frontend>,
    /// A committed folder that is served as it is.
    pub committed: Option<String>,
}

/// The frontend, if any.
pub(super) fn find(
    scope: &Scope<'_>,
    chosen: &Candidate,
    public: Option<&str>,
    notes: &mut Notes,
) -> Result<Served, BuildError> {
    Ok(match &scope.stated.toml.frontend {
        Some(Section::Off) => Served::default(),
        Some(Section::On(section)) => Served { built: Some(stated(scope, chosen, section, notes)?), committed: None },
        None => detected(scope, chosen, public, notes),
    })
}

fn detected(scope: &Scope<'_>, chosen: &Candidate, public: Option<&str>, notes: &mut Notes) -> Served {
    let embeds = embeds(scope, chosen);
    let found = best(scope, chosen, &embeds, notes);
    if !found.as_ref().is_some_and(|found| found.rank.embedded)
        && let Some(made) = scripts::find(scope, chosen, &embeds)
    {
        unmade(&embeds, |embed| made.makes(embed), notes);
        return Served { built: Some(made.frontend(scope, notes)), committed: None };
    }
    let output = found.as_ref().filter(|found| found.rank.embedded).and_then(|found| found.output.clone());
    let is_made = |embed: &Embed| output.as_ref().is_some_and(|output| embed.is_made_in(output));
    let wanted = embeds.iter().filter(|embed| embed.is_wanted());
    let wanted = wanted.clone().find(|embed| is_made(embed)).or_else(|| wanted.clone().find(|embed| embed.is_folder()));
    let is_copied = |embed: &Embed| found.is_some() && wanted.is_some_and(|wanted| wanted.target == embed.target);
    unmade(&embeds, |embed| is_made(embed) || is_copied(embed), notes);
    let Some(mut found) = found else {
        let page = committed::plain(scope, chosen).filter(|_| public.is_none() && embeds.is_empty());
        if let Some(page) = &page {
            notes.say(format!("`{page}/index.html` is committed: served as it is"));
        }
        return Served { built: None, committed: page };
    };
    let file = paths::join(&found.package.folder, "package.json");
    // what no build makes under that name is made elsewhere and copied there
    let copy_to = wanted.filter(|_| !found.rank.embedded).map(|embed| embed.target.clone());
    let served = served(scope, chosen, &found).filter(|_| wanted.is_none() && !found.rank.embedded);
    let copy_to = copy_to.or_else(|| served.as_ref().map(|(target, _)| target.clone()));
    let meant = found.rank.writes_public || found.rank.embedded || found.rank.named || copy_to.is_some();
    let has_page = |folder: &str| scope.tree.is_file(&paths::join(folder, "index.html"));
    if let Some(public) = public.filter(|public| has_page(public) && !meant) {
        notes.say(format!(
            "`{public}/index.html` is committed and no build writes there: served as it is, `{file}` is not built; `[frontend]` in `lab.toml` changes that"
        ));
        return Served::default();
    }
    if public.is_none()
        && !meant
        && let Some(built) = committed::built(scope, &found)
    {
        notes.say(format!("`{built}/index.html` is committed: served as it is, `{file}` is not built"));
        return Served { built: None, committed: Some(built) };
    }
    let mut frontend = found.frontend(scope, notes);
    frontend.optional = true;
    if let Some(embed) = wanted {
        frontend.optional = !embed.is_missing();
        notes.say(format!("`{}` embeds `{}`, so the frontend is built first", embed.file, embed.target));
    }
    if let Some((target, file)) = served {
        notes.say(format!("`{file}` serves `{target}`, which is not committed"));
    }
    if let Some(target) = copy_to
        && let Some(output) = found.output.take()
    {
        notes.say(format!("what it builds is copied to `{target}`"));
        copied(&mut frontend, &output, &target);
    }
    Served { built: Some(frontend), committed: None }
}

/// The folder that a Go program serves and that the frontend's build would fill if it were put there, and the file that
/// says so.
fn served<'a>(scope: &'a Scope<'_>, chosen: &Candidate, found: &Found) -> Option<(String, &'a str)> {
    let output = found.output.as_ref()?;
    let is_elsewhere =
        |target: &str| target != output && !paths::is_below(target, output) && !paths::is_below(output, target);
    let is_go = chosen.kind == ServerKind::Go;
    is_go.then(|| go::serves(scope, &chosen.root)).flatten().filter(|(target, _)| is_elsewhere(target))
}

/// Tells of what is embedded, not there and not made.
fn unmade(embeds: &[Embed], is_made: impl Fn(&Embed) -> bool, notes: &mut Notes) {
    for embed in embeds.iter().filter(|embed| embed.is_missing() && !is_made(embed)).take(5) {
        notes.warn(format!(
            "`{}` embeds `{}`, which is neither committed nor made by a frontend that Lab knows: the program may not compile",
            embed.file, embed.target
        ));
    }
}

/// The most likely package; none when there is none that Lab can build or several are as likely.
fn best(scope: &Scope<'_>, chosen: &Candidate, embeds: &[Embed], notes: &mut Notes) -> Option<Found> {
    let all = packages::all(scope, chosen, embeds);
    for folder in [&chosen.root, &scope.root] {
        let is_left_out = all.iter().all(|found| found.package.folder != *folder);
        let package = Package::read(scope, folder);
        let script = package.as_ref().and_then(|it| Some(it.script(it.build_script()?)));
        // one that only runs another one's is done by that one
        let is_done = package.is_some_and(|it| all.iter().any(|found| packages::runs(&it, &found.package)));
        if is_left_out && !is_done && script.is_some_and(|script| !script.contains("pb_hooks")) {
            let file = paths::join(folder, "package.json");
            notes.say(format!(
                "the build script of `{file}` is not run: nothing says that it makes this app's frontend"
            ));
            break;
        }
    }
    let mut rendered = false;
    let mut left: Vec<Found> = Vec::new();
    for found in all {
        let file = paths::join(&found.package.folder, "package.json");
        match &found.verdict {
            Some((name, Verdict::Server { instead })) => {
                notes.warn(format!(
                    "`{file}` is {name} rendered by a server, which Lab does not run: deployed without it; to serve it as files, use {instead}"
                ));
                rendered |= left.is_empty();
            }
            Some((name, Verdict::Program)) => {
                notes.warn(format!(
                    "`{file}` is a program of its own ({name}), which Lab does not run: deployed without it"
                ));
            }
            Some((name, Verdict::Other)) => {
                notes.say(format!("`{file}` was passed over: {name} makes nothing that PocketBase could serve"));
            }
            // beside the app's own frontend another one is rarely what visitors should get
            _ if rendered && !(found.rank.writes_public || found.rank.embedded || found.rank.named) => {
                notes.say(format!("`{file}` was passed over: it is beside a frontend that a server renders"));
            }
            _ => left.push(found),
        }
    }
    if let [first, second, ..] = left.as_slice()
        && first.rank == second.rank
    {
        let (first, second) = (paths::shown(&first.package.folder), paths::shown(&second.package.folder));
        notes.warn(format!(
            "`{first}` and `{second}` could both be the frontend: deployed without; name one by `[frontend]` with `directory` in `lab.toml`"
        ));
        return None;
    }
    let mut left = left.into_iter();
    let best = left.next()?;
    for other in left.take(5) {
        let (first, other) = (paths::shown(&best.package.folder), paths::shown(&other.package.folder));
        notes.say(format!("the frontend in `{other}` was passed over: the one in `{first}` is likelier"));
    }
    Some(best)
}

impl Found {
    /// How it is built.
    fn frontend(&self, scope: &Scope<'_>, notes: &mut Notes) -> Frontend {
        let tool = self.verdict.as_ref().map_or("its `build` script", |(name, _)| name);
        let does = |manager: &str| format!("is a frontend ({tool}), built with {manager} and served as `pb_public`");
        let build = |manager: &str| self.build(manager, scope);
        frontend(scope, &self.package, (does, build), self.output.as_deref(), notes)
    }

    fn build(&self, manager: &str, scope: &Scope<'_>) -> Vec<String> {
        match &self.verdict {
            Some((_, Verdict::Static { scripts: [one], .. })) => return words(&[&[manager], *one].concat()),
            Some((_, Verdict::Static { scripts: several @ [_, ..], .. })) => {
                let each: Vec<String> =
                    several.iter().map(|script| format!("{manager} {}", script.join(" "))).collect();
                return words(&["sh", "-c", &each.join(" && ")]);
            }
            _ => {}
        }
        let script = self.package.build_script().unwrap_or("build");
        let workspace = self.package.workspace(scope).filter(|_| self.package.needs_siblings());
        match workspace {
            // builds what it depends on first
            Some(workspace) if workspace.has("turbo") => words(&[manager, "exec", "turbo", "run", script]),
            Some(_) if manager == "pnpm" && !self.package.name.is_empty() => {
                words(&["pnpm", "--filter", &format!("{}...", self.package.name), "run", script])
            }
            _ => words(&[manager, "run", script]),
        }
    }
}

/// How `package` is built: what is said of it and what builds it, by the package manager.
fn frontend(
    scope: &Scope<'_>,
    package: &Package,
    (does, build): (impl Fn(&str) -> String, impl Fn(&str) -> Vec<String>),
    output: Option<&str>,
    notes: &mut Notes,
) -> Frontend {
    let manager = manager::find(scope, package);
    let file = paths::join(&package.folder, "package.json");
    notes.say(format!("`{file}` {}", does(&format!("{} ({})", manager.tool.name, manager.reason))));
    let env = variables::build(scope, package);
    if !env.is_empty() {
        let set: Vec<String> = env.iter().map(|(name, value)| format!("`{name}={value}`")).collect();
        notes.say(format!("the frontend's build is given {}, unless the app's own variables say more", set.join(", ")));
    }
    let node = manager::node(scope, package);
    if let Some(node) = &node {
        notes.say(format!("the frontend asks for Node {node}"));
    }
    Frontend {
        directory: path(&package.folder),
        commands: vec![words(manager.install), build(&manager.tool.name)],
        output: output.map(path),
        node,
        manager: Some(manager.tool),
        env,
        optional: false,
    }
}

/// Puts what a build makes at `output` where a Go program embeds it.
fn copied(frontend: &mut Frontend, output: &str, target: &str) {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let from_here = |to: &str| {
        let here = frontend.directory.to_str().unwrap_or_default();
        let common = paths::common(here, to);
        let up = "../".repeat(paths::depth_below(here, common));
        quoted(&format!("./{up}{}", paths::relative(to, common)))
    };
    let Some(build) = frontend.commands.last() else { return };
    let build: Vec<String> = build.iter().map(|word| quoted(word)).collect();
    let (from, to) = (from_here(output), from_here(target));
    let script = format!("{} && mkdir -p {to} && cp -R {from}/. {to}", build.join(" "));
    if let Some(last) = frontend.commands.last_mut() {
        *last = words(&["sh", "-c", &script]);
    }
    frontend.output = Some(path(target));
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
        let found = best(scope, chosen, &embeds(scope, chosen), notes);
        found.ok_or_else(|| invalid("needs a `directory`: none was found".to_owned()))?.package.folder
    };
    let package = Package::read(scope, &folder);
    let verdict = package.as_ref().and_then(|package| frameworks::judge(scope, package));
    let manager = package.as_ref().map(|package| manager::find(scope, package));
    let mut commands = Vec::new();
    match &section.install {
        Some(install) => commands.push(install.0.clone()),
        None => commands.extend(manager.as_ref().map(|manager| words(manager.install))),
    }
    let script = package.as_ref().and_then(Package::build_script);
    match (&section.build, script, &manager) {
        (Some(build), ..) => commands.push(build.0.clone()),
        (None, Some(script), Some(manager)) => commands.push(words(&[&manager.tool.name, "run", script])),
        _ => {
            let shown = paths::shown(&folder);
            return Err(invalid(format!("needs `build`: no `package.json` with a `build` script is in `{shown}`")));
        }
    }
    commands.retain(|words| !words.is_empty());
    let output = match &section.output {
        Some(output) => {
            let in_tree = scope.stated.in_tree(output);
            if scope.tree.resolve(&in_tree) == Resolved::Outside {
                return Err(scope.stated.wrong(output, &format!("`{in_tree}` leads out of the repository")));
            }
            Some(in_tree)
        }
        None => package.as_ref().and_then(|package| packages::output(package, verdict.as_ref())),
    };
    notes.say(format!("the frontend is in `{}`: `{file}` says so", paths::shown(&folder)));
    Ok(Frontend {
        directory: path(&folder),
        commands,
        output: output.as_deref().map(path),
        node: package.as_ref().and_then(|package| manager::node(scope, package)),
        manager: manager.map(|manager| manager.tool),
        env: package.as_ref().map(|package| variables::build(scope, package)).unwrap_or_default(),
        optional: section.optional,
    })
}

pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
