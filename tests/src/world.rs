//! A lab over fakes that outlive it, as processes and files outlive a server that is killed.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt};
use lab_core::{
    AppName, Backends, DeployRequest, DeploymentId, GitUrl, Lab, LabSettings, UrlPolicy,
    deploy::{DeployEventKind, DeployState, DeployStep, Deployment},
    layout::DataDir,
    ports::file::FilePorts,
    registry::file::FileRegistry,
    router::{RouterConfig, Target, Unavailable},
    supervisor::{ProcessState, ProcessSupervisor},
    testing::{
        ports::{Lease, leased_range},
        rehearsal::FakeRehearser,
        router::FakeRouter,
        source::FakeCommit,
        supervisor::FakeSupervisor,
    },
};

use crate::fakes::{ScriptedBuilder, ScriptedSource, SickProbe};

pub struct World {
    pub dir: tempfile::TempDir,
    pub range: std::ops::RangeInclusive<u16>,
    pub source: ScriptedSource,
    pub builder: ScriptedBuilder,
    pub supervisor: FakeSupervisor,
    pub router: FakeRouter,
    pub probe: SickProbe,
    pub rehearser: FakeRehearser,
    _lease: Lease,
}

pub const REPOSITORY: &str = "https://git.example/me/app";
pub const OTHER_REPOSITORY: &str = "https://git.example/me/other";

pub fn name(text: &str) -> AppName {
    text.parse().unwrap()
}

pub fn url(text: &str) -> GitUrl {
    GitUrl::parse(text, UrlPolicy::LocalAllowed).unwrap()
}

pub fn request(app: &str) -> DeployRequest {
    DeployRequest { repository: Some(url(REPOSITORY)), ..DeployRequest::new(name(app)) }
}

impl World {
    pub fn new() -> Self {
        let (range, lease) = leased_range();
        let source = ScriptedSource::default();
        for repository in [REPOSITORY, OTHER_REPOSITORY] {
            source.inner.publish(&url(repository), [FakeCommit::new("An app", [("pb_public/index.html", "an app")])]);
        }
        Self {
            dir: tempfile::tempdir().unwrap(),
            range,
            source,
            builder: ScriptedBuilder::default(),
            supervisor: FakeSupervisor::new(),
            router: FakeRouter::new(),
            probe: SickProbe::default(),
            rehearser: FakeRehearser::new(),
            _lease: lease,
        }
    }

    pub fn data(&self) -> DataDir {
        DataDir::new(self.dir.path())
    }

    pub fn settings(&self) -> LabSettings {
        let mut settings = LabSettings::new(self.data(), "lab.localhost".parse().unwrap());
        settings.health_timeout = Some(Duration::from_secs(1));
        settings
    }

    pub fn backends(&self) -> Backends {
        Backends {
            registry: Arc::new(FileRegistry::open(self.data().registry()).unwrap()),
            ports: Arc::new(FilePorts::open(self.data().ports(), self.range.clone()).unwrap()),
            source: Arc::new(self.source.clone()),
            builder: Arc::new(self.builder.clone()),
            supervisor: Arc::new(self.supervisor.clone()),
            router: Arc::new(self.router.clone()),
            health: Arc::new(self.probe.clone()),
            rehearser: Arc::new(self.rehearser.clone()),
        }
    }

    /// One life of the lab: when `live` returns, the lab is gone as if killed.
    pub fn life<T>(&self, live: impl AsyncFnOnce(&Lab) -> T) -> T {
        self.life_with(self.settings(), live)
    }

    /// The same, with other settings.
    pub fn life_with<T>(&self, settings: LabSettings, live: impl AsyncFnOnce(&Lab) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let result = runtime.block_on(async {
            let lab = Lab::open(settings, self.backends()).await.unwrap();
            let live = tokio::time::timeout(Duration::from_mins(1), live(&lab));
            live.await.expect("a life ends within a minute")
        });
        runtime.shutdown_timeout(Duration::from_secs(5));
        result
    }

