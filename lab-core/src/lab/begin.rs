//! How a deployment begins: what is asked is checked against what is there, and recorded.

use std::{collections::BTreeSet, fs, sync::Arc};

use jiff::Timestamp;
use semver::Version;

use super::activity::Doing;
use crate::{
    App, AppName, DeployRequest, DeployStarted, DeploymentId, Error, GitRef, GitUrl, Lab, LabEvent, ReleaseId, Secret,
    VariableChange,
    blocking::blocking,
    builder::plan::Server,
    deploy::{DeployAction, DeployState, Deployment, journal::Journal, pipeline::Run, upgrade::Upgrade},
    durable,
    lifecycle::{Desired, Event, Status},
    reconcile,
    release::Release,
};

impl Lab {
    pub(super) async fn begin_deploy(&self, request: DeployRequest) -> Result<DeployStarted, Error> {
        let (id, release, name) = (DeploymentId::new(), ReleaseId::new(), request.name);
        let activity = self.begin(&name, Doing::Deploying(id))?;
        let known = self.backends().registry.get(&name).await?;
        let is_new = known.is_none();
        let repository = chosen_repository(&name, known.as_ref(), request.repository)?;
        let branch = request.branch.or_else(|| known.as_ref().and_then(|app| app.branch.clone()));
        let root = request.root.or_else(|| known.as_ref().and_then(|app| app.root.clone()));
        let rehearsal = request.rehearsal.or_else(|| known.as_ref().and_then(|app| app.rehearsal));
        let prepared = async {
            if is_new {
                let app = App { root: root.clone(), rehearsal, ..new_app(&name, &repository, branch.clone()) };
                self.backends().registry.create(app).await?;
            }
            let app = self.with_port(&name).await?;
            let token = self.keep_token(&name, request.token, repository.credentials().is_some()).await?;
            if !request.variables.is_empty() {
                let change = VariableChange { set: request.variables, ..VariableChange::default() };
                self.write_variables(&self.dirs(&name), change).await?;
            }
            let mut record = new_deployment(id, release, &name, &repository, branch.clone());
            record.by = request.by;
            self.note(&name, Event::DeployStarted { first: app.release.is_none() }).await?;
            self.apply_routes().await?;
            let journal = Arc::new(Journal::create(self.dirs(&name), record).await?);
            Ok::<_, Error>((token, journal))
        };
        let (token, journal) = match prepared.await {
            Ok(prepared) => prepared,
            Err(error) => {
                self.take_back_begin(&name, is_new).await;
                return Err(error);
            }
        };
        self.journals().insert(id, journal.clone());
        self.tell(LabEvent::DeployStarted { app: name.clone(), deployment: id });
        let dirs = self.dirs(&name);
        let lab = self.clone();
        let run = Run {
            lab,
            app: name.clone(),
            dirs,
            id,
            release,
            built: None,
            upgrade: None,
            point: None,
            seed: request.seed_data,
            accept_loss: request.accept_loss,
            repository,
            branch,
            root,
            rehearsal,
            token,
            journal,
            activity,
        };
        let app = self.get(&name).await;
        self.spawn(run.run());
        Ok(DeployStarted { app: app?, deployment: id })
    }

    pub(super) async fn begin_rollback(
        &self,
        name: AppName,
        wanted: Option<ReleaseId>,
        with_data: bool,
        by: Option<String>,
    ) -> Result<DeployStarted, Error> {
        let id = DeploymentId::new();
        let activity = self.begin(&name, Doing::Deploying(id))?;
        let app = self.record(&name).await?;
        let repository = chosen_repository(&name, Some(&app), None)?;
        let serving = app.release.ok_or_else(|| Error::NothingToRun(name.clone()))?;
        let built = self.release_to_go_back_to(&name, serving, wanted).await?;
        let (dirs, release, branch) = (self.dirs(&name), built.id, app.branch);
        let point = if with_data { Some(self.point_of_release(&name, release).await?) } else { None };
        let mut record = new_deployment(id, release, &name, &repository, branch.clone());
        (record.action, record.by) = (DeployAction::Rollback, by);
        record.commit = Some(built.commit.clone());
        let journal = Arc::new(Journal::create(dirs.clone(), record).await?);
        self.journals().insert(id, journal.clone());
        self.tell(LabEvent::DeployStarted { app: name.clone(), deployment: id });
        let (lab, built) = (self.clone(), Some(built));
        let run = Run {
            lab,
            app: name.clone(),
            dirs,
            id,
            release,
            built,
            upgrade: None,
            seed: false,
            accept_loss: true,
            point,
            repository,
            branch,
            root: app.root,
            rehearsal: app.rehearsal,
            token: None,
            journal,
            activity,
        };
        let app = self.get(&name).await;
        self.spawn(run.run());
        Ok(DeployStarted { app: app?, deployment: id })
    }

