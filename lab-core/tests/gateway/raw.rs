//! Requests that no good client sends.

use lab_core::router::gateway::GatewaySettings;

use super::running::Running;

async fn refused(status: &str, requests: &[&str]) {
    let (running, app) = Running::with_app(GatewaySettings::default()).await;
    for request in requests {
        let answer = running.raw(request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{request:?}: {answer}");
    }
    assert!(app.seen().is_empty());
}

#[tokio::test]
async fn a_request_without_one_good_host_gets_400() {
    refused(
        "400",
        &[
            "GET / HTTP/1.1\r\nconnection: close\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a.example.test\r\nhost: a.example.test\r\nconnection: close\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a.example.test, b.example.test\r\nconnection: close\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: me@a.example.test\r\nconnection: close\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a.example.test:http\r\nconnection: close\r\n\r\n",
            "GET http://a.example.test/ HTTP/1.1\r\nconnection: close\r\n\r\n",
        ],
    )
    .await;
}

#[tokio::test]
async fn connect_and_trace_are_refused() {
    refused(
        "405",
        &[
            "CONNECT a.example.test:443 HTTP/1.1\r\nhost: a.example.test:443\r\nconnection: close\r\n\r\n",
            "TRACE / HTTP/1.1\r\nhost: a.example.test\r\nconnection: close\r\n\r\n",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_request_of_doubtful_length_is_refused() {
    let head = "POST / HTTP/1.1\r\nhost: a.example.test\r\n";
    let smuggled = "\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a.example.test\r\n\r\n";
    let doubtful = [
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 5, 6\r\n",
        "content-length: +5\r\n",
        "content-length: -1\r\n",
        "content-length: 0x5\r\n",
        "content-length: 99999999999999999999\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding : chunked\r\n",
        " folded: yes\r\n",
    ];
    let requests: Vec<String> = doubtful.iter().map(|lines| format!("{head}{lines}{smuggled}")).collect();
    refused("400", &requests.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn length_and_chunks_together_are_no_way_to_smuggle() {
    let (running, app) = Running::with_app(GatewaySettings::default()).await;
    // RFC 9112 6.3: chunks win, and the length must not travel on
    let answer = running
        .raw(
            "POST /upload HTTP/1.1\r\nhost: a.example.test\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
             5\r\nhello\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a.example.test\r\n\r\n",
        )
        .await;
    let seen = app.seen();
    if answer.starts_with("HTTP/1.1 400") {
        assert!(seen.is_empty());
    } else {
        assert!(answer.ends_with("\r\n\r\n5"), "{answer}");
        assert_eq!(seen.len(), 1);
        assert!(!seen[0].headers.contains_key("content-length"));
    }
}

#[tokio::test]
async fn the_host_in_the_target_wins() {
    let (running, app) = Running::with_app(GatewaySettings::default()).await;
    let answer =
        running.raw("GET http://A.example.test./x?y HTTP/1.1\r\nhost: other.test\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let seen = app.seen().pop().unwrap();
    assert_eq!((seen.target.as_str(), seen.headers["host"].to_str().unwrap()), ("/x?y", "A.example.test."));
}

#[tokio::test]
async fn http_1_0_is_served_and_closed() {
    let (running, _app) = Running::with_app(GatewaySettings::default()).await;
    let answer = running.raw("GET / HTTP/1.0\r\nhost: a.example.test\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("\r\n\r\na"), "{answer}");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (running, app) = Running::with_app(GatewaySettings::default()).await;
    let get = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nhost: a.example.test\r\n{more}\r\n");
    let answer = running
        .raw(&[get("/status/201", ""), get("/status/202", ""), get("/", "connection: close\r\n")].concat())
        .await;
    let statuses: Vec<&str> = answer.split("HTTP/1.1 ").skip(1).map(|part| &part[..3]).collect();
    assert_eq!(statuses, ["201", "202", "200"]);
    assert_eq!(app.seen().len(), 3);
}

#[tokio::test]
async fn an_upgrade_to_anything_but_a_websocket_is_not_passed_on() {
    let (running, app) = Running::with_app(GatewaySettings::default()).await;
    let answer = running
        .raw("GET / HTTP/1.1\r\nhost: a.example.test\r\nconnection: upgrade, http2-settings, close\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let seen = app.seen().pop().unwrap().headers;
    assert!(!seen.contains_key("upgrade") && !seen.contains_key("http2-settings"));
}
