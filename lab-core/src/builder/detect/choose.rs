//! Chooses the app among the candidates, or asks.

use super::{
    BuildError, Candidate, Folders, Notes, RULES, Ranked, Scope, candidate, candidate::Rule, paths, recipes::Role,
};
use crate::builder::lab_toml::{Section, ServerKind};

/// The app's folder and kind.
pub(super) fn choose(scope: &Scope<'_>, notes: &mut Notes) -> Result<Candidate, BuildError> {
    let chosen = match stated(scope)? {
        Some(stated) => stated,
        None => ranked(scope, notes)?,
    };
    notes.say(chosen.reason.clone());
    Ok(chosen)
}

/// What `lab.toml` leaves no choice about.
fn stated(scope: &Scope<'_>) -> Result<Option<Candidate>, BuildError> {
    let file = scope.stated.path();
    let server = scope.stated.server();
    let kind = scope.stated.kind();
    let module = server.and_then(|server| server.module.as_ref());
    if let Some(program) = server.and_then(|server| server.program.as_ref()) {
        if kind != Some(ServerKind::Program) {
            return Err(scope.stated.wrong(program, "a `program` needs `kind = \"program\"`"));
        }
        if scope.stated.toml.pocketbase.is_some() {
            let reason = "the program has its own PocketBase: state either it or `[pocketbase] version`";
            return Err(scope.stated.wrong(program, reason));
        }
    } else if kind == Some(ServerKind::Program) {
        let reason = "`kind = \"program\"` needs `program`, the path of the committed program".to_owned();
        return Err(BuildError::Invalid { what: format!("`{file}`, `server.kind`"), reason });
    }
    if let Some(module) = module {
        if kind.is_some_and(|kind| kind != ServerKind::Go) {
            return Err(scope.stated.wrong(module, "a `module` needs `kind = \"go\"`"));
        }
        let folder = scope.stated_folder(module)?;
        if !scope.tree.is_file(&paths::join(&folder, "go.mod")) {
            return Err(scope.stated.wrong(module, &format!("`{}` holds no `go.mod`", paths::shown(&folder))));
        }
        let reason = format!("`{file}` names the Go module `{}`", paths::shown(&folder));
        return Ok(Some(Candidate::new(scope, ServerKind::Go, folder, 2, reason)));
    }
    let folders_stated = folders_stated(scope);
    if kind.is_some_and(|kind| kind != ServerKind::Go) && (folders_stated || candidates(scope).next().is_none()) {
        return Ok(Some(official(scope)));
    }
    Ok(None)
}

/// Whether `lab.toml` says of any of PocketBase's folders where it is.
fn folders_stated(scope: &Scope<'_>) -> bool {
    let toml = &scope.stated.toml;
    toml.hooks.is_some() || toml.migrations.is_some() || toml.public.is_some()
}

fn official(scope: &Scope<'_>) -> Candidate {
    let is_own = scope.stated.kind() == Some(ServerKind::Program);
    let runs = if is_own { "a committed program" } else { "on the official PocketBase" };
    let reason = format!("`{}` says that it runs {runs}", scope.stated.path());
    Candidate::new(scope, ServerKind::PocketBase, scope.root.clone(), 2, reason)
}

