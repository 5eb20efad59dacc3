//! The command line and the environment.

use std::{collections::BTreeMap, ffi::OsString, net::SocketAddr, path::PathBuf};

use super::{
    builds::Isolation,
    values::{Layout, StackKind, Tls},
};
use clap::{
    Arg, CommandFactory, FromArgMatches, Parser, Subcommand,
    builder::{OsStr, Resettable},
    parser::ValueSource,
};
use lab_core::rehearsal::RehearsalPolicy;

/// Hosts many PocketBase apps on one server.
///
/// Settings come from flags, then the environment, then the file, then the defaults. Exit codes: 0 ended as asked, 1 could
/// not start or serve, 2 the settings make no sense.
#[derive(Debug, Parser)]
#[command(name = "lab-server", version, about, long_about, max_term_width = 110)]
pub struct Arguments {
    /// What to do; nothing: serve.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// A TOML file with these settings, named as the flags are with `_` for `-`
    #[arg(long, env = "LAB_CONFIG", value_name = "FILE", global = true)]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) given: Given,
    /// Where each setting was given: the flag's or the variable's name.
    #[arg(skip)]
    pub(super) origins: BTreeMap<String, String>,
}

/// What `lab-server` can do beside serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Prints the settings in force, secrets hidden, and whether they would work
    Check,
    /// Runs the production stack in the foreground: supervisord, Caddy and lab-server, each started again when it ends; the
    /// first process of a container, or the one of a systemd unit
    Init,
}

