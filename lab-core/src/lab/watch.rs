//! Keeps the apps' statuses in step with what the supervisor sees.

use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::{
    App, AppName, Error, Lab, LabEvent,
    lifecycle::{Desired, Event, Status, transition},
    reconcile,
    supervisor::{ProcessEvent, ProcessState},
};

/// How long a process that should run may be stopped: a supervisor that has just begun will start it.
const COMES_BACK: Duration = Duration::from_secs(2);

/// Follows the supervisor until the lab ends.
pub(crate) async fn watch(lab: Lab, stopping: CancellationToken) {
    let mut events = lab.backends().supervisor.events();
    while let Some(event) = stopping.run_until_cancelled(events.recv()).await {
        match event {
            Ok(ProcessEvent { app, .. }) => lab.observe(&app).await,
            Err(RecvError::Lagged(_)) => {
                for app in lab.backends().registry.list().await.unwrap_or_default() {
                    lab.observe(&app.name).await;
                }
            }
            Err(RecvError::Closed) => return,
        }
    }
}

impl Lab {
    /// Brings an app's status in step with its process. While something is being done to the app, that decides.
    pub(crate) async fn observe(&self, name: &AppName) {
        if self.activity(name).is_some() {
            return;
        }
        if let Err(error) = self.try_observe(name).await {
            self.warn(name, format!("its status could not be recorded: {}", error.report()));
        }
    }

    async fn try_observe(&self, name: &AppName) -> Result<(), Error> {
        let Some(app) = self.backends().registry.get(name).await? else { return Ok(()) };
        if app.desired != Desired::Running || app.release.is_none() {
            return Ok(());
        }
        let event = match self.backends().supervisor.state(name).await? {
            Some(ProcessState::Running { .. }) => {
                self.observe_health(app);
                return Ok(());
            }
            Some(ProcessState::BackingOff { .. }) => Event::Crashed,
            Some(ProcessState::Failed { .. }) => Event::GaveUp,
            Some(ProcessState::Stopped) | None => {
                self.observe_stopped(app);
                return Ok(());
            }
            Some(ProcessState::Stopping) => return Ok(()),
        };
        if self.note(name, event).await? {
            self.apply_routes().await?;
        }
        Ok(())
    }

    /// A process that runs again counts once it answers.
    fn observe_health(&self, app: App) {
        if transition(app.status, Event::Started).is_none() || !self.begin_health_check(&app.name) {
            return;
        }
        let lab = self.clone();
        self.spawn(async move {
            let checked = async {
                if let Some(release) = reconcile::serving_release(&lab.dirs(&app.name), &app).await? {
                    lab.wait_healthy(&app, &release, lab.stopping()).await?;
                    if lab.activity(&app.name).is_none() && lab.note(&app.name, Event::Started).await? {
                        lab.apply_routes().await?;
                    }
                }
                Ok::<(), Error>(())
            };
            let result = checked.await;
            lab.end_health_check(&app.name);
            if let Err(error) = result {
                tracing::info!(app = %app.name, error = error.report(), "an app that was started again is not healthy");
            }
        });
    }

    /// A process that something else than the lab stopped is started again.
    fn observe_stopped(&self, app: App) {
        // one that failed stays as it is
        if !matches!(app.status, Status::Running | Status::Restarting) || !self.begin_health_check(&app.name) {
            return;
        }
        let lab = self.clone();
        self.spawn(async move {
            let waited = lab.stopping().run_until_cancelled(tokio::time::sleep(COMES_BACK)).await;
            lab.end_health_check(&app.name);
            if waited.is_none() {
                return;
            }
            match lab.backends().supervisor.state(&app.name).await {
                Ok(None | Some(ProcessState::Stopped)) => reconcile::bring_back_stopped(&lab, &app.name).await,
                _ => lab.observe(&app.name).await,
            }
        });
    }

    /// Moves an app's status; whether it moved.
    pub(crate) async fn note(&self, name: &AppName, event: Event) -> Result<bool, Error> {
        let Some(app) = self.backends().registry.get(name).await? else { return Ok(false) };
        if transition(app.status, event).is_none() {
            return Ok(false);
        }
        let before = app.status;
        let app = self
            .modify(name, &|app: &mut App| {
                if let Some(status) = transition(app.status, event) {
                    app.status = status;
                }
            })
            .await?;
        if app.status != before {
            self.tell(LabEvent::Status { app: name.clone(), status: app.status });
        }
        Ok(app.status != before)
    }
}