fn rules(scope: &Scope<'_>) -> impl Iterator<Item = &'static Rule> + use<> {
    // a committed program has the folders of the official one
    let kind = scope.stated.kind().map(|kind| if kind == ServerKind::Program { ServerKind::PocketBase } else { kind });
    RULES.iter().filter(move |rule| kind.is_none_or(|kind| kind == rule.kind))
}

fn candidates(scope: &Scope<'_>) -> impl Iterator<Item = Candidate> {
    rules(scope).flat_map(|rule| (rule.find)(scope))
}

/// Every candidate, the best first.
fn sorted(scope: &Scope<'_>) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = candidates(scope).collect();
    found.sort_by(|a, b| b.rank.cmp(&a.rank).then_with(|| a.root.cmp(&b.root)));
    found
}

/// The same as data.
pub(super) fn all(scope: &Scope<'_>) -> Vec<Ranked> {
    let found = sorted(scope);
    let place = |one: &Candidate| found.partition_point(|other| other.rank > one.rank) + 1;
    let ranked = |one: &Candidate| Ranked {
        root: one.root.clone(),
        kind: one.kind,
        place: place(one),
        reason: if place(one) == 1 { one.reason.clone() } else { passed_over(scope, one) },
    };
    found.iter().map(ranked).collect()
}

fn ranked(scope: &Scope<'_>, notes: &mut Notes) -> Result<Candidate, BuildError> {
    let found = sorted(scope);
    let Some(best) = found.first().cloned() else {
        let toml = &scope.stated.toml;
        let hooks = matches!(toml.hooks, Some(Section::On(_)));
        if hooks || [&toml.migrations, &toml.public].into_iter().any(|folder| matches!(folder, Some(Section::On(_)))) {
            return Ok(official(scope));
        }
        return Err(not_recognised(scope));
    };
    let equal: Vec<&str> = found.iter().filter(|other| other.rank == best.rank).map(|it| it.root.as_str()).collect();
    if equal.len() > 1 {
        return Err(ambiguous(&equal));
    }
    let mut best = best;
    let added = complete(scope, &mut best, &found);
    for other in found.iter().filter(|other| other.root != best.root).take(10) {
        if added.as_ref() == Some(&other.root) {
            notes.say(format!("{} too: the app has no folder of that kind elsewhere", other.reason));
        } else {
            notes.say(passed_over(scope, other));
        }
    }
    Ok(best)
}

/// An app's folders are not always together: what only one other place has is part of it.
fn complete(scope: &Scope<'_>, best: &mut Candidate, found: &[Candidate]) -> Option<String> {
    // a Go program's own are found beside it
    if best.kind == ServerKind::Go && found.iter().any(|it| it.root == scope.root && it.kind != ServerKind::Go) {
        return None;
    }
    let mut others = found.iter().filter(|other| {
        other.kind == ServerKind::PocketBase && other.rank.genuine && other.rank.content && other.root != best.root
    });
    let (other, None) = (others.next()?, others.next()) else { return None };
    let lacks = |one: &Folders, other: &Folders| {
        (one.hooks.is_none() || other.hooks.is_none())
            && (one.migrations.is_none() || other.migrations.is_none())
            && (one.public.is_none() || other.public.is_none())
    };
    if !lacks(&best.folders, &other.folders) {
        return None;
    }
    for role in [Role::Hooks, Role::Migrations, Role::Public] {
        let mut folders = other.folders.clone();
        let slot = best.folders.slot(role);
        *slot = slot.take().or_else(|| folders.slot(role).take());
    }
    Some(other.root.clone())
}

fn passed_over(scope: &Scope<'_>, other: &Candidate) -> String {
    let root = paths::shown(&other.root);
    match candidate::decoy(&other.root, &scope.root) {
        Some(name) => format!("`{root}` was passed over: folders called `{name}` rarely hold the app"),
        None => format!("`{root}` was passed over: {}", other.reason),
    }
}

fn ambiguous(roots: &[&str]) -> BuildError {
    let shown: Vec<String> = roots.iter().take(8).map(|root| format!("`{}`", paths::shown(root))).collect();
    BuildError::Invalid {
        what: format!("{} folders could be the app", roots.len()),
        reason: format!(
            "{}{}; say which one: `root = \"{}\"` in `lab.toml`, or `--root {}`",
            shown.join(", "),
            if roots.len() > shown.len() { " …" } else { "" },
            roots[0],
            roots[0]
        ),
    }
}

fn not_recognised(scope: &Scope<'_>) -> BuildError {
    let place = if scope.root.is_empty() { "anywhere".to_owned() } else { format!("anywhere in `{}`", scope.root) };
    let looked_for = rules(scope)
        .map(|rule| format!("{} ({place})", rule.looked_for))
        .chain([format!("`{}` that states it", scope.stated.path())])
        .collect();
    BuildError::NotRecognised { looked_for }
}
