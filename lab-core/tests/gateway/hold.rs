//! Requests to an app whose process is exchanged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use lab_core::{
    router::{
        Hostname, RouterConfig, Target,
        gateway::{GatewaySettings, Limits, Timeouts},
    },
    testing::http::{TestApp, Visitor, read_all},
};
use tokio::{sync::mpsc, time::timeout};

use super::running::{A, LONG, Running};

fn host() -> Hostname {
    A.parse().unwrap()
}

fn post(text: &str) -> Request<Full<Bytes>> {
    Request::post("/echo").header(header::HOST, A).body(Full::from(text.to_owned())).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_or_doubles_while_an_app_is_exchanged_again_and_again() {
    let (running, mut app) = Running::with_app(GatewaySettings::default()).await;
    let port = app.port();
    let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let visitors: Vec<_> = (0..8)
        .map(|n| {
            let (over, sent, address) = (over.clone(), sent.clone(), running.address);
            tokio::spawn(async move {
                let mut visitor = Visitor::connect(address).await;
                while !over.load(Ordering::Relaxed) {
                    let text = format!("{n}-{}", sent.fetch_add(1, Ordering::Relaxed));
                    let response = visitor.send(post(&text)).await.unwrap();
                    let status = response.status();
                    assert_eq!((status, read_all(response).await.unwrap()), (StatusCode::OK, text));
                }
            })
        })
        .collect();
    let mut seen = 0;
    for _ in 0..30 {
        let enough = sent.load(Ordering::Relaxed) + 50;
        while sent.load(Ordering::Relaxed) < enough {
            tokio::task::yield_now().await;
        }
        running.lead(Target::Held(port)).await;
        running.gateway.drain(&host(), LONG).await;
        seen += app.seen().len();
        app.kill().await;
        app = TestApp::start_on("next", port).await;
        running.lead(Target::Port(port)).await;
    }
    over.store(true, Ordering::Relaxed);
    for visitor in visitors {
        timeout(LONG, visitor).await.unwrap().unwrap();
    }
    assert_eq!(seen + app.seen().len(), sent.load(Ordering::Relaxed), "each arrived once");
}

#[tokio::test]
async fn a_drain_waits_for_requests_and_ends_streams() {
    let (running, app) = Running::with_app(GatewaySettings::default()).await;
    let mut watcher = Visitor::connect(running.address).await;
    let events = Request::get("/events").header(header::HOST, A).body(Full::<Bytes>::default()).unwrap();
    let mut events = watcher.send(events).await.unwrap().into_body();
    assert!(timeout(LONG, events.frame()).await.unwrap().unwrap().is_ok());
    let (chunks, body) = mpsc::channel::<Result<Frame<Bytes>, std::convert::Infallible>>(1);
    let body =
        StreamBody::new(futures_util::stream::unfold(body, |mut body| async move { Some((body.recv().await?, body)) }));
    let address = running.address;
    let upload = tokio::spawn(async move {
        let request = Request::post("/upload").header(header::HOST, A).body(body).unwrap();
        read_all(Visitor::connect(address).await.send(request).await.unwrap()).await.unwrap()
    });
    chunks.send(Ok(Frame::data(Bytes::from_static(b"12345")))).await.unwrap();
    app.uploaded().wait_for(|bytes| *bytes == 5).await.unwrap();

    running.lead(Target::Held(app.port())).await;
    let gateway = running.gateway.clone();
    let drain = tokio::spawn(async move { gateway.drain(&host(), LONG).await });
    assert!(timeout(LONG, events.frame()).await.unwrap().is_none(), "the stream ends in order");
    app.streams().wait_for(|open| *open == 0).await.unwrap();
    assert!(!drain.is_finished(), "the upload is under way");
    drop(chunks);
    timeout(LONG, drain).await.unwrap().unwrap();
    assert_eq!(timeout(LONG, upload).await.unwrap().unwrap(), "5");
}

#[tokio::test]
async fn a_drain_does_not_wait_for_a_stream_whose_visitor_takes_nothing() {
    let (running, app) = Running::with_app(GatewaySettings::default()).await;
    let mut visitor = Visitor::connect(running.address).await;
    let request = Request::get("/events").header(header::HOST, A).body(Full::<Bytes>::default()).unwrap();
    let events = visitor.send(request).await.unwrap();
    // more than every buffer on the way holds
    for _ in 0..40 {
        app.tell(&"x".repeat(1 << 20));
    }
    running.lead(Target::Held(app.port())).await;
    let begun = std::time::Instant::now();
    running.gateway.drain(&host(), LONG).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    drop(events);
}

#[tokio::test]
async fn a_drain_waits_for_what_is_asked_but_not_long_for_who_reads_slowly() {
    let (running, app) = Running::with_app(GatewaySettings::default()).await;
    let (chunks, body) = mpsc::channel::<Result<Frame<Bytes>, std::convert::Infallible>>(1);
    let body =
        StreamBody::new(futures_util::stream::unfold(body, |mut body| async move { Some((body.recv().await?, body)) }));
    let request = Request::post("/echo").header(header::HOST, A).body(body).unwrap();
    let answer = Visitor::connect(running.address).await.send(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    running.lead(Target::Held(app.port())).await;
    let begun = std::time::Instant::now();
    running.gateway.drain(&host(), LONG).await;
    assert!((1..5).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    drop((chunks, answer));
}

#[tokio::test]
async fn a_drain_does_not_wait_beyond_its_limit() {
    let (running, app) = Running::with_app(GatewaySettings::default()).await;
    let address = running.address;
    let hanging = tokio::spawn(async move { Visitor::once(address, A, "/hang").await });
    while app.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    running.lead(Target::Held(app.port())).await;
    timeout(LONG, running.gateway.drain(&host(), Duration::from_millis(50))).await.unwrap();
    hanging.abort();
}

#[tokio::test]
async fn who_waits_too_long_is_told_to_come_back() {
    let timeouts = Timeouts { hold: Duration::from_millis(20), ..Timeouts::default() };
    let (running, app) = Running::with_app(GatewaySettings { timeouts, ..GatewaySettings::default() }).await;
    running.lead(Target::Held(app.port())).await;
    let response = Visitor::connect(running.address).await.send(post("x")).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()[header::RETRY_AFTER], "5");
    assert!(app.seen().is_empty());
}

#[tokio::test]
async fn not_more_wait_than_may_be_under_way() {
    let limits = Limits { requests_per_app: 1, ..Limits::default() };
    let (running, app) = Running::with_app(GatewaySettings { limits, ..GatewaySettings::default() }).await;
    running.lead(Target::Held(app.port())).await;
    let address = running.address;
    let mut both = tokio::task::JoinSet::new();
    for _ in 0..2 {
        both.spawn(async move { Visitor::once(address, A, "/").await.0 });
    }
    // one waits, the other is refused at once
    assert_eq!(timeout(LONG, both.join_next()).await.unwrap().unwrap().unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    running.lead(Target::Port(app.port())).await;
    assert_eq!(timeout(LONG, both.join_next()).await.unwrap().unwrap().unwrap(), StatusCode::OK);
}

#[tokio::test]
async fn who_waits_hears_when_the_app_does_not_come_back() {
    let (running, app) = Running::with_app(GatewaySettings::default()).await;
    running.lead(Target::Held(app.port())).await;
    let address = running.address;
    let waits = tokio::spawn(async move { Visitor::once(address, A, "/").await });
    // it may be asked before or after the change: the answer is the same
    running.lead(Target::Unavailable(lab_core::router::Unavailable::Failed)).await;
    assert_eq!(timeout(LONG, waits).await.unwrap().unwrap().0, StatusCode::SERVICE_UNAVAILABLE);
}
