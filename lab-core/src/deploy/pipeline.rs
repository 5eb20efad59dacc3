//! The deploy pipeline, as one straight function of named steps.
//!
//! What was before stays the truth until the last step writes the app's record. So a step needs no undo of its own: after
//! a failure, as after a crash, [`settle`](crate::reconcile::settle) brings the disk and the processes back in line with
//! the record.

use std::{fs, io, os::unix::fs::PermissionsExt, panic::AssertUnwindSafe, path::Path, sync::Arc, time::Duration};

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{
    DeployAction, DeployEventKind, DeployState, DeployStep, Problem, journal::Journal, store, upgrade::Upgrade,
};
use crate::{
    App, AppName, DataPointId, DeploymentId, Error, GitRef, GitUrl, Lab, LabEvent, ReleaseId, Secret,
    blocking::blocking,
    builder::{BuildJob, BuildPlan, RepoPath, SEED, plan::Server},
    data::{
        DataPoint, PointReason, aside,
        points::{self, Restore},
    },
    durable,
    lab::activity::Activity,
    layout::AppDirs,
    lifecycle::{Desired, Event, Status, transition},
    reconcile,
    rehearsal::{Rehearsal, RehearsalError, RehearsalPolicy},
    release::{Flags, Release},
    source::{Commit, FetchRequest},
};

/// What of the time in which requests wait is left for the release before to come back.
const GOING_BACK: Duration = Duration::from_secs(5);

/// One deployment under way.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) lab: Lab,
    pub(crate) app: AppName,
    pub(crate) dirs: AppDirs,
    pub(crate) id: DeploymentId,
    pub(crate) release: ReleaseId,
    /// The release to go back to, where nothing is to be built.
    pub(crate) built: Option<Release>,
    /// Whether a new app's data is what the repository holds.
    pub(crate) seed: bool,
    /// Whether its migrations may take data away.
    pub(crate) accept_loss: bool,
    /// Another PocketBase for the release that serves.
    pub(crate) upgrade: Option<Upgrade>,
    /// The data to go back to with it.
    pub(crate) point: Option<DataPoint>,
    pub(crate) repository: GitUrl,
    pub(crate) branch: Option<GitRef>,
    pub(crate) root: Option<RepoPath>,
    pub(crate) rehearsal: Option<RehearsalPolicy>,
    pub(crate) token: Option<Secret>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) activity: Activity,
}

impl Run {
    /// Runs the pipeline, takes back what a failure left, and records how it ended.
    pub(crate) async fn run(self) {
        let result = match AssertUnwindSafe(self.pipeline()).catch_unwind().await {
            Ok(result) => result,
            Err(_) => Err(Error::Bug(format!("the deployment {} panicked", self.id))),
        };
        let state = match &result {
            Ok(()) => DeployState::Succeeded,
            Err(Error::Cancelled | Error::Source(_) | Error::Build(_)) if self.lab.is_stopping() => {
                DeployState::Interrupted
            }
            Err(error) if error.kind() == crate::ErrorKind::Cancelled => DeployState::Cancelled,
            Err(_) => DeployState::Failed,
        };
        let problem = result.as_ref().err().map(Problem::from);
        let mut taken_back = false;
        if let Some(problem) = &problem {
            tracing::info!(app = %self.app, deployment = %self.id, code = problem.code, "a deployment failed");
            taken_back = self.take_back().await;
        }
        let written = self
            .journal
            .update(|record| {
                record.state = state;
                record.finished_at = Some(Timestamp::now());
                record.problem.clone_from(&problem);
                record.fresh_data &= !taken_back;
                if problem.is_none() {
                    record.aside = None;
                }
            })
            .await;
        if let Err(error) = written {
            // still marked as running on disk: the next start marks it as interrupted
            tracing::error!(app = %self.app, deployment = %self.id, error = error.report(), "the end of a deployment could not be recorded");
        }
        let (dirs, keep) = (self.dirs.clone(), self.lab.settings().kept_deployments);
        if let Err(error) = blocking(move || store::prune(&dirs, keep)).await {
            self.lab.warn(&self.app, format!("old deployments were not deleted: {}", error.report()));
        }
        let Self { lab, app, id, journal, activity, .. } = self;
        // the app is free before anybody hears of the end: who hears of it may begin the next thing
        drop(activity);
        journal.emit(DeployEventKind::Finished { state, problem });
        // who asks for its events from here on reads them on disk, where the last one is now
        lab.forget_journal(id);
        lab.tell(LabEvent::DeployFinished { app: app.clone(), deployment: id, state });
        // what its process did meanwhile was left to the deployment
        lab.observe(&app).await;
    }

