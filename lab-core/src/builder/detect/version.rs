//! Which PocketBase version an app without Go was written for.

use super::{
    Candidate, Notes, Scope, candidate,
    folders::Folders,
    generation::{self, Code},
    package::Package,
    paths, pocketbase,
    recipes::{Kind, Recipe, versions},
};
use crate::{
    builder::{lab_toml::ServerKind, tree::SCHEMA},
    pocketbase::Generation,
    release::FIRST_WITH_HOOKS,
};

/// The minor version of PocketBase since which it says that it is up. Source: its change log.
pub(super) const FIRST_WITH_HEALTH: u64 = 10;

/// A version that the repository names.
struct Pin {
    version: String,
    minor: u64,
    generation: Generation,
    /// Where.
    file: String,
}

/// What `lab.toml` says, else what the repository pins, else what its code, its exported collections or its SDK are for,
/// else the embedder's.
/// Code of one generation has a veto over a version of the other: it would not run there.
pub(super) fn find(scope: &Scope<'_>, chosen: &Candidate, folders: &Folders, notes: &mut Notes) -> String {
    let code = generation::read(scope, folders);
    let wanted = code.generation();
    if code.is_mixed() {
        notes.warn(format!(
            "the code is for two generations of PocketBase: `{}` for the one before 0.23, `{}` for the one since; no version runs both",
            code.before[0], code.from[0]
        ));
    }
    if let Some(pocketbase) = &scope.stated.toml.pocketbase {
        let version = pocketbase.version.as_str().to_owned();
        notes.say(format!("PocketBase {version}: `{}` says so", scope.stated.path()));
        let generation = semver::Version::parse(&version).ok().map(|version| Generation::of(&version));
        if let (Some(generation), Some(wanted)) = (generation, wanted)
            && generation != wanted
        {
            notes.warn(format!("PocketBase {version} is stated, but the code ({}) is for {wanted}", proof(&code)));
        }
        return version;
    }
    let pins = pins(scope, chosen);
    let fits = |pin: &&Pin| wanted.is_none_or(|wanted| wanted == pin.generation) && pin.minor >= FIRST_WITH_HOOKS.minor;
    if let Some(pin) = pins.iter().find(fits) {
        for passed in pins.iter().take_while(|pin| !fits(pin)) {
            notes.warn(vetoed(passed, &code));
        }
        notes.say(format!("PocketBase {}: `{}` names it", pin.version, pin.file));
        let others: Vec<&Pin> = pins.iter().filter(|it| it.version != pin.version && fits(it)).take(3).collect();
        for other in others {
            notes.say(format!(
                "PocketBase {} in `{}` was passed over: `{}` comes first",
                other.version, other.file, pin.file
            ));
        }
        return pin.version.clone();
    }
    for pin in pins.iter().take(3) {
        notes.warn(vetoed(pin, &code));
    }
    if let Some(wanted) = wanted {
        let version = newest(scope, wanted);
        notes.say(format!("PocketBase {version}: the code ({}) is for the API {wanted}", proof(&code)));
        return version;
    }
    if folders.hooks.is_none()
        && let Some(pin) = pins.iter().find(|pin| pin.minor < FIRST_WITH_HOOKS.minor)
    {
        let version = newest(scope, pin.generation);
        notes.say(format!(
            "PocketBase {version}: `{}` names {}, and runs on the newest of before 0.23",
            pin.file, pin.version
        ));
        return version;
    }
    if let Some((generation, file)) = exported(scope) {
        let version = newest(scope, generation);
        notes.say(format!("PocketBase {version}: the export of collections `{file}` is for the API {generation}"));
        return version;
    }
    if let Some((generation, file)) = sdk(scope) {
        let version = newest(scope, generation);
        notes.say(format!("PocketBase {version}: the JavaScript SDK in `{file}` is for PocketBase {generation}"));
        return version;
    }
    let version = scope.settings.pocketbase.clone();
    notes.say(format!("PocketBase {version}: nothing names a version, this is the default"));
    version
}

/// The newest version of a generation; of the current one it is the embedder's.
fn newest(scope: &Scope<'_>, generation: Generation) -> String {
    let default = semver::Version::parse(&scope.settings.pocketbase).ok();
    match default {
        Some(default) if Generation::of(&default) == generation => default.to_string(),
        _ => generation.newest().to_owned(),
    }
}

fn proof(code: &Code) -> String {
    let files = match code.generation() {
        Some(Generation::Before023) => &code.before,
        _ => &code.from,
    };
    let first = files.first().map_or("", String::as_str);
    if files.len() > 1 { format!("`{first}` and {} more", files.len() - 1) } else { format!("`{first}`") }
}

fn vetoed(pin: &Pin, code: &Code) -> String {
    let why = match code.generation() {
        Some(wanted) if wanted != pin.generation => format!("the code ({}) is for the API {wanted}", proof(code)),
        _ => format!("Lab runs none of before {FIRST_WITH_HOOKS} unless `lab.toml` states it"),
    };
    format!("`{}` names PocketBase {}, but {why}: passed over", pin.file, pin.version)
}

