//! The front door: [`Lab`] only sequences what the roles do.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::stream::BoxStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    App, AppName, DataPointId, DeploymentId, Error, ReleaseId, Transport, UrlPolicy,
    blocking::blocking,
    deploy::{DeployAction, DeployEvent, Deployment, journal, journal::Journal, store},
    durable::{self, LockError, LockFile},
    git_url::InvalidGitUrl,
    layout::AppDirs,
    reconcile,
    registry::RegistryError,
    release::{Release, ReleaseView},
    supervisor::{LogLine, SupervisorError},
};

pub(crate) mod activity;
mod apps;
mod before;
mod begin;
mod data;
mod domains;
mod hold;
mod rehearse;
mod routes;
pub(crate) mod superuser;
mod types;
mod variables;
mod watch;

use activity::{Activities, Activity, Doing};
pub use types::{AppView, Backends, DeployRequest, DeployStarted, LabEvent, LabSettings, PublicAddress};

/// How many events a slow receiver of [`Lab::events`] may be behind before it misses some.
const EVENT_BACKLOG: usize = 1024;
/// How long [`Lab::shutdown`] waits for what is under way.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(30);

/// A lab: deploys apps and looks after them. Cheap to clone; every clone is the same lab.
///
/// Calls that change an app go on to their end when the caller's future is dropped. One thing at a time is done to an app;
/// a call that finds it busy fails with [`Error::Busy`], apart from [`Lab::remove`], which cancels a deployment.
#[derive(Debug, Clone)]
pub struct Lab(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: LabSettings,
    backends: Backends,
    activities: Arc<Activities>,
    /// The deployments under way. Guards the map only; never held across an await.
    journals: Mutex<HashMap<DeploymentId, Arc<Journal>>>,
    /// The apps whose health is waited for after a restart by the supervisor. Never held across an await.
    health_checks: Mutex<HashSet<AppName>>,
    build_places: Arc<Semaphore>,
    /// The data points that are being packed, each as often as it is: not to be deleted. Never held across an await.
    packed: Mutex<Vec<DataPointId>>,
    /// The apps whose requests wait while their process is exchanged, and since when. Never held across an await.
    held: Mutex<HashMap<AppName, Instant>>,
    /// Held from reading the records until the router took the table made of them.
    routes_gate: tokio::sync::Mutex<()>,
    /// Told when the router did not take a table.
    routes_behind: Notify,
    /// Held from the look whether a domain is free until it is recorded.
    domains_gate: tokio::sync::Mutex<()>,
    events: broadcast::Sender<LabEvent>,
    tasks: TaskTracker,
    stopping: CancellationToken,
    _lock: LockFile,
}

impl Lab {
    /// Opens the lab in its data directory. When this returns, interrupted deployments are marked, no port is leaked and
    /// the routes are in force; the apps that should run are started in the background ([`Lab::idle`] waits for that).
    ///
    /// # Errors
    /// [`Error::DataInUse`] while another lab has the directory.
    pub async fn open(settings: LabSettings, backends: Backends) -> Result<Self, Error> {
        let data = settings.data.clone();
        let lock = blocking(move || {
            durable::create_private_dir(data.path()).map_err(Error::storage("create", data.path()))?;
            LockFile::acquire(&data.lock()).map_err(|error| match error {
                LockError::Held(holder) => Error::DataInUse {
                    place: data.path().display().to_string(),
                    holder: holder.map(|pid| pid.to_string()),
                },
                LockError::Io(source) => Error::storage("lock", &data.lock())(source),
            })
        })
        .await?;
        let lab = Self(Arc::new(Inner {
            activities: Arc::default(),
            journals: Mutex::default(),
            health_checks: Mutex::default(),
            held: Mutex::default(),
            packed: Mutex::default(),
            build_places: Arc::new(Semaphore::new(settings.parallel_builds.max(1))),
            routes_gate: tokio::sync::Mutex::default(),
            routes_behind: Notify::new(),
            domains_gate: tokio::sync::Mutex::default(),
            events: broadcast::Sender::new(EVENT_BACKLOG),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            settings,
            backends,
            _lock: lock,
        }));
        let apps = reconcile::on_open(&lab).await?;
        let begun = reconcile::begin_all(&lab, apps);
        lab.spawn(watch::watch(lab.clone(), lab.stopping().clone()));
        lab.spawn(routes::keep_applied(lab.clone(), lab.stopping().clone()));
        lab.spawn(reconcile::delete_what_is_old(lab.clone(), lab.stopping().clone()));
        lab.spawn(reconcile::bring_back(lab.clone(), begun));
        Ok(lab)
    }