    async fn pipeline(&self) -> Result<(), Error> {
        let release = match (&self.built, &self.upgrade) {
            (Some(release), _) => release.clone(),
            (None, Some(upgrade)) => self.step(DeployStep::Build, self.build_upgrade(upgrade)).await?,
            (None, None) => self.make().await?,
        };
        let is_to_be_rehearsed = self.is_to_be_rehearsed(&release).await?;
        let release = match (&self.built, is_to_be_rehearsed) {
            (Some(_), false) => release,
            (None, false) => self.step(DeployStep::Rehearse, async { Ok(release) }).await?,
            (_, true) => self.step(DeployStep::Rehearse, self.rehearse(release)).await?,
        };
        if self.upgrade.as_ref().is_some_and(|upgrade| upgrade.is_trial) {
            let folder = self.dirs.release(release.id);
            return blocking(move || durable::remove(&folder).map_err(Error::storage("delete", &folder))).await;
        }
        let restore = self.step(DeployStep::Save, self.save(&release)).await?;
        let id = release.id;
        let app = self.step(DeployStep::Switch, self.switch(id, restore.as_ref())).await?;
        self.step(DeployStep::Start, self.lab.start_release(&app, &release)).await?;
        self.step(DeployStep::Health, self.healthy(&app, release)).await?;
        self.step(DeployStep::Publish, self.publish(id)).await?;
        // the app's record tells from now on that this deployment stands: a crash does not take the data back any more
        if let Some(restore) = restore
            && let Err(error) = blocking(move || restore.keep()).await
        {
            // it is tried again when the lab is opened
            self.lab.warn(&self.app, format!("the replaced data is not a data point yet: {}", error.report()));
        }
        if let Some(id) = self.journal.record().aside {
            let dirs = self.dirs.clone();
            if let Err(error) = blocking(move || aside::remove(&dirs, id)).await {
                self.lab.warn(&self.app, format!("the copy of the data is still on disk: {}", error.report()));
            }
        }
        Ok(())
    }

    /// The release, built and on disk.
    async fn make(&self) -> Result<Release, Error> {
        let _place = self.step(DeployStep::Queue, self.queue()).await?;
        let commit = self.step(DeployStep::Fetch, self.fetch()).await?;
        let plan = self.step(DeployStep::Plan, self.plan()).await?;
        self.step(DeployStep::Build, self.build(commit, plan)).await
    }

    fn step<T>(
        &self,
        step: DeployStep,
        work: impl Future<Output = Result<T, Error>>,
    ) -> impl Future<Output = Result<T, Error>> {
        // the pipeline would hold the largest of all of them
        let work = Box::pin(work);
        async move {
            if self.cancel().is_cancelled() {
                return Err(Error::Cancelled);
            }
            self.journal.step(step, work).await
        }
    }

    pub(super) fn cancel(&self) -> &CancellationToken {
        &self.activity.cancel
    }

    pub(super) async fn queue(&self) -> Result<tokio::sync::OwnedSemaphorePermit, Error> {
        tokio::select! {
            () = self.cancel().cancelled() => Err(Error::Cancelled),
            place = self.lab.build_place() => place,
        }
    }

