//! Which host leads where.

use lab_core::router::{
    Route, RouteTable, Target, Unavailable,
    caddy::{CaddySettings, CaddyTls, caddyfile as caddyfile_of},
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    client::Client,
    error::CliError,
    output::{Output, table},
};

pub(crate) async fn ls(client: &Client, output: &Output) -> Result<(), CliError> {
    let routes: RouteTable = client.get("/api/routes").await?;
    output.data(&routes, || {
        table(
            ["HOST", "APP", "LEADS TO"],
            routes.iter().map(|(host, route)| [host.to_string(), owner(route), place(&route.target)]),
        )
    });
    Ok(())
}

#[derive(Deserialize)]
struct Info {
    front: Front,
}

/// Where the server's visitors come in.
#[derive(Deserialize)]
struct Front {
    tls: Tls,
    http_port: u16,
    https_port: u16,
}

/// Who ends TLS.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Tls {
    Edge,
    Acme,
    Internal,
}

pub(crate) async fn caddyfile(client: &Client, output: &Output) -> Result<(), CliError> {
    let routes: RouteTable = client.get("/api/routes").await?;
    let Front { tls, http_port, https_port } = client.get::<Info>("/api/info").await?.front;
    let mut settings = CaddySettings::new("/", ([0, 0, 0, 0], http_port).into());
    settings.https = ([0, 0, 0, 0], https_port).into();
    settings.tls = match tls {
        Tls::Edge => CaddyTls::Edge,
        Tls::Acme => CaddyTls::Acme { email: None, directory: None, root: None },
        Tls::Internal => CaddyTls::Internal,
    };
    let text = caddyfile_of(&settings, &routes);
    output.data(&json!({"caddyfile": text}), || text.trim_end().to_owned());
    Ok(())
}

fn owner(route: &Route) -> String {
    route.app.as_ref().map_or_else(|| "(the lab)".to_owned(), ToString::to_string)
}

fn place(target: &Target) -> String {
    match target {
        Target::Port(port) => format!("127.0.0.1:{port}"),
        Target::Held(port) => format!("127.0.0.1:{port}, waiting for it"),
        Target::Unavailable(Unavailable::Deploying) => "a page: being deployed".to_owned(),
        Target::Unavailable(Unavailable::Stopped) => "a page: stopped".to_owned(),
        Target::Unavailable(Unavailable::Failed) => "a page: failing".to_owned(),
    }
}