    /// Its settings.
    pub fn settings(&self) -> &LabSettings {
        &self.0.settings
    }

    /// Its backends.
    pub fn backends(&self) -> &Backends {
        &self.0.backends
    }

    /// Begins a deployment and returns at once; it goes on whoever hangs up.
    ///
    /// # Errors
    /// [`Error::RepositoryDiffers`] for an app that is deployed from another repository, [`Error::RepositoryMissing`] for a
    /// new one without, [`Error::Busy`] while something else is done to it, [`Error::Ports`] when no port is free.
    pub async fn deploy(&self, request: DeployRequest) -> Result<DeployStarted, Error> {
        if let Some(url) = &request.repository
            && self.settings().repositories == UrlPolicy::Remote
            && matches!(url.transport(), Transport::Local | Transport::Http)
        {
            return Err(InvalidGitUrl::LocalNotAllowed.into());
        }
        let lab = self.clone();
        self.to_its_end(async move { lab.begin_deploy(request).await }).await
    }

    /// Begins to let an earlier release serve again: the given one, or the one before the one that serves. Nothing is built.
    /// It is a deployment like any other. The app's data stays as it is, or `with_data` goes back as well, to the newest
    /// data point of that release; what it replaces becomes a data point itself. `by` is who asks for it, for the record.
    ///
    /// # Errors
    /// [`Error::NoSuchRelease`], [`Error::ReleaseServes`], [`Error::NothingBefore`], [`Error::NoPointOfRelease`],
    /// [`Error::NothingToRun`] for an app that never ran, [`Error::Busy`].
    pub async fn rollback(
        &self,
        app: &AppName,
        release: Option<ReleaseId>,
        with_data: bool,
        by: Option<String>,
    ) -> Result<DeployStarted, Error> {
        let (lab, name) = (self.clone(), app.clone());
        self.to_its_end(async move { lab.begin_rollback(name, release, with_data, by).await }).await
    }

    /// Begins to give the release that serves another PocketBase: `to`, or the lab's default version. It is a deployment like
    /// any other: rehearsed on a copy of the data whatever the app's policy is, unless that is never; with a data point before
    /// it, and taken back when the app does not become healthy. With `is_trial` it ends after the rehearsal, and nothing of the
    /// app changes. A rehearsal that sees data vanish stops it, unless `accept_loss`. Later deployments of the app use that version too, unless its repository asks for a newer one.
    ///
    /// # Errors
    /// [`Error::NotUpgradable`], [`Error::NothingToRun`] for an app that never ran, [`Error::Busy`].
    pub async fn upgrade(
        &self,
        app: &AppName,
        to: Option<semver::Version>,
        is_trial: bool,
        accept_loss: bool,
        by: Option<String>,
    ) -> Result<DeployStarted, Error> {
        let (lab, name) = (self.clone(), app.clone());
        self.to_its_end(async move { lab.begin_upgrade(name, to, is_trial, accept_loss, by).await }).await
    }

    /// The releases that are kept, newest first: those that served, and the one that does.
    pub async fn releases(&self, app: &AppName) -> Result<Vec<ReleaseView>, Error> {
        let serving = self.record(app).await?.release;
        let making = match self.activity(app) {
            Some(Doing::Deploying(id)) => {
                self.live_record(id).filter(|record| record.action != DeployAction::Rollback && !record.reused)
            }
            _ => None,
        };
        let dirs = self.dirs(app);
        let kept = blocking(move || Release::list(&dirs)).await?.into_iter();
        // what is being made is no release yet
        let kept = kept.filter(|release| making.as_ref().is_none_or(|making| making.release != release.id));
        let kept: Vec<Release> = kept.collect();
        let before = match serving {
            Some(serving) => self.release_before(app, serving).await?,
            None => None,
        };
        let view = |release: Release| ReleaseView {
            serves: serving == Some(release.id),
            is_before: before == Some(release.id),
            release,
        };
        Ok(kept.into_iter().map(view).collect())
    }

