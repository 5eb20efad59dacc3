//! Bodies in both directions.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Version, header};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use lab_core::{
    router::{Target, gateway::GatewaySettings},
    testing::http::{Visitor, read_all},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::running::{A, LONG, Running, raw_app, read_head};

#[tokio::test]
async fn http_2_with_prior_knowledge_reaches_the_app_as_http_1() {
    let (running, app) = Running::with_app(GatewaySettings::default()).await;
    let stream = TcpStream::connect(running.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::post(format!("http://{A}:8080/echo?x")).header("cookie", "a=1").header("cookie", "b=2");
    let response = sender.send_request(request.body(Full::<Bytes>::from("hello")).unwrap()).await.unwrap();
    assert_eq!((response.status(), response.version()), (StatusCode::OK, Version::HTTP_2));
    assert_eq!(read_all(response).await.unwrap(), "hello");
    let seen = app.seen().pop().unwrap();
    assert_eq!(
        (seen.target.as_str(), &seen.headers["host"], &seen.headers["cookie"]),
        ("/echo?x", &HeaderValue::from_static("a.example.test:8080"), &HeaderValue::from_static("a=1; b=2"),)
    );
    drop(sender);
    timeout(LONG, connection).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_get_of_unknown_length_keeps_its_body() {
    let (running, _app) = Running::with_app(GatewaySettings::default()).await;
    let chunked = "GET /echo HTTP/1.1\r\nhost: a.example.test\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
                   5\r\nhello\r\n0\r\n\r\n";
    assert!(running.raw(chunked).await.contains("hello"));
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let (running, _app) = Running::with_app(GatewaySettings::default()).await;
    let trailers: HeaderMap =
        [(header::HeaderName::from_static("x-sum"), HeaderValue::from_static("42"))].into_iter().collect();
    let frames =
        [Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from("hello"))), Ok(Frame::trailers(trailers.clone()))];
    let request =
        Request::post("/echo").header(header::HOST, A).header(header::TE, "trailers").header(header::TRAILER, "x-sum");
    let request = request.body(StreamBody::new(futures_util::stream::iter(frames))).unwrap();
    let response = Visitor::connect(running.address).await.send(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers(), Some(&trailers));
    assert_eq!(body.to_bytes(), "hello");
}

#[tokio::test]
async fn a_body_is_asked_for_only_when_an_app_is_there_to_take_it() {
    let (running, _app) = Running::with_app(GatewaySettings::default()).await;
    let expect = |host: &str| {
        format!(
            "POST /upload HTTP/1.1\r\nhost: {host}\r\nexpect: 100-continue\r\ncontent-length: 5\r\nconnection: close\r\n\r\n"
        )
    };
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(expect(A).as_bytes()).await.unwrap();
    let mut answer = vec![0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    timeout(LONG, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").await.unwrap();
    let mut answer = String::new();
    timeout(LONG, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with('5'), "{answer}");

    let answer = running.raw(&expect("nobody.test")).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[tokio::test]
async fn a_head_answer_of_unknown_length_stays_so() {
    let (port, _app) = raw_app(|_, mut stream| async move {
        while !read_head(&mut stream).await.is_empty() {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let running = Running::start(GatewaySettings::default()).await;
    running.lead(Target::Port(port)).await;
    let answer = running.raw("HEAD / HTTP/1.1\r\nhost: a.example.test\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("content-length"), "{answer}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_passed_off_as_whole() {
    let (port, _app) = raw_app(|_, mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await.unwrap();
    })
    .await;
    let running = Running::start(GatewaySettings::default()).await;
    running.lead(Target::Port(port)).await;
    assert!(Visitor::connect(running.address).await.get(A, "/").await.is_err());
}

#[tokio::test]
async fn a_slow_reader_holds_the_app_back() {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };
    let written = Arc::new(AtomicUsize::new(0));
    let counter = written.clone();
    let (port, _app) = raw_app(move |_, mut stream| {
        let counter = counter.clone();
        async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await;
            while stream.write_all(&[0; 10_000]).await.is_ok() {
                counter.fetch_add(10_000, Ordering::Relaxed);
            }
        }
    })
    .await;
    let running = Running::start(GatewaySettings::default()).await;
    running.lead(Target::Port(port)).await;
    let mut visitor = Visitor::connect(running.address).await;
    let request = Request::get("/").header(header::HOST, A).body(Full::<Bytes>::default()).unwrap();
    let response = visitor.send(request).await.unwrap();
    // nobody reads: after the sockets' buffers are full, the app's writing comes to rest
    let rest = async {
        let mut before = usize::MAX;
        while std::mem::replace(&mut before, written.load(Ordering::Relaxed)) != written.load(Ordering::Relaxed) {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    timeout(LONG, rest).await.unwrap();
    assert!(written.load(Ordering::Relaxed) < 100_000_000, "{written:?}");
    drop(response);
}

#[tokio::test]
async fn an_answer_that_comes_before_the_upload_is_through_reaches_the_visitor() {
    // what Go does: answer, close its own direction, and the whole connection somewhat later
    let (port, _app) = raw_app(|_, mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 413 x\r\ncontent-length: 7\r\nconnection: close\r\n\r\ntoo big").await.unwrap();
        stream.shutdown().await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    })
    .await;
    let running = Running::start(GatewaySettings::default()).await;
    running.lead(Target::Port(port)).await;
    for _ in 0..10 {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        let (mut read, mut write) = stream.split();
        let upload = async {
            let head = format!("POST / HTTP/1.1\r\nhost: {A}\r\ncontent-length: 100000000\r\n\r\n");
            write.write_all(head.as_bytes()).await.unwrap();
            while write.write_all(&[0; 10_000]).await.is_ok() {}
            std::future::pending::<()>().await;
        };
        let mut answer = Vec::new();
        let answered = async {
            while !answer.ends_with(b"too big") {
                assert_ne!(read.read_buf(&mut answer).await.unwrap(), 0, "closed without the answer");
            }
        };
        tokio::select! {
            done = timeout(LONG, answered) => done.unwrap(),
            () = upload => {}
        }
        assert!(answer.starts_with(b"HTTP/1.1 413"));
    }
}
