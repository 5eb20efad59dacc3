//! The steps of a build, in order.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;
use uuid::Uuid;

use super::{
    LocalBuilderSettings,
    command::Prepared,
    copy::Copy,
    environment::{environment, program, tune},
    frontend,
    log::Log,
    place::Checkout,
    stop::{Stop, joined},
};
use crate::{
    builder::{
        BuildError, BuildJob,
        plan::{Frontend, Server},
    },
    pocketbase::PocketBaseBinaries,
    release::{Flags, RunSpec},
};

/// Folders that a Go program may read at run time, in its working directory.
const ASSETS: &[&str] = &["templates", "views", "assets", "static", "public"];

/// One build.
#[derive(Debug)]
pub(super) struct Build {
    settings: Arc<LocalBuilderSettings>,
    binaries: Arc<dyn PocketBaseBinaries>,
    job: BuildJob,
    log: Log,
    stop: Stop,
    checkout: Checkout,
    home: TempDir,
    env: BTreeMap<String, String>,
}

impl Build {
    /// Makes the release's folders and the build's own.
    pub(super) async fn start(
        settings: Arc<LocalBuilderSettings>,
        binaries: Arc<dyn PocketBaseBinaries>,
        job: BuildJob,
        log: Log,
        stop: Stop,
    ) -> Result<Self, BuildError> {
        stop.check()?;
        let (output, given, cache) = (job.output.clone(), job.checkout.clone(), settings.cache_dir.clone());
        let prepare = move || {
            for name in ["pb_hooks", "pb_migrations", "pb_public"] {
                create(&output.join(name))?;
            }
            create(&cache)?;
            let failed = |source| BuildError::Io { action: "create", path: cache.clone(), source };
            let home = tempfile::Builder::new().prefix("home-").tempdir_in(&cache).map_err(failed)?;
            create(&home.path().join("tmp"))?;
            Ok::<_, BuildError>((Checkout::open(&given)?, home))
        };
        let (checkout, home) = joined(tokio::task::spawn_blocking(prepare).await, "create", &job.output)??;
        let env = environment(&settings, &job.env, home.path(), &Uuid::new_v4().to_string());
        Ok(Self { settings, binaries, job, log, stop, checkout, home, env })
    }

    /// The frontend first: a Go program may embed what it makes.
    pub(super) async fn run(self) -> Result<RunSpec, BuildError> {
        let done = self.steps().await;
        let Self { home, .. } = self;
        // deleting a big folder blocks; what cannot be deleted is only in the way
        let _ = tokio::task::spawn_blocking(move || home.close()).await;
        done
    }

    async fn steps(&self) -> Result<RunSpec, BuildError> {
        if let Some(frontend) = &self.job.plan.frontend {
            self.frontend(frontend).await?;
        }
        let (program, flags, pocketbase) = match &self.job.plan.server {
            Server::PocketBase { version } => self.official(version).await?,
            Server::Go { module, package, tags, pocketbase, .. } => {
                self.go(module, package, tags).await?;
                ("app", Flags::Base, pocketbase.clone())
            }
        };
        self.copy().await?;
        Ok(RunSpec {
            program: PathBuf::from(program),
            flags,
            pocketbase,
            args: self.job.plan.args.clone(),
            health: self.job.plan.health.clone(),
        })
    }

    async fn frontend(&self, frontend: &Frontend) -> Result<(), BuildError> {
        let directory = self.checkout.folder(&frontend.directory)?;
        let last = frontend.commands.len().saturating_sub(1);
        for (index, words) in frontend.commands.iter().enumerate() {
            let mut env = self.env.clone();
            if index < last {
                // `production` would leave out what the build needs
                env.remove("NODE_ENV");
            }
            self.command(words, &directory, env).await?;
        }
        Ok(())
    }

    async fn go(&self, module: &Path, package: &str, tags: &[String]) -> Result<(), BuildError> {
        let directory = self.checkout.folder(module)?;
        let output = std::path::absolute(self.job.output.join("app"));
        let output =
            output.map_err(|source| BuildError::Io { action: "create", path: self.job.output.clone(), source })?;
        self.command(&Server::go_build(package, tags, &output), &directory, self.env.clone()).await
    }

    async fn command(
        &self,
        words: &[String],
        directory: &Path,
        mut env: BTreeMap<String, String>,
    ) -> Result<(), BuildError> {
        tune(&mut env, words, &self.settings.cache_dir);
        let path = env.get("PATH").map_or(self.settings.path.as_str(), String::as_str);
        let (program, arguments) = program(words, directory, path)?;
        let prepared = Prepared {
            shown: words.join(" "),
            program,
            arguments,
            directory: directory.to_owned(),
            env,
            grace: self.settings.grace,
            max_printed_bytes: self.settings.max_printed_bytes,
        };
        prepared.run(&self.log, &self.stop).await
    }

    async fn official(&self, version: &str) -> Result<(&'static str, Flags, Option<String>), BuildError> {
        let parsed = semver::Version::parse(version).map_err(|error| BuildError::Invalid {
            what: format!("PocketBase version `{version}`"),
            reason: error.to_string(),
        })?;
        self.log.say(&format!("PocketBase {version}"));
        let token = self.stop.token();
        let _ends_with_this = token.clone().drop_guard();
        let linked = self.binaries.link_into(&parsed, &self.job.output, self.log.progress(), &token);
        tokio::select! {
            biased;
            // before the store's own word for it; it hears of a time-out when the guard is dropped
            why = self.stop.wait() => return Err(why),
            linked = linked => linked.map_err(|source| {
                BuildError::PocketBase { version: version.to_owned(), source }
            })?,
        };
        Ok(("pocketbase", Flags::Official, Some(version.to_owned())))
    }

    /// Fills the release with files.
    async fn copy(&self) -> Result<(), BuildError> {
        let (job, checkout) = (self.job.clone(), self.checkout.clone());
        let (log, stop) = (self.log.clone(), self.stop.clone());
        let work = move || {
            let copy = Copy { checkout: checkout.path(), log: &log, stop: &stop };
            let plan = &job.plan;
            let named = [("pb_hooks", &plan.hooks), ("pb_migrations", &plan.migrations), ("pb_public", &plan.public)];
            for (name, from) in named {
                if let Some(from) = from {
                    copy.folder(&checkout.folder(from)?, &job.output.join(name))?;
                }
            }
            if let Server::Go { module, .. } = &plan.server {
                for name in ASSETS {
                    if let Some(from) = checkout.find(&module.join(name))?.filter(|path| path.is_dir()) {
                        log.say(&format!("`{name}` is copied: the program may read it in its working directory"));
                        copy.folder(&from, &job.output.join(name))?;
                    }
                }
            }
            if let Some(frontend) = &plan.frontend
                && let Some(from) = frontend::output(&checkout, frontend, &log)?
            {
                copy.folder(&from, &job.output.join("pb_public"))?;
            }
            stop.check()
        };
        joined(tokio::task::spawn_blocking(work).await, "copy", &self.job.output)?
    }
}

fn create(path: &Path) -> Result<(), BuildError> {
    fs::create_dir_all(path).map_err(|source| BuildError::Io { action: "create", path: path.to_owned(), source })
}