    async fn fetch(&self) -> Result<Commit, Error> {
        let settings = self.lab.settings();
        let work = settings.data.work(self.id);
        tokio::fs::create_dir_all(&work).await.map_err(Error::storage("create", &work))?;
        let request = FetchRequest {
            repository: self.repository.clone(),
            reference: self.branch.clone(),
            token: self.token.clone().or_else(|| settings.git_token.clone()),
            destination: work.join("checkout"),
            cache: settings.data.git_cache(&self.app),
            limits: settings.fetch_limits,
        };
        let commit = self.lab.backends().source.fetch(request, self.journal.clone(), self.cancel().clone()).await?;
        self.journal.update(|record| record.commit = Some(commit.clone())).await?;
        Ok(commit)
    }

    async fn plan(&self) -> Result<BuildPlan, Error> {
        let checkout = self.lab.settings().data.work(self.id).join("checkout");
        let plan = tokio::select! {
            () = self.cancel().cancelled() => return Err(Error::Cancelled),
            plan = self.lab.backends().builder.plan(&checkout, self.root.as_ref()) => plan?,
        };
        for reason in &plan.reasons {
            self.journal.emit(DeployEventKind::Log { line: reason.clone() });
        }
        self.warn(&plan.warnings).await?;
        let plan = self.not_older(plan).await?;
        let env = self.lab.app_env(&self.dirs).await?;
        let names: Vec<String> = plan.required_env.iter().filter(|name| !env.contains_key(*name)).cloned().collect();
        if !names.is_empty() {
            return Err(Error::MissingVariables { app: self.app.clone(), names });
        }
        let unset: Vec<&str> =
            plan.env_hints.iter().filter(|name| !env.contains_key(*name)).map(String::as_str).collect();
        if !unset.is_empty() {
            let (app, names) = (&self.app, unset.join(", "));
            let line =
                format!("it may want these variables, which are not set: {names} (`lab env {app} set NAME=value`)");
            self.journal.emit(DeployEventKind::Log { line });
        }
        Ok(plan)
    }

    /// The plan with the PocketBase that the app was upgraded to, where the repository asks for an older one.
    async fn not_older(&self, mut plan: BuildPlan) -> Result<BuildPlan, Error> {
        let Some(upgraded) = self.lab.record(&self.app).await?.pocketbase else { return Ok(plan) };
        if let Server::PocketBase { version, program } = &mut plan.server
            && semver::Version::parse(version).is_ok_and(|asked| asked < upgraded)
        {
            let said = format!(
                "the app was upgraded to PocketBase {upgraded}, which is used instead of {version}: state it in `lab.toml`"
            );
            (*version, *program) = (upgraded.to_string(), None);
            self.warn(&[said]).await?;
        }
        Ok(plan)
    }

    async fn build(&self, commit: Commit, plan: BuildPlan) -> Result<Release, Error> {
        let settings = self.lab.settings();
        let builder = &self.lab.backends().builder;
        let output = self.dirs.release(self.release);
        let token = self.token.clone().or_else(|| settings.git_token.clone());
        let mut job = BuildJob {
            app: Some(self.app.clone()),
            commit: Some(commit.hash.clone()),
            env: settings.build_env.clone(),
            app_env: self.lab.app_env(&self.dirs).await?,
            secrets: token.into_iter().collect(),
            seed: self.seeds(&plan).await?,
            timeout: settings.build_timeout,
            ..BuildJob::new(settings.data.work(self.id).join("checkout"), plan.clone(), &output)
        };
        let inputs = format!("{} {}", commit.hash, builder.inputs(&job).await?);
        // a release that served has no data to begin with any more
        if !job.seed
            && let Some(release) = self.built_before(&inputs).await?
        {
            return Ok(release);
        }
        let seeds = job.seed;
        if let Some(frontend) = &mut job.plan.frontend {
            // what visitors have does not vanish because it cannot be built this time
            frontend.optional &= !self.serves_pages().await?;
        }
        if let Some(build) = &mut job.plan.hooks_build {
            let (dirs, serving) = (self.dirs.clone(), self.lab.record(&self.app).await?.release);
            let serving = blocking(move || serving.map_or(Ok(None), |id| Release::read(&dirs, id))).await?;
            build.optional &= serving.is_none_or(|serving| serving.plan.hooks.is_none());
        }
        tokio::fs::create_dir_all(&output).await.map_err(Error::storage("create", &output))?;
        let built = builder.build(job, self.journal.clone(), self.cancel().clone()).await?;
        self.journal.update(|record| record.warnings.extend(built.warnings.iter().cloned())).await?;
        let mut release = Release {
            id: self.release,
            app: self.app.clone(),
            created_at: Timestamp::now(),
            commit,
            plan,
            run: built.run,
            inputs: (built.is_repeatable && !seeds).then_some(inputs),
            warnings: built.warnings,
            deployment: Some(self.id),
            action: DeployAction::Deploy,
            by: self.journal.record().by,
            bytes: None,
        };
        let dirs = self.dirs.clone();
        let work = settings.data.work(self.id);
        blocking(move || {
            release.seal(&dirs)?;
            durable::remove(&work).map_err(Error::storage("delete", &work))?;
            Ok(release)
        })
        .await
    }