/// What speaks against a program of the app's own, on PocketBase `version`: what asks for the official one, or code that it
/// cannot run.
pub(super) fn against(scope: &Scope<'_>, chosen: &Candidate, folders: &Folders, version: &str) -> Option<String> {
    if scope.stated.toml.pocketbase.is_some() || scope.stated.kind() == Some(ServerKind::PocketBase) {
        return Some(format!("`{}` asks for the official one", scope.stated.path()));
    }
    let code = generation::read(scope, folders);
    let runs = |version: &str| {
        let generation = semver::Version::parse(version).ok().map(|version| Generation::of(&version));
        generation.zip(code.generation()).is_none_or(|(is, wanted)| is == wanted)
    };
    if let Some(wanted) = code.generation().filter(|_| !runs(version)) {
        return Some(format!("the code ({}) is for the API {wanted}", proof(&code)));
    }
    let mut recipes = scope.recipes.iter().filter(|it| it.kind < Kind::Readme && !it.is_aside());
    let fetching = recipes.find(|it| {
        let is_fetching = !is_beside(it, chosen) && pocketbase::fetches(it);
        is_fetching && versions::pinned(it).is_none_or(|version| runs(&version))
    });
    fetching.map(|recipe| format!("`{}` fetches the official one", recipe.path))
}

/// Whether a recipe is neither in the app's folder nor above or below it.
fn is_beside(recipe: &Recipe<'_>, chosen: &Candidate) -> bool {
    let folder = paths::parent(recipe.path);
    !(folder == chosen.root || paths::is_below(&chosen.root, folder) || paths::is_below(folder, &chosen.root))
}

/// Every version that is named, the most believable first: by kind of file, then in or above the app's folder.
fn pins(scope: &Scope<'_>, chosen: &Candidate) -> Vec<Pin> {
    let mut recipes: Vec<&Recipe<'_>> = scope.recipes.iter().collect();
    recipes.sort_by_key(|recipe| (recipe.kind, recipe.is_aside(), is_beside(recipe, chosen)));
    let pin = |version: String, file: &str| {
        let parsed = semver::Version::parse(&version).ok()?;
        Some(Pin { version, minor: parsed.minor, generation: Generation::of(&parsed), file: file.to_owned() })
    };
    let set = versions::set_by(recipes.iter().copied().filter(|it| it.kind < Kind::Readme && !it.is_aside()));
    let of = |recipe: &Recipe<'_>| pin(versions::pinned_with(recipe, &set)?, recipe.path);
    let (told, sure): (Vec<_>, Vec<_>) = recipes.into_iter().partition(|recipe| recipe.kind >= Kind::Readme);
    let mut all: Vec<Pin> = sure.into_iter().filter_map(of).collect();
    // a committed program says its version, and the name of a packed one too
    let here = || scope.tree.below(&scope.root).map(|(path, _)| path);
    let by_program = scope.tree.programs().filter(|(path, _)| paths::is_below(path, &scope.root));
    all.extend(by_program.filter_map(|(path, program)| pin(program.version.clone()?, path)));
    let packed = here().filter(|path| paths::name(path).starts_with("pocketbase_"));
    all.extend(packed.take(8).filter_map(|path| pin(versions::of_archive(paths::name(path))?, path)));
    all.extend(told.into_iter().filter_map(of));
    all
}

/// What an export of collections is of: each has its fields as `schema` before 0.23, as `fields` since.
fn exported(scope: &Scope<'_>) -> Option<(Generation, String)> {
    let file = exports(scope).next()?;
    let text = scope.tree.text(file)?;
    let first = |key: &str| {
        let mut found = text.match_indices(key);
        found.find_map(|(at, _)| text[at + key.len()..].trim_start().starts_with(':').then_some(at))
    };
    let generation = match (first("\"schema\""), first("\"fields\"")) {
        (None, None) => return None,
        (Some(old), new) if new.is_none_or(|new| old < new) => Generation::Before023,
        _ => Generation::From023,
    };
    Some((generation, file.to_owned()))
}

/// The committed exports of collections that are not in a folder such as `docs`, the nearest to the root first.
pub(super) fn exports<'a>(scope: &'a Scope<'_>) -> impl Iterator<Item = &'a str> {
    let all = scope.tree.texts_below(&scope.root).map(|(path, _)| path);
    let is_export = |path: &&str| {
        let name = paths::name(path).to_ascii_lowercase();
        name.starts_with(SCHEMA) && paths::ends_in(&name, &[".json"])
    };
    let genuine = all.filter(is_export).filter(|path| candidate::decoy(paths::parent(path), &scope.root).is_none());
    let mut found: Vec<&str> = genuine.collect();
    found.sort_by_key(|path| paths::depth(path));
    found.into_iter()
}

/// What the JavaScript SDK of a `package.json` is for: 0.22 of it came with 0.23 of PocketBase. Source: PocketBase's
/// change log of 0.23.
fn sdk(scope: &Scope<'_>) -> Option<(Generation, String)> {
    let files = scope.tree.texts().filter(|(path, _)| paths::name(path) == "package.json");
    let genuine = files.filter(|(path, _)| candidate::decoy(paths::parent(path), &scope.root).is_none());
    genuine.take(64).find_map(|(path, _)| {
        let package = Package::read(scope, paths::parent(path))?;
        let range = package.dependencies.get("pocketbase")?;
        let digits = &range[range.find(|c: char| c.is_ascii_digit())?..];
        let mut numbers = digits.split(['.', '-', ' ']).map(|part| part.parse::<u64>().unwrap_or(u64::MAX));
        let generation = match (numbers.next()?, numbers.next()?) {
            (0, minor) if minor < 22 => Generation::Before023,
            _ => Generation::From023,
        };
        Some((generation, path.to_owned()))
    })
}
