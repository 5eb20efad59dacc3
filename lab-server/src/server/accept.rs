//! Serves a listener of the API: a bounded number of HTTP/1.1 connections, none of which can be held for nothing.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{Router, serve::Listener};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The most connections of one listener; further ones wait.
const MAX_CONNECTIONS: usize = 512;
/// How long a client may take to send a request's head, and how long an idle connection is kept.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// The most bytes of a request's head.
const MAX_HEAD: usize = 32 << 10;

/// Serves until `stop`; requests under way then have `drain` to end.
pub(super) async fn serve<L: Listener>(mut listener: L, app: Router, stop: CancellationToken, drain: Duration) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    let accepted = async {
        while let Ok(place) = places.clone().acquire_owned().await {
            let (io, _) = listener.accept().await;
            let connection = connection(io, app.clone(), stop.clone(), drain);
            connections.spawn(async move {
                connection.await;
                drop(place);
            });
        }
    };
    stop.run_until_cancelled(accepted).await;
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    app: Router,
    stop: CancellationToken,
    drain: Duration,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(MAX_HEAD);
    let mut connection = pin!(http.serve_connection(TokioIo::new(io), TowerToHyperService::new(app)));
    if let Some(ended) = stop.run_until_cancelled(connection.as_mut()).await {
        return ended.unwrap_or_else(|error| tracing::debug!(%error, "a client's connection broke"));
    }
    connection.as_mut().graceful_shutdown();
    if timeout(drain, connection).await.is_err() {
        tracing::warn!("a request did not end in time and was cut");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        time::{Instant, sleep},
    };

    use super::*;

    const DRAIN: Duration = Duration::from_secs(5);

    async fn started() -> (std::net::SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let app = Router::new().route("/", get(async || "hello")).route(
            "/slow",
            get(async || {
                sleep(Duration::from_millis(300)).await;
                "done"
            }),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (address, stop) = (listener.local_addr().expect("an address"), CancellationToken::new());
        let serving = tokio::spawn(serve(listener, app, stop.clone(), DRAIN));
        (address, stop, serving)
    }

    async fn ask(address: std::net::SocketAddr, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(text.as_bytes()).await.expect("sent");
        stream
    }

    async fn read(mut stream: TcpStream) -> String {
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text).await;
        text
    }

    #[tokio::test]
    async fn requests_under_way_end_and_idle_connections_do_not_keep_the_server() {
        let (address, stop, serving) = started().await;
        let idle = ask(address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let half = ask(address, "GET / HTTP/1.1\r\n").await;
        let slow = ask(address, "GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
        sleep(Duration::from_millis(100)).await;
        let begun = Instant::now();
        stop.cancel();
        assert!(read(slow).await.ends_with("done"));
        assert!(read(idle).await.ends_with("hello"));
        drop(half);
        serving.await.expect("ended");
        assert!(begun.elapsed() < DRAIN);
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn a_head_that_is_too_large_is_refused() {
        let (address, _stop, _serving) = started().await;
        let stream = ask(address, &format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}", "x".repeat(MAX_HEAD))).await;
        let answer = read(stream).await;
        assert!(answer.starts_with("HTTP/1.1 431") || answer.is_empty(), "{answer}");
        assert!(read(ask(address, "GET / HTTP/1.0\r\nhost: x\r\n\r\n").await).await.ends_with("hello"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_asks_is_sent_away() {
        let (address, _stop, _serving) = started().await;
        let begun = Instant::now();
        let _ = read(ask(address, "GET / HT").await).await;
        assert!(begun.elapsed() >= HEAD_TIME && begun.elapsed() < HEAD_TIME * 2);
    }
}
