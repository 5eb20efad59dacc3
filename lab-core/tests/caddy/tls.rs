//! Certificates: Caddy's own, and those of a real ACME server on this machine.

use std::path::Path;

use lab_core::{
    router::{
        Target,
        caddy::{CaddyLayout, CaddyTls},
    },
    testing::http::TestApp,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    pebble::Pebble,
    running::{A, Running, eventually, lead},
};

/// Says that `A` may have a certificate, and nobody else.
async fn asked() -> (String, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/tls/ask", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap_or_default();
            let is_ours = String::from_utf8_lossy(&request[..length]).contains(&format!("domain={A} "));
            let status = if is_ours { "200 OK" } else { "404 Not Found" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (url, AbortOnDropHandle::new(task))
}

fn client(running: &Running, host: &str, root: &Path) -> Option<reqwest::Client> {
    let pem = std::fs::read(root).ok()?;
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .resolve(host, running.settings.https)
        .tls_certs_merge(reqwest::Certificate::from_pem_bundle(&pem).ok()?);
    client.build().ok()
}

async fn get(running: &Running, scheme: &str, host: &str, root: &Path) -> Option<(u16, String, String)> {
    let port = if scheme == "https" { running.ports[1] } else { running.ports[0] };
    let client = client(running, host, root)?;
    let answer = client.get(format!("{scheme}://{host}:{port}/x?y=1")).send().await.ok()?;
    let location =
        answer.headers().get("location").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    Some((answer.status().as_u16(), location, answer.text().await.ok()?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caddys_own_authority_signs_for_the_labs_hosts_and_for_no_other() {
    let (ask, _asked) = asked().await;
    let running = Running::start_with(CaddyLayout::Direct, |settings| {
        settings.tls = CaddyTls::Internal;
        settings.is_https = true;
        settings.ask = ask;
    })
    .await;
    let router = running.open().await;
    let app = TestApp::start("a").await;
    lead(&router, Target::Port(app.port())).await;
    let root = running.settings.dir.join("storage/pki/authorities/local/root.crt");
    eventually("an answer over TLS", async || {
        get(&running, "https", A, &root).await.is_some_and(|(status, _, body)| (status, body.as_str()) == (200, "a"))
    })
    .await;
    let seen = app.seen().pop().unwrap();
    assert_eq!(seen.headers["x-forwarded-proto"], "https");
    assert!(get(&running, "https", "other.example.test", &root).await.is_none(), "no certificate for others");
    let pem = std::fs::read(&root).unwrap();
    assert!(!pem.is_empty());
    // whom the machine trusts is left alone
    let log = std::fs::read_to_string(running.dir.path().join("caddy.log")).unwrap();
    assert!(!log.contains("installing root certificate"), "{log}");
    // plain HTTP leads to the other
    let plain = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .resolve(A, running.settings.http)
        .build()
        .unwrap();
    let moved = plain.get(format!("http://{A}:{}/x?y=1", running.ports[0])).send().await.unwrap();
    assert_eq!(moved.status().as_u16(), 308);
    assert_eq!(moved.headers()["location"], format!("https://{A}:{}/x?y=1", running.ports[1]));
    router.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_fetched_from_an_authority_when_a_host_is_first_visited() {
    let (ask, _asked) = asked().await;
    let (range, _lease) = lab_core::testing::ports::leased_ranges(1);
    let folder = tempfile::tempdir().unwrap();
    let mut pebble = None;
    let running = Running::start_with(CaddyLayout::Edge, |settings| {
        let started = Pebble::start(folder.path(), &range, settings.http.port(), settings.https.port());
        settings.tls = CaddyTls::Acme {
            email: Some("me@example.test".to_owned()),
            directory: Some(started.directory.clone()),
            root: Some(started.root.clone()),
        };
        settings.is_https = true;
        settings.ask = ask;
        pebble = Some(started);
    })
    .await;
    let pebble = pebble.unwrap();
    let router = running.open().await;
    let app = TestApp::start("a").await;
    lead(&router, Target::Port(app.port())).await;
    let root = folder.path().join("issuer.pem");
    eventually("pebble", async || pebble.issuer(&root).await).await;
    eventually("an answer over TLS", async || {
        get(&running, "https", A, &root).await.is_some_and(|(status, _, body)| (status, body.as_str()) == (200, "a"))
    })
    .await;
    assert!(get(&running, "https", "other.example.test", &root).await.is_none(), "nothing is fetched for others");
    let log = pebble.log();
    assert!(log.contains("A.EXAMPLE.TEST".to_lowercase().as_str()) && !log.contains("other.example.test"), "{log}");
    router.shutdown().await;
}
