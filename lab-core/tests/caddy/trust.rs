//! Whose words about visitors are believed.

use lab_core::{
    router::{Target, caddy::CaddyLayout},
    testing::http::{TestApp, Visitor},
};

use super::running::{A, Running, eventually, lead};

/// Sends what a proxy would, and returns what the app saw of it.
async fn told_by_a_proxy(layout: CaddyLayout, trusted: &str) -> http::HeaderMap {
    let running =
        Running::start_with(layout, |settings| settings.trusted_proxies = vec![trusted.parse().unwrap()]).await;
    let router = running.open().await;
    let app = TestApp::start("a").await;
    lead(&router, Target::Port(app.port())).await;
    let address = running.address();
    eventually("Caddy's listener", async || tokio::net::TcpStream::connect(address).await.is_ok()).await;
    let request = http::Request::get("/").header("host", A).header("x-forwarded-for", "203.0.113.9");
    let request = request.header("x-forwarded-proto", "https").header("fly-client-ip", "203.0.113.9");
    let request = request.header("x-forwarded-port", "443").body(http_body_util::Full::<bytes::Bytes>::default());
    Visitor::connect(address).await.send(request.unwrap()).await.unwrap();
    router.shutdown().await;
    app.seen().pop().unwrap().headers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_proxy_is_believed_and_nobody_else() {
    for layout in [CaddyLayout::Edge, CaddyLayout::Direct] {
        let seen = told_by_a_proxy(layout, "127.0.0.0/8").await;
        let first = seen["x-forwarded-for"].to_str().unwrap().split(',').next();
        assert_eq!(first, Some("203.0.113.9"), "{layout:?}: {seen:?}");
        for (name, value) in
            [("x-forwarded-proto", "https"), ("fly-client-ip", "203.0.113.9"), ("x-forwarded-port", "443")]
        {
            assert_eq!(seen[name], value, "{layout:?}: {seen:?}");
        }
        let seen = told_by_a_proxy(layout, "10.0.0.0/8").await;
        assert!(!format!("{seen:?}").contains("203.0.113.9"), "{layout:?}: {seen:?}");
        assert_eq!(seen["x-forwarded-for"], "127.0.0.1", "{layout:?}");
        assert_eq!(seen["x-forwarded-proto"], "http", "{layout:?}");
    }
}
