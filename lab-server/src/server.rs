//! The listeners: opened, served, ended.

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use lab_core::Port;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    access::{Access, Door},
    api::router,
    config::Config,
    wiring::Embedded,
};

/// How long requests under way have to end when the server does.
const DRAIN: Duration = Duration::from_secs(10);

/// The longest time in which a child of a killed server may still hold its listeners.
const HANDED_ON: Duration = Duration::from_secs(1);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A listener cannot be opened.
    #[error("cannot listen on {place}: {}", if .source.kind() == io::ErrorKind::AddrInUse { "another program does already; stop it, or choose another port" } else { "see below" })]
    Listen {
        /// The address or path.
        place: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The lab cannot be opened.
    #[error(transparent)]
    Lab(#[from] lab_core::Error),
}

/// A server whose listeners are open and whose lab is.
#[derive(Debug)]
pub struct Server {
    stack: Embedded,
    api: TcpListener,
    public: TcpListener,
    own_host: TcpListener,
    socket: UnixListener,
    socket_path: PathBuf,
    config: Config,
}

impl Server {
    /// Opens the listeners, then the lab.
    pub async fn bind(config: Config) -> Result<Self, ServeError> {
        let tcp = async |address: std::net::SocketAddr| {
            let place = address.to_string();
            bind(address).await.map_err(|source| ServeError::Listen { place, source })
        };
        let api = tcp(config.listen).await?;
        let public = tcp(config.public_listen).await?;
        // where the gateway leads the lab's own host
        let own_host = tcp(([127, 0, 0, 1], 0).into()).await?;
        let mut settings = config.lab_settings();
        settings.own_port = own_host.local_addr().ok().and_then(|address| Port::new(address.port()));
        if settings.public.port == 0 {
            settings.public.port = public.local_addr().map_or(0, |address| address.port());
        }
        let socket_path = settings.data.socket();
        let stack = Embedded::open(&config, settings).await?;
        // after the lab's lock is ours: only then is an old socket surely nobody's
        let listen = |source| ServeError::Listen { place: socket_path.display().to_string(), source };
        let socket = bind_socket(&socket_path).await.map_err(listen)?;
        Ok(Self { stack, api, public, own_host, socket, socket_path, config })
    }

    /// The lab.
    pub fn lab(&self) -> &lab_core::Lab {
        &self.stack.lab
    }

    /// Where the API listens.
    pub fn api_address(&self) -> io::Result<std::net::SocketAddr> {
        self.api.local_addr()
    }

    /// Where the apps answer.
    pub fn public_address(&self) -> io::Result<std::net::SocketAddr> {
        self.public.local_addr()
    }

    /// Serves until `stop`, then ends within about a minute: streams at once, other requests within 10 seconds, deployments
    /// are taken back. The apps run on, unless the settings say otherwise.
    pub async fn serve(self, stop: CancellationToken) {
        let Self { stack, api, public, own_host, socket, socket_path, config } = self;
        let tasks = TaskTracker::new();
        let key = config.api_key.clone().map(Arc::new);
        let app = |door| router(stack.lab.clone(), Access { door, key: key.clone() }, stop.clone());
        let gateway = stack.gateway.clone();
        let gateway_stop = stop.clone();
        tasks.spawn(async move { gateway.serve(public, gateway_stop).await });
        tasks.spawn(serve_api(api, app(Door::Tcp), stop.clone()));
        tasks.spawn(serve_api(own_host, app(Door::Public), stop.clone()));
        tasks.spawn(serve_api(socket, app(Door::Socket), stop.clone()));
        stop.cancelled().await;
        tasks.close();
        // deployments are taken back while requests end
        let ((), drained) = tokio::join!(stack.lab.shutdown(), tokio::time::timeout(DRAIN * 2, tasks.wait()));
        if drained.is_err() {
            tracing::warn!("some requests did not end in time and were cut");
        }
        if config.stop_apps_on_exit
            && let Err(error) = stack.lab.stop_all().await
        {
            tracing::error!(error = error.report(), "an app could not be stopped");
        }
        stack.supervisor.shutdown().await;
        // gone with the server: clients then say that none runs
        let _ = std::fs::remove_file(socket_path);
    }
}

/// Tries for a second: a server that was killed while it started a process leaves its listeners with that one until it
/// runs its own program.
async fn bind(address: std::net::SocketAddr) -> io::Result<TcpListener> {
    let begun = tokio::time::Instant::now();
    loop {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && begun.elapsed() < HANDED_ON => {
                tokio::time::sleep(HANDED_ON / 50).await;
            }
            other => return other,
        }
    }
}

async fn serve_api<L>(listener: L, app: Router, stop: CancellationToken)
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    let graceful = axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned());
    let limit = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        ended = async { graceful.await } => {
            if let Err(error) = ended {
                tracing::error!(%error, "a listener of the API failed");
            }
        }
        () = limit => {}
    }
}

/// Opens the socket for the server's user only. One that is there is replaced when nobody answers on it.
async fn bind_socket(path: &Path) -> io::Result<UnixListener> {
    if UnixStream::connect(path).await.is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    // made under another name and renamed, so that it never is open to others, not even for a moment
    let temporary = path.with_extension("sock.new");
    for stale in [path, &temporary] {
        match std::fs::remove_file(stale) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let listener = UnixListener::bind(&temporary)?;
    std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&temporary, path)?;
    Ok(listener)
}
