//! The settings: flags, environment, file, defaults, in that order. The one reader of the environment.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use lab_core::{
    LabSettings, PublicAddress, Secret, UrlPolicy, layout::DataDir, pocketbase::wheel::PythonWheel, router::Hostname,
    router::gateway::IpRange, source::FetchLimits,
};

mod arguments;
mod check;
mod file;
#[cfg(test)]
mod tests;
mod values;

pub use arguments::{Arguments, Command};
use file::File;
pub use values::{Layout, PocketBaseFrom, StackKind, Tls};

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

/// The settings in force.
#[derive(Clone)]
pub struct Config {
    data_dir: PathBuf,
    domain: Hostname,
    /// Which backends are used.
    pub stack: StackKind,
    /// How Caddy reaches the apps.
    pub caddy_layout: Layout,
    /// Who ends TLS.
    pub tls: Tls,
    /// Caddy's https listener, where it ends TLS.
    pub https_listen: SocketAddr,
    /// Whom the certificate authority writes to.
    pub acme_email: Option<String>,
    /// The certificate authority's directory, where it is not the usual one.
    pub acme_directory: Option<String>,
    /// The root that vouches for that directory.
    pub acme_root: Option<PathBuf>,
    /// supervisord's program.
    pub supervisord: PathBuf,
    /// Caddy's program.
    pub caddy: PathBuf,
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
    origins: Vec<(&'static str, String)>,
    /// The settings file, where it holds a secret.
    secret_file: Option<PathBuf>,
}

/// Without the variables: a proxy's address may hold a password.
impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("data_dir", &self.data_dir)
            .field("domain", &self.domain)
            .field("listen", &self.listen)
            .field("public_listen", &self.public_listen)
            .finish_non_exhaustive()
    }
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
struct Pick<'a> {
    given: &'a BTreeMap<String, String>,
    origins: Vec<(&'static str, String)>,
}

