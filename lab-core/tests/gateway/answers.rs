//! What the gateway says itself.

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use lab_core::{
    router::{Target, Unavailable, gateway::GatewaySettings},
    testing::http::{Visitor, read_all},
};

use super::running::{A, LONG, Running, raw_app, read_head};

async fn ask(running: &Running, accept: &str, path: &str) -> Response<Incoming> {
    let request = Request::get(path).header(header::HOST, A).header(header::ACCEPT, accept);
    Visitor::connect(running.address).await.send(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap()
}

async fn code(running: &Running) -> (StatusCode, String) {
    let response = ask(running, "application/json", "/?secret").await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    let status = response.status();
    let problem: serde_json::Value = serde_json::from_str(&read_all(response).await.unwrap()).unwrap();
    assert_eq!(problem["status"], status.as_u16());
    (status, problem["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn each_state_of_an_app_has_its_own_words() {
    let running = Running::start(GatewaySettings::default()).await;
    let mut pages = Vec::new();
    for (why, name) in
        [(Unavailable::Deploying, "deploying"), (Unavailable::Stopped, "stopped"), (Unavailable::Failed, "failed")]
    {
        running.lead(Target::Unavailable(why)).await;
        assert_eq!(code(&running).await, (StatusCode::SERVICE_UNAVAILABLE, name.to_owned()));
        let page = ask(&running, "text/html,*/*", "/").await;
        assert_eq!(page.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        pages.push(read_all(page).await.unwrap());
    }
    pages.dedup();
    assert_eq!(pages.len(), 3);
}

#[tokio::test]
async fn a_head_request_gets_no_page() {
    let running = Running::start(GatewaySettings::default()).await;
    let answer = running.raw("HEAD / HTTP/1.1\r\nhost: nobody.test\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn an_app_that_breaks_off_or_talks_nonsense_gets_502() {
    let (running, _app) = Running::with_app(GatewaySettings::default()).await;
    let response = ask(&running, "application/json", "/cut").await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert!(read_all(response).await.unwrap().contains("app_failed"));

    let (port, _nonsense) = raw_app(|_, mut stream| async move {
        read_head(&mut stream).await;
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 smtp.internal.example ready\r\n").await;
    })
    .await;
    running.lead(Target::Port(port)).await;
    let response = ask(&running, "text/html", "/").await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert!(!read_all(response).await.unwrap().contains("smtp"));
}

#[tokio::test]
async fn a_switch_of_protocols_that_nobody_asked_for_gets_502() {
    let (running, _app) = Running::with_app(GatewaySettings::default()).await;
    assert_eq!(ask(&running, "text/html", "/ws").await.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn an_app_that_does_not_begin_to_answer_gets_504() {
    let mut settings = GatewaySettings::default();
    settings.timeouts.response = std::time::Duration::from_millis(50);
    let (running, app) = Running::with_app(settings).await;
    let answer = tokio::time::timeout(LONG, ask(&running, "application/json", "/hang")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    // and a stream that has begun may be silent for longer than that
    let mut visitor = Visitor::connect(running.address).await;
    let request = Request::get("/events").header(header::HOST, A).body(Full::<Bytes>::default()).unwrap();
    let mut events = visitor.send(request).await.unwrap().into_body();
    let mut next = async || http_body_util::BodyExt::frame(&mut events).await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(next().await, "data: hello\n\n");
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    app.tell("late");
    assert_eq!(next().await, "data: late\n\n");
}
