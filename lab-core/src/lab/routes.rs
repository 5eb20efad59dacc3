//! Which host leads where: a pure function of the records.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{
    App, AppName, Error, Lab, LabSettings,
    lifecycle::{Desired, Status},
    router::{Hostname, Route, RouteTable, Target, Unavailable},
};

/// How long to wait before routes that the router did not take are given to it again; the second time twice as long …
const AGAIN: Duration = Duration::from_millis(500);
/// … but no longer than this.
const AGAIN_AT_MOST: Duration = Duration::from_secs(30);

/// The whole table.
pub(crate) fn table(settings: &LabSettings, apps: &[App]) -> RouteTable {
    let mut table = RouteTable::new();
    let routed = || apps.iter().filter_map(|app| Some((app, route(app)?)));
    for (app, route) in routed() {
        table.extend(app.domains.iter().map(|domain| (domain.host().clone(), route.clone())));
    }
    // after the domains: where the lab was moved onto one of them, it is the lab's
    table.extend(routed().filter_map(|(app, route)| Some((settings.host(&app.subdomain)?, route))));
    if let Some(port) = settings.own_port {
        table.insert(settings.domain.clone(), Route { app: None, target: Target::Port(port) });
    }
    table
}

/// Where an app's hosts lead; nowhere when it is being removed.
fn route(app: &App) -> Option<Route> {
    let target = match (app.status, app.desired, app.port, app.release) {
        (Status::Removing, ..) | (_, Desired::Removed | Desired::Purged, ..) => return None,
        (Status::Deploying, _, _, None) => Target::Unavailable(Unavailable::Deploying),
        (Status::Stopped, ..) | (_, Desired::Stopped, ..) => Target::Unavailable(Unavailable::Stopped),
        (Status::Running | Status::Restarting | Status::Deploying, _, Some(port), Some(_)) => Target::Port(port),
        _ => Target::Unavailable(Unavailable::Failed),
    };
    Some(Route { app: Some(app.name.clone()), target })
}

impl Lab {
    /// Whether `host` is one of the lab's: its own, or an app's. Certificates are fetched for no other.
    pub async fn has_host(&self, host: &Hostname) -> Result<bool, Error> {
        let domain = &self.settings().domain;
        if host == domain {
            return Ok(true);
        }
        let registry = &self.backends().registry;
        let app = match host.as_str().strip_suffix(domain.as_str()).and_then(|rest| rest.strip_suffix('.')) {
            Some(label) => match label.parse::<AppName>() {
                Ok(name) => registry.get(&name).await?.filter(|app| app.subdomain == name),
                Err(_) => None,
            },
            None => registry.list().await?.into_iter().find(|app| app.domains.iter().any(|its| its.host() == host)),
        };
        Ok(app.is_some_and(|app| route(&app).is_some()))
    }

    /// Makes the routes what the records say.
    pub(crate) async fn apply_routes(&self) -> Result<(), Error> {
        let applied = self.try_apply_routes().await;
        if applied.is_err() {
            self.0.routes_behind.notify_one();
        }
        applied
    }

    async fn try_apply_routes(&self) -> Result<(), Error> {
        // one at a time from reading the records to the router's answer: an older table must not overtake a newer one
        let _gate = self.routes_gate().lock().await;
        let apps = self.backends().registry.list().await?;
        let mut wanted = table(self.settings(), &apps);
        for route in wanted.values_mut() {
            if let (Some(app), &Target::Port(port)) = (&route.app, &route.target)
                && self.is_held(app)
            {
                route.target = Target::Held(port);
            }
        }
        if self.backends().router.table().await? != wanted {
            self.backends().router.apply(wanted).await?;
        }
        Ok(())
    }
}

/// Gives the router again what it did not take, as when it was away, until the lab ends: nothing else may happen that would.
pub(crate) async fn keep_applied(lab: Lab, stopping: CancellationToken) {
    while stopping.run_until_cancelled(lab.0.routes_behind.notified()).await.is_some() {
        let mut pause = AGAIN;
        while stopping.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            match lab.try_apply_routes().await {
                Ok(()) => break,
                Err(error) => tracing::warn!(error = error.report(), "the routes are not what they should be yet"),
            }
            pause = (pause * 2).min(AGAIN_AT_MOST);
        }
    }
}
