//! The conformance suite for what a [`RouterConfig`] does to real traffic: small apps behind it, small visitors before it.
#![expect(clippy::missing_panics_doc, reason = "a behaviour panics when it is not met")]

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{
    http::{Seen, TestApp, Visitor, read_all},
    router::table,
};
use crate::router::{RouteTable, RouterConfig, Target, Unavailable};

/// Long enough for any machine; only a broken router waits for it.
const LONG: Duration = Duration::from_secs(20);

const A: &str = "a.example.test";
const B: &str = "b.example.test";

async fn apply(router: &dyn RouterConfig, table: RouteTable) {
    router.apply(table).await.expect("a good table");
}

fn to(app: &TestApp) -> Target {
    Target::Port(app.port())
}

fn get(path: &str) -> http::request::Builder {
    Request::get(path).header(header::HOST, A)
}

fn empty() -> Full<Bytes> {
    Full::default()
}

/// One request to `A` and what the app saw of it.
async fn seen(router: &dyn RouterConfig, address: SocketAddr, request: Request<Full<Bytes>>) -> Seen {
    let app = TestApp::start("a").await;
    apply(router, table([(A, to(&app))])).await;
    let response = Visitor::connect(address).await.send(request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    app.seen().pop().expect("the app saw it")
}

async fn event(body: &mut Incoming) -> String {
    let frame = timeout(LONG, body.frame()).await.expect("an event in time").expect("more events").expect("no error");
    String::from_utf8_lossy(&frame.into_data().expect("data")).into_owned()
}

async fn events(address: SocketAddr, host: &str) -> (Visitor, Incoming) {
    let mut visitor = Visitor::connect(address).await;
    let request = Request::get("/events").header(header::HOST, host).body(empty()).expect("a request");
    let mut body = visitor.send(request).await.expect("an answer").into_body();
    assert_eq!(event(&mut body).await, "data: hello\n\n");
    (visitor, body)
}

/// A WebSocket handshake; the frames are the app's business, a router only carries bytes.
async fn websocket(address: SocketAddr, host: &str) -> TokioIo<hyper::upgrade::Upgraded> {
    let request = Request::get("/ws")
        .header(header::HOST, host)
        .header(header::CONNECTION, "keep-alive, Upgrade")
        .header(header::UPGRADE, "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(empty())
        .expect("a request");
    let mut visitor = Visitor::connect(address).await;
    let mut response = visitor.send(request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    TokioIo::new(hyper::upgrade::on(&mut response).await.expect("an upgrade"))
}

async fn echoes(socket: &mut TokioIo<hyper::upgrade::Upgraded>, text: &[u8]) {
    socket.write_all(text).await.expect("written");
    let mut back = vec![0; text.len()];
    timeout(LONG, socket.read_exact(&mut back)).await.expect("in time").expect("read");
    assert_eq!(back, text);
}

/// The host decides.
pub async fn requests_are_routed_by_host(router: &dyn RouterConfig, address: SocketAddr) {
    let (a, b) = (TestApp::start("a").await, TestApp::start("b").await);
    apply(router, table([(A, to(&a)), (B, to(&b))])).await;
    // over one connection too
    let mut visitor = Visitor::connect(address).await;
    for (host, name) in [(A, "a"), (B, "b"), (A, "a"), ("A.Example.TEST", "a"), ("b.example.test:8080", "b")] {
        assert_eq!(visitor.get(host, "/").await.expect("an answer"), (StatusCode::OK, name.to_owned()));
    }
}

/// Method, target and body reach the app as they were.
pub async fn a_request_arrives_whole(router: &dyn RouterConfig, address: SocketAddr) {
    let app = TestApp::start("a").await;
    apply(router, table([(A, to(&app))])).await;
    let target = "/echo?x=%2F&y=a+b&z";
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let request = Request::builder().method(method.clone()).uri(target).header(header::HOST, A);
        let request = request.body(Full::from("some bytes")).expect("a request");
        let response = Visitor::connect(address).await.send(request).await.expect("an answer");
        assert_eq!(read_all(response).await.expect("a body"), "some bytes");
        let seen = app.seen().pop().expect("the app saw it");
        assert_eq!((seen.method.as_str(), seen.target.as_str()), (method.as_str(), target));
    }
}

/// Hosts without a route get 404.
pub async fn an_unknown_host_gets_404(router: &dyn RouterConfig, address: SocketAddr) {
    let app = TestApp::start("a").await;
    apply(router, table([(A, to(&app))])).await;
    for host in [B, "example.test", "x.a.example.test", "127.0.0.1"] {
        assert_eq!(Visitor::once(address, host, "/").await.0, StatusCode::NOT_FOUND, "{host}");
    }
    assert!(app.seen().is_empty());
}

/// Unavailable apps get 503, with a time to come back.
pub async fn an_unavailable_app_gets_503(router: &dyn RouterConfig, address: SocketAddr) {
    for why in [Unavailable::Deploying, Unavailable::Stopped, Unavailable::Failed] {
        apply(router, table([(A, Target::Unavailable(why))])).await;
        let request = get("/").body(empty()).expect("a request");
        let response = Visitor::connect(address).await.send(request).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(header::RETRY_AFTER), "{why:?}");
    }
}

/// An app that is gone gets 502, and no port shows.
pub async fn an_app_that_is_gone_gets_502(router: &dyn RouterConfig, address: SocketAddr) {
    let app = TestApp::start("a").await;
    let port = app.port();
    apply(router, table([(A, to(&app))])).await;
    app.kill().await;
    let (status, body) = Visitor::once(address, A, "/").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(!body.contains(&port.to_string()), "{body}");
}

/// When `apply` returns, new requests follow the table.
pub async fn a_change_is_followed_at_once(router: &dyn RouterConfig, address: SocketAddr) {
    let (a, b) = (TestApp::start("a").await, TestApp::start("b").await);
    for (app, name) in [(&a, "a"), (&b, "b"), (&a, "a"), (&b, "b")] {
        apply(router, table([(A, to(app))])).await;
        assert_eq!(Visitor::once(address, A, "/").await.1, name);
    }
    apply(router, RouteTable::new()).await;
    assert_eq!(Visitor::once(address, A, "/").await.0, StatusCode::NOT_FOUND);
}

/// While one host moves to and fro, neither its requests nor those of others fail.
pub async fn no_request_fails_during_changes(router: &dyn RouterConfig, address: SocketAddr) {
    let (a, b) = (TestApp::start("a").await, TestApp::start("b").await);
    apply(router, table([(A, to(&a)), (B, to(&b))])).await;
    let (done, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = |host: &'static str| {
        let (done, answered) = (&done, &answered);
        async move {
            while !done.load(Ordering::Relaxed) {
                let (status, name) = Visitor::once(address, host, "/").await;
                assert_eq!(status, StatusCode::OK);
                assert!(host == A || name == "b", "another host's answer");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let changes = async {
        for n in 0..20 {
            let before = answered.load(Ordering::Relaxed);
            let now = if n % 2 == 0 { &b } else { &a };
            apply(router, table([(A, to(now)), (B, to(&b))])).await;
            while answered.load(Ordering::Relaxed) < before + 8 {
                tokio::task::yield_now().await;
            }
        }
        done.store(true, Ordering::Relaxed);
    };
    tokio::join!(changes, load(A), load(A), load(B), load(B));
}

/// Streams of hosts whose route did not change are not disturbed.
pub async fn streams_of_other_hosts_survive_changes(router: &dyn RouterConfig, address: SocketAddr) {
    let (a, b) = (TestApp::start("a").await, TestApp::start("b").await);
    apply(router, table([(A, to(&a)), (B, to(&b))])).await;
    let (_visitor, mut body) = events(address, B).await;
    let mut socket = websocket(address, B).await;
    let changes = [
        table([(B, to(&b))]),
        table([(A, Target::Unavailable(Unavailable::Stopped)), (B, to(&b))]),
        table([(A, to(&a)), (B, to(&b))]),
    ];
    for change in changes {
        apply(router, change).await;
        b.tell("still here");
        assert_eq!(event(&mut body).await, "data: still here\n\n");
        echoes(&mut socket, b"still here").await;
    }
}

/// Each event arrives when it is sent, not when there are more.
pub async fn events_arrive_one_by_one(router: &dyn RouterConfig, address: SocketAddr) {
    let app = TestApp::start("a").await;
    apply(router, table([(A, to(&app))])).await;
    let (_visitor, mut body) = events(address, A).await;
    for n in 0..5 {
        app.tell(&n.to_string());
        assert_eq!(event(&mut body).await, format!("data: {n}\n\n"));
    }
}

/// When the visitor leaves, the app notices.
pub async fn a_visitor_who_leaves_ends_the_apps_stream(router: &dyn RouterConfig, address: SocketAddr) {
    let app = TestApp::start("a").await;
    apply(router, table([(A, to(&app))])).await;
    let (visitor, body) = events(address, A).await;
    let mut streams = app.streams();
    assert_eq!(*streams.borrow_and_update(), 1);
    drop((visitor, body));
    let gone = async {
        while *streams.borrow_and_update() > 0 {
            app.tell("anybody there?");
            let _ = timeout(Duration::from_millis(20), streams.changed()).await;
        }
    };
    timeout(LONG, gone).await.expect("the app's stream ends");
}

/// A WebSocket carries bytes both ways, and ends when the visitor ends it.
pub async fn a_websocket_carries_both_ways(router: &dyn RouterConfig, address: SocketAddr) {
    let app = TestApp::start("a").await;
    apply(router, table([(A, to(&app))])).await;
    let mut socket = websocket(address, A).await;
    for size in [1, 10, 100_000] {
        let text = vec![b'x'; size];
        let (mut read, mut write) = tokio::io::split(&mut socket);
        let mut back = vec![0; size];
        let both = async { tokio::try_join!(write.write_all(&text), read.read_exact(&mut back)) };
        timeout(LONG, both).await.expect("in time").expect("both ways");
        assert_eq!(back, text);
    }
    let seen = app.seen().pop().expect("the app saw it");
    assert_eq!(seen.headers["sec-websocket-key"], "dGhlIHNhbXBsZSBub25jZQ==");
    socket.shutdown().await.expect("closed");
    assert_eq!(timeout(LONG, socket.read(&mut [0; 8])).await.expect("in time").expect("an orderly end"), 0);
}

/// A body goes up as it comes, however long it is.
pub async fn an_upload_is_not_gathered(router: &dyn RouterConfig, address: SocketAddr) {
    let app = TestApp::start("a").await;
    apply(router, table([(A, to(&app))])).await;
    let uploaded = app.uploaded();
    // each chunk is sent only when the app has the one before
    let chunks = stream::unfold((0_u64, uploaded), |(n, mut uploaded)| async move {
        if n == 5 {
            return None;
        }
        timeout(LONG, uploaded.wait_for(|bytes| *bytes == n * 1000)).await.expect("in time").expect("the app lives");
        Some((Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(vec![b'x'; 1000]))), (n + 1, uploaded)))
    });
    let request = Request::post("/upload").header(header::HOST, A).body(StreamBody::new(chunks)).expect("a request");
    let response = Visitor::connect(address).await.send(request).await.expect("an answer");
    assert_eq!(read_all(response).await.expect("a body"), "5000");
}

/// Answers without body have none, and the connection goes on.
pub async fn answers_without_body_have_none(router: &dyn RouterConfig, address: SocketAddr) {
    let app = TestApp::start("a").await;
    apply(router, table([(A, to(&app))])).await;
    let mut visitor = Visitor::connect(address).await;
    let head = Request::head("/").header(header::HOST, A).body(empty()).expect("a request");
    let response: Response<Incoming> = visitor.send(head).await.expect("an answer");
    assert_eq!(response.headers()[header::CONTENT_LENGTH], "1");
    assert_eq!(read_all(response).await.expect("no body"), "");
    for status in [204, 304] {
        let (got, body) = visitor.get(A, &format!("/status/{status}")).await.expect("an answer");
        assert_eq!((got.as_u16(), body.as_str()), (status, ""));
    }
    assert_eq!(visitor.get(A, "/").await.expect("an answer").1, "a");
}

/// The app sees the host that the visitor asked for, and the visitor's address.
pub async fn the_app_sees_host_and_visitor(router: &dyn RouterConfig, address: SocketAddr) {
    let request = Request::get("/").header(header::HOST, "a.example.test:8080").body(empty()).expect("a request");
    let seen = seen(router, address, request).await;
    assert_eq!(seen.headers[header::HOST], "a.example.test:8080");
    assert_eq!(seen.headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(seen.headers["x-forwarded-host"], "a.example.test:8080");
    assert_eq!(seen.headers["x-forwarded-proto"], "http");
}

/// What a visitor claims about its address, under any name that proxies use for it, is not passed on.
pub async fn a_visitor_cannot_forge_its_address(router: &dyn RouterConfig, address: SocketAddr) {
    let mut request = get("/").header("x-forwarded-host", "evil.test").header("x-forwarded-proto", "gopher");
    for name in FORGED {
        request = request.header(name, "203.0.113.66");
    }
    let request = request.header("x-forwarded-port", "6666").header("x-forwarded-ssl", "gopher");
    let request = request.header("forwarded", "for=203.0.113.66;host=evil.test");
    let seen = seen(router, address, request.body(empty()).expect("a request")).await;
    let told = format!("{:?}", seen.headers);
    assert!(!["203.0.113.66", "evil", "gopher", "6666"].iter().any(|lie| told.contains(lie)), "{told}");
    assert_eq!(seen.headers.get_all("x-forwarded-for").iter().count(), 1);
}

/// Names under which proxies tell the client's address.
const FORGED: [&str; 7] = [
    "x-forwarded-for",
    "x-real-ip",
    "fly-client-ip",
    "cf-connecting-ip",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
];

/// Of tables that come at once one is in force in the end, and it is the one that `table` returns.
pub async fn tables_applied_at_once_are_followed_as_table_says(router: &dyn RouterConfig, address: SocketAddr) {
    let (a, b) = (TestApp::start("a").await, TestApp::start("b").await);
    for _ in 0..5 {
        let all = (0..8).map(|n| router.apply(table([(A, to(if n % 2 == 0 { &a } else { &b }))])));
        let applied = futures_util::future::join_all(all).await;
        assert!(applied.iter().all(Result::is_ok), "{applied:?}");
        let end = router.table().await.expect("a table");
        let name = if end == table([(A, to(&a))]) { "a" } else { "b" };
        assert_eq!(Visitor::once(address, A, "/").await.1, name, "{end:?}");
    }
}

/// Headers for one connection do not travel on, neither way.
pub async fn hop_by_hop_headers_stay_behind(router: &dyn RouterConfig, address: SocketAddr) {
    let request = get("/hops").header("connection", "x-mine").header("x-mine", "1").header("keep-alive", "timeout=5");
    let request = request.header("te", "gzip").header("proxy-authorization", "Basic eA==").header("x-other", "1");
    let app = TestApp::start("a").await;
    apply(router, table([(A, to(&app))])).await;
    let response =
        Visitor::connect(address).await.send(request.body(empty()).expect("a request")).await.expect("an answer");
    let seen = app.seen().pop().expect("the app saw it").headers;
    for name in ["x-mine", "keep-alive", "te", "proxy-authorization", "upgrade"] {
        assert!(!seen.contains_key(name), "the app got {name}");
    }
    assert_eq!(seen["x-other"], "1");
    for name in ["x-secret", "proxy-authenticate", "keep-alive"] {
        assert!(!response.headers().contains_key(name), "the visitor got {name}");
    }
}

/// Checks the traffic through a router: the argument is an expression for a future of a fresh
/// `(Subject<dyn RouterConfig>, SocketAddr)`, the address being where visitors come in over plain HTTP.
#[macro_export]
macro_rules! router_traffic_conformance {
    ($make:expr) => {
        $crate::router_traffic_conformance! { @each $make;
            requests_are_routed_by_host,
            a_request_arrives_whole,
            an_unknown_host_gets_404,
            an_unavailable_app_gets_503,
            an_app_that_is_gone_gets_502,
            a_change_is_followed_at_once,
            tables_applied_at_once_are_followed_as_table_says,
            no_request_fails_during_changes,
            streams_of_other_hosts_survive_changes,
            events_arrive_one_by_one,
            a_visitor_who_leaves_ends_the_apps_stream,
            a_websocket_carries_both_ways,
            an_upload_is_not_gathered,
            answers_without_body_have_none,
            the_app_sees_host_and_visitor,
            a_visitor_cannot_forge_its_address,
            hop_by_hop_headers_stay_behind,
        }
    };
    (@each $make:expr; $($behaviour:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                let (subject, address) = $make.await;
                $crate::testing::router_traffic::$behaviour(&*subject.backend, address).await;
            }
        )+
    };
}
