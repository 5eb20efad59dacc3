//! One thing at a time per app.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{AppName, DeploymentId, Error};

/// What is being done to an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    Deploying(DeploymentId),
    Starting,
    Stopping,
    Restarting,
    Removing,
    /// Its variables or domains are changed.
    Configuring,
    /// Its program is run on the data beside it.
    MakingSuperuser,
    /// A data point of its data is taken or looked at.
    Copying,
    /// A data point takes the place of its data.
    Restoring,
    /// Brought in line with its record after the lab was opened.
    Recovering,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deploying(id) => write!(f, "deployment {id} is under way"),
            Self::Starting => f.write_str("it is being started"),
            Self::Stopping => f.write_str("it is being stopped"),
            Self::Restarting => f.write_str("it is being restarted"),
            Self::Removing => f.write_str("it is being removed"),
            Self::Configuring => f.write_str("its settings are being changed"),
            Self::MakingSuperuser => f.write_str("a superuser is being made"),
            Self::Copying => f.write_str("its data is being copied"),
            Self::Restoring => f.write_str("its data is being restored"),
            Self::Recovering => f.write_str("it is being brought back after a start of the lab"),
        }
    }
}

/// What is being done to each app.
#[derive(Debug, Default)]
pub(crate) struct Activities {
    /// Guards the entries; never held across an await.
    entries: Mutex<HashMap<AppName, (Doing, CancellationToken)>>,
    /// Told whenever an entry goes.
    ended: Notify,
}

/// The right to do something to an app, until dropped.
#[derive(Debug)]
pub(crate) struct Activity {
    app: AppName,
    pub(crate) cancel: CancellationToken,
    activities: Arc<Activities>,
}

impl Activities {
    fn entries(&self) -> MutexGuard<'_, HashMap<AppName, (Doing, CancellationToken)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is being done to `app`.
    pub(crate) fn of(&self, app: &AppName) -> Option<Doing> {
        self.entries().get(app).map(|(doing, _)| *doing)
    }

    /// Begins, or says what is in the way. `cancel` is what ends it early.
    pub(crate) fn begin(
        self: &Arc<Self>,
        app: &AppName,
        doing: Doing,
        cancel: CancellationToken,
    ) -> Result<Activity, Error> {
        let mut entries = self.entries();
        if let Some((other, _)) = entries.get(app) {
            return Err(Error::Busy { app: app.clone(), activity: other.to_string() });
        }
        entries.insert(app.clone(), (doing, cancel.clone()));
        Ok(Activity { app: app.clone(), cancel, activities: self.clone() })
    }

    /// Cancels a deployment that is in the way and waits for its end; for anything else in the way it waits too.
    pub(crate) async fn begin_instead(
        self: &Arc<Self>,
        app: &AppName,
        doing: Doing,
        cancel: CancellationToken,
    ) -> Activity {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            // registered before the look, so that an end between the look and the wait is not missed
            ended.as_mut().enable();
            if let Ok(activity) = self.begin(app, doing, cancel.clone()) {
                return activity;
            }
            if let Some((Doing::Deploying(_), token)) = self.entries().get(app) {
                token.cancel();
            }
            ended.await;
        }
    }

    /// Cancels that deployment, where it is under way.
    pub(crate) fn cancel(&self, app: &AppName, id: DeploymentId) {
        if let Some((Doing::Deploying(running), token)) = self.entries().get(app)
            && *running == id
        {
            token.cancel();
        }
    }

    /// Waits until nothing is being done to any app.
    pub(crate) async fn idle(&self) {
        self.wait_until(HashMap::is_empty).await;
    }

    /// Waits until that deployment is over.
    pub(crate) async fn deployment_over(&self, app: &AppName, id: DeploymentId) {
        self.wait_until(|entries| entries.get(app).is_none_or(|(doing, _)| *doing != Doing::Deploying(id))).await;
    }

    async fn wait_until(&self, is_so: impl Fn(&HashMap<AppName, (Doing, CancellationToken)>) -> bool) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            // registered before the look, so that an end between the look and the wait is not missed
            ended.as_mut().enable();
            if is_so(&self.entries()) {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.activities.entries().remove(&self.app);
        self.activities.ended.notify_waiters();
    }
}
