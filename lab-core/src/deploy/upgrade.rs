//! A release with another PocketBase: everything else of it is that of the release that serves.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use semver::Version;

use super::{DeployAction, pipeline::Run};
use crate::{
    Error,
    blocking::blocking,
    builder::{
        BuildJob, BuildPlan,
        plan::{Packages, Server},
    },
    release::Release,
};

/// What an upgrade changes.
#[derive(Debug, Clone)]
pub(crate) struct Upgrade {
    /// The release that serves.
    pub(crate) from: Release,
    /// The version of PocketBase.
    pub(crate) to: Version,
    /// Whether it only finds out whether the upgrade would work.
    pub(crate) is_trial: bool,
}

impl Upgrade {
    /// How the release is made: of the one that serves, as if that were a repository.
    fn plan(&self, folder: &Path) -> BuildPlan {
        let there = |name: &str| folder.join(name).is_dir().then(|| PathBuf::from(name));
        BuildPlan {
            server: Server::PocketBase { version: self.to.to_string(), program: None },
            hooks: there("pb_hooks"),
            migrations: there("pb_migrations"),
            public: there("pb_public"),
            frontend: None,
            hooks_build: None,
            packages: there("node_modules").map(|_| Packages {
                directory: PathBuf::new(),
                install: Vec::new(),
                manager: None,
            }),
            files: self.from.plan.placed().into_iter().map(|(_, place)| place.to_owned()).collect(),
            seed: None,
            directory: None,
            listen: Vec::new(),
            fixed: Vec::new(),
            env_file: false,
            warnings: Vec::new(),
            ..self.from.plan.clone()
        }
    }
}

impl Run {
    /// The release with the other PocketBase, on disk.
    pub(super) async fn build_upgrade(&self, upgrade: &Upgrade) -> Result<Release, Error> {
        let (settings, output) = (self.lab.settings(), self.dirs.release(self.release));
        let from = self.dirs.release(upgrade.from.id);
        let plan = upgrade.plan(&from);
        let _place = self.queue().await?;
        tokio::fs::create_dir_all(&output).await.map_err(Error::storage("create", &output))?;
        let job = BuildJob { timeout: settings.build_timeout, ..BuildJob::new(from, plan, output) };
        let built = self.lab.backends().builder.build(job, self.journal.clone(), self.cancel().clone()).await?;
        self.warn(&built.warnings).await?;
        let mut plan = upgrade.from.plan.clone();
        plan.server = Server::PocketBase { version: upgrade.to.to_string(), program: None };
        let mut run = built.run;
        // a hook file that threw before throws now
        run.flags = upgrade.from.run.flags;
        let mut release = Release {
            id: self.release,
            created_at: Timestamp::now(),
            plan,
            run,
            inputs: None,
            deployment: Some(self.id),
            action: DeployAction::Upgrade,
            by: self.journal.record().by,
            bytes: None,
            ..upgrade.from.clone()
        };
        let dirs = self.dirs.clone();
        blocking(move || release.seal(&dirs).map(|()| release)).await
    }
}
