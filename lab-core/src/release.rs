//! What a release is and how it is run.

use std::{
    collections::BTreeMap,
    fs, io,
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

/// The version of PocketBase since which it runs hooks. Source: its change log.
pub(crate) const FIRST_WITH_HOOKS: semver::Version = semver::Version::new(0, 17, 0);

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
    /// Where it runs, relative to the release's folder; none: there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
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

impl RunSpec {
    /// Whether its PocketBase has hooks and knows their flags: an unknown one would end it.
    fn has_hooks(&self) -> bool {
        let version = self.pocketbase.as_deref().and_then(|version| semver::Version::parse(version).ok());
        version.is_none_or(|version| version >= FIRST_WITH_HOOKS)
    }
}

/// How to tell that an app is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// The path that answers 2xx; on PocketBase's own any answer below 500 that lasts will do.
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
    /// What its build told its owner, to be told again where it is used once more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
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
        self.link_data(dirs)?;
        let files = WalkDir::new(&root).into_iter().flatten().filter(|entry| entry.file_type().is_file());
        self.bytes = Some(files.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum());
        let path = root.join("release.json");
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::storage("write", &path)(e.into()))?;
        durable::write(&path, &text, 0o644).map_err(Error::storage("write", &path))?;
        // one call for the thousands of files a build may have written, which nothing has synced
        let folder = std::fs::File::open(&root).map_err(Error::storage("open", &root))?;
        rustix::fs::syncfs(&folder).map_err(|e| Error::storage("sync", &root)(e.into()))
    }

    /// Makes sure that its `pb_data` is the app's data: without the link PocketBase would begin an empty database there. Blocks.
    pub(crate) fn link_data(&self, dirs: &AppDirs) -> Result<(), Error> {
        let (link, data) = (dirs.release(self.id).join("pb_data"), Path::new("../../pb_data"));
        if fs::read_link(&link).is_ok_and(|to| to == data) {
            return Ok(());
        }
        if link.is_dir() && !link.is_symlink() {
            // whatever the repository holds of that name is not the app's data
            durable::remove(&link).map_err(Error::storage("delete", &link))?;
        }
        durable::replace_symlink(&link, data).map_err(Error::storage("create", &link))
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
            || differ(Path::new("pb_hooks"))?
            || differ(Path::new("node_modules"))?)
    }

    /// Those that are kept, newest first. Blocks.
    pub(crate) fn list(dirs: &AppDirs) -> Result<Vec<Self>, Error> {
        Ok(Self::ids(dirs)?.into_iter().filter_map(|id| store::readable(Self::read(dirs, id))).collect())
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
                "--migrationsDir".to_owned(),
                path("pb_migrations"),
                "--publicDir".to_owned(),
                path("pb_public"),
                // changes made in the dashboard would write migrations into the release, which never changes
                "--automigrate=false".to_owned(),
            ]);
        }
        if self.run.flags != Flags::Base && self.run.has_hooks() {
            args.extend([
                "--hooksDir".to_owned(),
                path("pb_hooks"),
                // PocketBase opens two inotify instances per process to watch hooks; a release never changes
                format!("--hooksWatch={}", self.run.flags == Flags::OfficialWatching),
            ]);
        }
        args.extend(self.run.args.iter().cloned());
        let mut env = told(&self.plan.listen, port, env);
        env.extend(base_env(dirs, &root, port));
        ProcessSpec {
            app: self.app.clone(),
            program: dir(&self.run.program.to_string_lossy()),
            args,
            directory: self.run.directory.as_ref().map_or_else(|| root.clone(), |inside| root.join(inside)),
            env,
            stop_grace,
            restart: RestartPolicy::default(),
        }
    }
}

/// An app's own variables, and those of `listen` that it does not have, which tell its program where to listen.
fn told(listen: &[String], port: Port, env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let set = listen.iter().map(|name| {
        let is_port = name.ends_with("PORT");
        (name.clone(), if is_port { port.to_string() } else { format!("127.0.0.1:{port}") })
    });
    set.chain(env.clone()).collect()
}

/// Where an app's process finds programs.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What every app's process finds in its environment; nothing of the server's own gets there.
fn base_env(dirs: &AppDirs, root: &Path, port: Port) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("PATH".to_owned(), PATH.to_owned()),
        ("PORT".to_owned(), port.to_string()),
        ("DB_DIR".to_owned(), root.join("pb_data").to_string_lossy().into_owned()),
        ("HOME".to_owned(), dirs.home().to_string_lossy().into_owned()),
        // PocketBase takes a program below the temporary directory for `go run` and switches to development mode
        ("TMPDIR".to_owned(), dirs.tmp().to_string_lossy().into_owned()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_told_where_to_listen_unless_its_owner_says_so() {
        let listen = ["HTTP_ADDR", "PB_PORT", "SERVER_PORT"].map(str::to_owned);
        let own = BTreeMap::from([("SERVER_PORT".to_owned(), "1".to_owned())]);
        let told = told(&listen, Port::new(8091).expect("port"), &own);
        assert_eq!(told.into_values().collect::<Vec<_>>(), ["127.0.0.1:8091", "8091", "1"]);
    }

    #[test]
    fn flags_of_hooks_are_for_versions_that_have_them() {
        for (version, has_hooks) in
            [(Some("0.16.10"), false), (Some("0.17.0"), true), (Some("0.40.6"), true), (None, true)]
        {
            let run = RunSpec {
                program: PathBuf::from("pocketbase"),
                flags: Flags::Official,
                pocketbase: version.map(str::to_owned),
                args: Vec::new(),
                directory: None,
                health: HealthCheck::default(),
            };
            assert_eq!(run.has_hooks(), has_hooks, "{version:?}");
        }
    }
}
