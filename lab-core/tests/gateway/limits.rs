//! How much the gateway takes on.

use std::time::Duration;

use http::StatusCode;
use lab_core::{router::gateway::GatewaySettings, testing::http::Visitor};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::running::{A, LONG, Running};

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {A}\r\nconnection: close\r\n{headers}\r\n")
}

#[tokio::test]
async fn an_address_that_is_too_long_gets_414() {
    let (running, app) = Running::with_app(GatewaySettings::default()).await;
    let answer = running.raw(&get(&format!("/{}", "x".repeat(16 * 1024)), "")).await;
    assert!(answer.starts_with("HTTP/1.1 414"), "{answer}");
    let answer = running.raw(&get(&format!("/{}", "x".repeat(16 * 1024 - 1)), "")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(app.seen().len(), 1);
}

#[tokio::test]
async fn headers_that_are_too_large_or_too_many_get_431() {
    let (running, app) = Running::with_app(GatewaySettings::default()).await;
    for headers in [
        format!("x-a: {}\r\n", "x".repeat(33 * 1024)),
        format!("x-a: {}\r\n", "x".repeat(200 * 1024)),
        "x-a: b\r\n".repeat(99),
        "x-a: b\r\n".repeat(500),
    ] {
        let answer = running.raw(&get("/", &headers)).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    assert!(app.seen().is_empty());
    // the test's app itself takes a hundred, and the gateway adds some
    let answer = running.raw(&get("/", &"x-a: b\r\n".repeat(80))).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_head_that_dawdles_is_cut() {
    let mut settings = GatewaySettings::default();
    settings.timeouts.head = Duration::from_millis(50);
    let (running, app) = Running::with_app(settings).await;
    // nothing at all, too little to tell the protocol, half a head, half an HTTP/2 connection
    for begun in ["", "GET", "GET / HTTP/1.1\r\nhost: a.example.test\r\nx-a", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let _ = timeout(LONG, stream.read_to_end(&mut Vec::new())).await.unwrap();
    }
    assert!(app.seen().is_empty());
}

#[tokio::test]
async fn a_connection_too_many_waits_for_its_turn() {
    let mut settings = GatewaySettings::default();
    settings.limits.connections = 1;
    let (running, _app) = Running::with_app(settings).await;
    let mut first = Visitor::connect(running.address).await;
    first.get(A, "/").await.unwrap();
    let mut second = Visitor::connect(running.address).await;
    let waiting = tokio::spawn(async move { second.get(A, "/").await.unwrap().0 });
    assert_eq!(first.get(A, "/").await.unwrap().0, StatusCode::OK);
    assert!(!waiting.is_finished());
    drop(first);
    assert_eq!(timeout(LONG, waiting).await.unwrap().unwrap(), StatusCode::OK);
}

#[tokio::test]
async fn requests_too_many_get_503_until_others_end() {
    for per_app in [true, false] {
        let mut settings = GatewaySettings::default();
        *(if per_app { &mut settings.limits.requests_per_app } else { &mut settings.limits.requests }) = 1;
        let (running, app) = Running::with_app(settings).await;
        let mut visitor = Visitor::connect(running.address).await;
        let hang = tokio::spawn(async move { visitor.get(A, "/hang").await });
        while app.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(Visitor::once(running.address, A, "/").await.0, StatusCode::SERVICE_UNAVAILABLE);
        hang.abort();
        let free = async { while Visitor::once(running.address, A, "/").await.0 != StatusCode::OK {} };
        timeout(LONG, free).await.unwrap();
    }
}
