//! Tunnels, with a real `WebSocket` on both ends.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use lab_core::router::{
    Target, Unavailable,
    gateway::{Drained, GatewaySettings},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async, tungstenite::Message};

use super::running::{A, LONG, Running, raw_app};

/// A gateway before an app that echoes messages.
async fn echo(settings: GatewaySettings) -> (Running, impl Drop) {
    let (port, app) = raw_app(|_, stream| async move {
        let mut socket = accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                let _ = socket.send(message).await;
            }
        }
    })
    .await;
    let running = Running::start(settings).await;
    running.lead(Target::Port(port)).await;
    (running, app)
}

async fn connect(running: &Running) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(running.address).await.unwrap();
    client_async(format!("ws://{A}/chat?room=1"), stream).await.unwrap().0
}

async fn says(socket: &mut WebSocketStream<TcpStream>, text: &str) {
    socket.send(Message::text(text)).await.unwrap();
    assert_eq!(timeout(LONG, socket.next()).await.unwrap().unwrap().unwrap(), Message::text(text));
}

#[tokio::test]
async fn messages_and_the_closing_handshake_pass() {
    let (running, _app) = echo(GatewaySettings::default()).await;
    let mut socket = connect(&running).await;
    for text in ["hello", &"x".repeat(300_000)] {
        says(&mut socket, text).await;
    }
    socket.close(None).await.unwrap();
    assert!(matches!(timeout(LONG, socket.next()).await.unwrap(), Some(Ok(Message::Close(_)))));
    assert!(timeout(LONG, socket.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_websocket_outlives_its_route_as_long_as_the_app_does() {
    let (running, _app) = echo(GatewaySettings::default()).await;
    let mut socket = connect(&running).await;
    running.lead(Target::Unavailable(Unavailable::Stopped)).await;
    says(&mut socket, "still here").await;
}

#[tokio::test]
async fn only_a_silent_websocket_is_cut() {
    let mut settings = GatewaySettings::default();
    settings.timeouts.tunnel = Duration::from_millis(400);
    // the connection's own limit must not touch it
    settings.timeouts.head = Duration::from_millis(50);
    let (running, _app) = echo(settings).await;
    let mut socket = connect(&running).await;
    for _ in 0..10 {
        says(&mut socket, "tick").await;
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    assert!(matches!(timeout(LONG, socket.next()).await.unwrap(), None | Some(Err(_))));
}

#[tokio::test]
async fn websockets_end_at_shutdown() {
    let (running, _app) = echo(GatewaySettings::default()).await;
    let mut socket = connect(&running).await;
    says(&mut socket, "hello").await;
    assert_eq!(running.stop().await, Drained { cut: 0 });
    assert!(matches!(timeout(LONG, socket.next()).await.unwrap(), None | Some(Err(_))));
}