    /// Whether the release that serves has a page.
    async fn serves_pages(&self) -> Result<bool, Error> {
        let serving = self.lab.record(&self.app).await?.release;
        let Some(page) = serving.map(|id| self.dirs.release(id).join("pb_public/index.html")) else { return Ok(false) };
        tokio::fs::try_exists(&page).await.map_err(Error::storage("read", &page))
    }

    /// A release that the same commit gave when it was built in the same way, which then is this deployment's.
    async fn built_before(&self, inputs: &str) -> Result<Option<Release>, Error> {
        let dirs = self.dirs.clone();
        let kept = blocking(move || Release::list(&dirs)).await?;
        let Some(release) = kept.into_iter().find(|it| it.inputs.as_deref() == Some(inputs)) else { return Ok(None) };
        // recorded before anything of it is touched: a failure must not delete it
        let id = release.id;
        self.journal.update(|record| (record.release, record.reused) = (id, true)).await?;
        let line = format!("nothing has changed since release {id} was built: it serves again");
        self.journal.emit(DeployEventKind::Log { line });
        self.warn(&release.warnings).await?;
        let work = self.lab.settings().data.work(self.id);
        blocking(move || durable::remove(&work).map_err(Error::storage("delete", &work))).await?;
        Ok(Some(release))
    }

    /// Whether the repository's data becomes the app's: only where it was asked for, and where the app has none.
    async fn seeds(&self, plan: &BuildPlan) -> Result<bool, Error> {
        if !self.seed {
            return Ok(false);
        }
        if plan.seed.is_none() {
            self.warn(&["the repository holds no `pb_data` to begin with: the app begins empty".to_owned()]).await?;
            return Ok(false);
        }
        let data = self.dirs.data();
        let has_data = blocking(move || has_entries(&data).map_err(Error::storage("read", &data))).await?;
        if has_data {
            self.warn(&["the app has data already: the repository's is not used".to_owned()]).await?;
        }
        Ok(!has_data)
    }

    /// What the owner should know goes into the log and the record.
    pub(super) async fn warn(&self, warnings: &[String]) -> Result<(), Error> {
        for warning in warnings {
            self.journal.emit(DeployEventKind::Log { line: format!("warning: {warning}") });
        }
        if warnings.is_empty() {
            return Ok(());
        }
        self.journal.update(|record| record.warnings.extend(warnings.iter().cloned())).await
    }

    /// Whether the release is tried on a copy of the data first: never where there is none yet.
    async fn is_to_be_rehearsed(&self, release: &Release) -> Result<bool, Error> {
        let (dirs, next, is_rollback) = (self.dirs.clone(), release.id, self.built.is_some());
        let serving = self.lab.record(&self.app).await?.release;
        let is_trial = self.upgrade.as_ref().is_some_and(|upgrade| upgrade.is_trial);
        let policy = self.rehearsal.unwrap_or(self.lab.settings().rehearsal.policy);
        blocking(move || {
            let Some(serving) = serving.filter(|_| dirs.data().join("data.db").exists()) else { return Ok(false) };
            match policy {
                _ if is_trial => Ok(true),
                RehearsalPolicy::Always => Ok(true),
                RehearsalPolicy::Never => Ok(false),
                // what is gone back to has served: it must not wait
                RehearsalPolicy::Auto => Ok(!is_rollback && Release::touches_data_otherwise(&dirs, serving, next)?),
            }
        })
        .await
    }

