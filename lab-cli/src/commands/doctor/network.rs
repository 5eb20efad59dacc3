//! Whether visitors reach the server.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use tokio::{net::lookup_host, time::timeout};

use super::Info;
use crate::{args::Place, client::Client};

/// A label that is no app's: it resolves only where every label does.
const ANY_LABEL: &str = "lab-doctor-0";
const LIMIT: Duration = Duration::from_secs(5);

/// Whether every name below the domain leads where the domain does.
pub(super) async fn domain(domain: &str) -> Result<String, String> {
    if domain == "localhost" || domain.ends_with(".localhost") {
        return Ok(format!("*.{domain} is this machine for browsers and curl; other programs may need a resolver"));
    }
    let any = format!("{ANY_LABEL}.{domain}");
    let (own, below) = tokio::join!(addresses(domain), addresses(&any));
    if own.is_empty() {
        return Err(format!("{domain} does not resolve: point it and *.{domain} at the server in its DNS"));
    }
    if below.is_empty() {
        return Err(format!("*.{domain} does not resolve: add a wildcard record that points at the server"));
    }
    if own.is_disjoint(&below) {
        return Err(format!(
            "*.{domain} leads to {}, {domain} to {}: point both at the server",
            list(&below),
            list(&own)
        ));
    }
    Ok(format!("{domain} and *.{domain} lead to {}", list(&own)))
}

async fn addresses(host: &str) -> BTreeSet<IpAddr> {
    match timeout(LIMIT, lookup_host((host, 80))).await {
        Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
        _ => BTreeSet::new(),
    }
}

fn list(addresses: &BTreeSet<IpAddr>) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether the lab's own address, through which apps are reached too, answers.
pub(super) async fn visitors(info: &Info) -> Result<String, String> {
    let scheme = if info.https { "https" } else { "http" };
    let url = format!("{scheme}://{}:{}", info.domain, info.port);
    let place = Place { url: Some(url.clone()), socket: None, api_key: None, data_dir: None };
    let client = Client::new(&place).map_err(|e| e.to_string())?;
    match timeout(LIMIT, client.get::<serde_json::Value>("/health")).await {
        Ok(Ok(_)) => Ok(format!("the gateway answers at {url}")),
        Ok(Err(error)) => {
            Err(format!("{error}; does the server listen there, and does a firewall or proxy let it through?"))
        }
        Err(_) => Err(format!("{url} gives no answer: does a firewall let visitors through?")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_below_localhost_need_no_resolver_and_others_do() {
        assert!(domain("lab.localhost").await.is_ok());
        let error = domain("no-such-host.invalid").await.expect_err("it cannot resolve");
        assert!(error.contains("*.no-such-host.invalid"), "{error}");
    }
}
