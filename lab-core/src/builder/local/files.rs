//! Fills a release with files of the checkout.

use std::{
    fs, io,
    io::{Read, Write},
    os::unix::fs::{OpenOptionsExt, symlink},
    path::Path,
};

use super::{
    copy::{self, Copier},
    dependencies::MODULES,
    elf,
    frontend::output,
    log::Log,
    place::Checkout,
    stop::Stop,
};
use crate::builder::{
    BuildError, BuildJob, SEED,
    plan::{Frontend, Server},
    tree::Magic,
};

/// A committed file that is read as a whole and is larger is none.
const MAX_SMALL_FILE: u64 = 1 << 20;

/// Copies what the plan names; `frontend` is the one that was built. Blocks.
pub(super) fn fill(
    job: &BuildJob,
    checkout: &Checkout,
    frontend: Option<&Frontend>,
    log: &Log,
    stop: &Stop,
) -> Result<(), BuildError> {
    let copy = Copier { checkout: checkout.path(), log, stop, is_open: false };
    let open = Copier { is_open: true, ..copy };
    let plan = &job.plan;
    let named =
        [("pb_hooks", &plan.hooks, copy), ("pb_migrations", &plan.migrations, copy), ("pb_public", &plan.public, open)];
    for (name, from, copy) in named {
        let Some(from) = from else { continue };
        let is_made = name == "pb_hooks" && plan.hooks_build.as_ref().is_some_and(|build| build.optional);
        match checkout.find(from)? {
            // told when its build failed
            None if is_made => log.setback(&format!("`{}` was not made: deployed without hooks", from.display())),
            _ => copy.folder(&checkout.folder(from)?, &job.output.join(name))?,
        }
    }
    if let Some(packages) = &plan.packages
        && plan.hooks.as_ref().is_none_or(|hooks| !packages.directory.starts_with(hooks))
        && let Some(from) = checkout.find(&packages.directory.join(MODULES))?
    {
        copy.folder(&from, &job.output.join(MODULES))?;
    }
    for (path, inside) in plan.placed() {
        match checkout.find(path)? {
            Some(from) => open.any(&from, &job.output.join(inside))?,
            None => log.warn(&format!("`{}` is not there: the app may miss it", path.display())),
        }
    }
    if let Some(frontend) = frontend {
        match output::output(checkout, frontend, log) {
            Ok(Some(from)) => open.folder(&from, &job.output.join("pb_public"))?,
            Ok(None) => {}
            Err(error @ BuildError::Invalid { .. }) if frontend.optional => {
                log.warn(&format!("the frontend was left out: {error}"));
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(from) = plan.seed.as_deref().filter(|_| job.seed) {
        log.say(&format!("`{}` becomes the data of the new app", from.display()));
        copy.folder(&checkout.folder(from)?, &job.output.join(SEED))?;
    }
    if let Some(directory) = &plan.directory {
        link_beside(&job.output, directory)?;
    }
    if plan.env_file {
        env_file(job, checkout)?;
    }
    stop.check()
}

/// Copies the committed program at `path` of the checkout to `to`; it must be one of that kind. Blocks.
pub(super) fn program(checkout: &Checkout, path: &Path, to: &Path, kind: Magic) -> Result<(), BuildError> {
    let wrong = |reason: String| BuildError::Invalid { what: format!("`{}`", path.display()), reason };
    let from = checkout.find(path)?.filter(|from| from.is_file());
    let from = from.ok_or_else(|| wrong("is not there as a file, and the app's program should be".to_owned()))?;
    copy::program(&from, to)?;
    let mut head = Vec::new();
    let file = fs::File::open(to).map_err(|source| failed("open", to, source))?;
    (&file).take(64).read_to_end(&mut head).map_err(|source| failed("read", to, source))?;
    if Magic::of(&head) != Some(kind) {
        let platform = kind.platform();
        let reason =
            format!("is no program for {platform}, on which the server runs: commit one that is, or its Go source");
        return Err(wrong(reason));
    }
    match elf::loader(&file).filter(|loader| !loader.exists()) {
        None => Ok(()),
        // it could not even be started, which the kernel calls "no such file"
        Some(loader) => Err(wrong(format!(
            "was linked for another system: it needs `{}`, which the server does not have; commit one that was built with \
             `CGO_ENABLED=0`, or its Go source",
            loader.display()
        ))),
    }
}

/// Puts PocketBase's folders where a program looks that runs in `directory` of the release.
fn link_beside(output: &Path, directory: &Path) -> Result<(), BuildError> {
    let folder = output.join(directory);
    fs::create_dir_all(&folder).map_err(|source| failed("create", &folder, source))?;
    let up = "../".repeat(directory.components().count());
    for name in ["pb_data", "pb_hooks", "pb_migrations", "pb_public"] {
        let link = folder.join(name);
        symlink(format!("{up}{name}"), &link).map_err(|source| failed("create", &link, source))?;
    }
    Ok(())
}

/// Writes the `.env` that the program wants: what is committed, then the app's own variables, which count.
fn env_file(job: &BuildJob, checkout: &Checkout) -> Result<(), BuildError> {
    let folder = job.plan.directory.as_ref().map_or_else(|| job.output.clone(), |inside| job.output.join(inside));
    let path = folder.join(".env");
    let module = match &job.plan.server {
        Server::Go { module, .. } => module.as_path(),
        Server::PocketBase { .. } | Server::Program { .. } => Path::new(""),
    };
    // bytes: whatever it holds is the program's affair
    let mut text = Vec::new();
    for folder in [module, Path::new("")] {
        let committed = checkout.find(&folder.join(".env"))?.filter(|path| is_small_file(path));
        if let Some(committed) = committed {
            text = fs::read(&committed).map_err(|source| failed("read", &committed, source))?;
            break;
        }
    }
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    for (name, value) in &job.app_env {
        text.extend([name, "=", quoted(value).as_str(), "\n"].concat().bytes());
    }
    let opened = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
    let written = opened.and_then(|mut file| file.write_all(&text));
    written.map_err(|source| failed("write", &path, source))
}

/// Whether it is a file that may be read as a whole. Blocks.
pub(super) fn is_small_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_SMALL_FILE)
}

/// As godotenv reads it: in double quotes, where `\`, `"`, `$` and line ends need a backslash.
fn quoted(value: &str) -> String {
    let mut text = String::from('"');
    for c in value.chars() {
        match c {
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\\' | '"' | '$' => text.extend(['\\', c]),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> BuildError {
    BuildError::Io { action, path: path.to_owned(), source }
}