    /// Tries the release on a copy of the data. The app runs on and never notices.
    async fn rehearse(&self, release: Release) -> Result<Release, Error> {
        // a copy takes the disk's time as a build does
        let _place = self.queue().await?;
        let serving = match self.lab.record(&self.app).await?.release {
            Some(serving) => {
                let dirs = self.dirs.clone();
                blocking(move || Release::read(&dirs, serving)).await?
            }
            None => None,
        };
        let is_known = serving.is_some_and(|serving| serving.run.flags == Flags::OfficialWatching);
        let rehearsed = match self.rehearse_once(&release).await {
            Err(Error::Rehearsal(error)) if is_known && release.run.flags == Flags::Official => {
                let Some(hook) = error.throwing_hook() else { return Err(error.into()) };
                let release = self.without_throwing_hooks(release, &hook).await?;
                let rehearsed = self.rehearse_once(&release).await?;
                return self.rehearsed(release, rehearsed).await;
            }
            rehearsed => rehearsed?,
        };
        self.rehearsed(release, rehearsed).await
    }

    async fn rehearse_once(&self, release: &Release) -> Result<Rehearsal, Error> {
        let data = self.point.as_ref().map_or_else(|| self.dirs.data(), |point| points::data_of(&self.dirs, point.id));
        let work = self.lab.settings().data.work(self.id);
        self.lab.rehearse(&self.dirs, release, data, work, self.journal.clone(), self.cancel()).await
    }

    async fn rehearsed(&self, release: Release, rehearsal: Rehearsal) -> Result<Release, Error> {
        for line in rehearsal.lines() {
            self.journal.emit(DeployEventKind::Log { line });
        }
        if let Rehearsal::Skipped { why } = &rehearsal {
            self.warn(&[format!("it was not rehearsed: {why}")]).await?;
        }
        let losses = rehearsal.losses();
        self.journal.update(|record| record.rehearsal = Some(rehearsal)).await?;
        if losses.is_empty() || self.accept_loss {
            Ok(release)
        } else {
            Err(RehearsalError::Loss { changes: losses }.into())
        }
    }

    /// Saves the data from a release that differs in what gets at it.
    async fn save(&self, release: &Release) -> Result<Option<Arc<Restore>>, Error> {
        let serving = self.lab.record(&self.app).await?.release;
        if let Some(point) = &self.point {
            let restore = self.lab.prepared(&self.dirs, point.clone(), serving, self.cancel()).await?;
            // recorded before the exchange: a crash after it must know that the data goes back with the release
            self.journal.update(|record| record.replaced = Some(restore.replaced())).await?;
            return Ok(Some(Arc::new(restore)));
        }
        let Some(serving) = serving else { return Ok(None) };
        let (dirs, next) = (self.dirs.clone(), release.id);
        let at_stake = blocking(move || {
            Ok::<_, Error>(
                dirs.data().join("data.db").exists() && Release::touches_data_otherwise(&dirs, serving, next)?,
            )
        });
        if at_stake.await? {
            let reason = PointReason::Deploy { deployment: self.id };
            let point = self.lab.point_of(&self.app, reason, Some(serving), self.cancel()).await?;
            // named before there is anything of it
            let aside = DataPointId::new();
            self.journal.update(|record| (record.point, record.aside) = (Some(point.id), Some(aside))).await?;
            self.journal.emit(DeployEventKind::Log { line: format!("the data was saved as data point {}", point.id) });
        }
        Ok(None)
    }