    pub(super) async fn begin_upgrade(
        &self,
        name: AppName,
        to: Option<Version>,
        is_trial: bool,
        accept_loss: bool,
        by: Option<String>,
    ) -> Result<DeployStarted, Error> {
        let (id, release) = (DeploymentId::new(), ReleaseId::new());
        let activity = self.begin(&name, Doing::Deploying(id))?;
        let app = self.record(&name).await?;
        let repository = chosen_repository(&name, Some(&app), None)?;
        let dirs = self.dirs(&name);
        let from = reconcile::serving_release(&dirs, &app).await?.ok_or_else(|| Error::NothingToRun(name.clone()))?;
        let to = to.unwrap_or_else(|| self.settings().pocketbase.clone());
        upgradable(&from, &to).map_err(|reason| Error::NotUpgradable { app: name.clone(), reason })?;
        let mut record = new_deployment(id, release, &name, &repository, app.branch.clone());
        (record.action, record.by) = (if is_trial { DeployAction::Trial } else { DeployAction::Upgrade }, by);
        record.commit = Some(from.commit.clone());
        let journal = Arc::new(Journal::create(dirs.clone(), record).await?);
        self.journals().insert(id, journal.clone());
        self.tell(LabEvent::DeployStarted { app: name.clone(), deployment: id });
        let run = Run {
            lab: self.clone(),
            app: name.clone(),
            dirs,
            id,
            release,
            built: None,
            upgrade: Some(Upgrade { from, to, is_trial }),
            seed: false,
            accept_loss,
            point: None,
            repository,
            branch: app.branch,
            root: app.root,
            rehearsal: app.rehearsal,
            token: None,
            journal,
            activity,
        };
        let app = self.get(&name).await;
        self.spawn(run.run());
        Ok(DeployStarted { app: app?, deployment: id })
    }

    /// The release that was asked for, or the one that served before. Every release that is kept has served: that of a
    /// deployment that failed is deleted.
    async fn release_to_go_back_to(
        &self,
        name: &AppName,
        serving: ReleaseId,
        wanted: Option<ReleaseId>,
    ) -> Result<Release, Error> {
        if wanted == Some(serving) {
            return Err(Error::ReleaseServes { app: name.clone(), id: serving });
        }
        let dirs = self.dirs(name);
        let kept = blocking(move || Release::list(&dirs)).await?;
        let id = match wanted {
            Some(id) => Some(id),
            None => self.release_before(name, serving).await?,
        };
        kept.into_iter().find(|release| id == Some(release.id)).ok_or_else(|| match wanted {
            Some(id) => Error::NoSuchRelease { app: name.clone(), id },
            None => Error::NothingBefore(name.clone()),
        })
    }

    /// Takes back what a deploy began before it had a record of its own.
    async fn take_back_begin(&self, name: &AppName, is_new: bool) {
        let root = self.dirs(name).root().to_owned();
        let taken_back = async {
            if !is_new {
                reconcile::settle(self, name, None, &|_| {}).await?;
                return self.apply_routes().await;
            }
            self.backends().ports.release(name).await?;
            self.backends().registry.remove(name).await?;
            self.apply_routes().await?;
            // nothing of the app has run yet; data that was there before it is somebody's
            blocking(move || match fs::read_dir(root.join("pb_data")) {
                Ok(_) => Ok(()),
                Err(_) => durable::remove(&root).map_err(Error::storage("delete", &root)),
            })
            .await
        };
        if let Err(error) = taken_back.await {
            self.warn(name, format!("its failed deploy could not be taken back: {}", error.report()));
        }
    }

