//! The settings: flags, environment, file, defaults, in that order. The one reader of the environment.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use lab_core::{
    LabSettings, Secret, UrlPolicy,
    layout::DataDir,
    pocketbase::wheel::PythonWheel,
    router::{
        Hostname,
        caddy::{CaddyLayout, CaddySettings, CaddyTls},
    },
};

mod addresses;
mod arguments;
mod builds;
mod check;
mod file;
mod kept;
mod production;
#[cfg(test)]
mod tests;
mod values;

pub use addresses::Addresses;
pub use arguments::{Arguments, Command};
pub use builds::Builds;
use file::File;
pub use kept::Kept;
pub use production::Production;
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
    /// Which backends are used, and the settings of those that are programs of their own.
    pub production: Production,
    /// Where the lab listens, and what its apps get.
    pub addresses: Addresses,
    /// What a build may take.
    pub builds: Builds,
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
    /// What is kept of each app.
    pub kept: Kept,
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
    /// The whole environment, for `init` to hand on.
    pub environment: Vec<(OsString, OsString)>,
    /// What the platform calls this machine, where it does.
    pub machine: Option<String>,
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
            .field("addresses", &self.addresses)
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
        if arguments.command == Some(Command::Init) {
            config.environment = std::env::vars_os().collect();
        }
        // set by Fly.io on each of its machines
        config.machine = env("FLY_MACHINE_ID").filter(|id| !id.is_empty());
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
        let data_dir = pick.of("data_dir", given.data_dir.clone(), file.data_dir.clone(), PathBuf::from("data"));
        let data_dir = std::path::absolute(&data_dir).map_err(|e| invalid("data_dir", e))?;
        let domain =
            pick.of("domain_name", given.domain_name.clone(), file.domain_name.clone(), "lab.localhost".into());
        let domain: Hostname = domain.parse().map_err(|e| invalid("domain_name", e))?;
        let production = Production::pick(&mut pick, arguments, &file, &path)?;
        let api_key = pick.maybe("api_key", given.api_key.clone(), file.api_key.clone());
        let api_key = api_key.filter(|key| !key.is_empty()).map(values::key).transpose()?;
        let addresses = Addresses::pick(&mut pick, given, &file, &production, api_key.is_some())?;
        let builds = Builds::pick(&mut pick, given, &file)?;
        let kept = Kept::pick(&mut pick, given, &file)?;
        let github_token = pick.maybe("github_token", given.github_token.clone(), file.github_token);
        let ssh_keys = pick.of("ssh_keys", given.ssh_keys.clone(), file.ssh_keys, Vec::new());
        let local = given.allow_local_repositories;
        let local = pick.of("allow_local_repositories", local, file.allow_local_repositories, false);
        let version = lab_core::pocketbase::DEFAULT_VERSION.to_owned();
        let version = pick.of("pocketbase_version", given.pocketbase_version.clone(), file.pocketbase_version, version);
        let from =
            pick.of("pocketbase_source", given.pocketbase_source.clone(), file.pocketbase_source, "github".to_owned());
        let stop = pick.of("stop_apps_on_exit", given.stop_apps_on_exit, file.stop_apps_on_exit, false);
        let log_filter = pick.of("log", given.log.clone(), file.log, "info".to_owned());
        Ok(Self {
            data_dir,
            domain,
            production,
            addresses,
            builds,
            api_key: api_key.map(Secret::new),
            github_token: github_token.filter(|token| !token.is_empty()).map(Secret::new),
            ssh_keys,
            repositories: if local { UrlPolicy::LocalAllowed } else { UrlPolicy::Remote },
            pocketbase_version: values::version(version)?,
            pocketbase_from: values::source(&from)?,
            kept,
            stop_apps_on_exit: stop,
            log_filter: values::filter(log_filter)?,
            path,
            tool_env,
            pip_env: Vec::new(),
            environment: Vec::new(),
            machine: None,
            origins: pick.origins,
            secret_file: None,
        })
    }

    /// Where everything is kept.
    pub fn data(&self) -> DataDir {
        DataDir::new(self.data_dir.clone())
    }

    /// Caddy's settings.
    pub fn caddy(&self) -> CaddySettings {
        let Production { layout, tls, https_listen, acme_email, acme_directory, acme_root, .. } = &self.production;
        let mut settings = CaddySettings::new(self.data().caddy(), self.addresses.public_listen);
        settings.layout = match layout {
            Layout::Edge => CaddyLayout::Edge,
            Layout::Direct => CaddyLayout::Direct,
        };
        settings.tls = match tls {
            Tls::Edge => CaddyTls::Edge,
            Tls::Acme => {
                CaddyTls::Acme { email: acme_email.clone(), directory: acme_directory.clone(), root: acme_root.clone() }
            }
            Tls::Internal => CaddyTls::Internal,
        };
        settings.https = *https_listen;
        settings.is_https = self.addresses.public.https;
        settings.trusted_proxies.clone_from(&self.addresses.trusted_proxies);
        settings.ask = format!("http://{}/tls/ask", self.addresses.ask());
        settings
    }

    /// The lab's own settings.
    pub fn lab_settings(&self) -> LabSettings {
        let mut settings = LabSettings::new(self.data(), self.domain.clone());
        settings.public = self.addresses.public;
        settings.repositories = self.repositories;
        settings.git_token.clone_from(&self.github_token);
        settings.fetch_limits = self.builds.fetch_limits;
        settings.build_timeout = self.builds.timeout;
        settings.parallel_builds = self.builds.parallel;
        if let Ok(version) = self.pocketbase_version.parse() {
            settings.pocketbase = version;
        }
        settings.rehearsal.clone_from(&self.builds.rehearsal);
        settings.kept_releases = self.kept.releases;
        settings.kept_release_bytes = self.kept.release_bytes;
        settings.kept_points = self.kept.points;
        settings.points_for = self.kept.points_for;
        settings.trash_for = self.kept.trash_for;
        settings
    }
}
