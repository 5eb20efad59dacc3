//! Where everything is on disk: the one place that knows.
//!
//! ```text
//! <data>/apps.json  ports.json  lab.lock  init.lock  lab.sock  machine.json
//! <data>/apps/<name>/pb_data/            the app's data: no deploy and no build touches it
//! <data>/apps/<name>/releases/<id>/      one built release, never changed afterwards
//!     pb_hooks/ pb_migrations/ pb_public/ pocketbase|app  release.json  pb_data -> ../../pb_data
//! <data>/apps/<name>/current -> releases/<id>
//! <data>/apps/<name>/deployments/<id>.json, <id>.log
//! <data>/apps/<name>/points/<id>/        a data point: point.json and a copy of pb_data
//! <data>/apps/<name>/home/  tmp/         $HOME and $TMPDIR of the app's process
//! <data>/apps/<name>/secrets/            0700
//! <data>/cache/git/<name>/               bare clones
//! <data>/cache/build/                    package managers' caches
//! <data>/work/<deployment>/              a checkout while it is built
//! <data>/pocketbase/<version>/pocketbase one inode per version
//! <data>/logs/<name>.log, .log.1 …
//! <data>/run/                            what the native supervisor knows of its processes
//! <data>/supervisor/                     supervisord's configuration, its programs, its socket
//! <data>/caddy/                          Caddy's last accepted configuration, its certificates, its sockets
//! <data>/trash/<time>-<name>/            removed apps, kept for some days
//! ```

use std::path::{Path, PathBuf};

use crate::{
    app::AppName,
    ids::{DataPointId, DeploymentId, ReleaseId},
};

/// The folders of one lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir(PathBuf);

macro_rules! places {
    ($($(#[$doc:meta])* $name:ident => $path:literal),+ $(,)?) => {
        $($(#[$doc])* pub fn $name(&self) -> PathBuf { self.0.join($path) })+
    };
}

impl DataDir {
    /// The data directory at `path`, which should be absolute: programs are started with paths below it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    places! {
        /// The registry's file.
        registry => "apps.json",
        /// The port allocator's file.
        ports => "ports.json",
        /// Locked by the one process that writes here.
        lock => "lab.lock",
        /// Locked by the one process that has apps run here: an embedded server, or `lab-server init`.
        init_lock => "init.lock",
        /// Which machine uses this directory: see [`crate::machine`].
        machine => "machine.json",
        /// The API's socket.
        socket => "lab.sock",
        /// Where every app has its folder.
        apps => "apps",
        /// The package managers' caches.
        build_cache => "cache/build",
        /// The store of PocketBase binaries.
        pocketbase => "pocketbase",
        /// The apps' logs.
        logs => "logs",
        /// The native supervisor's records.
        run => "run",
        /// supervisord's configuration, programs and socket.
        supervisor => "supervisor",
        /// Caddy's configuration, certificates and sockets.
        caddy => "caddy",
        /// Checkouts while they are built.
        work_root => "work",
        /// Removed apps.
        trash => "trash",
    }

    /// One app's folders.
    pub fn app(&self, name: &AppName) -> AppDirs {
        AppDirs(self.apps().join(name.as_str()))
    }

    /// Where an app that is removed at `time` goes (seconds since 1970).
    pub fn trashed(&self, name: &AppName, time: i64) -> PathBuf {
        self.trash().join(format!("{time}-{name}"))
    }

    /// An app's bare clone.
    pub fn git_cache(&self, name: &AppName) -> PathBuf {
        self.0.join("cache/git").join(name.as_str())
    }

    /// Where a deployment works.
    pub fn work(&self, id: DeploymentId) -> PathBuf {
        self.work_root().join(id.to_string())
    }
}

/// The folders of one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppDirs(PathBuf);

impl AppDirs {
    /// The same folders elsewhere.
    pub(crate) fn at(root: &Path) -> Self {
        Self(root.to_owned())
    }

    /// The app's folder itself.
    pub fn root(&self) -> &Path {
        &self.0
    }

    places! {
        /// PocketBase's data.
        data => "pb_data",
        /// Where the releases are.
        releases => "releases",
        /// The link to the release that serves.
        current => "current",
        /// Where the deployments' records and logs are.
        deployments => "deployments",
        /// Where the data points are.
        points => "points",
        /// `$HOME` of the app's process.
        home => "home",
        /// `$TMPDIR` of the app's process.
        tmp => "tmp",
        /// The token for the app's private repository.
        git_token => "secrets/git-token",
        /// The app's variables, a JSON object of names and values.
        env => "secrets/env.json",
    }

    /// One release.
    pub fn release(&self, id: ReleaseId) -> PathBuf {
        self.releases().join(id.to_string())
    }

    /// One data point.
    pub fn point(&self, id: DataPointId) -> PathBuf {
        self.points().join(id.to_string())
    }

    /// A deployment's record.
    pub fn deployment_record(&self, id: DeploymentId) -> PathBuf {
        self.deployments().join(format!("{id}.json"))
    }

    /// A deployment's events and log, one JSON object a line.
    pub fn deployment_log(&self, id: DeploymentId) -> PathBuf {
        self.deployments().join(format!("{id}.log"))
    }
}
