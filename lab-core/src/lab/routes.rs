//! Which host leads where: a pure function of the records.

use crate::{
    App, AppName, Error, Lab, LabSettings,
    lifecycle::{Desired, Status},
    router::{Hostname, Route, RouteTable, Target, Unavailable},
};

/// The whole table.
pub(crate) fn table(settings: &LabSettings, apps: &[App]) -> RouteTable {
    let mut table: RouteTable = apps.iter().filter_map(|app| route(settings, app)).collect();
    if let Some(port) = settings.own_port {
        table.insert(settings.domain.clone(), Route { app: None, target: Target::Port(port) });
    }
    table
}

fn route(settings: &LabSettings, app: &App) -> Option<(Hostname, Route)> {
    let host = settings.host(&app.subdomain)?;
    let target = match (app.status, app.desired, app.port, app.release) {
        (Status::Removing, ..) | (_, Desired::Removed | Desired::Purged, ..) => return None,
        (Status::Deploying, _, _, None) => Target::Unavailable(Unavailable::Deploying),
        (Status::Stopped, ..) | (_, Desired::Stopped, ..) => Target::Unavailable(Unavailable::Stopped),
        (Status::Running | Status::Restarting | Status::Deploying, _, Some(port), Some(_)) => Target::Port(port),
        _ => Target::Unavailable(Unavailable::Failed),
    };
    Some((host, Route { app: Some(app.name.clone()), target }))
}

impl Lab {
    /// Whether `host` is one of the lab's: its own, or an app's. Certificates are fetched for no other.
    pub async fn has_host(&self, host: &Hostname) -> Result<bool, Error> {
        let domain = &self.settings().domain;
        if host == domain {
            return Ok(true);
        }
        let label = host.as_str().strip_suffix(domain.as_str()).and_then(|rest| rest.strip_suffix('.'));
        let Some(Ok(name)) = label.map(str::parse::<AppName>) else { return Ok(false) };
        let app = self.backends().registry.get(&name).await?;
        Ok(app.is_some_and(|app| route(self.settings(), &app).is_some_and(|(its, _)| its == *host)))
    }

    /// Makes the routes what the records say.
    pub(crate) async fn apply_routes(&self) -> Result<(), Error> {
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
