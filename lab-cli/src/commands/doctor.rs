//! Looks for what is wrong with the server and this machine.

use std::{net::ToSocketAddrs, path::Path, process::Stdio};

use lab_core::AppView;
use serde::Serialize;
use serde_json::Value;

use crate::{
    args::Place,
    client::{Client, sockets},
    error::CliError,
    output::Output,
};

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    what: String,
    ok: bool,
    /// What was seen, and what to do where it is wrong.
    detail: String,
}

fn check(what: &str, result: Result<String, String>) -> Check {
    let ok = result.is_ok();
    let (Ok(detail) | Err(detail)) = result;
    Check { what: what.to_owned(), ok, detail }
}

pub(crate) async fn doctor(place: &Place, output: &Output) -> Result<(), CliError> {
    let mut checks = Vec::new();
    if place.url.is_none() {
        checks.push(check("socket", socket(place)));
    }
    let client = Client::new(place)?;
    let health = client.get::<Value>("/health").await;
    checks.push(check(
        "server",
        match &health {
            Ok(_) => Ok(format!("answers at {}", client.place)),
            Err(error) => Err(error.to_string()),
        },
    ));
    if let Ok(health) = &health {
        let (theirs, ours) = (health["version"].as_str().unwrap_or("?"), env!("CARGO_PKG_VERSION"));
        checks.push(check(
            "version",
            if theirs == ours {
                Ok(format!("{ours} here and there"))
            } else {
                Err(format!("the server is {theirs}, this command is {ours}: install the same version"))
            },
        ));
        checks.push(check("apps", apps(&client).await));
    }
    for (program, needed) in
        [("git", "checkouts by hand"), ("go", "Go apps"), ("npm", "frontends"), ("node", "frontends")]
    {
        checks.push(check(program, installed(program, needed)));
    }
    if let Some(folder) = &place.data_dir {
        checks.push(check("disk", disk(folder)));
    }
    let failed = checks.iter().filter(|check| !check.ok).count();
    output.data(&checks, || {
        let line = |c: &Check| format!("{} {:<8} {}", if c.ok { "✓" } else { "✗" }, c.what, c.detail);
        checks.iter().map(line).collect::<Vec<_>>().join("\n")
    });
    if failed == 0 { Ok(()) } else { Err(CliError::Unhealthy(failed)) }
}

fn socket(place: &Place) -> Result<String, String> {
    let all = sockets(place);
    match all.iter().find(|path| path.exists()) {
        Some(path) => Ok(format!("found at {}", path.display())),
        None => Err(format!(
            "none at {}; set LAB_SOCKET or DATA_DIR to where the server keeps its data",
            all.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
        )),
    }
}

async fn apps(client: &Client) -> Result<String, String> {
    let apps: Vec<AppView> = client.get("/api/apps").await.map_err(|e| e.to_string())?;
    let ill: Vec<String> = apps
        .iter()
        .filter(|view| !matches!(view.app.status.to_string().as_str(), "running" | "stopped" | "deploying"))
        .map(|view| format!("{} is {}", view.app.name, view.app.status))
        .collect();
    if !ill.is_empty() {
        return Err(format!("{}; `lab logs` and `lab show` say why", ill.join(", ")));
    }
    let Some(first) = apps.first() else { return Ok("none yet".to_owned()) };
    let host = first.url.split("//").nth(1).and_then(|rest| rest.split(['/', ':']).next()).unwrap_or_default();
    match (host, 80).to_socket_addrs() {
        Ok(_) => Ok(format!("{} of them, all well; {host} resolves", apps.len())),
        // curl and browsers know it without a resolver
        Err(_) if host.ends_with(".localhost") => Ok(format!("{} of them, all well", apps.len())),
        Err(_) => Err(format!("{host} does not resolve: point *.<domain> at the server in its DNS")),
    }
}

fn installed(program: &str, needed: &str) -> Result<String, String> {
    let argument = if program == "go" { "version" } else { "--version" };
    let ran = std::process::Command::new(program).arg(argument).stdin(Stdio::null()).stderr(Stdio::null()).output();
    match ran {
        Ok(output) => Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned()),
        Err(_) => Err(format!("not on this machine; where the server runs here, {needed} need it")),
    }
}

fn disk(folder: &Path) -> Result<String, String> {
    let stat = rustix::fs::statvfs(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let free = (stat.f_bavail * stat.f_frsize) >> 20;
    if free < 1024 {
        return Err(format!("{free} MiB free at {}: builds and databases need more", folder.display()));
    }
    Ok(format!("{free} MiB free at {}", folder.display()))
}
