//! Puts Caddy in front: it ends TLS, fetches certificates and speaks HTTP/2 and 3 to visitors.
//!
//! - Whatever Caddy cannot lead to an app by itself goes to Lab's gateway, over a unix socket: in the layout
//!   [`Edge`](CaddyLayout::Edge) that is everything, so that no deploy ever touches Caddy; in
//!   [`Direct`](CaddyLayout::Direct) it is what has no running app: the lab's own host, unknown hosts, pages of apps that
//!   are stopped. So there is one place that words such answers.
//! - Caddy's admin API is a unix socket in a private folder: no other user, and no page in a browser, can reach it. Apps can,
//!   for as long as they run as the lab's own user.
//! - Any change of Caddy's configuration makes it build all of it anew, and closes visitors' idle connections; the direct
//!   layout pays that price. Its routes are one `map` from host to port, which stays fast with thousands of hosts, where a
//!   route per host is searched one by one. A change of one host sends that host's entry only.
//! - What Caddy accepted last is on disk: it starts with it, also while the lab is away.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Hostname, RouteTable, RouterConfig, RouterError, gateway::IpRange};
use crate::durable;

mod admin;
mod config;
mod diagnose;
mod error;
mod mappings;

pub use config::caddyfile;
pub use diagnose::diagnose;
pub use error::CaddyError;

use admin::Admin;
use mappings::Mappings;

/// How Caddy reaches the apps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CaddyLayout {
    /// Through Lab's gateway.
    #[default]
    Edge,
    /// Each app on its own port.
    Direct,
}

/// Who ends TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CaddyTls {
    /// Something in front of this machine, or nobody.
    #[default]
    Edge,
    /// Caddy, with a certificate per host from a certificate authority, fetched when a host is first visited.
    Acme {
        /// Whom the authority writes to.
        email: Option<String>,
        /// Its directory, where it is not Caddy's usual one.
        directory: Option<String>,
        /// The root that vouches for that directory.
        root: Option<PathBuf>,
    },
    /// Caddy, with certificates of an authority of its own.
    Internal,
}

/// How Caddy works.
#[derive(Debug, Clone)]
pub struct CaddySettings {
    /// Caddy's folder: its configuration, sockets and certificates.
    pub dir: PathBuf,
    /// How it reaches the apps.
    pub layout: CaddyLayout,
    /// Who ends TLS.
    pub tls: CaddyTls,
    /// The plain HTTP listener; where Caddy ends TLS it only leads to the other.
    pub http: SocketAddr,
    /// The https listener, where Caddy ends TLS.
    pub https: SocketAddr,
    /// Whether visitors come over https, whoever ends it.
    pub is_https: bool,
    /// Whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpRange>,
    /// The URL that says whether a host may have a certificate.
    pub ask: String,
    /// How long a call is tried again while Caddy is away, as when it is started again.
    pub patience: Duration,
}

impl CaddySettings {
    /// Settings for plain HTTP on `http`, in the layout `Edge`.
    pub fn new(dir: impl Into<PathBuf>, http: SocketAddr) -> Self {
        Self {
            dir: dir.into(),
            layout: CaddyLayout::Edge,
            tls: CaddyTls::Edge,
            http,
            https: ([0, 0, 0, 0], 443).into(),
            is_https: false,
            trusted_proxies: Vec::new(),
            ask: String::new(),
            patience: Duration::from_secs(10),
        }
    }

    /// The file to start Caddy with: `caddy run --config <file>`.
    pub fn config_file(&self) -> PathBuf {
        self.dir.join("config.json")
    }

    /// The socket of Caddy's admin API, for its own user only.
    pub fn admin_socket(&self) -> PathBuf {
        self.dir.join("admin.sock")
    }

    /// The socket on which the gateway must be served.
    pub fn gateway_socket(&self) -> PathBuf {
        self.dir.join(GATEWAY_SOCKET)
    }

    /// The ports that Caddy led to last, by host.
    fn mappings_file(&self) -> PathBuf {
        self.dir.join("routes.json")
    }

    /// Makes everything ready for Caddy: its folder, and the configuration that it accepted last or a first one. To be
    /// called before each start of Caddy. Blocks.
    pub fn prepare(&self) -> Result<(), CaddyError> {
        durable::create_private_dir(&self.dir).map_err(CaddyError::file("create", &self.dir))?;
        let mappings = match self.layout {
            CaddyLayout::Edge => Mappings::default(),
            CaddyLayout::Direct => Mappings::read(&self.mappings_file())?,
        };
        config::check(self)?;
        self.write(&mappings)
    }

    /// Deletes what a Caddy would start with, for a lab that has another router from now on. Blocks.
    pub fn retire(&self) -> io::Result<()> {
        durable::remove(&self.mappings_file())?;
        durable::remove(&self.config_file())
    }

    fn write(&self, mappings: &Mappings) -> Result<(), CaddyError> {
        let path = self.config_file();
        let text = config::config(self, mappings).to_string();
        durable::write(&path, text.as_bytes(), 0o600).map_err(CaddyError::file("write", &path))
    }
}

