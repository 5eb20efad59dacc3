//! What a release is and how it is run.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    app::{AppName, Port},
    builder::BuildPlan,
    ids::ReleaseId,
    layout::AppDirs,
    source::Commit,
    supervisor::{ProcessSpec, RestartPolicy},
};

/// What an app's program understands on its command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flags {
    /// The official binary: also `--hooksDir`, `--migrationsDir`, `--publicDir`, `--hooksWatch`, `--automigrate`.
    Official,
    /// PocketBase's own only (`--http`, `--dir`): what every Go app has. An unknown flag would end it.
    Base,
}

/// How to run a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSpec {
    /// The program, relative to the release's folder. The official binary is there too, as a hard link to the shared
    /// store: one inode per version, and `argv[0]` in the release's folder, by which PocketBase finds its folders.
    pub program: PathBuf,
    /// What it understands.
    pub flags: Flags,
    /// The PocketBase version, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pocketbase: Option<String>,
    /// Further arguments, after Lab's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// How to tell that it is up.
    pub health: HealthCheck,
}

/// How to tell that an app is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// The path that answers 2xx.
    pub path: String,
    /// How long it may take until it does, in seconds.
    pub timeout_secs: u64,
}

impl Default for HealthCheck {
    /// PocketBase's own (since 0.10), within 60 seconds: migrations run before it answers.
    fn default() -> Self {
        Self { path: "/api/health".to_owned(), timeout_secs: 60 }
    }
}

/// What `release.json` in a release's folder says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// Its name.
    pub id: ReleaseId,
    /// Whose.
    pub app: AppName,
    /// When it was built (UTC).
    pub created_at: Timestamp,
    /// From what.
    pub commit: Commit,
    /// How it was built.
    pub plan: BuildPlan,
    /// How it is run.
    pub run: RunSpec,
}

impl Release {
    /// The process that runs this release on `port`.
    pub fn process(
        &self,
        dirs: &AppDirs,
        port: Port,
        env: &BTreeMap<String, String>,
        stop_grace: Duration,
    ) -> ProcessSpec {
        let root = dirs.release(self.id);
        let dir = |name: &str| root.join(name);
        let path = |name: &str| dir(name).to_string_lossy().into_owned();
        let mut args = vec![
            "serve".to_owned(),
            "--http".to_owned(),
            format!("127.0.0.1:{port}"),
            "--dir".to_owned(),
            path("pb_data"),
        ];
        if self.run.flags == Flags::Official {
            args.extend([
                "--hooksDir".to_owned(),
                path("pb_hooks"),
                "--migrationsDir".to_owned(),
                path("pb_migrations"),
                "--publicDir".to_owned(),
                path("pb_public"),
                // PocketBase opens two inotify instances per process to watch hooks; a release never changes
                "--hooksWatch=false".to_owned(),
                // changes made in the dashboard would write migrations into the release, which never changes
                "--automigrate=false".to_owned(),
            ]);
        }
        args.extend(self.run.args.iter().cloned());
        let mut env = env.clone();
        env.extend(base_env(dirs, &root, port));
        ProcessSpec {
            app: self.app.clone(),
            program: dir(&self.run.program.to_string_lossy()),
            args,
            directory: root,
            env,
            stop_grace,
            restart: RestartPolicy::default(),
        }
    }
}

/// What every app's process finds in its environment; nothing of the server's own gets there.
fn base_env(dirs: &AppDirs, root: &Path, port: Port) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("PATH".to_owned(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("PORT".to_owned(), port.to_string()),
        ("DB_DIR".to_owned(), root.join("pb_data").to_string_lossy().into_owned()),
        ("HOME".to_owned(), dirs.home().to_string_lossy().into_owned()),
        // PocketBase takes a program below the temporary directory for `go run` and switches to development mode
        ("TMPDIR".to_owned(), dirs.tmp().to_string_lossy().into_owned()),
    ])
}
