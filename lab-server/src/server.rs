//! The listeners: opened, served, ended.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lab_core::{
    Port,
    machine::{Claim, MachineError, ThisMachine},
    router::{caddy, gateway},
};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    access::{Access, Door},
    api::{Front, router},
    config::{Config, StackKind},
    wiring::Stack,
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
    /// Another machine uses the data directory.
    #[error(transparent)]
    Machine(#[from] MachineError),
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
    stack: Stack,
    api: TcpListener,
    /// Where the apps answer, in this process or Caddy's.
    public_address: SocketAddr,
    /// What the gateway serves: visitors, or Caddy before them.
    gateway: gateway::Listener,
    own_host: TcpListener,
    socket: UnixListener,
    socket_path: PathBuf,
    /// In the production stack `lab-server init` has it.
    claim: Option<Claim>,
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
        let public = match config.production.stack {
            StackKind::Embedded => Some(tcp(config.addresses.public_listen).await?),
            StackKind::Production => None,
        };
        // where the gateway leads the lab's own host
        let own_host = tcp(([127, 0, 0, 1], 0).into()).await?;
        let mut settings = config.lab_settings();
        settings.own_port = own_host.local_addr().ok().and_then(|address| Port::new(address.port()));
        let public_address = public.as_ref().and_then(|public| public.local_addr().ok());
        let public_address = public_address.unwrap_or(config.addresses.public_listen);
        if settings.public.port == 0 {
            settings.public.port = public_address.port();
        }
        let (socket_path, gateway_path) = (settings.data.socket(), settings.data.caddy().join(caddy::GATEWAY_SOCKET));
        let claim = match config.production.stack {
            StackKind::Embedded => {
                let machine = ThisMachine::read(config.machine.as_deref())?;
                Some(Claim::take(&settings.data, machine).await?)
            }
            StackKind::Production => None,
        };
        let stack = Stack::open(&config, settings).await?;
        // after the lab's lock is ours: only then is an old socket surely nobody's
        let unix = async |path: &Path| {
            let place = path.display().to_string();
            patiently(async || socket::bind(path).await).await.map_err(|source| ServeError::Listen { place, source })
        };
        let opened = async {
            let gateway: gateway::Listener = match public {
                Some(public) => public.into(),
                None => unix(&gateway_path).await?.into(),
            };
            Ok::<_, ServeError>((gateway, unix(&socket_path).await?))
        };
        match opened.await {
            Ok((gateway, socket)) => {
                Ok(Self { stack, api, public_address, gateway, own_host, socket, socket_path, claim, config })
            }
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
    pub fn public_address(&self) -> SocketAddr {
        self.public_address
    }

    /// Serves until `stop`, then ends within about a minute: streams at once, other requests within 10 seconds, deployments
    /// are taken back. The apps run on, unless the settings say otherwise.
    pub async fn serve(self, stop: CancellationToken) {
        let front = Front {
            tls: self.config.production.tls,
            http_port: self.public_address.port(),
            https_port: self.config.production.https_listen.port(),
        };
        let Self { stack, api, gateway: listener, own_host, socket, socket_path, mut claim, config, .. } = self;
        let tasks = TaskTracker::new();
        let key = config.api_key.clone().map(Arc::new);
        let app = |door| router(stack.lab.clone(), Access { door, key: key.clone() }, front, stop.clone());
        let (gateway, gateway_stop) = (stack.gateway.clone(), stop.clone());
        tasks.spawn(async move { gateway.serve(listener, gateway_stop).await });
        tasks.spawn(accept::serve(api, app(Door::Tcp), stop.clone(), DRAIN));
        tasks.spawn(accept::serve(own_host, app(Door::Public), stop.clone(), DRAIN));
        tasks.spawn(accept::serve(socket, app(Door::Socket), stop.clone(), DRAIN));
        let kept = if let Some(claim) = &mut claim {
            claim.keep(&stop).await
        } else {
            stop.cancelled().await;
            Ok(())
        };
        if let Err(error) = &kept {
            tracing::error!(error = lab_core::report(error), "the apps are stopped");
            stop.cancel();
        }
        tasks.close();
        // deployments are taken back while requests end
        let ((), drained) = tokio::join!(stack.lab.shutdown(), tokio::time::timeout(DRAIN * 2, tasks.wait()));
        if drained.is_err() {
            tracing::warn!("some requests did not end in time and were cut");
        }
        if config.stop_apps_on_exit || kept.is_err() {
            match stack.lab.stop_all().await {
                Err(error) => tracing::error!(error = error.report(), "an app could not be stopped"),
                // apps that run on still use the data
                Ok(()) => {
                    if let Some(claim) = claim.take_if(|_| kept.is_ok())
                        && let Err(error) = claim.release().await
                    {
                        tracing::warn!(error = lab_core::report(&error), "another machine may have to wait a little");
                    }
                }
            }
        }
        stack.end_backends().await;
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
