use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use super::{Arguments, Command, ConfigError, File, Layout, Pick, StackKind, Tls, invalid, values};

/// Which backends are used, and the settings of those that are programs of their own.
#[derive(Debug, Clone)]
pub struct Production {
    /// Which backends are used.
    pub stack: StackKind,
    /// How Caddy reaches the apps.
    pub layout: Layout,
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
}

impl Production {
    pub(super) fn pick(
        pick: &mut Pick<'_>,
        arguments: &Arguments,
        file: &File,
        path: &str,
    ) -> Result<Self, ConfigError> {
        let given = &arguments.given;
        let is_init = arguments.command == Some(Command::Init);
        let usual = if is_init { StackKind::Production } else { StackKind::Embedded };
        let stack = pick.of("stack", given.stack, file.stack, usual);
        if is_init && stack == StackKind::Embedded {
            return Err(invalid(
                "stack",
                "`init` runs the production stack; without it `lab-server` is all of the embedded one",
            ));
        }
        let layout = pick.of("caddy_layout", given.caddy_layout, file.caddy_layout, Layout::Edge);
        let tls = pick.of("tls", given.tls, file.tls, Tls::Edge);
        if stack == StackKind::Embedded && tls != Tls::Edge {
            return Err(invalid(
                "tls",
                "the embedded stack speaks plain HTTP: put a proxy that ends TLS in front, or use `--stack production`",
            ));
        }
        let https = (Ipv4Addr::UNSPECIFIED, 443).into();
        let https_listen = pick.of("https_listen", given.https_listen, file.https_listen, https);
        let acme_email = pick.maybe("acme_email", given.acme_email.clone(), file.acme_email.clone());
        let acme_directory = pick.maybe("acme_directory", given.acme_directory.clone(), file.acme_directory.clone());
        if acme_directory.as_deref().is_some_and(|url| !url.starts_with("https://")) {
            return Err(invalid("acme_directory", "it must be an https URL"));
        }
        let acme_root = pick.maybe("acme_root", given.acme_root.clone(), file.acme_root.clone());
        let supervisord = pick.maybe("supervisord", given.supervisord.clone(), file.supervisord.clone());
        let caddy = pick.maybe("caddy", given.caddy.clone(), file.caddy.clone());
        Ok(Self {
            stack,
            layout,
            tls,
            https_listen,
            acme_email,
            acme_directory,
            acme_root,
            supervisord: values::program(supervisord, "supervisord", path),
            caddy: values::program(caddy, "caddy", path),
        })
    }
}
