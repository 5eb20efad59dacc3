//! Looks for what is wrong with the server and this machine.

use lab_core::{AppView, lifecycle::Status};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    args::Place,
    client::{Client, sockets},
    error::CliError,
    output::Output,
};

mod machine;
mod network;
mod production;

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    what: &'static str,
    ok: bool,
    /// Whether the lab suffers when it is not ok.
    needed: bool,
    /// What was seen, and what to do where it is wrong.
    detail: String,
}

impl Check {
    /// One that must be well.
    fn needed(what: &'static str, result: Result<String, String>) -> Self {
        let ok = result.is_ok();
        let (Ok(detail) | Err(detail)) = result;
        Self { what, ok, needed: true, detail }
    }

    /// One that only some need.
    fn useful(what: &'static str, result: Result<String, String>) -> Self {
        Self { needed: false, ..Self::needed(what, result) }
    }

    fn line(&self) -> String {
        let mark = match (self.ok, self.needed) {
            (true, _) => "✓",
            (false, true) => "✗",
            (false, false) => "-",
        };
        format!("{mark} {:<8} {}", self.what, self.detail)
    }
}

/// What a server tells of itself.
#[derive(Debug, Deserialize)]
struct Info {
    domain: String,
    https: bool,
    port: u16,
    data_dir: std::path::PathBuf,
}

pub(crate) async fn doctor(place: &Place, output: &Output) -> Result<(), CliError> {
    let mut checks = Vec::new();
    if place.url.is_none() {
        checks.push(Check::needed("socket", socket(place)));
    }
    let client = Client::new(place)?;
    let health = client.get::<Value>("/health").await;
    checks.push(Check::needed(
        "server",
        match &health {
            Ok(_) => Ok(format!("answers at {}", client.place)),
            Err(error) => Err(advised(error)),
        },
    ));
    if let Ok(health) = &health {
        checks.push(Check::needed("version", version(health)));
        checks.push(Check::needed("apps", apps(&client).await));
        match client.get::<Info>("/api/info").await {
            Ok(info) => {
                checks.push(Check::needed("domain", network::domain(&info.domain).await));
                checks.push(Check::needed("visitors", network::visitors(&info).await));
                if client.is_here {
                    checks.push(Check::needed("data", machine::data(&info.data_dir)));
                    checks.push(Check::needed("disk", machine::disk(&info.data_dir)));
                }
            }
            Err(error) => checks.push(Check::needed("access", Err(advised(&error)))),
        }
    }
    if client.is_here {
        checks.extend(production::checks(place).await);
        for (program, arguments, what) in machine::PROGRAMS {
            checks.push(Check::useful(program, machine::installed(program, arguments, what)));
        }
    }
    let failed = checks.iter().filter(|check| check.needed && !check.ok).count();
    output.data(&checks, || checks.iter().map(Check::line).collect::<Vec<_>>().join("\n"));
    if failed == 0 { Ok(()) } else { Err(CliError::Unhealthy(failed)) }
}

fn advised(error: &CliError) -> String {
    match error {
        // what its hint says is what is being done
        CliError::Unreachable { .. } => {
            format!("{error}; start `lab-server`, or say where it is with --socket or --url")
        }
        other => other.to_string(),
    }
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

fn version(health: &Value) -> Result<String, String> {
    let (theirs, ours) = (health["version"].as_str().unwrap_or("?"), env!("CARGO_PKG_VERSION"));
    if theirs == ours {
        return Ok(format!("{ours} here and there"));
    }
    Err(format!("the server is {theirs}, this command is {ours}: install the same version"))
}

async fn apps(client: &Client) -> Result<String, String> {
    let apps: Vec<AppView> = client.get("/api/apps").await.map_err(|e| e.to_string())?;
    let is_ill = |view: &&AppView| matches!(view.app.status, Status::Failed | Status::Restarting);
    let ill: Vec<String> =
        apps.iter().filter(is_ill).map(|view| format!("{} is {}", view.app.name, view.app.status)).collect();
    if ill.is_empty() {
        return Ok(if apps.is_empty() { "none yet".to_owned() } else { format!("{}, none of them ill", apps.len()) });
    }
    Err(format!("{}; `lab show` and `lab logs` say why", ill.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_some_need_is_marked_as_such() {
        let missing = || Err("missing".to_owned());
        assert!(Check::needed("disk", missing()).line().starts_with('✗'));
        assert!(Check::useful("go", missing()).line().starts_with('-'));
        assert!(Check::useful("go", Ok("go1.25".to_owned())).line().starts_with('✓'));
        assert!(version(&serde_json::json!({"version": "9.9.9"})).is_err());
    }
}