/// The name of the gateway's socket in Caddy's folder.
pub const GATEWAY_SOCKET: &str = "gateway.sock";
/// How often it is looked whether Caddy is still the same.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Leads requests by Caddy and a gateway behind it.
#[derive(Debug)]
pub struct CaddyRouter {
    inner: Arc<Inner>,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

#[derive(Debug)]
struct Inner {
    settings: CaddySettings,
    admin: Admin,
    gateway: Arc<dyn RouterConfig>,
    /// What Caddy was told last. Held during the whole of a change, the gateway's part included: of two changes at once
    /// both must end with the later one.
    told: Mutex<Told>,
}

#[derive(Debug)]
struct Told {
    /// What Caddy accepted last.
    mappings: Mappings,
    /// Whether it has that. Not while it is changed, nor after a change whose end is not known.
    is_sure: bool,
}

impl CaddyRouter {
    /// Opens the router over a Caddy that runs, or is just being started, with [`CaddySettings::prepare`]'s file; waits for
    /// it as long as the settings' patience. `gateway` is what is served on [`CaddySettings::gateway_socket`].
    pub async fn open(settings: CaddySettings, gateway: Arc<dyn RouterConfig>) -> Result<Self, CaddyError> {
        let admin = Admin::new(&settings.admin_socket(), settings.patience)?;
        let known = crate::blocking::blocking({
            let settings = settings.clone();
            move || match settings.layout {
                CaddyLayout::Edge => Ok(Mappings::default()),
                CaddyLayout::Direct => Mappings::read(&settings.mappings_file()),
            }
        });
        let known = known.await?;
        admin.wait().await?;
        let told = Mutex::new(Told { mappings: known, is_sure: false });
        let inner = Arc::new(Inner { settings, admin, gateway, told });
        inner.make_sure(false).await?;
        let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(inner.clone().keep(stopping.clone()));
        Ok(Self { inner, tasks, stopping })
    }

    /// Ends the router's own work; Caddy goes on.
    pub async fn shutdown(&self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for CaddyRouter {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl Inner {
    /// Sees that Caddy has what it was told last. `is_same`: it is the Caddy that was looked at before.
    async fn make_sure(&self, is_same: bool) -> Result<(), CaddyError> {
        let mut told = self.told.lock().await;
        if !(is_same && told.is_sure) {
            self.give(&told.mappings).await?;
            told.is_sure = true;
        }
        Ok(())
    }

    /// Gives Caddy the whole configuration where it has another one. That may be done twice, so it is tried again while
    /// Caddy is away.
    async fn give(&self, mappings: &Mappings) -> Result<(), CaddyError> {
        let wanted = config::config(&self.settings, mappings);
        if self.admin.config().await? == wanted {
            return Ok(());
        }
        tracing::info!("Caddy gets its configuration");
        self.admin.load(&wanted).await?;
        if self.admin.config().await? == wanted { Ok(()) } else { Err(CaddyError::Differs) }
    }

    /// Looks whether Caddy was started again, perhaps with another configuration: its admin socket is another one then.
    /// A change that ended nobody knows how is taken back.
    async fn keep(self: Arc<Self>, stopping: CancellationToken) {
        let mut seen = None;
        while stopping.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            let Some(now) = self.admin.stamp().await else { continue };
            match stopping.run_until_cancelled(self.make_sure(seen == Some(now))).await {
                None => return,
                Some(Ok(())) => seen = Some(now),
                Some(Err(error)) => {
                    tracing::warn!(error = crate::error::report(&error), "Caddy could not be looked after");
                }
            }
        }
    }

    /// Makes Caddy lead to these ports.
    async fn lead(&self, told: &mut Told, wanted: Mappings) -> Result<(), CaddyError> {
        if told.is_sure && told.mappings == wanted {
            return Ok(());
        }
        let changed = if std::mem::take(&mut told.is_sure) {
            self.admin.change(&told.mappings, &wanted).await
        } else {
            self.give(&wanted).await
        };
        if let Err(error) = changed {
            // it was started again meanwhile, or its answer was lost, or somebody else changed it: all of it may be given
            // again, a change may not
            tracing::info!(error = crate::error::report(&error), "a change of Caddy's routes failed");
            self.give(&wanted).await?;
        }
        *told = Told { mappings: wanted.clone(), is_sure: true };
        let settings = self.settings.clone();
        // Caddy leads there already: what it would start with follows, and is put right when it starts
        let written = crate::blocking::blocking(move || {
            wanted.write(&settings.mappings_file())?;
            settings.write(&wanted)
        });
        if let Err(error) = written.await {
            tracing::warn!(error = crate::error::report(&error), "Caddy will start with older routes");
        }
        Ok(())
    }
}

#[async_trait]
impl RouterConfig for CaddyRouter {
    fn backend(&self) -> &'static str {
        "caddy"
    }

    async fn apply(&self, table: RouteTable) -> Result<(), RouterError> {
        let inner = &self.inner;
        if inner.settings.layout == CaddyLayout::Edge {
            return inner.gateway.apply(table).await;
        }
        let wanted = Mappings::of(&table);
        let mut told = inner.told.lock().await;
        let before = inner.gateway.table().await?;
        // first the gateway: what Caddy leads there must be known there
        inner.gateway.apply(table).await?;
        match inner.lead(&mut told, wanted).await {
            Ok(()) => Ok(()),
            Err(error) => {
                inner.gateway.apply(before).await?;
                Err(error.into())
            }
        }
    }

    async fn table(&self) -> Result<RouteTable, RouterError> {
        self.inner.gateway.table().await
    }

    async fn drain(&self, host: &Hostname, limit: Duration) {
        self.inner.gateway.drain(host, limit).await;
    }
}

/// A unix socket as Caddy writes it.
fn unix(path: &Path) -> String {
    format!("unix/{}", path.display())
}
