//! A gateway that runs for one test.

use std::{net::SocketAddr, num::NonZero, time::Duration};

use lab_core::{
    Port,
    router::{
        RouterConfig, Target,
        gateway::{Drained, Gateway, GatewaySettings},
    },
    testing::{http::TestApp, router::table},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Long enough for any machine.
pub(crate) const LONG: Duration = Duration::from_secs(20);
/// The host that most tests ask for.
pub(crate) const A: &str = "a.example.test";

/// Every request finds the connections that the one before left.
pub(crate) fn one_worker() -> GatewaySettings {
    GatewaySettings { workers: Some(NonZero::<usize>::MIN), ..GatewaySettings::default() }
}

pub(crate) struct Running {
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    task: JoinHandle<Drained>,
}

impl Running {
    pub(crate) async fn start(settings: GatewaySettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gateway = Gateway::new(settings);
        let shutdown = CancellationToken::new();
        let task = tokio::spawn({
            let (gateway, shutdown) = (gateway.clone(), shutdown.clone());
            async move { gateway.serve(listener, shutdown).await }
        });
        Self { gateway, address, shutdown, task }
    }

    /// A gateway with `A` leading to a new app.
    pub(crate) async fn with_app(settings: GatewaySettings) -> (Self, TestApp) {
        let (running, app) = (Self::start(settings).await, TestApp::start("a").await);
        running.lead(Target::Port(app.port())).await;
        (running, app)
    }

    /// Leads `A` there.
    pub(crate) async fn lead(&self, target: Target) {
        self.gateway.apply(table([(A, target)])).await.unwrap();
    }

    pub(crate) async fn stop(mut self) -> Drained {
        self.shutdown.cancel();
        timeout(LONG, &mut self.task).await.unwrap().unwrap()
    }

    /// Drops the future of `serve`.
    pub(crate) async fn abort(&mut self) {
        self.task.abort();
        assert!((&mut self.task).await.unwrap_err().is_cancelled());
    }

    /// Sends bytes as they are, and reads until the gateway closes.
    pub(crate) async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // a reset after the answer is as good as an end
        let _ = timeout(LONG, stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(crate) fn target(port: u16) -> Target {
    Target::Port(Port::new(port).unwrap())
}

/// An app of raw bytes: accepts connections on a free port and gives each to `serve`, with its number.
pub(crate) async fn raw_app<F>(
    serve: impl Fn(usize, TcpStream) -> F + Send + 'static,
) -> (Port, tokio_util::task::AbortOnDropHandle<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = Port::new(listener.local_addr().unwrap().port()).unwrap();
    let task = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        for n in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            connections.spawn(serve(n, stream));
        }
    });
    (port, tokio_util::task::AbortOnDropHandle::new(task))
}

/// Reads the head of a request; empty at the end of the connection.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return String::new(),
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}
