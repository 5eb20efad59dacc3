//! What goes into [`Lab`](super::Lab) and what comes out.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    App, AppName, DeploymentId, GitRef, GitUrl, Port, Secret, UrlPolicy, VariableName,
    builder::Builder,
    builder::RepoPath,
    deploy::{DeployState, Deployment},
    health::HealthProbe,
    layout::DataDir,
    lifecycle::Status,
    ports::PortAllocator,
    registry::Registry,
    rehearsal::{RehearsalPolicy, RehearsalSettings, Rehearser},
    router::{Hostname, RouterConfig},
    source::{FetchLimits, Source},
    supervisor::{ProcessState, ProcessSupervisor},
};

/// The implementation of each role.
#[derive(Debug, Clone)]
pub struct Backends {
    /// Remembers the apps.
    pub registry: Arc<dyn Registry>,
    /// Hands out ports.
    pub ports: Arc<dyn PortAllocator>,
    /// Brings code.
    pub source: Arc<dyn Source>,
    /// Builds releases.
    pub builder: Arc<dyn Builder>,
    /// Keeps processes running.
    pub supervisor: Arc<dyn ProcessSupervisor>,
    /// Leads requests to apps.
    pub router: Arc<dyn RouterConfig>,
    /// Tells whether an app answers.
    pub health: Arc<dyn HealthProbe>,
    /// Tries a release on a copy of the data.
    pub rehearser: Arc<dyn Rehearser>,
}

/// How a lab works. [`LabSettings::new`] has a default for everything but the place and the domain.
#[derive(Debug, Clone)]
pub struct LabSettings {
    /// Where everything is kept.
    pub data: DataDir,
    /// The lab's own host; apps are one label below it.
    pub domain: Hostname,
    /// How visitors reach the apps, for the URLs that are shown.
    pub public: PublicAddress,
    /// The loopback port to which the lab's own host leads, if anywhere.
    pub own_port: Option<Port>,
    /// Which repositories may be deployed.
    pub repositories: UrlPolicy,
    /// A token for private https repositories, where an app has none of its own.
    pub git_token: Option<Secret>,
    /// Bounds of one fetch.
    pub fetch_limits: FetchLimits,
    /// Variables for builds, on top of the clean environment they get.
    pub build_env: BTreeMap<String, String>,
    /// Time for one build.
    pub build_timeout: Duration,
    /// How many deployments fetch and build at once; further ones wait.
    pub parallel_builds: usize,
    /// The longest time an app may take to end before it is killed.
    pub stop_grace: Duration,
    /// How long requests under way have to end before an app's process is exchanged.
    pub drain: Duration,
    /// How long the router lets requests wait for an app that is exchanged. A new release has so much less than that to
    /// become healthy that they can be answered by the one before, unless it states a time of its own.
    pub hold: Duration,
    /// Up to how many bytes an app's data is copied while requests wait, so that a release that fails once it is started
    /// leaves no trace there. What a file system can copy by reference is not counted.
    pub held_copy_bytes: u64,
    /// Overrides every app's own time to become healthy.
    pub health_timeout: Option<Duration>,
    /// The version of PocketBase that an upgrade leads to when none is named.
    pub pocketbase: semver::Version,
    /// When and how releases are tried on a copy of the data before they serve.
    pub rehearsal: RehearsalSettings,
    /// How many releases of an app are kept, the serving one included; at least 1.
    pub kept_releases: usize,
    /// How many bytes an app's releases may have together, those counted that they share; the serving one and one to go
    /// back to stay.
    pub kept_release_bytes: u64,
    /// How many deployment records of an app are kept; at least 1.
    pub kept_deployments: usize,
    /// How many data points of an app are kept; at least 1.
    pub kept_points: usize,
    /// How long a data point is kept; the newest one of an app stays.
    pub points_for: Duration,
    /// How long removed apps stay in the trash.
    pub trash_for: Duration,
}