    /// From here until `publish` nothing serves: a cancel is looked at before and while health is waited for only.
    async fn switch(&self, release: ReleaseId, restore: Option<&Arc<Restore>>) -> Result<App, Error> {
        let data = self.dirs.data();
        if !tokio::fs::try_exists(&data).await.map_err(Error::storage("read", &data))? {
            // recorded before the next step makes it
            self.journal.update(|record| record.fresh_data = true).await?;
        }
        if self.seed {
            let seed = self.dirs.release(release).join(SEED);
            blocking(move || begin_with(&seed, &data)).await?;
        }
        // what is sent from here on waits for the new release, or for the old one to come back
        self.lab.hold(&self.app).await?;
        self.lab.backends().supervisor.stop(&self.app).await?;
        if let Some(id) = self.journal.record().aside {
            self.set_aside(id).await?;
        }
        if let Some(restore) = restore.cloned() {
            blocking(move || restore.exchange()).await?;
        }
        let app = self.lab.with_free_port(&self.app).await?;
        reconcile::point_current(&self.dirs, release).await?;
        Ok(app)
    }

    /// Copies the data, which nothing uses now, for the case that the release fails.
    async fn set_aside(&self, id: DataPointId) -> Result<(), Error> {
        let (dirs, max_bytes) = (self.dirs.clone(), self.lab.settings().held_copy_bytes);
        if !blocking(move || aside::make(&dirs, id, max_bytes)).await? {
            let line = format!(
                "the data is larger than the {} MB that are copied while requests wait: if the release fails, what its \
                 migrations did stays",
                max_bytes >> 20
            );
            self.journal.emit(DeployEventKind::Log { line });
        }
        Ok(())
    }

    /// How long the release may take to answer: no longer than those can wait whom the one before would still answer, unless
    /// it states a time.
    fn health_limit(&self, app: &App, release: &Release) -> Duration {
        let (own, settings) = (self.lab.health_limit(release), self.lab.settings());
        match self.lab.held_since(&self.app) {
            Some(since) if app.release.is_some() && !release.run.health.is_stated => {
                let left = settings.hold.saturating_sub(since.elapsed() + GOING_BACK);
                own.min(left.max(GOING_BACK))
            }
            _ => own,
        }
    }

    /// Waits until it answers. A hook file that throws ends it; where no release without such a file serves, it is started
    /// once more in the way in which PocketBase only leaves that file out, as it does by default.
    async fn healthy(&self, app: &App, release: Release) -> Result<(), Error> {
        let limit = self.health_limit(app, &release);
        let error = match self.lab.wait_for_answer(limit, app, &release, self.cancel()).await {
            Err(error @ Error::Unhealthy { .. }) if limit < self.lab.health_limit(&release) => {
                let line = "requests wait no longer, and the release before can still answer them: where it needs more time, \
                            state `timeout` below `[health]` in its `lab.toml`";
                self.journal.emit(DeployEventKind::Log { line: line.to_owned() });
                return Err(error);
            }
            Err(error @ Error::Crashed { .. }) if release.run.flags == Flags::Official => error,
            done => return self.warn(done?.as_slice()).await,
        };
        let serving = reconcile::serving_release(&self.dirs, app).await?;
        let is_known = serving.is_none_or(|serving| serving.run.flags == Flags::OfficialWatching);
        let Some(hook) = self.lab.throwing_hook(app).await.filter(|_| is_known) else { return Err(error) };
        self.lab.backends().supervisor.stop(&self.app).await?;
        let release = self.without_throwing_hooks(release, &hook).await?;
        self.lab.start_release(app, &release).await?;
        let limit = self.health_limit(app, &release);
        let warning = self.lab.wait_for_answer(limit, app, &release, self.cancel()).await?;
        self.warn(warning.as_slice()).await
    }

    /// The release run so that PocketBase goes on without a hook file that throws.
    async fn without_throwing_hooks(&self, mut release: Release, hook: &str) -> Result<Release, Error> {
        let warning = format!("a hook file throws, and PocketBase goes on without it: {hook}");
        release.run.flags = Flags::OfficialWatching;
        release.warnings.push(warning.clone());
        let dirs = self.dirs.clone();
        let release = blocking(move || release.seal(&dirs).map(|()| release)).await?;
        self.warn(&[warning]).await?;
        Ok(release)
    }

