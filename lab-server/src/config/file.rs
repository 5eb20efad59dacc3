//! The settings file.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use lab_core::rehearsal::RehearsalPolicy;
use serde::Deserialize;

use super::{
    ConfigError,
    builds::Isolation,
    values::{Layout, StackKind, Tls},
};

/// Every setting, as the file may give it. Unknown keys are errors.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) data_dir: Option<PathBuf>,
    pub(super) domain_name: Option<String>,
    pub(super) stack: Option<StackKind>,
    pub(super) caddy_layout: Option<Layout>,
    pub(super) tls: Option<Tls>,
    pub(super) https_listen: Option<SocketAddr>,
    pub(super) acme_email: Option<String>,
    pub(super) acme_directory: Option<String>,
    pub(super) acme_root: Option<PathBuf>,
    pub(super) manager_port: Option<u16>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) caddy_port: Option<u16>,
    pub(super) public_listen: Option<SocketAddr>,
    pub(super) public_https: Option<bool>,
    pub(super) public_port: Option<u16>,
    pub(super) trusted_proxies: Option<Vec<String>>,
    pub(super) api_key: Option<String>,
    pub(super) github_token: Option<String>,
    pub(super) ssh_keys: Option<Vec<PathBuf>>,
    pub(super) allow_local_repositories: Option<bool>,
    pub(super) pocketbase_version: Option<String>,
    pub(super) pocketbase_source: Option<String>,
    pub(super) ports: Option<String>,
    pub(super) parallel_builds: Option<usize>,
    pub(super) build_timeout: Option<u64>,
    pub(super) fetch_timeout: Option<u64>,
    pub(super) max_repository_size: Option<u64>,
    pub(super) max_build_cache: Option<u64>,
    pub(super) rehearsal: Option<RehearsalPolicy>,
    pub(super) rehearsal_isolation: Option<Isolation>,
    pub(super) max_rehearsal_size: Option<u64>,
    pub(super) kept_releases: Option<usize>,
    pub(super) max_release_size: Option<u64>,
    pub(super) kept_points: Option<usize>,
    pub(super) point_days: Option<u64>,
    pub(super) trash_days: Option<u64>,
    pub(super) stop_apps_on_exit: Option<bool>,
    pub(super) supervisord: Option<PathBuf>,
    pub(super) caddy: Option<PathBuf>,
    pub(super) log: Option<String>,
}

impl File {
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::File { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(|e| failed(e.into()))?;
        toml::from_str(&text).map_err(|e| failed(e.into()))
    }
}
