//! The keys of `fly.toml` that Lab uses, each with its documented meaning, and no others. Source: Fly.io's reference of
//! the app configuration, <https://fly.io/docs/reference/configuration/>, read in November 2026.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::span::Span;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fly {
    /// The app's name, also that of its host below `fly.dev`.
    pub app: String,
    /// Where machines and volumes are made, and where `min_machines_running` counts: a code of three letters.
    pub primary_region: String,
    /// What a machine's main process gets first when it is stopped: SIGINT (the default), SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2,
    /// SIGKILL or SIGSTOP.
    pub kill_signal: Option<String>,
    /// How long it may then take to end: 5 s by default, at most 300 s, as well as Fly.io can.
    pub kill_timeout: Option<Span>,
    /// The size of a swap partition, in megabytes.
    pub swap_size_mb: Option<u32>,
    /// How the image is built.
    pub build: Option<Build>,
    /// How a release replaces the one before.
    pub deploy: Option<Deploy>,
    /// The machine's variables: strings, none beginning with `FLY_`; secrets go elsewhere.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The volumes, each at its place: one table or a list.
    #[serde(default)]
    pub mounts: Mounts,
    /// A service at ports 80 (HTTP) and 443 (TLS, HTTP).
    pub http_service: Option<HttpService>,
    /// Services at other ports.
    #[serde(default)]
    pub services: Vec<Service>,
    /// When a machine that ended is started again.
    #[serde(default)]
    pub restart: Vec<Restart>,
    /// The machine's size.
    #[serde(default)]
    pub vm: Vec<Vm>,
    /// Groups of machines by their command: a group has machines of its own, so Lab allows none.
    #[serde(default)]
    pub processes: BTreeMap<String, String>,
}

/// `[build]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// The Dockerfile, relative to the file's folder.
    pub dockerfile: Option<String>,
}

/// `[deploy]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deploy {
    /// `rolling` (the default), `immediate` (waits for no check), `canary` or `bluegreen` (both impossible with a volume).
    pub strategy: Option<String>,
    /// How many machines may be down at once: a number from 1, or a share below 1.
    pub max_unavailable: Option<f64>,
    /// How long to wait for a machine to start: 5 min by default.
    pub wait_timeout: Option<Span>,
}

/// `[mounts]` or `[[mounts]]`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Mounts {
    /// One table.
    One(Mount),
    /// A list.
    List(Vec<Mount>),
}

impl Default for Mounts {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Mounts {
    /// As a list.
    pub fn all(&self) -> &[Mount] {
        match self {
            Self::One(mount) => std::slice::from_ref(mount),
            Self::List(mounts) => mounts,
        }
    }
}

/// One volume.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// The volume's name.
    pub source: String,
    /// The folder it is mounted at; never `/`.
    pub destination: String,
    /// The size of a volume that the first deploy makes, with its unit.
    pub initial_size: Option<String>,
    /// How many days snapshots are kept: 1 to 60, by default 5.
    pub snapshot_retention: Option<u8>,
    /// Whether there are daily snapshots: true by default.
    pub scheduled_snapshots: Option<bool>,
}

/// `[http_service]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpService {
    /// The port that the program in the machine listens on, for plain HTTP.
    pub internal_port: u16,
    /// Whether plain HTTP is redirected to https.
    #[serde(default)]
    pub force_https: bool,
    /// What is done with machines that are idle: `"off"`, `"stop"` or `"suspend"`; formerly a boolean.
    pub auto_stop_machines: Option<toml::Value>,
    /// Whether a request starts a machine that is stopped.
    pub auto_start_machines: Option<bool>,
    /// How many machines of the primary region are not stopped for being idle: 0 by default.
    pub min_machines_running: Option<u32>,
    /// How a machine's load is counted.
    pub concurrency: Option<Concurrency>,
    /// What the proxy does with requests.
    pub http_options: Option<HttpOptions>,
    /// Requests that tell whether the machine is healthy.
    #[serde(default)]
    pub checks: Vec<HttpCheck>,
}

/// `[http_service.concurrency]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concurrency {
    /// What is counted: `connections` (the default) or `requests`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// From how many on other machines are preferred: 20 by default.
    pub soft_limit: Option<u32>,
    /// From how many on the machine gets none any more: unlimited by default.
    pub hard_limit: Option<u32>,
}

/// `[http_service.http_options]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpOptions {
    /// After how many seconds without traffic a connection is cut: 60 by default.
    pub idle_timeout: Option<u32>,
}

/// `[[http_service.checks]]`: right when the answer's status is 2xx. It comes to the machine's private address.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpCheck {
    /// How long after its start a machine is not checked.
    pub grace_period: Span,
    /// The time between two checks.
    pub interval: Span,
    /// How long an answer may take.
    pub timeout: Span,
    /// The method: GET by default.
    pub method: Option<String>,
    /// The path.
    pub path: String,
    /// `http` (the default) or `https`, as the program in the machine speaks it.
    pub protocol: Option<String>,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// `[[services]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The port that the program in the machine listens on.
    pub internal_port: u16,
    /// As for [`HttpService`].
    pub auto_stop_machines: Option<toml::Value>,
    /// As for [`HttpService`].
    pub auto_start_machines: Option<bool>,
    /// As for [`HttpService`].
    pub min_machines_running: Option<u32>,
    /// The public ports.
    #[serde(default)]
    pub ports: Vec<PublicPort>,
    /// Connections that tell whether the machine is healthy.
    #[serde(default)]
    pub tcp_checks: Vec<TcpCheck>,
}

/// `[[services.ports]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicPort {
    /// The public port.
    pub port: u16,
    /// What the proxy ends: `tls`, `http`, both, or neither, which passes the bytes on.
    #[serde(default)]
    pub handlers: Vec<String>,
}

/// `[[services.tcp_checks]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpCheck {
    /// As for [`HttpCheck`].
    pub grace_period: Span,
    /// As for [`HttpCheck`].
    pub interval: Span,
    /// As for [`HttpCheck`].
    pub timeout: Span,
}

/// `[[restart]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    /// `always`, `never` or `on-failure` (the default).
    pub policy: String,
}

/// `[[vm]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vm {
    /// A preset, such as `shared-cpu-2x`.
    pub size: String,
    /// The memory, with its unit.
    pub memory: Option<String>,
}