    async fn publish(&self, release: ReleaseId) -> Result<(), Error> {
        let deployed = |app: &mut App| {
            app.release = Some(release);
            app.repository = self.repository.clone();
            app.branch.clone_from(&self.branch);
            app.root.clone_from(&self.root);
            app.rehearsal = self.rehearsal;
            if let Some(upgrade) = &self.upgrade {
                app.pocketbase = Some(upgrade.to.clone());
            }
            app.desired = Desired::Running;
            app.last_deploy = Some(Timestamp::now());
            if let Some(status) = transition(app.status, Event::Deployed) {
                app.status = status;
            }
        };
        let before = self.lab.record(&self.app).await?;
        // recorded while requests still wait: what is answered from here on is not taken back by a crash
        let app = self.lab.modify(&self.app, &deployed).await?;
        self.lab.lift(&self.app);
        if let Err(error) = self.lab.apply_routes().await {
            self.lab.hold_only(&self.app);
            let as_before = |app: &mut App| *app = App { revision: app.revision, port: app.port, ..before.clone() };
            self.lab.modify(&self.app, &as_before).await?;
            return Err(error);
        }
        self.lab.tell(LabEvent::Status { app: self.app.clone(), status: app.status });
        self.lab.prune_points(&self.app).await;
        let (dirs, settings) = (self.dirs.clone(), self.lab.settings());
        let (keep, max_bytes) = (settings.kept_releases, settings.kept_release_bytes);
        let pruned = async {
            let previous = match before.release {
                Some(serving) if serving != release && self.built.is_none() => Some(serving),
                // what is gone back to was not made from the one that served
                _ => self.lab.release_before(&self.app, release).await?,
            };
            blocking(move || reconcile::prune_releases(&dirs, release, previous, keep, max_bytes)).await
        };
        if let Err(error) = pruned.await {
            // the deployment stands; the next one tries again
            self.journal
                .emit(DeployEventKind::Log { line: format!("old releases were not deleted: {}", error.report()) });
        }
        Ok(())
    }

    /// Whether everything could be taken back.
    async fn take_back(&self) -> bool {
        let record = self.journal.record();
        let settled = async {
            if record.has_begun(DeployStep::Switch) {
                self.lab.hold(&self.app).await?;
            }
            let app = reconcile::settle(&self.lab, &self.app, Some(&record), &|what| self.journal.undone(what)).await?;
            let serving = app.release.is_some() && app.status != Status::Stopped && app.desired == Desired::Running;
            if serving && let Some(release) = reconcile::serving_release(&self.dirs, &app).await? {
                self.lab.wait_healthy(&app, &release, &CancellationToken::new()).await?;
                self.journal.undone("the release before serves");
            }
            self.lab.lift(&self.app);
            self.lab.note(&self.app, Event::DeployFailed { serving }).await?;
            self.lab.apply_routes().await
        };
        // far beyond every limit inside: a stuck part must not keep the app busy for ever
        let error = match tokio::time::timeout(Duration::from_mins(5), settled).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => error.report(),
            Err(_) => "taking it back took longer than 5 minutes".to_owned(),
        };
        // whatever failed, nobody waits for it any longer
        self.lab.lift(&self.app);
        if let Err(error) = self.lab.apply_routes().await {
            tracing::error!(app = %self.app, error = error.report(), "the routes could not be applied");
        }
        tracing::error!(app = %self.app, deployment = %self.id, error, "a failed deployment could not be taken back whole");
        self.journal.undone(format!("not everything could be taken back: {error}"));
        self.lab.tell(LabEvent::Warning {
            app: Some(self.app.clone()),
            message: format!("a failed deployment could not be taken back whole: {error}"),
        });
        false
    }
}

/// Whether a folder is there and holds anything. Blocks.
fn has_entries(folder: &Path) -> io::Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes a release's seed the app's data, which only the lab's user may read. The kernel refuses to replace a folder that
/// holds anything. Blocks.
fn begin_with(seed: &Path, data: &Path) -> Result<(), Error> {
    if fs::symlink_metadata(seed).is_err() {
        return Ok(());
    }
    let private = fs::set_permissions(seed, fs::Permissions::from_mode(0o700));
    private.and_then(|()| durable::rename(seed, data)).map_err(Error::storage("create", data))
}
