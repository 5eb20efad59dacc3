//! The connections to apps: which are reused, what is sent again, what is not.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use lab_core::{
    router::{Target, Unavailable, gateway::GatewaySettings},
    testing::http::{TestApp, Visitor, read_all},
};
use tokio::{io::AsyncWriteExt, time::timeout};

use super::running::{A, LONG, Running, one_worker, raw_app, read_head};

async fn post(running: &Running) -> StatusCode {
    let request = Request::post("/").header(header::HOST, A).body(Full::<Bytes>::from("x")).unwrap();
    Visitor::connect(running.address).await.send(request).await.unwrap().status()
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let (running, app) = Running::with_app(one_worker()).await;
    for _ in 0..10 {
        assert_eq!(Visitor::once(running.address, A, "/").await.1, "a");
        assert_eq!(post(&running).await, StatusCode::OK);
    }
    assert!(app.connections() <= 2, "{}", app.connections());
}

#[tokio::test]
async fn a_route_that_changed_does_not_inherit_connections() {
    let (running, old) = Running::with_app(one_worker()).await;
    let port = Target::Port(old.port());
    assert_eq!(Visitor::once(running.address, A, "/").await.1, "a");
    // the same port, given up and taken again, while the old process still holds its connections
    running.lead(Target::Unavailable(Unavailable::Stopped)).await;
    running.lead(port).await;
    assert_eq!(Visitor::once(running.address, A, "/").await.1, "a");
    assert_eq!(old.connections(), 2);
}

#[tokio::test]
async fn an_app_that_was_replaced_on_its_port_is_not_missed() {
    let (running, mut app) = Running::with_app(one_worker()).await;
    let port = app.port();
    let mut visitor = Visitor::connect(running.address).await;
    for n in 0..20 {
        assert_eq!(visitor.get(A, "/").await.unwrap().0, StatusCode::OK);
        app.kill().await;
        app = TestApp::start_on(&n.to_string(), port).await;
        // alternately what may be sent again and what may not
        if n % 2 == 0 {
            assert_eq!(visitor.get(A, "/").await.unwrap(), (StatusCode::OK, n.to_string()));
        } else {
            assert_eq!(post(&running).await, StatusCode::OK);
        }
    }
}

#[tokio::test]
async fn requests_wait_for_an_app_that_comes_back() {
    let (running, app) = Running::with_app(GatewaySettings::default()).await;
    let port = app.port();
    app.kill().await;
    let (address, waiting) = (running.address, tokio::join!(post_soon(&running), post_soon(&running)));
    let back = TestApp::start_on("back", port).await;
    for request in [waiting.0, waiting.1] {
        assert_eq!(timeout(LONG, request).await.unwrap().unwrap(), StatusCode::OK);
    }
    assert_eq!(Visitor::once(address, A, "/").await.1, "back");
    drop(back);
}

/// A POST under way, after the gateway has it.
async fn post_soon(running: &Running) -> tokio::task::JoinHandle<StatusCode> {
    let mut visitor = Visitor::connect(running.address).await;
    // the connection is known to the gateway when this was answered
    assert_eq!(visitor.get("nobody.test", "/").await.unwrap().0, StatusCode::NOT_FOUND);
    let waiting = tokio::spawn(async move {
        let request = Request::post("/").header(header::HOST, A).body(Full::<Bytes>::from("x")).unwrap();
        visitor.send(request).await.unwrap().status()
    });
    // time to be refused at least once; without it the test would pass as well, and show less
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    waiting
}

#[tokio::test]
async fn a_request_that_waits_follows_the_route() {
    let (running, app) = Running::with_app(GatewaySettings::default()).await;
    app.kill().await;
    let waiting = post_soon(&running).await;
    let elsewhere = TestApp::start("elsewhere").await;
    running.lead(Target::Port(elsewhere.port())).await;
    assert_eq!(timeout(LONG, waiting).await.unwrap().unwrap(), StatusCode::OK);
    assert_eq!(elsewhere.seen().len(), 1);
}

