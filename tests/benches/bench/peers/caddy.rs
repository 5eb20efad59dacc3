//! Caddy by its JSON configuration and its admin API over a unix socket; and as the production stack has it.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use lab_core::router::{
    RouterConfig,
    caddy::{CaddyLayout, CaddyRouter, CaddySettings},
};
use serde_json::{Value, json};

use crate::bench::{
    HOST, Outcome,
    processes::{Place, Program, tool, version as version_of},
};

/// `Caddy 2.11.7`.
pub fn version() -> Outcome<String> {
    let text = version_of(Command::new(tool("bin/caddy")?).arg("version"))?;
    let number = text.split_whitespace().next().unwrap_or_default().trim_start_matches('v').to_owned();
    Ok(format!("Caddy {number}"))
}

/// Starts Caddy on a port that leads [`HOST`] to an app.
pub fn start_proxy(port: u16, app: u16, folder: &Path) -> Outcome<Program> {
    let routes = json!([route("app", HOST, app)]);
    start(&config(&json!({"disabled": true}), port, &routes), port, folder)
}

/// The route of one host.
fn route(id: &str, host: &str, port: u16) -> Value {
    json!({
        "@id": id,
        "match": [{"host": [host]}],
        "handle": [{
            "handler": "reverse_proxy",
            "upstreams": [{"dial": format!("127.0.0.1:{port}")}],
            // as many as there are visitors: its default of 32 would open a connection for most requests of 128
            "transport": {"protocol": "http", "keep_alive": {"max_idle_conns_per_host": 128}},
        }],
        "terminal": true,
    })
}

fn config(admin: &Value, port: u16, routes: &Value) -> Value {
    json!({
        "admin": admin,
        "logging": {"logs": {"default": {"level": "ERROR"}}},
        "apps": {"http": {"servers": {"lab": {
            "listen": [format!("127.0.0.1:{port}")],
            "automatic_https": {"disable": true},
            "routes": routes,
        }}}},
    })
}

fn start(config: &Value, port: u16, folder: &Path) -> Outcome<Program> {
    let file = folder.join(format!("caddy-{port}.json"));
    std::fs::write(&file, config.to_string())?;
    run(&file, port, folder)
}

fn run(file: &Path, port: u16, folder: &Path) -> Outcome<Program> {
    let mut command = Command::new(tool("bin/caddy")?);
    // neither its certificates nor its autosaved configuration go into the home of whoever runs this
    let home = folder.join(format!("caddy-{port}"));
    command.arg("run").arg("--config").arg(file).env("XDG_DATA_HOME", &home).env("XDG_CONFIG_HOME", &home);
    let mut caddy = Program::start(&mut command, &folder.join(format!("caddy-{port}.log")))?;
    caddy.listens_on(&Place::Port(port))?;
    Ok(caddy)
}

/// Caddy as the production stack has it, by Lab's own router.
pub struct Routed {
    pub router: CaddyRouter,
    /// Where it expects Lab's gateway.
    pub gateway: PathBuf,
    program: Program,
}

impl Routed {
    /// Starts one without routes. `gateway` is told them all as well.
    pub async fn start(layout: CaddyLayout, port: u16, folder: &Path, gateway: Arc<dyn RouterConfig>) -> Outcome<Self> {
        let mut settings = CaddySettings::new(folder.join(format!("routed-{port}")), ([127, 0, 0, 1], port).into());
        settings.layout = layout;
        settings.prepare()?;
        let program = run(&settings.config_file(), port, folder)?;
        let place = settings.gateway_socket();
        Ok(Self { router: CaddyRouter::open(settings, gateway).await?, gateway: place, program })
    }

    /// Its process; the router, which ends with this, is not needed for what it leads to already.
    pub fn into_program(self) -> Program {
        self.program
    }
}

/// A Caddy that is told its routes by its admin API.
pub struct Administered {
    client: reqwest::Client,
    port: u16,
    admin: Value,
    _program: Program,
}

impl Administered {
    /// Starts one without routes.
    pub fn start(port: u16, folder: &Path) -> Outcome<Self> {
        let socket = folder.join("admin.sock");
        let admin = json!({"listen": format!("unix/{}", socket.display())});
        let program = start(&config(&admin, port, &json!([])), port, folder)?;
        let client = reqwest::Client::builder().no_proxy().unix_socket(socket.as_path());
        // as the router does: each change ends the connections that are idle, also while they are used again
        let client = client.pool_max_idle_per_host(0).build()?;
        Ok(Self { client, port, admin, _program: program })
    }

    /// Replaces the whole configuration by one with so many routes.
    pub async fn load(&self, routes: u16, upstream: u16) -> Outcome<()> {
        let routes: Value = (0..routes).map(|n| route(&id(n), &host(n), upstream)).collect();
        let config = config(&self.admin, self.port, &routes);
        self.send(reqwest::Method::POST, "load", &config).await
    }

    /// Changes the first route and nothing else.
    pub async fn change_one_route(&self, upstream: u16) -> Outcome<()> {
        let path = format!("id/{}", id(0));
        self.send(reqwest::Method::PATCH, &path, &route(&id(0), &host(0), upstream)).await
    }

    async fn send(&self, method: reqwest::Method, path: &str, body: &Value) -> Outcome<()> {
        let answer = self.client.request(method, format!("http://127.0.0.1/{path}")).json(body).send().await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        Err(format!("Caddy answered {status} to /{path}: {}", answer.text().await?).into())
    }
}

fn id(n: u16) -> String {
    format!("app-{n}")
}

/// The host of an app's route.
pub fn host(n: u16) -> String {
    format!("app-{n}.lab.example.com")
}