impl Pick<'_> {
    fn of<T>(&mut self, name: &'static str, given: Option<T>, file: Option<T>, default: T) -> T {
        self.maybe(name, given, file).unwrap_or(default)
    }

    fn maybe<T>(&mut self, name: &'static str, given: Option<T>, file: Option<T>) -> Option<T> {
        let origin = match (&given, &file) {
            (Some(_), _) => self.given.get(name).map_or("given", String::as_str),
            (None, Some(_)) => "file",
            (None, None) => "default",
        };
        self.origins.push((name, origin.to_owned()));
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
        let has_secrets = file.api_key.is_some() || file.github_token.is_some();
        let mut config = Self::of(arguments, file, env("PATH").unwrap_or_default(), tool_env)?;
        config.secret_file = arguments.config.clone().filter(|_| has_secrets);
        config.pip_env = std::env::vars_os().filter(|(name, _)| PythonWheel::wants(&name.to_string_lossy())).collect();
        Ok(config)
    }

    fn of(
        arguments: &Arguments,
        file: File,
        path: String,
        tool_env: BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        let given = &arguments.given;
        let mut pick = Pick { given: &arguments.origins, origins: Vec::new() };
        let data_dir = pick.of("data_dir", given.data_dir.clone(), file.data_dir, PathBuf::from("data"));
        let data_dir = std::path::absolute(&data_dir).map_err(|e| invalid("data_dir", e))?;
        let domain = pick.of("domain_name", given.domain_name.clone(), file.domain_name, "lab.localhost".to_owned());
        let domain: Hostname = domain.parse().map_err(|e| invalid("domain_name", e))?;
        let is_init = arguments.command == Some(Command::Init);
        let usual = if is_init { StackKind::Production } else { StackKind::Embedded };
        let stack = pick.of("stack", given.stack, file.stack, usual);
        if is_init && stack == StackKind::Embedded {
            return Err(invalid(
                "stack",
                "`init` runs the production stack; without it `lab-server` is all of the embedded one",
            ));
        }
        let caddy_layout = pick.of("caddy_layout", given.caddy_layout, file.caddy_layout, Layout::Edge);
        let tls = pick.of("tls", given.tls, file.tls, Tls::Edge);
        if stack == StackKind::Embedded && tls != Tls::Edge {
            return Err(invalid(
                "tls",
                "the embedded stack speaks plain HTTP: put a proxy that ends TLS in front, or use `--stack production`",
            ));
        }
        let https_listen =
            pick.of("https_listen", given.https_listen, file.https_listen, (Ipv4Addr::UNSPECIFIED, 443).into());
        let acme_email = pick.maybe("acme_email", given.acme_email.clone(), file.acme_email);
        let acme_directory = pick.maybe("acme_directory", given.acme_directory.clone(), file.acme_directory);
        if acme_directory.as_deref().is_some_and(|url| !url.starts_with("https://")) {
            return Err(invalid("acme_directory", "it must be an https URL"));
        }
        let acme_root = pick.maybe("acme_root", given.acme_root.clone(), file.acme_root);
        let manager_port = pick.of("manager_port", given.manager_port, file.manager_port, 9000);
        let listen = pick.of("listen", given.listen, file.listen, (Ipv4Addr::LOCALHOST, manager_port).into());
        let caddy_port = pick.of("caddy_port", given.caddy_port, file.caddy_port, 8080);
        let public_listen = pick.of(
            "public_listen",
            given.public_listen,
            file.public_listen,
            (Ipv4Addr::UNSPECIFIED, caddy_port).into(),
        );
        let https = pick.of("public_https", given.public_https, file.public_https, tls != Tls::Edge);
        let public_port = match (https, tls) {
            (true, Tls::Edge) => 443,
            (true, _) => https_listen.port(),
            (false, _) => public_listen.port(),
        };
        let public_port = pick.of("public_port", given.public_port, file.public_port, public_port);
        let trusted = pick.of("trusted_proxies", given.trusted_proxies.clone(), file.trusted_proxies, Vec::new());
        let trusted_proxies = trusted
            .iter()
            .map(|text| text.trim().parse().map_err(|e| invalid("trusted_proxies", e)))
            .collect::<Result<_, _>>()?;
        let api_key = pick.maybe("api_key", given.api_key.clone(), file.api_key);
        let api_key = api_key.filter(|key| !key.is_empty()).map(values::key).transpose()?;
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
        let ports = values::ports(&ports)?;
        let mut listeners = vec![("manager_port", listen), ("caddy_port", public_listen)];
        if tls != Tls::Edge {
            listeners.push(("https_listen", https_listen));
        }
        for (name, port) in listeners.into_iter().map(|(name, address)| (name, address.port())) {
            if ports.contains(&port) {
                return Err(invalid(
                    name,
                    format!("{port} is among the apps' ports; choose another, or set LAB_PORTS"),
                ));
            }
        }
        if listen.port() == public_listen.port() && listen.port() != 0 {
            return Err(invalid("caddy_port", format!("{} is the API's port; choose another", listen.port())));
        }
        let parallel_builds = pick.of("parallel_builds", given.parallel_builds, file.parallel_builds, 2);
        let build_timeout = pick.of("build_timeout", given.build_timeout, file.build_timeout, 900);
        let fetch_timeout = pick.of("fetch_timeout", given.fetch_timeout, file.fetch_timeout, 600);
        let size = given.max_repository_size;
        let max_bytes = pick.of("max_repository_size", size, file.max_repository_size, 1 << 30);
        let trash_days = pick.of("trash_days", given.trash_days, file.trash_days, 7);
        let stop = pick.of("stop_apps_on_exit", given.stop_apps_on_exit, file.stop_apps_on_exit, false);
        let supervisord = pick.maybe("supervisord", given.supervisord.clone(), file.supervisord);
        let caddy = pick.maybe("caddy", given.caddy.clone(), file.caddy);
        let log_filter = pick.of("log", given.log.clone(), file.log, "info".to_owned());
        let log_filter = values::filter(log_filter)?;
        for (name, number) in [
            ("parallel_builds", parallel_builds as u64),
            ("build_timeout", build_timeout),
            ("fetch_timeout", fetch_timeout),
            ("max_repository_size", max_bytes),
        ] {
            if number == 0 {
                return Err(invalid(name, "it must be at least 1"));
            }
        }
        Ok(Self {
            data_dir,
            domain,
            stack,
            caddy_layout,
            tls,
            https_listen,
            acme_email,
            acme_directory,
            acme_root,
            supervisord: values::program(supervisord, "supervisord", &path),
            caddy: values::program(caddy, "caddy", &path),
            listen,
            public_listen,
            public: PublicAddress { https, port: public_port },
            trusted_proxies,
            api_key: api_key.map(Secret::new),
            github_token: github_token.filter(|token| !token.is_empty()).map(Secret::new),
            ssh_keys,
            repositories: if local { UrlPolicy::LocalAllowed } else { UrlPolicy::Remote },
            pocketbase_version: values::version(version)?,
            pocketbase_from: values::source(&from)?,
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
            secret_file: None,
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
}
