//! Starting, stopping, restarting and removing apps.

use std::{
    collections::BTreeMap,
    io,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::activity::Doing;
use crate::{
    App, AppName, AppView, Error, Lab, LabEvent, Port,
    blocking::blocking,
    durable,
    health::Answers,
    layout::AppDirs,
    lifecycle::{Desired, Event},
    pocketbase::thrown,
    reconcile,
    release::Release,
    supervisor::ProcessState,
    variables,
};

/// How many of an app's last lines an error shows.
const LAST_LINES: usize = 20;
/// Lines in which a panic is looked for: its trace comes after it.
const PANIC_LINES: usize = 200;
/// How often a new release may end by itself before its deployment fails; the first end may be a port that was not free
/// yet.
const ENDS_ALLOWED: u32 = 2;

impl Lab {
    /// Starts an app and waits until it is healthy.
    pub async fn start(&self, app: &AppName) -> Result<AppView, Error> {
        self.run_app(app, Doing::Starting).await
    }

    /// Stops and starts an app and waits until it is healthy. Requests wait meanwhile.
    pub async fn restart(&self, app: &AppName) -> Result<AppView, Error> {
        self.run_app(app, Doing::Restarting).await
    }

    /// Stops an app; it stays stopped, also when the lab is opened again.
    pub async fn stop(&self, app: &AppName) -> Result<AppView, Error> {
        let (lab, name) = (self.clone(), app.clone());
        self.to_its_end(async move {
            lab.record(&name).await?;
            let _activity = lab.begin(&name, Doing::Stopping)?;
            lab.modify(&name, &|app: &mut App| app.desired = Desired::Stopped).await?;
            lab.note(&name, Event::StopRequested).await?;
            // first the route: visitors see that it is stopped, not that it fails
            lab.apply_routes().await?;
            lab.backends().supervisor.stop(&name).await?;
            lab.get(&name).await
        })
        .await
    }

    async fn run_app(&self, app: &AppName, doing: Doing) -> Result<AppView, Error> {
        let (lab, name) = (self.clone(), app.clone());
        self.to_its_end(async move {
            let dirs = lab.dirs(&name);
            let app = lab.record(&name).await?;
            let activity = lab.begin(&name, doing)?;
            let Some(release) = reconcile::serving_release(&dirs, &app).await? else {
                return Err(Error::NothingToRun(name));
            };
            lab.modify(&name, &|app: &mut App| app.desired = Desired::Running).await?;
            let started = async {
                if doing == Doing::Restarting {
                    lab.hold(&name).await?;
                    lab.backends().supervisor.stop(&name).await?;
                }
                let app = lab.with_free_port(&name).await?;
                lab.start_release(&app, &release).await?;
                lab.wait_healthy(&app, &release, &activity.cancel).await
            };
            let started = started.await;
            lab.lift(&name);
            lab.note_start(&name, &started).await?;
            drop(activity);
            // what its process did meanwhile was left to this call
            lab.observe(&name).await;
            started?;
            lab.get(&name).await
        })
        .await
    }

    /// Records whether an app that was started answers.
    pub(crate) async fn note_start(&self, name: &AppName, started: &Result<(), Error>) -> Result<(), Error> {
        let event = match started {
            Ok(()) => Event::Started,
            // the lab is being shut down: nothing is known of the app
            Err(Error::Cancelled) => return Ok(()),
            Err(_) => Event::GaveUp,
        };
        self.note(name, event).await?;
        self.apply_routes().await
    }

    /// Removes an app: it is stopped and unrouted, its port is free again, and its folder goes to the trash, or with
    /// `purge` is deleted at once. A deployment of it that is under way is cancelled.
    pub async fn remove(&self, app: &AppName, purge: bool) -> Result<(), Error> {
        let (lab, name) = (self.clone(), app.clone());
        self.to_its_end(async move {
            lab.record(&name).await?;
            let _activity = lab.begin_instead(&name, Doing::Removing).await;
            let desired = if purge { Desired::Purged } else { Desired::Removed };
            // recorded first: a removal that a crash cuts is finished at the next start
            lab.modify(&name, &|app: &mut App| app.desired = desired).await?;
            lab.finish_removal(&name, purge).await
        })
        .await
    }

    pub(crate) async fn finish_removal(&self, name: &AppName, purge: bool) -> Result<(), Error> {
        self.note(name, Event::RemoveStarted).await?;
        self.apply_routes().await?;
        self.backends().supervisor.remove(name).await?;
        let (data, app) = (self.settings().data.clone(), name.clone());
        blocking(move || {
            let (folder, cache) = (data.app(&app), data.git_cache(&app));
            // of two removals in one second the later is one second later
            let mut time = if purge { 0 } else { Timestamp::now().as_second() };
            while data.trashed(&app, time).exists() {
                time += 1;
            }
            let trashed = data.trashed(&app, time);
            // moved even when it is to be deleted: the name is free at once, and what a crash leaves of it, dated 1970,
            // is deleted with the oldest of the trash
            match durable::rename(folder.root(), &trashed) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other.map_err(Error::storage("move to the trash", folder.root()))?,
            }
            if purge {
                durable::remove(&trashed).map_err(Error::storage("delete", &trashed))?;
            }
            durable::remove(&cache).map_err(Error::storage("delete", &cache))
        })
        .await?;
        self.backends().registry.remove(name).await?;
        self.backends().ports.release(name).await?;
        self.tell(LabEvent::Removed { app: name.clone() });
        Ok(())
    }

    /// Starts a release on the app's port.
    pub(crate) async fn start_release(&self, app: &App, release: &Release) -> Result<(), Error> {
        let dirs = self.dirs(&app.name);
        let port = port_of(app)?;
        let env = self.app_env(&dirs).await?;
        {
            let (dirs, release) = (dirs.clone(), release.clone());
            blocking(move || reconcile::make_app_dirs(&dirs).and_then(|()| release.link_data(&dirs))).await?;
        }
        let process = release.process(&dirs, port, &env, self.settings().stop_grace);
        Ok(self.backends().supervisor.start(process).await?)
    }

    /// The app with a port that nothing else listens on. A port that is taken while the app does not run is given up for
    /// another one: what answers on it is not the app.
    pub(crate) async fn with_free_port(&self, name: &AppName) -> Result<App, Error> {
        let app = self.record(name).await?;
        let ports = &self.backends().ports;
        let runs = matches!(self.backends().supervisor.state(name).await?, Some(ProcessState::Running { .. }));
        if let Some(port) = app.port {
            if runs || ports.is_free(port).await? {
                return Ok(app);
            }
            self.warn(name, format!("its port {port} is taken by another program; it gets another one"));
            ports.release(name).await?;
        }
        let port = ports.allocate(name).await?;
        self.modify(name, &|app: &mut App| app.port = Some(port)).await
    }

    /// How long a release may take to answer.
    pub(crate) fn health_limit(&self, release: &Release) -> Duration {
        self.settings().health_timeout.unwrap_or(Duration::from_secs(release.run.health.timeout_secs))
    }

    /// Waits until the app answers, for as long as its release says.
    pub(crate) async fn wait_healthy(
        &self,
        app: &App,
        release: &Release,
        cancel: &CancellationToken,
    ) -> Result<(), Error> {
        self.wait_for_answer(self.health_limit(release), app, release, cancel).await.map(drop)
    }

    /// Waits until the app answers, no longer than `limit`; with what is to be told of its answer.
    pub(crate) async fn wait_for_answer(
        &self,
        limit: Duration,
        app: &App,
        release: &Release,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, Error> {
        let port = port_of(app)?;
        let begun = Instant::now();
        let mut pause = Duration::from_millis(2);
        let mut answers = Answers::default();
        loop {
            let left = limit.saturating_sub(begun.elapsed());
            let probe_limit = left.clamp(Duration::from_millis(100), Duration::from_secs(5));
            let probed = self.backends().health.probe(port, &release.run.health.path, probe_limit).await;
            let state = self.backends().supervisor.state(&app.name).await?;
            match (answers.judge(&release.run.health, probed), state) {
                // something answers, and it is the app: its process runs
                (Ok(warning), Some(ProcessState::Running { .. })) => return Ok(warning),
                (_, Some(ProcessState::Failed { reason, last_lines })) => {
                    return Err(Error::Crashed { app: app.name.clone(), reason, last_lines });
                }
                (_, Some(ProcessState::BackingOff { exit, restarts, .. })) if restarts >= ENDS_ALLOWED => {
                    let reason = format!("it ended {} times, last with {exit}", restarts + 1);
                    return Err(Error::Crashed {
                        app: app.name.clone(),
                        reason,
                        last_lines: self.last_lines(app).await,
                    });
                }
                (_, None | Some(ProcessState::Stopped | ProcessState::Stopping)) => {
                    return Err(Error::NotRunning(app.name.clone()));
                }
                (Err(source), state) if begun.elapsed() >= limit => {
                    let pid = match state {
                        Some(ProcessState::Running { pid, .. }) => Some(pid),
                        _ => None,
                    };
                    return Err(Error::Unhealthy {
                        app: app.name.clone(),
                        limit_secs: limit.as_secs(),
                        last_lines: self.last_lines(app).await,
                        source: blocking(move || source.explained(pid)).await,
                    });
                }
                _ => {}
            }
            tokio::select! {
                () = cancel.cancelled() => return Err(Error::Cancelled),
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_millis(100)),
            }
        }
    }

    /// What PocketBase printed of a hook file that ended it, if one did.
    pub(crate) async fn throwing_hook(&self, app: &App) -> Option<String> {
        let lines = self.backends().supervisor.logs(&app.name, PANIC_LINES).await.unwrap_or_default();
        thrown::find(lines.iter().map(|line| line.text.as_str())).map(|(_, what)| what)
    }

    async fn last_lines(&self, app: &App) -> Vec<String> {
        let lines = self.backends().supervisor.logs(&app.name, LAST_LINES).await.unwrap_or_default();
        lines.into_iter().map(|line| line.text).collect()
    }

    /// The app's own variables.
    pub(crate) async fn app_env(&self, dirs: &AppDirs) -> Result<BTreeMap<String, String>, Error> {
        let path = dirs.env();
        blocking(move || variables::read(&path)).await
    }
}

/// The port of an app that has a release.
fn port_of(app: &App) -> Result<Port, Error> {
    app.port.ok_or_else(|| Error::Bug(format!("`{}` has a release but no port", app.name)))
}
