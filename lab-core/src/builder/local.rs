//! Builds on this machine, with the tools it finds in a `PATH`.
//!
//! Commands get a clean environment, a home of their own and shared caches. They are *not* confined otherwise: what a
//! repository says to run can read and write what Lab's user can. Only people who may deploy may choose repositories.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    BuildError, BuildJob, BuildPlan, Builder, Built, RepoPath,
    detect::{DetectSettings, detect},
    tree::{Limits, Tree},
};
use crate::{Secret, pocketbase::PocketBaseBinaries, progress::Progress};

mod cache;
mod command;
mod copy;
mod dependencies;
mod elf;
mod environment;
mod files;
mod frontend;
mod git;
mod go;
mod hints;
mod inputs;
mod install;
mod log;
mod packages;
mod place;
mod processes;
mod redact;
mod release;
mod stop;
mod tools;
mod watch;

/// What a [`LocalBuilder`] is told by its embedder.
#[derive(Debug, Clone)]
pub struct LocalBuilderSettings {
    /// Where the package managers keep what they download, and commands their temporary files: `<data>/cache/build`. On
    /// a file system where programs may run.
    pub cache_dir: PathBuf,
    /// The `PATH` in which `go`, `node`, `npm` … are.
    pub path: String,
    /// What detection is told.
    pub detect: DetectSettings,
    /// How much of a checkout detection looks at.
    pub limits: Limits,
    /// So many bytes of what commands print reach the log of one build; the rest is dropped.
    pub max_output_bytes: u64,
    /// A command that prints more than this is stopped.
    pub max_printed_bytes: u64,
    /// A command is stopped when the checkout, the release and its temporary files are larger than this on disk.
    pub max_disk_bytes: u64,
    /// The same for their number of files and folders.
    pub max_files: u64,
    /// A command is stopped when less is free on the disk that the checkout is on. None: 2 % of it, between 64 MiB and 1 GiB.
    pub min_free_bytes: Option<u64>,
    /// A command that has more processes at a time is stopped.
    pub max_processes: usize,
    /// How long it may take to plan a build.
    pub plan_timeout: Duration,
    /// What builds share is kept below so many bytes: what was used longest ago is deleted.
    pub max_cache_bytes: u64,
    /// Variables for every command: proxies, CA files, `GOFLAGS` … A job's own come on top.
    pub env: BTreeMap<String, String>,
    /// How long processes have between SIGTERM and SIGKILL.
    pub grace: Duration,
}

impl LocalBuilderSettings {
    /// Settings with the usual limits.
    pub fn new(cache_dir: impl Into<PathBuf>, path: impl Into<String>) -> Self {
        Self {
            cache_dir: cache_dir.into(),
            path: path.into(),
            detect: DetectSettings::default(),
            limits: Limits::default(),
            max_output_bytes: 4 << 20,
            max_printed_bytes: 256 << 20,
            max_disk_bytes: 8 << 30,
            max_files: 2_000_000,
            min_free_bytes: None,
            max_processes: 1000,
            plan_timeout: Duration::from_mins(1),
            max_cache_bytes: 10 << 30,
            env: BTreeMap::new(),
            grace: Duration::from_millis(500),
        }
    }
}

/// Builds on this machine.
#[derive(Debug, Clone)]
pub struct LocalBuilder {
    settings: Arc<LocalBuilderSettings>,
    binaries: Arc<dyn PocketBaseBinaries>,
    cache: Arc<cache::Cache>,
    /// The trim of the cache that is at work, if any. It ends with the builder.
    trims: Arc<Mutex<JoinSet<()>>>,
    /// One place for each look at a repository, held by its thread until that ends, whoever still waits for it.
    looks: Arc<Semaphore>,
}

/// So many repositories are looked at at a time.
const MAX_LOOKS: usize = 8;

impl LocalBuilder {
    /// A builder that takes official binaries from `binaries`.
    pub fn new(settings: LocalBuilderSettings, binaries: Arc<dyn PocketBaseBinaries>) -> Self {
        let cache = Arc::new(cache::Cache::new(settings.cache_dir.clone()));
        let (trims, looks) = (Arc::default(), Arc::new(Semaphore::new(MAX_LOOKS)));
        Self { settings: Arc::new(settings), binaries, cache, trims, looks }
    }

    /// Makes the cache smaller where it has grown too big; no build waits for that.
    fn trim(&self) {
        let (cache, cap) = (Arc::clone(&self.cache), self.settings.max_cache_bytes);
        let mut trims = self.trims.lock().unwrap_or_else(PoisonError::into_inner);
        while trims.try_join_next().is_some() {}
        if trims.is_empty() {
            trims.spawn(async move {
                if let Err(error) = cache.trim(cap).await {
                    tracing::warn!(error = %error, "what builds share could not be made smaller");
                }
            });
        }
    }
}

#[async_trait]
impl Builder for LocalBuilder {
    fn backend(&self) -> &'static str {
        "local"
    }

    async fn plan(&self, checkout: &std::path::Path, root: Option<&RepoPath>) -> Result<BuildPlan, BuildError> {
        let (limits, checkout) = (self.settings.limits, checkout.to_owned());
        let mut settings = self.settings.detect.clone();
        settings.root = root.cloned().or(settings.root);
        let (at, looks, limit) = (checkout.clone(), Arc::clone(&self.looks), self.settings.plan_timeout);
        let look = async move {
            let place = looks.acquire_owned().await;
            let look = move || {
                let _place = place;
                detect(&Tree::read(&checkout, &limits)?, &settings)
            };
            tokio::task::spawn_blocking(look).await
        };
        // a thread cannot be stopped: it is left behind
        let looked = tokio::time::timeout(limit, look).await.map_err(|_| BuildError::Invalid {
            what: "the repository".to_owned(),
            reason: format!(
                "could not be read within {} s: is it very big? `--root` names the folder of the app in it",
                limit.as_secs()
            ),
        })?;
        stop::joined(looked, "read", &at)?
    }

    async fn build(
        &self,
        job: BuildJob,
        progress: Arc<dyn Progress>,
        cancel: CancellationToken,
    ) -> Result<Built, BuildError> {
        let redact = redact::Redact::new(job.secrets.iter().cloned().chain(hidden(&job.app_env)));
        let log = log::Log::new(progress, redact, self.settings.max_output_bytes);
        let stop = stop::Stop::new(cancel, job.timeout);
        let held = self.cache.hold().await;
        let build =
            release::Build::start(Arc::clone(&self.settings), Arc::clone(&self.binaries), job, log, stop).await?;
        let done = build.run().await;
        drop(held);
        self.trim();
        done
    }

    async fn inputs(&self, job: &BuildJob) -> Result<String, BuildError> {
        inputs::digest(&self.settings, job).await
    }

    async fn clear_cache(&self) -> Result<u64, BuildError> {
        self.cache.clear().await
    }
}

/// The values of variables, apart from those that visitors get anyway.
fn hidden(env: &BTreeMap<String, String>) -> impl Iterator<Item = Secret> {
    env.iter().filter(|(name, _)| !frontend::is_public(name)).map(|(_, value)| Secret::new(value.as_str()))
}

#[cfg(test)]
mod tests;
