//! What is wrong with Caddy, for `lab doctor`.

use std::time::Duration;

use super::{CaddyError, CaddySettings, admin::Admin, config};
use crate::Finding;

/// Looks at the folder, the admin socket and the configuration in force.
pub async fn diagnose(settings: &CaddySettings) -> Vec<Finding> {
    let looked = async {
        config::check(settings)?;
        let admin = Admin::new(&settings.admin_socket(), Duration::ZERO)?;
        let found = admin.config().await?;
        let hosts = found.pointer(config::MAPPINGS);
        let hosts = hosts.and_then(|hosts| hosts.as_array()).map(Vec::len);
        let mut findings = vec![Finding::well(match hosts {
            Some(hosts) => format!("Caddy answers, and leads {hosts} hosts to their apps"),
            None => "Caddy answers, and leads everything to the gateway".to_owned(),
        })];
        if found.pointer("/apps/http/servers/lab").is_none() {
            findings.push(Finding::wrong(
                "Caddy has a configuration that is not the lab's; restart it with `lab-server init`".to_owned(),
            ));
        }
        if tokio::net::UnixStream::connect(settings.gateway_socket()).await.is_err() {
            findings.push(Finding::wrong(format!(
                "nobody answers on `{}`: lab-server does not run, and visitors get 502; start it",
                settings.gateway_socket().display()
            )));
        }
        Ok::<_, CaddyError>(findings)
    };
    looked.await.unwrap_or_else(|error| vec![Finding::wrong(crate::error::report(&error))])
}
