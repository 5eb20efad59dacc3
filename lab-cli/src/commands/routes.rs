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

/// What the server has for visitors.
#[derive(Deserialize)]
struct Info {
    https: bool,
    port: u16,
}

pub(crate) async fn caddyfile(client: &Client, output: &Output) -> Result<(), CliError> {
    let routes: RouteTable = client.get("/api/routes").await?;
    let info: Info = client.get("/api/info").await?;
    let mut settings = CaddySettings::new("/", ([0, 0, 0, 0], if info.https { 80 } else { info.port }).into());
    if info.https {
        settings.tls = CaddyTls::Acme { email: None, directory: None, root: None };
        settings.https = ([0, 0, 0, 0], info.port).into();
    }
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