impl LabSettings {
    /// Settings with the defaults: remote repositories only, 2 builds at once of at most 15 minutes, 10 s to
    /// drain and 10 s to stop, 10 releases, 50 deployment records, 10 data points of at most 30
    /// days, 7 days of trash.
    pub fn new(data: DataDir, domain: Hostname) -> Self {
        Self {
            data,
            domain,
            public: PublicAddress { https: false, port: 8080 },
            own_port: None,
            repositories: UrlPolicy::Remote,
            git_token: None,
            fetch_limits: FetchLimits::default(),
            build_env: BTreeMap::new(),
            build_timeout: Duration::from_mins(15),
            parallel_builds: 2,
            stop_grace: Duration::from_secs(10),
            drain: Duration::from_secs(10),
            hold: Duration::from_secs(30),
            held_copy_bytes: 64 << 20,
            health_timeout: None,
            pocketbase: crate::pocketbase::default_version(),
            rehearsal: RehearsalSettings::default(),
            kept_releases: 10,
            kept_release_bytes: 4 << 30,
            kept_deployments: 50,
            kept_points: 10,
            points_for: Duration::from_hours(30 * 24),
            trash_for: Duration::from_hours(7 * 24),
        }
    }

    /// An app's host. `None` where the name would be too long for one.
    pub fn host(&self, subdomain: &AppName) -> Option<Hostname> {
        format!("{subdomain}.{}", self.domain).parse().ok()
    }

    /// Where visitors find an app.
    pub fn url(&self, subdomain: &AppName) -> String {
        let PublicAddress { https, port } = self.public;
        let scheme = if https { "https" } else { "http" };
        let port = if port == if https { 443 } else { 80 } { String::new() } else { format!(":{port}") };
        format!("{scheme}://{subdomain}.{}{port}/", self.domain)
    }
}

/// How visitors reach the apps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicAddress {
    /// Whether over https.
    pub https: bool,
    /// The port.
    pub port: u16,
}

/// What to deploy.
#[derive(Debug, Clone)]
pub struct DeployRequest {
    /// The app: a new one, or one to deploy again.
    pub name: AppName,
    /// Its repository; may be left out for an app that is there.
    pub repository: Option<GitUrl>,
    /// The branch, tag or commit; none: what the app follows, at first the remote's HEAD.
    pub branch: Option<GitRef>,
    /// A token for this app's private https repository; kept for its later deployments.
    pub token: Option<Secret>,
    /// The folder of the app in its repository; none: what was named before, else it is looked for.
    pub root: Option<RepoPath>,
    /// When this app's releases are rehearsed; none: as before, at first as the lab's settings say.
    pub rehearsal: Option<RehearsalPolicy>,
    /// Whether its migrations may take collections, fields or rows away. Otherwise a rehearsal that sees them do so stops it.
    pub accept_loss: bool,
    /// Variables that the app gets before it is built and started, beside those it has.
    pub variables: BTreeMap<VariableName, Secret>,
    /// Who asks for it, for the record.
    pub by: Option<String>,
    /// Whether a new app begins with the `pb_data` that its repository holds, if any. Data that is there stays.
    pub seed_data: bool,
}

impl DeployRequest {
    /// Deploys what the app follows already; a new app needs a repository.
    pub fn new(name: AppName) -> Self {
        Self {
            name,
            repository: None,
            branch: None,
            token: None,
            root: None,
            rehearsal: None,
            accept_loss: false,
            variables: BTreeMap::new(),
            by: None,
            seed_data: false,
        }
    }
}

/// A deployment that began.
#[derive(Debug, Clone)]
pub struct DeployStarted {
    /// The app as it is now.
    pub app: AppView,
    /// Follow it with [`Lab::deployment_events`](super::Lab::deployment_events).
    pub deployment: DeploymentId,
}

/// What is known of an app: what is wanted and recorded, what is observed, what is being done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppView {
    /// Where visitors find it.
    pub url: String,
    /// What is observed of its process.
    pub process: Option<ProcessState>,
    /// The deployment that is under way, or the last one.
    pub deployment: Option<Deployment>,
    /// Its record.
    #[serde(flatten)]
    pub app: App,
}

/// Something that happened in the lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum LabEvent {
    /// An app's status changed.
    Status {
        /// Whose.
        app: AppName,
        /// What it is now.
        status: Status,
    },
    /// A deployment began.
    DeployStarted {
        /// Whose.
        app: AppName,
        /// Which.
        deployment: DeploymentId,
    },
    /// A deployment ended.
    DeployFinished {
        /// Whose.
        app: AppName,
        /// Which.
        deployment: DeploymentId,
        /// How.
        state: DeployState,
    },
    /// An app is gone.
    Removed {
        /// Whose.
        app: AppName,
    },
    /// Something its operator should know, such as an app that could not be started again after a reboot.
    Warning {
        /// The app, where it is about one.
        app: Option<AppName>,
        /// What, for a person.
        message: String,
    },
}
