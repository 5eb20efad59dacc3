//! A source, builder, router and probe that do what a test tells them.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use lab_core::{
    Port,
    builder::{BuildError, BuildJob, BuildPlan, Builder, plan::Server},
    health::{HealthError, HealthProbe},
    progress::Progress,
    release::{Flags, HealthCheck, RunSpec},
    router::{RouteTable, RouterConfig, RouterError},
    source::{Commit, FetchRequest, Source, SourceError},
};
use tokio_util::sync::CancellationToken;

/// What a fake does at its next calls, in order; then it works.
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
pub struct FakeSource {
    pub script: Arc<Script<SourceError>>,
    pub requests: Arc<Mutex<Vec<FetchRequest>>>,
}

#[async_trait]
impl Source for FakeSource {
    fn backend(&self) -> &'static str {
        "fake"
    }

    async fn fetch(
        &self,
        request: FetchRequest,
        progress: Arc<dyn Progress>,
        cancel: CancellationToken,
    ) -> Result<Commit, SourceError> {
        self.requests.lock().unwrap().push(request.clone());
        assert!(!request.destination.exists(), "the destination is there before the fetch");
        progress.log("fetching");
        self.script.play(&cancel, SourceError::Cancelled).await?;
        std::fs::create_dir_all(&request.destination).unwrap();
        std::fs::write(request.destination.join("README"), "an app").unwrap();
        Ok(Commit { hash: "c0ffee".to_owned(), branch: None, author: "Me".to_owned(), message: "An app".to_owned() })
    }
}

#[derive(Debug, Clone, Default)]
pub struct FakeBuilder {
    pub plans: Arc<Script<BuildError>>,
    pub builds: Arc<Script<BuildError>>,
    pub required_env: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Builder for FakeBuilder {
    fn backend(&self) -> &'static str {
        "fake"
    }

    async fn plan(&self, checkout: &Path) -> Result<BuildPlan, BuildError> {
        assert!(checkout.join("README").exists(), "nothing was fetched");
        self.plans.play(&CancellationToken::new(), BuildError::Cancelled).await?;
        Ok(BuildPlan {
            server: Server::PocketBase { version: "0.40.6".to_owned() },
            hooks: None,
            migrations: None,
            public: None,
            frontend: None,
            args: Vec::new(),
            health: HealthCheck { path: "/api/health".to_owned(), timeout_secs: 1 },
            required_env: self.required_env.lock().unwrap().clone(),
            reasons: vec!["it is a test".to_owned()],
        })
    }

    async fn build(
        &self,
        job: BuildJob,
        progress: Arc<dyn Progress>,
        cancel: CancellationToken,
    ) -> Result<RunSpec, BuildError> {
        assert_eq!(std::fs::read_dir(&job.output).unwrap().count(), 0, "the output is not empty");
        progress.log("building");
        std::fs::write(job.output.join("half"), "half a release").unwrap();
        self.builds.play(&cancel, BuildError::Cancelled).await?;
        std::fs::write(job.output.join("app"), "a program").unwrap();
        Ok(RunSpec {
            program: PathBuf::from("app"),
            flags: Flags::Official,
            pocketbase: None,
            args: Vec::new(),
            health: job.plan.health,
        })
    }
}

#[derive(Debug, Clone, Default)]
pub struct FakeRouter {
    pub script: Arc<Script<RouterError>>,
    pub table: Arc<Mutex<RouteTable>>,
}

#[async_trait]
impl RouterConfig for FakeRouter {
    fn backend(&self) -> &'static str {
        "fake"
    }

    async fn apply(&self, table: RouteTable) -> Result<(), RouterError> {
        let rejected = RouterError::Rejected { reason: "cancelled".to_owned() };
        self.script.play(&CancellationToken::new(), rejected).await?;
        *self.table.lock().unwrap() = table;
        Ok(())
    }

    async fn table(&self) -> Result<RouteTable, RouterError> {
        Ok(self.table.lock().unwrap().clone())
    }
}

#[derive(Debug, Clone, Default)]
pub struct FakeProbe {
    pub is_sick: Arc<Mutex<bool>>,
}

#[async_trait]
impl HealthProbe for FakeProbe {
    fn backend(&self) -> &'static str {
        "fake"
    }

    async fn probe(&self, port: Port, _path: &str, _limit: Duration) -> Result<(), HealthError> {
        if *self.is_sick.lock().unwrap() { Err(HealthError::Refused(port)) } else { Ok(()) }
    }
}