    /// Cancels a deployment and waits until it ended; one that has ended is returned as it is.
    pub async fn cancel(&self, app: &AppName, id: DeploymentId) -> Result<Deployment, Error> {
        let deployment = self.deployment(app, id).await?;
        if deployment.state.is_final() {
            return Ok(deployment);
        }
        self.0.activities.cancel(app, id);
        self.0.activities.deployment_over(app, id).await;
        self.deployment(app, id).await
    }

    /// The deployments that are kept, newest first.
    pub async fn deployments(&self, app: &AppName) -> Result<Vec<Deployment>, Error> {
        self.record(app).await?;
        let dirs = self.dirs(app);
        let kept = blocking(move || {
            let ids = store::ids(&dirs)?;
            Ok::<_, Error>(ids.into_iter().filter_map(|id| store::readable(store::read(&dirs, id))).collect::<Vec<_>>())
        });
        let kept = kept.await?.into_iter();
        Ok(kept.map(|record| self.live_record(record.id).unwrap_or(record)).collect())
    }

    /// One deployment.
    pub async fn deployment(&self, app: &AppName, id: DeploymentId) -> Result<Deployment, Error> {
        self.record(app).await?;
        if let Some(record) = self.live_record(id).filter(|record| record.app == *app) {
            return Ok(record);
        }
        let dirs = self.dirs(app);
        let record = blocking(move || store::read(&dirs, id)).await?;
        record.ok_or_else(|| Error::NoSuchDeployment { app: app.clone(), id })
    }

