//! The listeners: opened, served, ended.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use lab_core::Port;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    access::{Access, Door},
    api::router,
    config::Config,
    wiring::Embedded,
};

mod accept;
mod socket;
#[cfg(test)]
mod tests;

/// How long requests under way have to end when the server does.
const DRAIN: Duration = Duration::from_secs(10);

/// The longest time in which a child of a killed server may still hold its listeners.
const HANDED_ON: Duration = Duration::from_secs(1);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A listener cannot be opened.
    #[error("cannot listen on {place}{}", advice(.source))]
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

fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => "; another program does already: stop it, or choose another port",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges: choose another port",
        io::ErrorKind::AddrNotAvailable => "; it is not an address of this machine",
        // that of a unix socket's path
        io::ErrorKind::InvalidInput => "; choose a data directory with a shorter path",
        _ => "",
    }
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
        let tcp = async |address: SocketAddr| {
            let place = address.to_string();
            patiently(async || TcpListener::bind(address).await)
                .await
                .map_err(|source| ServeError::Listen { place, source })
        };
        let api = tcp(config.addresses.listen).await?;
        let public = tcp(config.addresses.public_listen).await?;
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
        match patiently(async || socket::bind(&socket_path).await).await.map_err(listen) {
            Ok(socket) => Ok(Self { stack, api, public, own_host, socket, socket_path, config }),
            Err(error) => {
                // the lab has begun to bring apps up
                stack.close().await;
                Err(error)
            }
        }
    }

    /// The lab.
    pub fn lab(&self) -> &lab_core::Lab {
        &self.stack.lab
    }

    /// Where the API listens.
    pub fn api_address(&self) -> io::Result<SocketAddr> {
        self.api.local_addr()
    }

    /// Where the apps answer.
    pub fn public_address(&self) -> io::Result<SocketAddr> {
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
        tasks.spawn(accept::serve(api, app(Door::Tcp), stop.clone(), DRAIN));
        tasks.spawn(accept::serve(own_host, app(Door::Public), stop.clone(), DRAIN));
        tasks.spawn(accept::serve(socket, app(Door::Socket), stop.clone(), DRAIN));
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
async fn patiently<T>(bind: impl AsyncFn() -> io::Result<T>) -> io::Result<T> {
    let begun = tokio::time::Instant::now();
    loop {
        match bind().await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && begun.elapsed() < HANDED_ON => {
                tokio::time::sleep(HANDED_ON / 50).await;
            }
            other => return other,
        }
    }
}
