//! The domains of an app's own.

use std::collections::BTreeSet;

use lab_core::{AppName, AppView, CustomDomain};
use serde_json::json;

use crate::{args::Domains, client::Client, error::CliError, output::Output};

pub(crate) async fn domains(client: &Client, app: &AppName, what: Domains, output: &Output) -> Result<(), CliError> {
    let path = format!("/api/apps/{app}/domains");
    match what {
        Domains::List => {
            let domains: BTreeSet<CustomDomain> = client.get(&path).await?;
            output.data(&domains, || match domains.len() {
                0 => format!("{app} has no domains of its own; `lab domains {app} add DOMAIN` gives it one"),
                _ => domains.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            });
        }
        Domains::Add { domain } => {
            let domains: BTreeSet<CustomDomain> = client.put(&format!("{path}/{domain}")).await?;
            let view: AppView = client.get(&format!("/api/apps/{app}")).await?;
            output.data(&json!({"domains": domains}), || {
                format!(
                    "{domain} leads to {app} as soon as its DNS leads here: a CNAME to the host of {}, or the same A and AAAA \
                     records",
                    view.url
                )
            });
        }
        Domains::Remove { domain } => {
            let domains: BTreeSet<CustomDomain> = client.delete_for(&format!("{path}/{domain}")).await?;
            output.data(&json!({"domains": domains}), || format!("{domain} leads to {app} no longer"));
        }
    }
    Ok(())
}