/// The settings as they are given, each by flag or variable.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Given {
    /// Where everything is kept [default: ./data]
    #[arg(long, env = "DATA_DIR", value_name = "FOLDER", global = true)]
    pub(super) data_dir: Option<PathBuf>,
    /// The lab's own host; apps are one label below it [default: lab.localhost]
    #[arg(long, env = "DOMAIN_NAME", value_name = "HOST", global = true)]
    pub(super) domain_name: Option<String>,
    /// `embedded`: everything in this process; `production`: supervisord and Caddy, run by `lab-server init`
    /// [default: embedded; production with `init`]
    #[arg(long, env = "LAB_STACK", value_name = "STACK", global = true)]
    pub(super) stack: Option<StackKind>,
    /// How Caddy reaches the apps: `edge`: through Lab's gateway, so that deploys never touch Caddy; `direct`: each app's port
    /// [default: edge]
    #[arg(long, env = "LAB_CADDY_LAYOUT", value_name = "LAYOUT", global = true)]
    pub(super) caddy_layout: Option<Layout>,
    /// Who ends TLS: `edge`: something in front of this machine, or nobody; `acme`: Caddy, with a certificate per host;
    /// `internal`: Caddy, with certificates of its own authority, for development [default: edge]
    #[arg(long, env = "LAB_TLS", value_name = "MODE", global = true)]
    pub(super) tls: Option<Tls>,
    /// The https listener of the TLS modes `acme` and `internal` [default: 0.0.0.0:443]
    #[arg(long, env = "LAB_HTTPS_LISTEN", value_name = "ADDRESS:PORT", global = true)]
    pub(super) https_listen: Option<SocketAddr>,
    /// The address that the certificate authority writes to [default: none]
    #[arg(long, env = "LAB_ACME_EMAIL", value_name = "EMAIL", global = true)]
    pub(super) acme_email: Option<String>,
    /// The ACME directory of the certificate authority [default: Let's Encrypt's]
    #[arg(long, env = "LAB_ACME_DIRECTORY", value_name = "URL", global = true)]
    pub(super) acme_directory: Option<String>,
    /// A PEM file with the root that vouches for the ACME directory, where the system's do not [default: none]
    #[arg(long, env = "LAB_ACME_ROOT", value_name = "FILE", global = true)]
    pub(super) acme_root: Option<PathBuf>,
    /// The API's port on the loopback address [default: 9000]
    #[arg(long, env = "LAB_MANAGER_PORT", value_name = "PORT", global = true)]
    pub(super) manager_port: Option<u16>,
    /// The API's address instead; one that is not loopback needs a key
    #[arg(long, env = "LAB_LISTEN", value_name = "ADDRESS:PORT", global = true)]
    pub(super) listen: Option<SocketAddr>,
    /// The public listener's port, on all addresses [default: 8080]
    #[arg(long, env = "CADDY_PORT", value_name = "PORT", global = true)]
    pub(super) caddy_port: Option<u16>,
    /// The public listener's address instead
    #[arg(long, env = "LAB_PUBLIC_LISTEN", value_name = "ADDRESS:PORT", global = true)]
    pub(super) public_listen: Option<SocketAddr>,
    /// Whether visitors come over https, ended by something in front [default: false]
    #[arg(long, env = "LAB_PUBLIC_HTTPS", value_name = "BOOL", global = true)]
    pub(super) public_https: Option<bool>,
    /// The port that visitors see [default: the public listener's; 443 with https]
    #[arg(long, env = "LAB_PUBLIC_PORT", value_name = "PORT", global = true)]
    pub(super) public_port: Option<u16>,
    /// Proxies in front whose X-Forwarded-* are believed, as addresses or ranges joined by commas [default: none]
    #[arg(long, env = "LAB_TRUSTED_PROXIES", value_name = "RANGES", value_delimiter = ',', global = true)]
    pub(super) trusted_proxies: Option<Vec<String>>,
    /// The API's key, at least 16 characters; rather by the variable or the file: others on this machine see flags
    /// [default: none: the API is for this machine only]
    #[arg(long, env = "LAB_API_KEY", value_name = "KEY", hide_env_values = true, global = true)]
    pub(super) api_key: Option<String>,
    /// A token for private https repositories; rather by the variable or the file, as the key
    #[arg(long, env = "GITHUB_TOKEN", value_name = "TOKEN", hide_env_values = true, global = true)]
    pub(super) github_token: Option<String>,
    /// Private keys for ssh repositories, joined by commas; the ssh agent is asked first
    #[arg(long, env = "LAB_SSH_KEYS", value_name = "FILES", value_delimiter = ',', global = true)]
    pub(super) ssh_keys: Option<Vec<PathBuf>>,
    /// Whether repositories on this machine's disk may be deployed [default: false]
    #[arg(long, env = "LAB_ALLOW_LOCAL_REPOSITORIES", value_name = "BOOL", global = true)]
    pub(super) allow_local_repositories: Option<bool>,
    /// The PocketBase version of apps that name none [default: Lab's own]
    #[arg(long, env = "LAB_POCKETBASE_VERSION", value_name = "VERSION", global = true)]
    pub(super) pocketbase_version: Option<String>,
    /// Where PocketBase comes from: `github`, `wheel` (pip), `path:FOLDER`, or a mirror's URL with {version} and {file}
    /// [default: github]
    #[arg(long, env = "LAB_POCKETBASE_SOURCE", value_name = "SOURCE", global = true)]
    pub(super) pocketbase_source: Option<String>,
    /// The ports that apps get [default: 8091-8999]
    #[arg(long, env = "LAB_PORTS", value_name = "FIRST-LAST", global = true)]
    pub(super) ports: Option<String>,
    /// How many deployments fetch and build at once [default: 2]
    #[arg(long, env = "LAB_PARALLEL_BUILDS", value_name = "COUNT", global = true)]
    pub(super) parallel_builds: Option<usize>,
    /// The longest build, in seconds [default: 900]
    #[arg(long, env = "LAB_BUILD_TIMEOUT", value_name = "SECONDS", global = true)]
    pub(super) build_timeout: Option<u64>,
    /// The longest fetch, in seconds [default: 600]
    #[arg(long, env = "LAB_FETCH_TIMEOUT", value_name = "SECONDS", global = true)]
    pub(super) fetch_timeout: Option<u64>,
    /// The largest repository, in bytes [default: 1073741824]
    #[arg(long, env = "LAB_MAX_REPOSITORY_SIZE", value_name = "BYTES", global = true)]
    pub(super) max_repository_size: Option<u64>,
    /// How much builds may keep for the next ones, in bytes [default: 10737418240]
    #[arg(long, env = "LAB_MAX_BUILD_CACHE", value_name = "BYTES", global = true)]
    pub(super) max_build_cache: Option<u64>,
    /// When releases are tried on a copy of the data before they serve: `auto` (migrations, hooks or the program changed),
    /// `always`, `never`; an app's own word counts more [default: auto]
    #[arg(long, env = "LAB_REHEARSAL", value_name = "WHEN", global = true)]
    pub(super) rehearsal: Option<RehearsalPolicy>,
    /// Whether they are tried where the kernel can keep them neither in a network of their own nor to their own TCP port:
    /// `preferred` (yes, and the deployment says so), `required` (no) [default: preferred]
    #[arg(long, env = "LAB_REHEARSAL_ISOLATION", value_name = "HOW", global = true)]
    pub(super) rehearsal_isolation: Option<Isolation>,
    /// The most bytes of data that are copied for that; apps with more are not rehearsed [default: 4294967296]
    #[arg(long, env = "LAB_MAX_REHEARSAL_SIZE", value_name = "BYTES", global = true)]
    pub(super) max_rehearsal_size: Option<u64>,
    /// How many releases of an app are kept, the one that serves included [default: 10]
    #[arg(long, env = "LAB_KEPT_RELEASES", value_name = "COUNT", global = true)]
    pub(super) kept_releases: Option<usize>,
    /// How many bytes an app's releases may have together; the one that serves and one to go back to stay
    /// [default: 4294967296]
    #[arg(long, env = "LAB_MAX_RELEASE_SIZE", value_name = "BYTES", global = true)]
    pub(super) max_release_size: Option<u64>,
    /// How many data points of an app are kept [default: 10]
    #[arg(long, env = "LAB_KEPT_POINTS", value_name = "COUNT", global = true)]
    pub(super) kept_points: Option<usize>,
    /// How long a data point is kept, in days; an app's newest one stays [default: 30]
    #[arg(long, env = "LAB_POINT_DAYS", value_name = "DAYS", global = true)]
    pub(super) point_days: Option<u64>,
    /// How long removed apps stay in the trash, in days [default: 7]
    #[arg(long, env = "LAB_TRASH_DAYS", value_name = "DAYS", global = true)]
    pub(super) trash_days: Option<u64>,
    /// Stops the apps when the server ends; without it they run on and the next server adopts them
    #[arg(long, env = "LAB_STOP_APPS_ON_EXIT", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", global = true)]
    pub(super) stop_apps_on_exit: Option<bool>,
    /// supervisord's program [default: supervisord in PATH]
    #[arg(long, env = "LAB_SUPERVISORD", value_name = "FILE", global = true)]
    pub(super) supervisord: Option<PathBuf>,
    /// Caddy's program [default: caddy in PATH]
    #[arg(long, env = "LAB_CADDY", value_name = "FILE", global = true)]
    pub(super) caddy: Option<PathBuf>,
    /// What the server logs, such as `info` or `lab_core=debug` [default: info]
    #[arg(long, env = "LAB_LOG", value_name = "FILTER", global = true)]
    pub(super) log: Option<String>,
}

impl Arguments {
    /// Reads a command line, its program's name first, and the environment. A variable that is set to nothing counts as
    /// not set: that is what `${NAME:-}` in a compose file makes of it.
    pub fn read_from(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut matches = Self::command().mut_args(without_empty).try_get_matches_from(words)?;
        let names: Vec<String> = matches.ids().map(ToString::to_string).collect();
        let origin = |name: String| {
            let origin = match matches.value_source(&name)? {
                ValueSource::CommandLine => format!("--{}", name.replace('_', "-")),
                ValueSource::EnvVariable => variable(&name),
                _ => return None,
            };
            Some((name, origin))
        };
        let origins = names.into_iter().filter_map(origin).collect();
        Ok(Self { origins, ..Self::from_arg_matches_mut(&mut matches)? })
    }
}

fn without_empty(arg: Arg) -> Arg {
    let is_empty = arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    if is_empty { arg.env(Resettable::<OsStr>::Reset) } else { arg }
}

/// The variable of a setting.
fn variable(name: &str) -> String {
    let command = Arguments::command();
    let argument = command.get_arguments().find(|argument| argument.get_id() == name);
    let variable = argument.and_then(Arg::get_env).unwrap_or_default();
    variable.to_string_lossy().into_owned()
}