    async fn with_port(&self, name: &AppName) -> Result<App, Error> {
        let app = self.record(name).await?;
        if app.port.is_some() {
            return Ok(app);
        }
        let port = self.backends().ports.allocate(name).await?;
        self.modify(name, &|app: &mut App| app.port = Some(port)).await
    }

    /// The token to fetch with: the given one, which is kept for later, or the one that was kept. A token that stood in
    /// the address is used once and not kept.
    async fn keep_token(&self, name: &AppName, given: Option<Secret>, in_url: bool) -> Result<Option<Secret>, Error> {
        let path = self.dirs(name).git_token();
        blocking(move || {
            if let Some(token) = given {
                let folder = path.parent().unwrap_or(&path);
                durable::create_private_dir(folder).map_err(Error::storage("create", folder))?;
                durable::write(&path, token.expose().as_bytes(), 0o600).map_err(Error::storage("write", &path))?;
                return Ok(Some(token));
            }
            match fs::read_to_string(&path) {
                Ok(token) if !in_url => Ok(Some(Secret::new(token))),
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::storage("read", &path)(error)),
                _ => Ok(None),
            }
        })
        .await
    }
}

fn chosen_repository(name: &AppName, known: Option<&App>, given: Option<GitUrl>) -> Result<GitUrl, Error> {
    match (known, given) {
        (Some(app), _) if matches!(app.desired, Desired::Removed | Desired::Purged) => {
            Err(Error::Busy { app: name.clone(), activity: "it is being removed".to_owned() })
        }
        // an app that never ran may change its mind
        (Some(app), Some(given)) if app.release.is_some() && !app.repository.is_same_repository(&given) => {
            Err(Error::RepositoryDiffers {
                app: name.clone(),
                current: app.repository.to_string(),
                requested: given.to_string(),
            })
        }
        (_, Some(given)) => Ok(given),
        (Some(app), None) => Ok(app.repository.clone()),
        (None, None) => Err(Error::RepositoryMissing(name.clone())),
    }
}

/// Whether a release can have that PocketBase instead of its own.
fn upgradable(from: &Release, to: &Version) -> Result<(), String> {
    match &from.plan.server {
        Server::PocketBase { .. } => {}
        Server::Go { .. } => {
            let reason = "its PocketBase is part of its own Go program: change its `go.mod` and deploy it again";
            return Err(reason.to_owned());
        }
        Server::Program { path, .. } => {
            return Err(format!(
                "its PocketBase is part of its own program, which is committed as `{}`: commit one that is built with another \
                 PocketBase and deploy it again",
                path.display()
            ));
        }
    }
    let now = from.run.pocketbase.as_deref().and_then(|text| Version::parse(text).ok());
    match now {
        Some(now) if now == *to => Err(format!("it runs PocketBase {now} already")),
        Some(now) if now > *to => {
            Err(format!("it runs PocketBase {now}, which is newer than {to}, and older ones cannot read its data"))
        }
        _ => Ok(()),
    }
}

fn new_app(name: &AppName, repository: &GitUrl, branch: Option<GitRef>) -> App {
    App {
        name: name.clone(),
        repository: repository.clone(),
        branch,
        root: None,
        rehearsal: None,
        pocketbase: None,
        port: None,
        status: Status::Deploying,
        desired: Desired::Running,
        created_at: Timestamp::now(),
        last_deploy: None,
        subdomain: name.clone(),
        domains: BTreeSet::new(),
        release: None,
        revision: 0,
        extra: serde_json::Map::new(),
    }
}

fn new_deployment(
    id: DeploymentId,
    release: ReleaseId,
    app: &AppName,
    repository: &GitUrl,
    branch: Option<GitRef>,
) -> Deployment {
    Deployment {
        id,
        app: app.clone(),
        action: DeployAction::Deploy,
        by: None,
        repository: repository.clone(),
        branch,
        state: DeployState::Running,
        started_at: Timestamp::now(),
        finished_at: None,
        steps: Vec::new(),
        commit: None,
        release,
        reused: false,
        fresh_data: false,
        warnings: Vec::new(),
        rehearsal: None,
        point: None,
        replaced: None,
        aside: None,
        problem: None,
        undone: Vec::new(),
    }
}