    /// What a deployment told with a `seq` above `after` (0: everything), then what it tells, until it ended.
    pub async fn deployment_events(
        &self,
        app: &AppName,
        id: DeploymentId,
        after: u64,
    ) -> Result<BoxStream<'static, DeployEvent>, Error> {
        self.deployment(app, id).await?;
        let live = self.journals().get(&id).map(|journal| journal.watch());
        journal::read_log(self.dirs(app).deployment_log(id), live, after).await
    }

    /// Every app, by name.
    pub async fn list(&self) -> Result<Vec<AppView>, Error> {
        let apps = self.backends().registry.list().await?;
        let mut states = self.backends().supervisor.list().await?;
        let mut views = Vec::with_capacity(apps.len());
        for app in apps {
            let process = states.remove(&app.name);
            views.push(self.view(app, process).await?);
        }
        Ok(views)
    }

    /// One app.
    pub async fn get(&self, app: &AppName) -> Result<AppView, Error> {
        let app = self.record(app).await?;
        let process = self.backends().supervisor.state(&app.name).await?;
        self.view(app, process).await
    }

    async fn view(&self, app: App, process: Option<crate::supervisor::ProcessState>) -> Result<AppView, Error> {
        let deployment = match self.activity(&app.name) {
            Some(Doing::Deploying(id)) => self.live_record(id),
            _ => None,
        };
        let deployment = if deployment.is_some() {
            deployment
        } else {
            let dirs = self.dirs(&app.name);
            blocking(move || store::newest(&dirs)).await?
        };
        Ok(AppView { url: self.settings().url(&app.subdomain), process, deployment, app })
    }

    /// The last lines an app printed, oldest first.
    pub async fn logs(&self, app: &AppName, lines: usize) -> Result<Vec<LogLine>, Error> {
        self.record(app).await?;
        match self.backends().supervisor.logs(app, lines).await {
            // nothing of it ever ran
            Err(SupervisorError::Unknown(_)) => Ok(Vec::new()),
            other => Ok(other?),
        }
    }

    /// The last lines an app printed, then new ones as they come.
    pub async fn follow(&self, app: &AppName, lines: usize) -> Result<BoxStream<'static, LogLine>, Error> {
        self.record(app).await?;
        Ok(self.backends().supervisor.follow(app, lines).await?)
    }

    /// What happens from now on. A receiver that is too slow misses some and should read [`Lab::list`] again.
    pub fn events(&self) -> broadcast::Receiver<LabEvent> {
        self.0.events.subscribe()
    }

    /// Waits until nothing is being done to any app.
    pub async fn idle(&self) {
        self.0.activities.idle().await;
    }

    /// Ends the lab's own work within 30 seconds: deployments are cancelled and taken back. The apps keep running.
    pub async fn shutdown(&self) {
        self.0.stopping.cancel();
        self.0.tasks.close();
        if tokio::time::timeout(SHUTDOWN_LIMIT, self.0.tasks.wait()).await.is_err() {
            tracing::warn!("something did not end in time; the next start takes it back");
        }
    }

    /// Stops every process, leaving what is wanted as it is: they start again when the lab is opened again. For after
    /// [`Lab::shutdown`].
    pub async fn stop_all(&self) -> Result<(), Error> {
        let names: Vec<AppName> = self.backends().supervisor.list().await?.into_keys().collect();
        let stops = names.iter().map(|name| self.backends().supervisor.stop(name));
        for stopped in futures_util::future::join_all(stops).await {
            stopped?;
        }
        Ok(())
    }

    pub(crate) fn dirs(&self, app: &AppName) -> AppDirs {
        self.settings().data.app(app)
    }

    pub(crate) async fn record(&self, name: &AppName) -> Result<App, Error> {
        self.backends().registry.get(name).await?.ok_or_else(|| Error::NoSuchApp(name.clone()))
    }

    /// Changes an app's record, however often others change it meanwhile.
    pub(crate) async fn modify(&self, name: &AppName, change: &(dyn Fn(&mut App) + Sync)) -> Result<App, Error> {
        loop {
            let mut app = self.record(name).await?;
            change(&mut app);
            match self.backends().registry.update(app).await {
                Err(RegistryError::Stale { .. }) => {}
                other => return Ok(other?),
            }
        }
    }

    pub(crate) fn begin(&self, app: &AppName, doing: Doing) -> Result<Activity, Error> {
        if self.is_stopping() {
            return Err(Error::ShuttingDown);
        }
        self.0.activities.begin(app, doing, self.0.stopping.child_token())
    }

    async fn begin_instead(&self, app: &AppName, doing: Doing) -> Activity {
        self.0.activities.begin_instead(app, doing, self.0.stopping.child_token()).await
    }

    pub(crate) fn activity(&self, app: &AppName) -> Option<Doing> {
        self.0.activities.of(app)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.0.stopping.is_cancelled()
    }

    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }

    pub(crate) fn tell(&self, event: LabEvent) {
        // no receiver is fine
        let _ = self.0.events.send(event);
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn(task);
    }

    /// Runs `work` to its end, also when the caller is dropped: what was begun with an app is not left half done.
    async fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        match self.0.tasks.spawn(work).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => Err(Error::Bug("a call panicked".to_owned())),
            Err(_) => Err(Error::ShuttingDown),
        }
    }

    /// Deletes what builds share: package stores, fetched tools, kept dependencies. The next build of each app takes as long as
    /// its first. Says how many bytes that were. Refused while a build runs.
    pub async fn clear_build_cache(&self) -> Result<u64, Error> {
        Ok(self.backends().builder.clear_cache().await?)
    }

    pub(crate) async fn build_place(&self) -> Result<OwnedSemaphorePermit, Error> {
        self.0.build_places.clone().acquire_owned().await.map_err(|_| Error::ShuttingDown)
    }

    pub(crate) fn routes_gate(&self) -> &tokio::sync::Mutex<()> {
        &self.0.routes_gate
    }

    fn domains_gate(&self) -> &tokio::sync::Mutex<()> {
        &self.0.domains_gate
    }

    fn journals(&self) -> MutexGuard<'_, HashMap<DeploymentId, Arc<Journal>>> {
        self.0.journals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn forget_journal(&self, id: DeploymentId) {
        self.journals().remove(&id);
    }

    fn live_record(&self, id: DeploymentId) -> Option<Deployment> {
        self.journals().get(&id).map(|journal| journal.record())
    }

    pub(crate) fn packed(&self) -> MutexGuard<'_, Vec<DataPointId>> {
        self.0.packed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, HashMap<AppName, Instant>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn health_checks(&self) -> MutexGuard<'_, HashSet<AppName>> {
        self.0.health_checks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the caller is to wait for that app's health: nobody else does.
    pub(crate) fn begin_health_check(&self, app: &AppName) -> bool {
        self.health_checks().insert(app.clone())
    }

    pub(crate) fn end_health_check(&self, app: &AppName) {
        self.health_checks().remove(app);
    }
}
