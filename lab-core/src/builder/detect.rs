//! Says how a tree is built and run: one pure function over a listing.
//!
//! Each kind of app is a `Rule` that finds candidates; all are ranked together and the best one wins, or the person is
//! asked. What `lab.toml` states is never guessed.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{
    BuildError,
    lab_toml::{self, RepoPath, ServerKind, Stated},
    plan::{BuildPlan, Server},
    tree::{Magic, Resolved, Tree, paths},
};
use crate::{health::DASHBOARD, release::HealthCheck};

mod candidate;
mod choose;
mod committed;
mod compiled;
mod embed;
mod folders;
mod frameworks;
mod frontend;
mod generation;
mod go;
mod manager;
mod package;
mod pocketbase;
mod programs;
mod reads;
mod recipes;
mod requires;
mod settings;
mod variables;
mod version;

use candidate::{Candidate, Rule};
use folders::Folders;
use recipes::{Named, Recipe};

/// What the embedder says about detection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetectSettings {
    /// The PocketBase version for apps that name none.
    pub pocketbase: String,
    /// The folder of the app, when its owner named it (`--root`): nothing above it is looked at, apart from a frontend
    /// beside it.
    pub root: Option<RepoPath>,
    /// What the server's programs are: a committed one of another kind cannot run there.
    pub programs: Magic,
}

impl Default for DetectSettings {
    fn default() -> Self {
        Self { pocketbase: crate::pocketbase::DEFAULT_VERSION.to_owned(), root: None, programs: Magic::HERE }
    }
}

/// Every kind of app. The first one of equal candidates has precedence.
const RULES: &[Rule] = &[go::RULE, pocketbase::RULE];

/// What the rules look at.
struct Scope<'a> {
    tree: &'a Tree,
    settings: &'a DetectSettings,
    stated: &'a Stated,
    /// The folder to look in.
    root: String,
    /// Whether a person named it.
    rooted: bool,
    /// What says how the app is run elsewhere.
    recipes: Vec<Recipe<'a>>,
    /// The folders that recipes give to PocketBase.
    named: Vec<Named>,
}

/// What is told about a plan while it is made.
#[derive(Debug, Default)]
struct Notes {
    reasons: Vec<String>,
    warnings: Vec<String>,
}

impl Notes {
    /// What was found or decided, and why.
    fn say(&mut self, reason: String) {
        self.reasons.push(reason);
    }

    /// What the owner should know.
    fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }
}

/// A folder that may be the app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ranked {
    /// The folder.
    pub root: String,
    /// What kind of app.
    pub kind: ServerKind,
    /// Its place among all, from 1 on; those that nothing tells apart have the same.
    pub place: usize,
    /// Why it is one; of all but the best, why it was passed over.
    pub reason: String,
}

/// Every folder of `tree` that may be the app, the best first. Where `lab.toml` leaves no choice, [`detect`] takes what it
/// says.
pub fn candidates(tree: &Tree, settings: &DetectSettings) -> Result<Vec<Ranked>, BuildError> {
    let base = base(tree, settings)?;
    let stated = Stated::find(tree, &base)?;
    Ok(choose::all(&scope(tree, settings, &stated, base)?))
}

/// Says how `tree` is built and run.
pub fn detect(tree: &Tree, settings: &DetectSettings) -> Result<BuildPlan, BuildError> {
    let base = base(tree, settings)?;
    let stated = Stated::find(tree, &base)?;
    let scope = scope(tree, settings, &stated, base)?;
    let mut notes = Notes { reasons: tree.remarks.clone(), warnings: Vec::new() };
    if stated.found() {
        notes.say(format!("`{}` is there: what it states is not guessed", stated.path()));
    }
    let chosen = choose::choose(&scope, &mut notes)?;
    let folders = folders::find(&scope, &chosen)?;
    let frontend::Served { built: frontend, committed } =
        frontend::find(&scope, &chosen, folders.public.as_deref(), &mut notes)?;
    let server = server(&scope, &chosen, &folders, &mut notes)?;
    recipes::dockerfile::told(&scope.recipes, &server, &mut notes);
    committed::pointers(&scope, &folders, &mut notes)?;
    committed::submodules(&scope, &mut notes);
    if !matches!(server, Server::Go { .. }) {
        committed::exports(&scope, &folders, &mut notes);
        committed::strays(&scope, &chosen, &folders, &mut notes);
    }
    let mut module = None;
    let mut env_file = None;
    let mut files;
    let mut directory = None;
    match &server {
        Server::PocketBase { version, program } => {
            programs::told(&scope, &chosen, version, program.as_deref().and_then(Path::to_str), &mut notes);
            files = pocketbase::reads(&scope, &folders, &mut notes)?;
        }
        Server::Program { path, .. } => {
            files = pocketbase::reads(&scope, &folders, &mut notes)?;
            if let Some(home) = path.parent().and_then(Path::to_str) {
                files.extend(go::usual(&scope, home, &files, &mut notes));
            }
        }
        Server::Go { .. } => {
            module = Some(chosen.root.as_str());
            env_file = go::env_file(&scope, &chosen.root);
            files = go::reads(&scope, &chosen.root, frontend.as_ref(), &mut notes)?;
            if let Some(beside) = go::beside(&scope, &chosen.root, frontend.as_ref(), &mut notes) {
                files.extend(beside);
                directory = Some(path(&chosen.root));
            }
        }
    }
    let has_env_file = env_file.is_some();
    notes.reasons.extend(env_file);
    let hooks_build = compiled::find(&scope, &chosen, &folders, &mut notes);
    let packages = requires::find(&scope, &folders, &mut notes);
    let seed = committed::seed(&scope, &folders, module, &mut notes).map(PathBuf::from);
    // what the frontend's build writes is not there yet, or is an old one
    let built = frontend.as_ref().and_then(|frontend| frontend.output.clone());
    let public = folders.public.or(committed).map(PathBuf::from).filter(|public| built.as_ref() != Some(public));
    let mut env_hints = variables::hints(&scope, &[folders.hooks.as_deref(), folders.migrations.as_deref()], module);
    let listen: Vec<String> = module.map(|module| go::listens(&scope, module, &env_hints)).unwrap_or_default();
    for name in &listen {
        notes.say(format!("the program listens where `{name}` says: Lab sets it"));
    }
    env_hints.retain(|name| !listen.contains(name));
    let fixed = module.map(|module| go::fixed(&scope, module, &mut notes)).unwrap_or_default();
    let toml = &stated.toml;
    let health = toml.health.clone().unwrap_or_default();
    let default = answers(&server);
    Ok(BuildPlan {
        server,
        hooks: hooks_build.as_ref().map_or(folders.hooks.map(PathBuf::from), |build| build.output.clone()),
        migrations: folders.migrations.map(PathBuf::from),
        public,
        frontend,
        hooks_build,
        packages,
        files: files.into_iter().map(PathBuf::from).collect(),
        directory,
        args: args(&stated),
        health: HealthCheck {
            path: health.path.map_or(default.path, |path| path.as_str().to_owned()),
            timeout_secs: health.timeout.map_or(default.timeout_secs, |seconds| seconds.0),
            is_stated: health.timeout.is_some(),
        },
        required_env: toml
            .env
            .iter()
            .flat_map(|env| env.required.iter().map(|name| name.as_str().to_owned()))
            .collect(),
        seed,
        env_hints,
        listen,
        fixed: fixed.into_iter().map(PathBuf::from).collect(),
        env_file: has_env_file,
        warnings: notes.warnings,
        reasons: notes.reasons,
    })
}

