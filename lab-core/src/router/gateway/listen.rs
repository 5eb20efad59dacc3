//! Taking connections, and ending them.

use std::{io, sync::Arc, time::Duration};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    net::{TcpListener, UnixListener},
    pin,
    sync::OwnedSemaphorePermit,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Inner,
    connection::{Activity, Connection},
    settings::GatewaySettings,
    socket::{Accepted, VisitorSocket},
    workers::Workers,
};

/// Where visitors come from.
#[derive(Debug)]
pub enum Listener {
    /// Anybody who reaches the address.
    Tcp(TcpListener),
    /// A proxy on this machine. It is trusted as if it were one of
    /// [`trusted_proxies`](GatewaySettings::trusted_proxies): who may connect is decided by the socket's permissions.
    Unix(UnixListener),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

impl Listener {
    /// The next connection, taken off this thread's runtime.
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok(Accepted::Tcp(stream.into_std()?, peer.ip().to_canonical()))
            }
            Self::Unix(listener) => Ok(Accepted::Unix(listener.accept().await?.0.into_std()?)),
        }
    }
}

/// How a [`Gateway::serve`](super::Gateway::serve) ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// How many connections were cut because their requests took longer than the drain.
    pub cut: usize,
}

/// Spawns what hyper needs beside a connection, so that it ends with the listener.
#[derive(Debug, Clone)]
struct Spawner {
    tasks: TaskTracker,
    kill: CancellationToken,
}

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Spawner {
    fn execute(&self, future: F) {
        let kill = self.kill.clone();
        self.tasks.spawn(async move { kill.run_until_cancelled_owned(future).await.map(drop) });
    }
}

pub(super) async fn serve(
    inner: &Arc<Inner>,
    workers: &Workers,
    listener: Listener,
    shutdown: CancellationToken,
) -> Drained {
    let kill = CancellationToken::new();
    // also when this future is dropped
    let killed = kill.clone().drop_guard();
    let tasks = TaskTracker::new();
    tasks.close();
    let mut connections = JoinSet::new();
    let protocol = Arc::new(protocol(&inner.settings, Spawner { tasks: tasks.clone(), kill }));
    // tunnels and event streams end when this is cancelled, hence when the future is dropped as well
    let shutdown = shutdown.child_token();
    let _ended = shutdown.clone().drop_guard();
    let mut sweep = tokio::time::interval(inner.settings.timeouts.idle.max(Duration::from_millis(20)) / 2);

    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => {}
            _ = sweep.tick() => inner.table.load().upstreams().for_each(|upstream| upstream.close_old()),
            (accepted, permit) = accept(inner, &listener) => match accepted {
                Ok(accepted) => {
                    let (place, runtime) = workers.place();
                    let connection = Connection {
                        inner: inner.clone(),
                        peer: accepted.peer(),
                        place,
                        shutdown: shutdown.clone(),
                        tasks: tasks.clone(),
                        activity: Activity::new(),
                        _permit: permit,
                    };
                    connections.spawn_on(run(protocol.clone(), accepted, Arc::new(connection)), runtime);
                }
                Err(e) => {
                    // no file descriptors, for example: they come back when connections end
                    tracing::warn!(error = %e, "could not accept a connection");
                    sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    drop(listener);
    let finish = async {
        while connections.join_next().await.is_some() {}
        tasks.wait().await;
    };
    let finished = timeout(inner.settings.timeouts.drain, finish).await;
    let cut = connections.len();
    connections.shutdown().await;
    drop(killed);
    if finished.is_err() {
        tasks.wait().await;
    }
    Drained { cut }
}

/// The next connection, once there is room for one.
async fn accept(inner: &Inner, listener: &Listener) -> (io::Result<Accepted>, OwnedSemaphorePermit) {
    loop {
        if let Ok(permit) = inner.connections.clone().acquire_owned().await {
            let accepted = listener.accept().await;
            return (accepted, permit);
        }
    }
}

/// How many header lines hyper takes unless told.
const HYPERS_HEADERS: usize = 100;

fn protocol(settings: &GatewaySettings, spawner: Spawner) -> Builder<Spawner> {
    let limits = &settings.limits;
    let mut builder = Builder::new(spawner);
    // beyond both limits hyper itself answers 431; 8192 is the least it takes
    let head = (limits.header_bytes + limits.uri_bytes).max(8192);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(settings.timeouts.head).max_buf_size(head + 4096);
    // beyond these hyper answers 431 as well; its own limit needs no memory per request, any other does
    if limits.headers != HYPERS_HEADERS {
        builder.http1().max_headers(limits.headers + 1);
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX))
        // notices a peer that is gone without a word
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// Serves one connection until it closes, is idle for too long, or the gateway shuts down and its requests are done.
async fn run(protocol: Arc<Builder<Spawner>>, accepted: Accepted, connection: Arc<Connection>) {
    let Ok(stream) = VisitorSocket::new(accepted) else { return };
    let service = service_fn(|request| connection.clone().answer(request));
    let http = protocol.serve_connection_with_upgrades(TokioIo::new(stream), service);
    pin!(http);
    let idle = connection.inner.settings.timeouts.head;
    let mut deadline = Instant::now() + idle;
    let (mut closing, mut draining) = (false, false);
    loop {
        tokio::select! {
            ended = &mut http => {
                if let Err(e) = ended {
                    tracing::debug!(error = %e, "a connection ended with an error");
                }
                return;
            }
            () = connection.shutdown.cancelled(), if !draining => {
                draining = true;
                http.as_mut().graceful_shutdown();
            }
            // hyper's own timeout begins with HTTP/1, after the first bytes told it from HTTP/2, which has none
            () = sleep_until(deadline) => {
                let now = Instant::now();
                match connection.activity.idle_since().map(|since| since + idle) {
                    Some(over) if over <= now => {
                        if closing {
                            return;
                        }
                        // what is still being written gets as long again
                        closing = true;
                        http.as_mut().graceful_shutdown();
                        deadline = now + idle;
                    }
                    Some(over) => deadline = over,
                    None => deadline = now + idle,
                }
            }
        }
    }
}
