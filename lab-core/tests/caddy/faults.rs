//! What can be wrong with Caddy, and what is said of it.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use lab_core::{
    router::{
        RouterConfig, RouterError, Target,
        caddy::{CaddyError, CaddyLayout, CaddyRouter, CaddySettings, diagnose},
        gateway::{Gateway, GatewaySettings},
    },
    testing::{
        http::{TestApp, Visitor},
        router::table,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
};

use super::running::{A, Running, eventually, lead};

#[tokio::test]
async fn a_caddy_that_does_not_run_is_told_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = CaddySettings::new(dir.path(), ([127, 0, 0, 1], 1).into());
    settings.patience = Duration::from_millis(100);
    let error =
        CaddyRouter::open(settings.clone(), Arc::new(Gateway::new(GatewaySettings::default()))).await.unwrap_err();
    assert!(error.to_string().contains("Caddy does not run; start it"), "{error}");
    let said = diagnose(&settings).await;
    assert!(said.len() == 1 && !said[0].is_well && said[0].text.contains("Caddy does not run"), "{said:?}");
    settings.dir = dir.path().join("x".repeat(100));
    assert!(matches!(settings.prepare(), Err(CaddyError::Folder { .. })));
}

/// A Caddy that has a configuration, and makes no change of it: it says this instead.
async fn stubborn(listener: UnixListener, config: String, says: (u16, &'static str)) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let config = config.clone();
        tokio::spawn(async move {
            let mut request = vec![0; 65536];
            let length = stream.read(&mut request).await.unwrap_or_default();
            let asked = String::from_utf8_lossy(&request[..length]).into_owned();
            let (status, body) = if asked.starts_with("GET") { (200, config) } else { (says.0, says.1.to_owned()) };
            let answer =
                format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        });
    }
}

/// What a change by a Caddy that says so ends with.
async fn refused_with(says: (u16, &'static str)) -> RouterError {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = CaddySettings::new(dir.path(), ([127, 0, 0, 1], 1).into());
    settings.layout = CaddyLayout::Direct;
    settings.prepare().unwrap();
    let config = std::fs::read_to_string(settings.config_file()).unwrap();
    let listener = UnixListener::bind(settings.admin_socket()).unwrap();
    let _caddy = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(stubborn(listener, config.clone(), says)));
    let router = CaddyRouter::open(settings.clone(), Arc::new(Gateway::new(GatewaySettings::default()))).await.unwrap();
    let app = TestApp::start("a").await;
    let refused = router.apply(table([(A, Target::Port(app.port()))])).await.unwrap_err();
    assert!(router.table().await.unwrap().is_empty());
    // what Caddy would start with is what it accepted
    assert_eq!(std::fs::read_to_string(settings.config_file()).unwrap(), config);
    router.shutdown().await;
    refused
}

#[tokio::test]
async fn a_refused_change_says_why_and_leaves_the_table_as_it_was() {
    let refused = refused_with((400, r#"{"error":"no thanks"}"#)).await;
    assert!(matches!(&refused, RouterError::Rejected { reason } if reason == "no thanks"), "{refused}");
}

#[tokio::test]
async fn a_change_that_is_said_to_be_done_and_is_not_is_found() {
    let refused = refused_with((200, "")).await;
    assert!(lab_core::report(&refused).contains("another configuration than it was given"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_away_is_waited_for_and_found_by_the_doctor() {
    let running = Running::start(CaddyLayout::Edge).await;
    let router = running.open().await;
    let app = TestApp::start("a").await;
    lead(&router, Target::Port(app.port())).await;
    let said = diagnose(&running.settings).await;
    assert!(said.iter().all(|finding| finding.is_well), "{said:?}");
    std::fs::remove_file(running.settings.gateway_socket()).unwrap();
    let said = diagnose(&running.settings).await;
    assert!(
        said.iter().any(|finding| !finding.is_well && finding.text.contains("lab-server does not run")),
        "{said:?}"
    );
    let address = running.address();
    eventually("Caddy's listener", async || tokio::net::TcpStream::connect(address).await.is_ok()).await;
    let waits = tokio::spawn(async move { Visitor::once(address, A, "/").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let listener = UnixListener::bind(running.settings.gateway_socket()).unwrap();
    let gateway = running.gateway.clone();
    let _served = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(async move {
        gateway.serve(listener, tokio_util::sync::CancellationToken::new()).await
    }));
    assert_eq!(waits.await.unwrap(), (StatusCode::OK, "a".to_owned()));
    router.shutdown().await;
}
