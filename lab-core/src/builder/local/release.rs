//! The steps of a build, in order.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use semver::Version;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    LocalBuilderSettings, cache,
    command::Prepared,
    environment::{environment, program, tune},
    files, git,
    log::Log,
    place::Checkout,
    stop::{Stop, joined},
    watch::Watch,
};
use crate::{
    builder::{
        BuildError, BuildJob, Built,
        plan::{Frontend, Server},
    },
    pocketbase::{PocketBaseBinaries, PocketBaseError},
    release::{Flags, RunSpec},
};

/// So many versions of PocketBase are tried instead of one that is not to be had.
const NEAREST: usize = 5;

/// One build.
#[derive(Debug)]
pub(super) struct Build {
    pub(super) settings: Arc<LocalBuilderSettings>,
    binaries: Arc<dyn PocketBaseBinaries>,
    pub(super) job: BuildJob,
    pub(super) log: Log,
    pub(super) stop: Stop,
    pub(super) checkout: Checkout,
    home: TempDir,
    pub(super) env: BTreeMap<String, String>,
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
        let commit = job.commit.clone();
        let prepare = move || {
            for name in ["pb_hooks", "pb_migrations", "pb_public"] {
                create(&output.join(name))?;
            }
            create(&cache)?;
            let failed = |source| BuildError::Io { action: "create", path: cache.clone(), source };
            let home = tempfile::Builder::new().prefix("home-").tempdir_in(&cache).map_err(failed)?;
            create(&home.path().join("tmp"))?;
            let checkout = Checkout::open(&given)?;
            if let Some(commit) = commit {
                let failed = |source| BuildError::Io { action: "write", path: given.join(".git"), source };
                git::name(checkout.path(), &commit).map_err(failed)?;
            }
            Ok::<_, BuildError>((checkout, home))
        };
        let (checkout, home) = joined(tokio::task::spawn_blocking(prepare).await, "create", &job.output)??;
        let env = environment(&settings, &job.env, home.path(), &Uuid::new_v4().to_string());
        Ok(Self { settings, binaries, job, log, stop, checkout, home, env })
    }

    /// The frontend first: a Go program may embed what it makes.
    pub(super) async fn run(self) -> Result<Built, BuildError> {
        let done = self.steps().await;
        let Self { home, .. } = self;
        // deleting a big folder blocks; what cannot be deleted is only in the way
        let _ = tokio::task::spawn_blocking(move || home.close()).await;
        done
    }

    async fn steps(&self) -> Result<Built, BuildError> {
        let is_built = match &self.job.plan.frontend {
            Some(frontend) => self.frontend("frontend", frontend).await?,
            None => false,
        };
        if let Some(build) = &self.job.plan.hooks_build {
            self.frontend("source of the hooks", build).await?;
        }
        if let Some(packages) = &self.job.plan.packages {
            self.packages(packages).await?;
        }
        let (program, flags, pocketbase) = match &self.job.plan.server {
            Server::PocketBase { version, program } => self.official(version, program.as_deref()).await?,
            Server::Program { path, pocketbase } => {
                self.log.say(&format!("the committed program `{}`", path.display()));
                self.committed(path, "app").await?;
                ("app", Flags::Base, pocketbase.clone())
            }
            server @ Server::Go { pocketbase, .. } => {
                self.go(server).await?;
                ("app", Flags::Base, pocketbase.clone())
            }
        };
        self.copy(is_built).await?;
        let run = RunSpec {
            program: PathBuf::from(program),
            directory: self.job.plan.directory.clone(),
            flags,
            pocketbase,
            args: self.job.plan.args.clone(),
            health: self.job.plan.health.clone(),
        };
        Ok(Built { run, warnings: self.log.warnings(), is_repeatable: !self.log.has_setbacks() })
    }

    /// The build's own folder.
    pub(super) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs one command to its end.
    pub(super) async fn command(
        &self,
        words: &[String],
        directory: &Path,
        mut env: BTreeMap<String, String>,
    ) -> Result<(), BuildError> {
        let settings = &self.settings;
        tune(&mut env, words, &settings.cache_dir);
        cache::touch(&settings.cache_dir, words.first().map_or("", String::as_str));
        let path = env.get("PATH").map_or(settings.path.as_str(), String::as_str);
        let (program, arguments) = program(words, directory, path)?;
        let folders = [self.checkout.path(), self.home.path(), &self.job.output].map(Path::to_owned);
        let prepared = Prepared {
            shown: words.join(" "),
            program,
            arguments,
            directory: directory.to_owned(),
            env,
            grace: settings.grace,
            max_printed_bytes: settings.max_printed_bytes,
            watch: Watch {
                folders: Arc::new(folders),
                max_disk_bytes: settings.max_disk_bytes,
                max_files: settings.max_files,
                min_free_bytes: settings.min_free_bytes,
                max_processes: settings.max_processes,
            },
        };
        prepared.run(&self.log, &self.stop).await
    }

    /// The official program; `program` is a committed file that is the same.
    async fn official(
        &self,
        version: &str,
        program: Option<&Path>,
    ) -> Result<(&'static str, Flags, Option<String>), BuildError> {
        let parsed = Version::parse(version).map_err(|error| BuildError::Invalid {
            what: format!("PocketBase version `{version}`"),
            reason: error.to_string(),
        })?;
        self.log.say(&format!("PocketBase {version}"));
        let token = self.stop.token();
        let _ends_with_this = token.clone().drop_guard();
        let linked = self.link(&parsed, program, &token);
        let linked = tokio::select! {
            biased;
            // before the store's own word for it; it hears of a time-out when the guard is dropped
            why = self.stop.wait() => return Err(why),
            linked = linked => linked?,
        };
        Ok(("pocketbase", Flags::Official, Some(linked.to_string())))
    }

    /// Links that version, or where it is not to be had the committed file that is the same, or the nearest one.
    async fn link(
        &self,
        version: &Version,
        program: Option<&Path>,
        token: &CancellationToken,
    ) -> Result<Version, BuildError> {
        let failed = |source| BuildError::PocketBase { version: version.to_string(), source };
        let unknown = match self.binaries.link_into(version, &self.job.output, self.log.progress(), token).await {
            Err(error @ PocketBaseError::NoSuchVersion { .. }) => error,
            linked => return linked.map(|_| version.clone()).map_err(failed),
        };
        if let Some(program) = program {
            self.committed(program, "pocketbase").await?;
            let path = program.display();
            self.log
                .warn(&format!("PocketBase {version} is not to be had: the committed `{path}`, which is it, serves"));
            return Ok(version.clone());
        }
        self.link_nearest(version, unknown, token).await.map_err(failed)
    }

    /// Links what is nearest to a version that is not to be had.
    async fn link_nearest(
        &self,
        version: &Version,
        unknown: PocketBaseError,
        token: &CancellationToken,
    ) -> Result<Version, PocketBaseError> {
        let (output, progress) = (&self.job.output, self.log.progress());
        for near in self.binaries.nearest(version, token).await?.iter().take(NEAREST) {
            match self.binaries.link_into(near, output, progress, token).await {
                Err(PocketBaseError::NoSuchVersion { .. }) => {}
                Err(error) => return Err(error),
                Ok(_) => {
                    self.log.warn(&format!("PocketBase {version} is not to be had: {near}, the nearest one, serves"));
                    return Ok(near.clone());
                }
            }
        }
        Err(unknown)
    }

    /// Copies a committed program into the release, as `name`.
    async fn committed(&self, path: &Path, name: &'static str) -> Result<(), BuildError> {
        let (checkout, programs) = (self.checkout.clone(), self.settings.detect.programs);
        let (path, to) = (path.to_owned(), self.job.output.join(name));
        let work = move || files::program(&checkout, &path, &to, programs);
        joined(tokio::task::spawn_blocking(work).await, "copy", &self.job.output)?
    }

    /// Fills the release with files; `is_built` tells whether the plan's frontend was built.
    async fn copy(&self, is_built: bool) -> Result<(), BuildError> {
        let (job, checkout) = (self.job.clone(), self.checkout.clone());
        let (log, stop) = (self.log.clone(), self.stop.clone());
        let work = move || {
            let frontend = job.plan.frontend.as_ref().filter(|frontend| is_built || has_output(&checkout, frontend));
            files::fill(&job, &checkout, frontend, &log, &stop)
        };
        joined(tokio::task::spawn_blocking(work).await, "copy", &self.job.output)?
    }
}

/// Whether what a frontend's build should make is committed.
fn has_output(checkout: &Checkout, frontend: &Frontend) -> bool {
    let output = frontend.output.as_deref().and_then(|output| checkout.find(output).ok().flatten());
    output.is_some_and(|output| output.join("index.html").is_file())
}

/// A folder of the tree, as a person reads it.
pub(super) fn shown(path: &Path) -> String {
    if path.as_os_str().is_empty() { ".".to_owned() } else { path.display().to_string() }
}

fn create(path: &Path) -> Result<(), BuildError> {
    fs::create_dir_all(path).map_err(|source| BuildError::Io { action: "create", path: path.to_owned(), source })
}