    /// Every file and folder below the app's folder that a release, a checkout or data would leave.
    pub fn leftovers(&self, app: &str) -> Vec<PathBuf> {
        let dirs = self.data().app(&name(app));
        let mut found = Vec::new();
        for folder in [dirs.releases(), self.data().work_root()] {
            found.extend(std::fs::read_dir(folder).into_iter().flatten().map(|e| e.unwrap().path()));
        }
        let others = [dirs.current(), dirs.data(), dirs.home(), dirs.tmp()];
        found.extend(others.into_iter().filter(|path| std::fs::symlink_metadata(path).is_ok()));
        found
    }

    pub fn target(&self, app: &str) -> Option<Target> {
        let host = format!("{app}.lab.localhost");
        let table = self.router.table().now_or_never().unwrap().unwrap();
        table.get(host.as_str()).map(|route| route.target.clone())
    }

    pub async fn runs(&self, app: &str) -> bool {
        matches!(self.supervisor.state(&name(app)).await.unwrap(), Some(ProcessState::Running { .. }))
    }

    /// What must hold of an app that serves.
    pub async fn assert_serves(&self, lab: &Lab, app: &str) {
        let view = lab.get(&name(app)).await.unwrap();
        assert_eq!(view.app.status.to_string(), "running");
        assert!(self.runs(app).await);
        let port = view.app.port.unwrap();
        assert_eq!(self.target(app), Some(Target::Port(port)));
        assert_eq!(lab.backends().ports.list().await.unwrap().get(&name(app)), Some(&port));
        let dirs = self.data().app(&name(app));
        let current = std::fs::read_link(dirs.current()).unwrap();
        assert_eq!(dirs.root().join(current), dirs.release(view.app.release.unwrap()));
        assert!(dirs.release(view.app.release.unwrap()).join("release.json").exists());
        assert!(dirs.data().is_dir());
        assert_eq!(std::fs::read_dir(self.data().work_root()).unwrap().count(), 0);
    }

    /// What must hold of an app whose first deploy failed.
    pub async fn assert_nothing_left(&self, lab: &Lab, app: &str) {
        let view = lab.get(&name(app)).await.unwrap();
        assert_eq!(view.app.status.to_string(), "failed");
        assert_eq!((view.app.port, view.app.release), (None, None));
        assert!(!lab.backends().ports.list().await.unwrap().contains_key(&name(app)));
        assert!(!self.runs(app).await);
        assert_eq!(self.target(app), Some(Target::Unavailable(Unavailable::Failed)));
        assert_eq!(self.leftovers(app), Vec::<PathBuf>::new());
    }
}

/// Waits for the end of a deployment.
pub async fn finished(lab: &Lab, app: &str, id: DeploymentId) -> Deployment {
    let events = lab.deployment_events(&name(app), id, 0).await.unwrap();
    let all: Vec<_> = events.collect().await;
    assert!(matches!(all.last().unwrap().kind, DeployEventKind::Finished { .. }), "{all:?}");
    assert!(all.iter().enumerate().all(|(i, event)| event.seq == i as u64 + 1), "{all:?}");
    lab.deployment(&name(app), id).await.unwrap()
}

/// Waits until a deployment has begun a step.
pub async fn reached(lab: &Lab, app: &str, id: DeploymentId, step: DeployStep) {
    let mut events = lab.deployment_events(&name(app), id, 0).await.unwrap();
    while let Some(event) = events.next().await {
        if event.kind == (DeployEventKind::StepStarted { step }) {
            return;
        }
    }
    panic!("{step} was never begun");
}

/// Deploys and expects it to work.
pub async fn deploy(lab: &Lab, app: &str) -> Deployment {
    let started = lab.deploy(request(app)).await.unwrap();
    let deployment = finished(lab, app, started.deployment).await;
    assert_eq!(deployment.state, DeployState::Succeeded, "{:?}", deployment.problem);
    deployment
}
