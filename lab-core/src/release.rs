//! What a release is and how it is run.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use crate::{
    Error,
    app::{AppName, Port},
    builder::BuildPlan,
    deploy::{DeployAction, store},
    durable,
    ids::{DeploymentId, ReleaseId},
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
    /// The same of an app with a hook file that throws: PocketBase goes on without such a file only while it watches the
    /// hooks (`plugins/jsvm/jsvm.go`), for which it takes two of the kernel's inotify instances.
    OfficialWatching,
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
    /// Whether the app states that time itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_stated: bool,
}

impl Default for HealthCheck {
    /// PocketBase's own (since 0.10), within 60 seconds: migrations run before it answers.
    fn default() -> Self {
        Self { path: "/api/health".to_owned(), timeout_secs: 60, is_stated: false }
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
    /// What it was built from and with, as a digest: the same again gives the same release. None for one that another
    /// build of the same might make otherwise, and for one of an earlier version of Lab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<String>,
    /// The deployment that made it; none for one of an earlier version of Lab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentId>,
    /// What that deployment did: `deploy` or `upgrade`.
    #[serde(default)]
    pub action: DeployAction,
    /// Who asked for it, in the words of the program around the lab: `the API's key`, `a webhook` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The bytes of its files, those included that it shares with other releases; none as above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// A release that is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseView {
    /// Whether it is the one that serves.
    pub serves: bool,
    /// Whether a rollback that names none leads to it.
    #[serde(default)]
    pub is_before: bool,
    /// The release.
    #[serde(flatten)]
    pub release: Release,
}

impl Release {
    /// Finishes a built release: its size, its link to the app's data, its `release.json`, all on disk when this returns. Blocks.
    pub(crate) fn seal(&mut self, dirs: &AppDirs) -> Result<(), Error> {
        let root = dirs.release(self.id);
        let link = root.join("pb_data");
        // whatever the repository holds of that name is not the app's data
        durable::remove(&link).map_err(Error::storage("delete", &link))?;
        symlink("../../pb_data", &link).map_err(Error::storage("create", &link))?;
        let files = WalkDir::new(&root).into_iter().flatten().filter(|entry| entry.file_type().is_file());
        self.bytes = Some(files.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum());
        let path = root.join("release.json");
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::storage("write", &path)(e.into()))?;
        durable::write(&path, &text, 0o644).map_err(Error::storage("write", &path))?;
        // one call for the thousands of files a build may have written, which nothing has synced
        let folder = std::fs::File::open(&root).map_err(Error::storage("open", &root))?;
        rustix::fs::syncfs(&folder).map_err(|e| Error::storage("sync", &root)(e.into()))
    }

    /// Whether two releases differ in what gets at the app's data: the program, migrations or hooks. Blocks.
    pub(crate) fn touches_data_otherwise(dirs: &AppDirs, one: ReleaseId, other: ReleaseId) -> Result<bool, Error> {
        let (one, other) = (dirs.release(one), dirs.release(other));
        let differ = |path: &Path| {
            durable::differ(&one.join(path), &other.join(path)).map_err(Error::storage("compare", &one.join(path)))
        };
        let programs =
            [one.as_path(), other.as_path()].map(|root| store::read_json::<Self>(&root.join("release.json")));
        let [Ok(first), Ok(second)] = programs else { return Ok(true) };
        Ok(first.run.program != second.run.program
            || first.run.args != second.run.args
            || differ(&first.run.program)?
            || differ(Path::new("pb_migrations"))?
            || differ(Path::new("pb_hooks"))?)
    }

    /// Those that are kept, newest first. Blocks.
    pub(crate) fn list(dirs: &AppDirs) -> Result<Vec<Self>, Error> {
        let ids = Self::ids(dirs)?;
        ids.into_iter().filter_map(|id| Self::read(dirs, id).transpose()).collect()
    }

    /// The folders there are, newest first, finished or not. Blocks.
    pub(crate) fn ids(dirs: &AppDirs) -> Result<Vec<ReleaseId>, Error> {
        let folder = dirs.releases();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::storage("read", &folder)(error)),
        };
        let mut ids: Vec<ReleaseId> =
            entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        Ok(ids)
    }

    /// Reads a release; `None` where it is not there or was never finished. Blocks.
    pub(crate) fn read(dirs: &AppDirs, id: ReleaseId) -> Result<Option<Self>, Error> {
        let path = dirs.release(id).join("release.json");
        match store::read_json(&path) {
            Ok(release) => Ok(Some(release)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::storage("read", &path)(error)),
        }
    }

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
        if self.run.flags != Flags::Base {
            args.extend([
                "--hooksDir".to_owned(),
                path("pb_hooks"),
                "--migrationsDir".to_owned(),
                path("pb_migrations"),
                "--publicDir".to_owned(),
                path("pb_public"),
                // PocketBase opens two inotify instances per process to watch hooks; a release never changes
                format!("--hooksWatch={}", self.run.flags == Flags::OfficialWatching),
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
