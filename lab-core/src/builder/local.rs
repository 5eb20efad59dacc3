//! Builds on this machine, with the tools it finds in a `PATH`.
//!
//! Commands get a clean environment, a home of their own and shared caches. They are *not* confined otherwise: what a
//! repository says to run can read and write what Lab's user can. Only people who may deploy may choose repositories.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{
    BuildError, BuildJob, BuildPlan, Builder,
    detect::{DetectSettings, detect},
    tree::{Limits, Tree},
};
use crate::{pocketbase::PocketBaseBinaries, progress::Progress, release::RunSpec};

mod command;
mod copy;
mod environment;
mod frontend;
mod hints;
mod log;
mod place;
mod processes;
mod release;
mod stop;

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
            max_printed_bytes: 512 << 20,
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
}

impl LocalBuilder {
    /// A builder that takes official binaries from `binaries`.
    pub fn new(settings: LocalBuilderSettings, binaries: Arc<dyn PocketBaseBinaries>) -> Self {
        Self { settings: Arc::new(settings), binaries }
    }
}

#[async_trait]
impl Builder for LocalBuilder {
    fn backend(&self) -> &'static str {
        "local"
    }

    async fn plan(&self, checkout: &std::path::Path) -> Result<BuildPlan, BuildError> {
        let (settings, checkout) = (Arc::clone(&self.settings), checkout.to_owned());
        let at = checkout.clone();
        let look = move || detect(&Tree::read(&checkout, &settings.limits)?, &settings.detect);
        stop::joined(tokio::task::spawn_blocking(look).await, "read", &at)?
    }

    async fn build(
        &self,
        job: BuildJob,
        progress: Arc<dyn Progress>,
        cancel: CancellationToken,
    ) -> Result<RunSpec, BuildError> {
        let log = log::Log::new(progress, self.settings.max_output_bytes);
        let stop = stop::Stop::new(cancel, job.timeout);
        release::Build::start(Arc::clone(&self.settings), Arc::clone(&self.binaries), job, log, stop).await?.run().await
    }
}

#[cfg(test)]
mod tests;
