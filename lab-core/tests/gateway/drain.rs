//! Shutting down.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use lab_core::{
    router::{
        RouterConfig,
        gateway::{Drained, Gateway, GatewaySettings},
    },
    testing::http::{TestApp, Visitor, read_all},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::running::{A, LONG, Running, read_head};

#[tokio::test]
async fn event_streams_end_in_good_order() {
    let (running, app) = Running::with_app(GatewaySettings::default()).await;
    let mut visitor = Visitor::connect(running.address).await;
    let request = Request::get("/events").header(header::HOST, A).body(Full::<Bytes>::default()).unwrap();
    let mut events = visitor.send(request).await.unwrap().into_body();
    events.frame().await.unwrap().unwrap();
    let address = running.address;
    assert_eq!(running.stop().await, Drained { cut: 0 });
    // a whole body, not a broken one
    assert!(events.frame().await.is_none());
    assert!(TcpStream::connect(address).await.is_err());
    timeout(LONG, app.streams().wait_for(|n| *n == 0)).await.unwrap().unwrap();
}

#[tokio::test]
async fn idle_connections_do_not_hold_it_up() {
    let mut settings = GatewaySettings::default();
    settings.timeouts.drain = LONG * 10;
    let (running, _app) = Running::with_app(settings).await;
    let _silent = TcpStream::connect(running.address).await.unwrap();
    let mut kept = Visitor::connect(running.address).await;
    kept.get(A, "/").await.unwrap();
    assert_eq!(running.stop().await, Drained { cut: 0 });
    assert!(kept.get(A, "/").await.is_err());
}

#[tokio::test]
async fn a_request_under_way_finishes() {
    let (running, app) = Running::with_app(GatewaySettings::default()).await;
    let (more, frames) = tokio::sync::mpsc::channel(1);
    let body = http_body_util::StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(frames));
    let request = Request::post("/upload").header(header::HOST, A).body(body).unwrap();
    let mut visitor = Visitor::connect(running.address).await;
    let upload = tokio::spawn(async move { read_all(visitor.send(request).await.unwrap()).await });
    let frame = || Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from("some")));
    more.send(frame()).await.unwrap();
    timeout(LONG, app.uploaded().wait_for(|n| *n == 4)).await.unwrap().unwrap();
    running.shutdown.cancel();
    more.send(frame()).await.unwrap();
    drop(more);
    assert_eq!(timeout(LONG, upload).await.unwrap().unwrap().unwrap(), "8");
    assert_eq!(running.stop().await, Drained { cut: 0 });
}

#[tokio::test]
async fn a_request_that_takes_longer_than_the_drain_is_cut() {
    let mut settings = GatewaySettings::default();
    settings.timeouts.drain = Duration::from_millis(50);
    let (running, app) = Running::with_app(settings).await;
    let mut visitor = Visitor::connect(running.address).await;
    let hang = tokio::spawn(async move { visitor.get(A, "/hang").await });
    while app.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(running.stop().await, Drained { cut: 1 });
    assert!(timeout(LONG, hang).await.unwrap().unwrap().is_err());
}

#[tokio::test]
async fn everything_ends_with_the_future() {
    let (mut running, app) = Running::with_app(GatewaySettings::default()).await;
    let mut socket = TcpStream::connect(running.address).await.unwrap();
    let handshake = format!("GET /ws HTTP/1.1\r\nhost: {A}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    socket.write_all(handshake.as_bytes()).await.unwrap();
    assert!(read_head(&mut socket).await.starts_with("HTTP/1.1 101"));
    let mut silent = TcpStream::connect(running.address).await.unwrap();
    let mut visitor = Visitor::connect(running.address).await;
    let hang = tokio::spawn(async move { visitor.get(A, "/hang").await });
    while app.seen().len() < 2 {
        tokio::task::yield_now().await;
    }
    running.abort().await;
    assert!(timeout(LONG, hang).await.unwrap().unwrap().is_err());
    for socket in [&mut socket, &mut silent] {
        assert_eq!(timeout(LONG, socket.read(&mut [0; 1])).await.unwrap().unwrap_or(0), 0);
    }
}

#[tokio::test]
async fn one_gateway_serves_several_listeners_and_two_gateways_do_not_mix() {
    let (first, second) = (Gateway::new(GatewaySettings::default()), Gateway::new(GatewaySettings::default()));
    let app = TestApp::start("a").await;
    let routes = lab_core::testing::router::table([(A, lab_core::router::Target::Port(app.port()))]);
    first.apply(routes).await.unwrap();
    let stop = CancellationToken::new();
    let mut addresses = Vec::new();
    let mut tasks = tokio::task::JoinSet::new();
    for gateway in [&first, &first, &second] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push(listener.local_addr().unwrap());
        let (gateway, stop) = (gateway.clone(), stop.clone());
        tasks.spawn(async move { gateway.serve(listener, stop).await });
    }
    let mut statuses = Vec::new();
    for address in addresses {
        statuses.push(Visitor::once(address, A, "/").await.0);
    }
    assert_eq!(statuses, [StatusCode::OK, StatusCode::OK, StatusCode::NOT_FOUND]);
    stop.cancel();
    timeout(LONG, async { while tasks.join_next().await.is_some() {} }).await.unwrap();
}
