//! Letting an app's requests wait while its process is exchanged: they are answered by the next one.

use std::{collections::hash_map::Entry, time::Instant};

use crate::{AppName, CustomDomain, Error, Lab};

impl Lab {
    /// From now on requests to the app wait. When this returns those under way have ended, or had their time.
    ///
    /// Ends with [`lift`](Self::lift) and the next change of the routes.
    pub(crate) async fn hold(&self, name: &AppName) -> Result<(), Error> {
        if !self.hold_only(name) {
            return Ok(());
        }
        self.apply_routes().await?;
        let app = self.record(name).await?;
        let own = self.settings().host(&app.subdomain);
        let hosts = own.iter().chain(app.domains.iter().map(CustomDomain::host));
        let drains = hosts.map(|host| self.backends().router.drain(host, self.settings().drain));
        futures_util::future::join_all(drains).await;
        Ok(())
    }

    /// Requests to the app wait once the routes are applied; whether they did not before.
    pub(crate) fn hold_only(&self, name: &AppName) -> bool {
        match self.held().entry(name.clone()) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(Instant::now());
                true
            }
        }
    }

    /// Requests to the app wait no longer once the routes are applied; whether they did.
    pub(crate) fn lift(&self, name: &AppName) -> bool {
        self.held().remove(name).is_some()
    }

    pub(crate) fn is_held(&self, name: &AppName) -> bool {
        self.held_since(name).is_some()
    }

    /// Since when requests to the app wait, where they do.
    pub(crate) fn held_since(&self, name: &AppName) -> Option<Instant> {
        self.held().get(name).copied()
    }
}
