//! The published fakes, told to fail, hang or panic at their next calls.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use lab_core::{
    Port, ReleaseId,
    builder::{BuildError, BuildJob, BuildPlan, Builder, Built, RepoPath},
    health::{HealthError, HealthProbe},
    progress::Progress,
    source::{Commit, FetchRequest, Source, SourceError},
    testing::{builder::FakeBuilder, health::FakeProbe, source::FakeSource},
};
use tokio_util::sync::CancellationToken;

/// What happens at a coming call; afterwards calls work.
#[derive(Debug)]
pub enum Next<E> {
    Fail(E),
    /// Until it is cancelled.
    Hang,
    Panic,
}

#[derive(Debug)]
pub struct Script<E>(Mutex<VecDeque<Next<E>>>);

impl<E> Default for Script<E> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<E> Script<E> {
    pub fn push(&self, next: Next<E>) {
        self.0.lock().unwrap().push_back(next);
    }

    /// Forgets what was not played yet.
    pub fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    async fn play(&self, cancel: &CancellationToken, cancelled: E) -> Result<(), E> {
        let next = self.0.lock().unwrap().pop_front();
        match next {
            None => Ok(()),
            Some(Next::Fail(error)) => Err(error),
            Some(Next::Panic) => panic!("as the test wants it"),
            Some(Next::Hang) => {
                cancel.cancelled().await;
                Err(cancelled)
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct ScriptedSource {
    pub inner: FakeSource,
    pub script: Arc<Script<SourceError>>,
}

#[async_trait]
impl Source for ScriptedSource {
    fn backend(&self) -> &'static str {
        self.inner.backend()
    }

    async fn fetch(
        &self,
        request: FetchRequest,
        progress: Arc<dyn Progress>,
        cancel: CancellationToken,
    ) -> Result<Commit, SourceError> {
        self.script.play(&cancel, SourceError::Cancelled).await?;
        self.inner.fetch(request, progress, cancel).await
    }
}

#[derive(Debug, Clone, Default)]
pub struct ScriptedBuilder {
    pub inner: FakeBuilder,
    pub plans: Arc<Script<BuildError>>,
    pub builds: Arc<Script<BuildError>>,
}

#[async_trait]
impl Builder for ScriptedBuilder {
    fn backend(&self) -> &'static str {
        self.inner.backend()
    }

    async fn plan(&self, checkout: &Path, root: Option<&RepoPath>) -> Result<BuildPlan, BuildError> {
        self.plans.play(&CancellationToken::new(), BuildError::Cancelled).await?;
        self.inner.plan(checkout, root).await
    }

    async fn build(
        &self,
        job: BuildJob,
        progress: Arc<dyn Progress>,
        cancel: CancellationToken,
    ) -> Result<Built, BuildError> {
        progress.log("building");
        // what a failed build leaves is for the caller to delete
        let half = job.output.join("half");
        std::fs::write(&half, "half a release").unwrap();
        self.builds.play(&cancel, BuildError::Cancelled).await?;
        std::fs::remove_file(half).unwrap();
        let (from, to) = (job.checkout.join("pb_migrations"), job.output.join("pb_migrations"));
        let built = self.inner.build(job, progress, cancel).await;
        for entry in std::fs::read_dir(from).into_iter().flatten().flatten() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        built
    }

    async fn inputs(&self, job: &BuildJob) -> Result<String, BuildError> {
        self.inner.inputs(job).await
    }

    async fn clear_cache(&self) -> Result<u64, BuildError> {
        self.inner.clear_cache().await
    }
}

#[derive(Debug, Clone, Default)]
pub struct SickProbe {
    pub inner: FakeProbe,
    pub is_sick: Arc<Mutex<bool>>,
    /// Sick while a `current` link leads to that release, or with `false` to any other.
    pub sick_with: Arc<Mutex<Option<(PathBuf, ReleaseId, bool)>>>,
    /// Sick while that file is there.
    pub sick_if: Arc<Mutex<Option<PathBuf>>>,
}

impl SickProbe {
    fn is_sick(&self) -> bool {
        let with = self.sick_with.lock().unwrap();
        *self.is_sick.lock().unwrap()
            || self.sick_if.lock().unwrap().as_ref().is_some_and(|path| path.exists())
            || with.as_ref().is_some_and(|(current, release, is_it)| {
                std::fs::read_link(current).is_ok_and(|now| now.ends_with(release.to_string()) == *is_it)
            })
    }
}

#[async_trait]
impl HealthProbe for SickProbe {
    fn backend(&self) -> &'static str {
        self.inner.backend()
    }

    async fn probe(&self, port: Port, path: &str, limit: Duration) -> Result<(), HealthError> {
        if self.is_sick() {
            return Err(HealthError::Refused(port));
        }
        self.inner.probe(port, path, limit).await
    }
}
