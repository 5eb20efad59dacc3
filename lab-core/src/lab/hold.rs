//! Letting an app's requests wait while its process is exchanged: they are answered by the next one.

use crate::{AppName, CustomDomain, Error, Lab};

impl Lab {
    /// From now on requests to the app wait. When this returns those under way have ended, or had their time.
    ///
    /// Ends with [`lift`](Self::lift) and the next change of the routes.
    pub(crate) async fn hold(&self, name: &AppName) -> Result<(), Error> {
        if !self.held().insert(name.clone()) {
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

    /// Requests to the app wait no longer once the routes are applied.
    pub(crate) fn lift(&self, name: &AppName) {
        self.held().remove(name);
    }

    pub(crate) fn is_held(&self, name: &AppName) -> bool {
        self.held().contains(name)
    }
}