/// The folder that `--root` names.
fn base(tree: &Tree, settings: &DetectSettings) -> Result<String, BuildError> {
    let Some(root) = &settings.root else { return Ok(String::new()) };
    if root.as_str().is_empty() || tree.is_folder(root.as_str()) {
        Ok(root.as_str().to_owned())
    } else {
        let (what, reason) = (format!("root `{}`", root.as_str()), "is not a folder of the repository".to_owned());
        Err(BuildError::Invalid { what, reason })
    }
}

fn scope<'a>(
    tree: &'a Tree,
    settings: &'a DetectSettings,
    stated: &'a Stated,
    base: String,
) -> Result<Scope<'a>, BuildError> {
    let rooted = settings.root.is_some() || stated.toml.root.is_some();
    let recipes = Recipe::all(tree);
    let mut scope = Scope { tree, settings, stated, root: base, rooted, recipes, named: Vec::new() };
    if let Some(root) = &stated.toml.root {
        scope.root = scope.stated_folder(root)?;
    }
    // a root that is a link is looked at where it leads
    if let Resolved::Inside(root) = tree.resolve(&scope.root) {
        scope.root = root;
    }
    scope.named = recipes::named(&scope);
    Ok(scope)
}

impl Scope<'_> {
    /// A path that `lab.toml` states and that must be a folder of the tree.
    fn stated_folder(&self, path: &toml::Spanned<lab_toml::RepoPath>) -> Result<String, BuildError> {
        let in_tree = self.stated.in_tree(path);
        let wrong = |what: &str| self.stated.wrong(path, &format!("`{}` {what}", paths::shown(&in_tree)));
        match self.tree.resolve(&in_tree) {
            Resolved::Inside(_) if self.tree.is_folder(&in_tree) => Ok(in_tree),
            Resolved::Inside(_) => Err(wrong("is not a folder")),
            Resolved::Missing => Err(wrong("is not there")),
            Resolved::Outside => Err(wrong("leads out of the repository")),
        }
    }
}

fn server(scope: &Scope<'_>, chosen: &Candidate, folders: &Folders, notes: &mut Notes) -> Result<Server, BuildError> {
    match chosen.kind {
        ServerKind::Go => go::server(scope, &chosen.root, notes),
        ServerKind::PocketBase | ServerKind::Program => {
            if let Some(own) = programs::own(scope, chosen, folders, notes)? {
                return Ok(own);
            }
            let version = version::find(scope, chosen, folders, notes);
            let program = programs::released(scope, &version).map(PathBuf::from);
            Ok(Server::PocketBase { version, program })
        }
    }
}

/// How to tell that it is up, unless `lab.toml` says so.
fn answers(server: &Server) -> HealthCheck {
    let (Server::PocketBase { version, .. }
    | Server::Go { pocketbase: Some(version), .. }
    | Server::Program { pocketbase: Some(version), .. }) = server
    else {
        return HealthCheck::default();
    };
    let default = HealthCheck::default();
    match semver::Version::parse(version) {
        // there is no `/api/health` yet; the dashboard has always been there
        Ok(version) if (version.major, version.minor) < (0, 10) => {
            HealthCheck { path: DASHBOARD.to_owned(), ..default }
        }
        _ => default,
    }
}

/// Arguments that `lab.toml` gives to the server.
fn args(stated: &Stated) -> Vec<String> {
    let given = stated.server().into_iter().flat_map(|server| server.args.iter().map(|arg| arg.as_str().to_owned()));
    let hooks = stated.toml.hooks.as_ref().and_then(lab_toml::Section::on);
    let pool = hooks.and_then(|hooks| hooks.pool).map(|pool| format!("--hooksPool={}", pool.0));
    given.chain(pool).collect()
}

/// A path of the tree as a plan has it.
fn path(text: &str) -> PathBuf {
    Path::new(text).to_owned()
}

#[cfg(test)]
mod tests;
