//! A whole server in this process, on ports the kernel chooses.

use std::{ffi::OsString, net::SocketAddr};

use lab_core::testing::ports::{Lease, leased_range};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::{Instant, timeout},
};

use super::*;
use crate::config::Arguments;

struct Running {
    api: SocketAddr,
    public: SocketAddr,
    data: tempfile::TempDir,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
    _lease: Lease,
}

fn config(data: &std::path::Path, further: &[&str]) -> (Config, Lease) {
    let (range, lease) = leased_range();
    let ports = format!("{}-{}", range.start(), range.end());
    let data = data.to_str().expect("text");
    let words = ["lab-server", "--data-dir", data, "--ports", &ports, "--manager-port", "0"];
    let words = words.into_iter().chain(["--public-listen", "127.0.0.1:0"]).chain(further.iter().copied());
    let arguments = Arguments::read_from(words.map(OsString::from)).expect("arguments");
    (Config::read(&arguments).expect("settings"), lease)
}

async fn start(further: &[&str]) -> Running {
    let data = tempfile::tempdir().expect("a folder");
    let (config, lease) = config(data.path(), further);
    let server = Server::bind(config).await.expect("a server");
    let (api, public) = (server.api_address().expect("an address"), server.public_address());
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.serve(stop.clone()));
    Running { api, public, data, stop, serving, _lease: lease }
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, host: &str, path: &str, further: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{further}\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    text
}

impl Running {
    async fn tcp(&self, path: &str, further: &str) -> String {
        ask(TcpStream::connect(self.api).await.expect("connected"), "localhost", path, further).await
    }

    async fn socket(&self, path: &str) -> String {
        ask(UnixStream::connect(self.data.path().join("lab.sock")).await.expect("connected"), "x", path, "").await
    }

    async fn public(&self, path: &str, further: &str) -> String {
        let host = format!("lab.localhost:{}", self.public.port());
        ask(TcpStream::connect(self.public).await.expect("connected"), &host, path, further).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_door_has_its_rule_and_streams_end_with_the_server() {
    let server = start(&[]).await;
    assert!(server.socket("/api/apps").await.starts_with("HTTP/1.1 200"));
    assert!(server.tcp("/api/apps", "").await.starts_with("HTTP/1.1 200"));
    assert!(server.tcp("/api/apps", "origin: http://app.lab.localhost\r\n").await.starts_with("HTTP/1.1 403"));
    assert!(server.public("/", "").await.contains("This is a Lab server"));
    assert!(server.public("/health", "").await.starts_with("HTTP/1.1 200"));
    assert!(server.public("/api/apps", "").await.contains("key_not_configured"));

    let address = server.api;
    let stream = tokio::spawn(async move {
        ask(TcpStream::connect(address).await.expect("connected"), "localhost", "/api/events", "").await
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    server.stop.cancel();
    let text = stream.await.expect("no panic");
    assert!(text.contains("text/event-stream"), "{text}");
    timeout(DRAIN, server.serving).await.expect("it ends").expect("no panic");
    assert!(begun.elapsed() < DRAIN / 2);
    assert!(!server.data.path().join("lab.sock").exists());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_opens_the_public_door() {
    let server = start(&["--api-key", "0123456789abcdef"]).await;
    let key = "authorization: Bearer 0123456789abcdef\r\n";
    for (further, status) in [("", "401"), ("authorization: Bearer 0123456789abcdeg\r\n", "401"), (key, "200")] {
        let expected = format!("HTTP/1.1 {status}");
        assert!(server.public("/api/apps", further).await.starts_with(&expected), "public {status}");
        assert!(server.tcp("/api/apps", further).await.starts_with(&expected), "tcp {status}");
    }
    assert!(server.socket("/api/apps").await.starts_with("HTTP/1.1 200"));
    server.stop.cancel();
    server.serving.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_on_the_same_data_or_port_says_why_it_does_not_start() {
    let server = start(&[]).await;
    let (again, _lease) = config(server.data.path(), &[]);
    let error = lab_core::report(&Server::bind(again).await.expect_err("in use"));
    assert!(error.contains("in use by another"), "{error}");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let (taken, _lease) = config(elsewhere.path(), &["--listen", &server.api.to_string()]);
    let error = lab_core::report(&Server::bind(taken).await.expect_err("taken"));
    assert!(error.contains("another program does already"), "{error}");
    assert!(server.socket("/health").await.starts_with("HTTP/1.1 200"), "the first one is undisturbed");
    server.stop.cancel();
    server.serving.await.expect("no panic");
}