/// An app that answers the first request of a connection and closes on the second, counting what it got.
async fn closes_on_second(running: &Running) -> (Arc<AtomicUsize>, impl Drop + use<>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = requests.clone();
    let (port, app) = raw_app(move |_, mut stream| {
        let counter = counter.clone();
        async move {
            read_head(&mut stream).await;
            counter.fetch_add(1, Ordering::SeqCst);
            // the bodies of these tests come with or after the head; leaving them unread would reset the connection
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            if !read_head(&mut stream).await.is_empty() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    running.lead(Target::Port(port)).await;
    (requests, app)
}

#[tokio::test]
async fn what_may_have_been_acted_on_is_never_sent_twice() {
    let running = Running::start(one_worker()).await;
    for method in [Method::POST, Method::PATCH, Method::PUT, Method::DELETE] {
        let (requests, _app) = closes_on_second(&running).await;
        assert_eq!(Visitor::once(running.address, A, "/").await.0, StatusCode::OK);
        let request = Request::builder().method(method.clone()).uri("/").header(header::HOST, A);
        let response = Visitor::connect(running.address)
            .await
            .send(request.body(Full::<Bytes>::default()).unwrap())
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY, "{method}");
        assert!(!read_all(response).await.unwrap().is_empty());
        assert_eq!(requests.load(Ordering::SeqCst), 2, "{method}");
    }
}

#[tokio::test]
async fn a_safe_request_that_crossed_a_close_is_sent_again() {
    let running = Running::start(one_worker()).await;
    let (requests, _app) = closes_on_second(&running).await;
    for _ in 0..2 {
        assert_eq!(Visitor::once(running.address, A, "/").await, (StatusCode::OK, "ok".to_owned()));
    }
    assert_eq!(requests.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn visitors_do_not_notice_that_an_app_was_killed_and_started_again() {
    let (running, mut app) = Running::with_app(GatewaySettings::default()).await;
    let (port, address, answered) = (app.port(), running.address, Arc::new(AtomicUsize::new(0)));
    let mut visitors = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let answered = answered.clone();
        visitors.spawn(async move {
            let mut visitor = Visitor::connect(address).await;
            loop {
                assert_eq!(visitor.get(A, "/").await.unwrap(), (StatusCode::OK, "a".to_owned()));
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for _ in 0..10 {
        let before = answered.load(Ordering::Relaxed);
        while answered.load(Ordering::Relaxed) < before + 50 {
            assert!(visitors.try_join_next().is_none(), "a visitor noticed");
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        app.kill().await;
        app = TestApp::start_on("a", port).await;
    }
    visitors.shutdown().await;
}

#[tokio::test]
async fn a_safe_request_is_repeated_only_once() {
    let (running, app) = Running::with_app(GatewaySettings::default()).await;
    assert_eq!(Visitor::once(running.address, A, "/cut").await.0, StatusCode::BAD_GATEWAY);
    assert_eq!(app.seen().len(), 2);
}

#[tokio::test]
async fn connections_to_apps_close_when_idle_for_too_long() {
    let mut settings = GatewaySettings::default();
    settings.timeouts.idle = std::time::Duration::from_millis(50);
    let running = Running::start(settings).await;
    let (closed, mut wait) = tokio::sync::mpsc::channel(1);
    let (port, _app) = raw_app(move |_, mut stream| {
        let closed = closed.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            assert_eq!(read_head(&mut stream).await, "");
            closed.send(()).await.unwrap();
        }
    })
    .await;
    running.lead(Target::Port(port)).await;
    assert_eq!(Visitor::once(running.address, A, "/").await.0, StatusCode::OK);
    timeout(LONG, wait.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_visitor_keeps_one_connection_while_the_route_moves() {
    let (running, a) = Running::with_app(GatewaySettings::default()).await;
    let b = TestApp::start("b").await;
    let mut visitor = Visitor::connect(running.address).await;
    for _ in 0..50 {
        for (app, name) in [(&a, "a"), (&b, "b")] {
            running.lead(Target::Port(app.port())).await;
            assert_eq!(visitor.get(A, "/").await.unwrap(), (StatusCode::OK, name.to_owned()));
        }
    }
}
