//! Several threads, and a proxy on a unix socket in front.

use std::{num::NonZero, path::Path, sync::Arc};

use http::StatusCode;
use lab_core::{
    router::gateway::{Drained, Gateway, GatewaySettings, Scheme},
    testing::http::{TestApp, Visitor},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixListener, UnixStream},
    sync::Barrier,
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::running::{A, LONG, Running, raw_app, read_head};

fn four_workers() -> GatewaySettings {
    GatewaySettings { workers: NonZero::new(4), ..GatewaySettings::default() }
}

/// A gateway on a unix socket, with `A` leading to the app.
async fn serve_unix(path: &Path, app: &TestApp, stop: &CancellationToken) -> tokio::task::JoinHandle<Drained> {
    let gateway = Gateway::new(four_workers());
    let table = lab_core::testing::router::table([(A, lab_core::router::Target::Port(app.port()))]);
    lab_core::router::RouterConfig::apply(&gateway, table).await.unwrap();
    let (listener, stop) = (UnixListener::bind(path).unwrap(), stop.clone());
    tokio::spawn(async move { gateway.serve(listener, stop).await })
}

#[tokio::test]
async fn a_proxy_on_a_unix_socket_is_believed() {
    let (folder, app, stop) = (tempfile::tempdir().unwrap(), TestApp::start("a").await, CancellationToken::new());
    let path = folder.path().join("gateway.sock");
    let serving = serve_unix(&path, &app, &stop).await;
    for (told, chain, real, proto, port) in [
        (
            "x-forwarded-for: 6.6.6.6, 203.0.113.9\r\nx-forwarded-proto: https\r\n",
            Some("6.6.6.6, 203.0.113.9"),
            Some("203.0.113.9"),
            "https",
            "443",
        ),
        // it has no address that could be told instead
        ("", None, None, Scheme::Http.as_str(), "80"),
    ] {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nhost: {A}\r\nconnection: close\r\n{told}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(LONG, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let seen = app.seen().pop().unwrap().headers;
        let line = |name: &str| seen.get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(line("x-forwarded-for").as_deref(), chain);
        assert_eq!(line("x-real-ip").as_deref(), real);
        assert_eq!(line("x-forwarded-proto").as_deref(), Some(proto));
        assert_eq!(line("x-forwarded-port").as_deref(), Some(port));
        assert_eq!(line("x-forwarded-host").as_deref(), Some(A));
    }
    stop.cancel();
    assert_eq!(timeout(LONG, serving).await.unwrap().unwrap(), Drained { cut: 0 });
    assert!(UnixStream::connect(&path).await.is_err());
}

#[tokio::test]
async fn tunnels_and_event_streams_pass_a_unix_socket() {
    let (folder, app, stop) = (tempfile::tempdir().unwrap(), TestApp::start("a").await, CancellationToken::new());
    let path = folder.path().join("gateway.sock");
    let serving = serve_unix(&path, &app, &stop).await;

    let mut tunnel = UnixStream::connect(&path).await.unwrap();
    let handshake = format!("GET /ws HTTP/1.1\r\nhost: {A}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    tunnel.write_all(handshake.as_bytes()).await.unwrap();
    assert!(timeout(LONG, read_head(&mut tunnel)).await.unwrap().starts_with("HTTP/1.1 101"));
    tunnel.write_all(b"ping").await.unwrap();
    let mut echo = [0; 4];
    timeout(LONG, tunnel.read_exact(&mut echo)).await.unwrap().unwrap();
    assert_eq!(&echo, b"ping");

    let mut events = UnixStream::connect(&path).await.unwrap();
    events.write_all(format!("GET /events HTTP/1.1\r\nhost: {A}\r\n\r\n").as_bytes()).await.unwrap();
    assert!(timeout(LONG, read_head(&mut events)).await.unwrap().starts_with("HTTP/1.1 200"));

    stop.cancel();
    let mut rest = String::new();
    timeout(LONG, events.read_to_string(&mut rest)).await.unwrap().unwrap();
    // a whole body: the last chunk came
    assert!(rest.contains("hello") && rest.ends_with("0\r\n\r\n"), "{rest}");
    assert_eq!(timeout(LONG, tunnel.read(&mut echo)).await.unwrap().unwrap_or(0), 0);
    assert_eq!(timeout(LONG, serving).await.unwrap().unwrap(), Drained { cut: 0 });
}

#[tokio::test]
async fn visitors_spread_over_the_workers_and_each_keeps_a_connection() {
    // no answer before four requests are there: one worker's connections cannot serve another's
    let together = Arc::new(Barrier::new(4));
    let connections = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (port, _app) = raw_app({
        let connections = connections.clone();
        move |_, mut stream| {
            connections.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let together = together.clone();
            async move {
                while !read_head(&mut stream).await.is_empty() {
                    together.wait().await;
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                }
            }
        }
    })
    .await;
    let running = Running::start(four_workers()).await;
    running.lead(lab_core::router::Target::Port(port)).await;
    let mut visitors = Vec::new();
    for _ in 0..4 {
        visitors.push(Visitor::connect(running.address).await);
    }
    for _ in 0..3 {
        let mut asking = JoinSet::new();
        for mut visitor in visitors.drain(..) {
            asking.spawn(async move { (visitor.get(A, "/").await.unwrap().0, visitor) });
        }
        for (status, visitor) in timeout(LONG, asking.join_all()).await.unwrap() {
            assert_eq!(status, StatusCode::OK);
            visitors.push(visitor);
        }
    }
    assert_eq!(connections.load(std::sync::atomic::Ordering::Relaxed), 4);
}

#[tokio::test]
async fn limits_hold_for_all_workers_together() {
    for per_app in [true, false] {
        let mut settings = four_workers();
        *(if per_app { &mut settings.limits.requests_per_app } else { &mut settings.limits.requests }) = 3;
        let (running, app) = Running::with_app(settings).await;
        let mut hanging = JoinSet::new();
        for _ in 0..3 {
            let mut visitor = Visitor::connect(running.address).await;
            hanging.spawn(async move { visitor.get(A, "/hang").await });
        }
        let all = async {
            while app.seen().len() < 3 {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, all).await.unwrap();
        for _ in 0..8 {
            assert_eq!(Visitor::once(running.address, A, "/").await.0, StatusCode::SERVICE_UNAVAILABLE);
        }
        hanging.shutdown().await;
        let free = async { while Visitor::once(running.address, A, "/").await.0 != StatusCode::OK {} };
        timeout(LONG, free).await.unwrap();
    }
}

#[tokio::test]
async fn connections_too_many_wait_whatever_the_workers() {
    let mut settings = four_workers();
    settings.limits.connections = 2;
    let (running, _app) = Running::with_app(settings).await;
    let mut first = Visitor::connect(running.address).await;
    first.get(A, "/").await.unwrap();
    let mut second = Visitor::connect(running.address).await;
    second.get(A, "/").await.unwrap();
    let mut third = Visitor::connect(running.address).await;
    let waiting = tokio::spawn(async move { third.get(A, "/").await.unwrap().0 });
    for visitor in [&mut first, &mut second] {
        assert_eq!(visitor.get(A, "/").await.unwrap().0, StatusCode::OK);
    }
    assert!(!waiting.is_finished());
    drop(first);
    assert_eq!(timeout(LONG, waiting).await.unwrap().unwrap(), StatusCode::OK);
}

#[tokio::test]
async fn the_port_is_free_once_serving_ended_and_it_can_begin_again() {
    let (mut running, _app) = Running::with_app(four_workers()).await;
    assert_eq!(Visitor::once(running.address, A, "/").await.0, StatusCode::OK);
    running.abort().await;
    for _ in 0..3 {
        let listener = TcpListener::bind(running.address).await.unwrap();
        let (gateway, stop) = (running.gateway.clone(), CancellationToken::new());
        let serving = tokio::spawn({
            let stop = stop.clone();
            async move { gateway.serve(listener, stop).await }
        });
        // what the threads before kept is of no use to these
        for _ in 0..4 {
            assert_eq!(Visitor::once(running.address, A, "/").await.0, StatusCode::OK);
        }
        stop.cancel();
        assert_eq!(timeout(LONG, serving).await.unwrap().unwrap(), Drained { cut: 0 });
    }
}
