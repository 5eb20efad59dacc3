//! The API over a lab of fakes, without a socket.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, http::Request};
use http_body_util::BodyExt;
use lab_core::{
    AppName, Backends, GitUrl, LabSettings, Secret, UrlPolicy,
    layout::DataDir,
    ports::memory::MemoryPorts,
    registry::memory::MemoryRegistry,
    router::memory::MemoryRouter,
    testing::{
        builder::FakeBuilder,
        health::FakeProbe,
        ports::{Lease, leased_range},
        rehearsal::FakeRehearser,
        source::{FakeCommit, FakeSource},
        supervisor::FakeSupervisor,
    },
};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::Door;

const REPOSITORY: &str = "https://git.example/me/app";
const FRONT: Front = Front { tls: Tls::Edge, http_port: 8080, https_port: 443 };

struct Bench {
    lab: Lab,
    source: FakeSource,
    supervisor: FakeSupervisor,
    router: Router,
    stopping: CancellationToken,
    _folder: tempfile::TempDir,
    _lease: Lease,
}

struct Reply {
    status: u16,
    headers: axum::http::HeaderMap,
    body: Value,
}

async fn bench() -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let (range, lease) = leased_range();
    let (source, supervisor) = (FakeSource::new(), FakeSupervisor::new());
    let url = GitUrl::parse(REPOSITORY, UrlPolicy::Remote).expect("a url");
    source.publish(&url, [FakeCommit::new("first", [("pb_hooks/main.pb.js", "// hi")])]);
    let backends = Backends {
        registry: Arc::new(MemoryRegistry::new()),
        ports: Arc::new(MemoryPorts::new(range)),
        source: Arc::new(source.clone()),
        builder: Arc::new(FakeBuilder::new()),
        supervisor: Arc::new(supervisor.clone()),
        router: Arc::new(MemoryRouter::new()),
        health: Arc::new(FakeProbe::new()),
        rehearser: Arc::new(FakeRehearser::new()),
    };
    let settings = LabSettings::new(DataDir::new(folder.path()), "lab.localhost".parse().expect("a host"));
    let lab = Lab::open(settings, backends).await.expect("a lab");
    let stopping = CancellationToken::new();
    let access = Access { door: Door::Socket, key: None };
    let router = router(lab.clone(), access, FRONT, stopping.clone());
    Bench { lab, source, supervisor, router, stopping, _folder: folder, _lease: lease }
}

impl Bench {
    async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let read = tokio::time::timeout(Duration::from_secs(20), body.collect()).await.expect("it ends");
        let text = String::from_utf8(read.expect("a body").to_bytes().to_vec()).expect("text");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Reply { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn call(&self, method: &str, path: &str) -> Reply {
        self.send(Request::builder().method(method).uri(path).body(Body::empty()).expect("a request")).await
    }

    async fn post(&self, path: &str, body: &Value) -> Reply {
        self.call_with("POST", path, body).await
    }

    async fn call_with(&self, method: &str, path: &str, body: &Value) -> Reply {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).expect("a request")).await
    }

    /// Deploys and waits; where the deployment is.
    async fn deploy(&self, name: &str) -> String {
        let reply = self.post("/api/deploy", &json!({"repository": REPOSITORY, "subdomain": name})).await;
        assert_eq!(reply.status, 202, "{}", reply.body);
        let place = reply.headers["location"].to_str().expect("text").to_owned();
        let events = self.call("GET", &format!("{place}/events")).await;
        assert!(events.body.as_str().is_some_and(|text| text.contains("succeeded")), "{}", events.body);
        place
    }
}

#[tokio::test]
async fn a_deployment_is_accepted_told_and_kept() {
    let bench = bench().await;
    let place = bench.deploy("app").await;
    let kept = bench.call("GET", &place).await;
    assert_eq!((kept.status, &kept.body["state"]), (200, &"succeeded".into()));
    assert!(place.ends_with(kept.body["id"].as_str().expect("an id")));
    assert_eq!(bench.call("GET", "/api/apps/app/deployments").await.body.as_array().map(Vec::len), Some(1));

    let all = bench.call("GET", &format!("{place}/events")).await;
    assert_eq!(all.headers["content-type"], "text/event-stream");
    let text = all.body.as_str().expect("text").to_owned();
    let last = text.matches("\nid: ").count();
    assert!(text.starts_with("event: deployment\nid: 1\ndata: {") && last > 4, "{text}");
    let resumed = bench.call("GET", &format!("{place}/events?after={}", last - 1)).await.body;
    assert_eq!(resumed.as_str().map(|text| text.matches("id: ").count()), Some(1), "{resumed}");
    let request = Request::get(format!("{place}/events")).header("last-event-id", (last - 1).to_string());
    let by_header = bench.send(request.body(Body::empty()).expect("a request")).await.body;
    assert_eq!(by_header, resumed);
    let log = bench.call("GET", &format!("{place}/log")).await;
    assert_eq!(log.headers["content-type"], "text/plain; charset=utf-8");

    // the alias, and the repository left out: the app is known
    let again = bench.post("/api/deploy", &json!({"name": "app"})).await;
    assert_eq!((again.status, &again.body["deployment"]["state"]), (202, &"running".into()));
    bench.lab.idle().await;
    let ended = again.headers["location"].to_str().expect("text").to_owned();
    let cancelled = bench.call("POST", &format!("{ended}/cancel")).await;
    assert_eq!((cancelled.status, &cancelled.body["state"]), (200, &"succeeded".into()), "too late to cancel");
}

#[tokio::test]
async fn an_app_is_shown_stopped_started_and_removed() {
    let bench = bench().await;
    assert_eq!(bench.call("GET", "/api/apps").await.body, json!([]));
    bench.deploy("app").await;
    for (verb, status) in [("stop", "stopped"), ("start", "running"), ("restart", "running")] {
        let reply = bench.call("POST", &format!("/api/apps/app/{verb}")).await;
        assert_eq!((reply.status, &reply.body["status"]), (200, &status.into()), "{verb}");
    }
    let info = bench.call("GET", "/api/info").await.body;
    assert_eq!((&info["domain"], &info["backends"]["registry"]), (&"lab.localhost".into(), &"memory".into()), "{info}");
    let routes = bench.call("GET", "/api/routes").await;
    assert_eq!(routes.body["app.lab.localhost"]["app"], "app", "{}", routes.body);
    let removed = bench.call("DELETE", "/api/apps/app?purge=true").await;
    assert_eq!((removed.status, removed.body), (204, "".into()));
    let gone = bench.call("GET", "/api/apps/app").await;
    assert_eq!((gone.status, &gone.body["code"]), (404, &"app_not_found".into()));
}

#[tokio::test]
async fn certificates_are_for_hosts_of_the_lab_only() {
    let bench = bench().await;
    bench.deploy("app").await;
    for (host, status) in [
        ("app.lab.localhost", 200),
        ("lab.localhost", 200),
        ("nobody.lab.localhost", 404),
        ("x.app.lab.localhost", 404),
        ("applab.localhost", 404),
        ("app.lab.localhost.evil.example", 404),
        ("*.lab.localhost", 400),
        ("", 400),
    ] {
        assert_eq!(bench.call("GET", &format!("/tls/ask?domain={host}")).await.status, status, "{host}");
    }
    bench.lab.remove(&"app".parse().expect("a name"), true).await.expect("removed");
    assert_eq!(bench.call("GET", "/tls/ask?domain=app.lab.localhost").await.status, 404);
}

#[tokio::test]
async fn logs_are_a_list_or_a_stream_that_ends_with_the_server() {
    let bench = bench().await;
    bench.deploy("app").await;
    let app: AppName = "app".parse().expect("a name");
    for i in 0..3 {
        bench.supervisor.print(&app, &format!("line {i}"));
    }
    let listed = bench.call("GET", "/api/apps/app/logs?lines=2").await.body;
    let texts: Vec<_> = listed.as_array().into_iter().flatten().map(|line| line["text"].as_str()).collect();
    assert_eq!(texts, [Some("line 1"), Some("line 2")]);
    let (lines, events) = tokio::join!(bench.call("GET", "/api/apps/app/logs?follow=true"), async {
        let events = bench.call("GET", "/api/events");
        let stop = async {
            bench.lab.stop(&app).await.expect("stopped");
            tokio::time::sleep(Duration::from_millis(100)).await;
            bench.stopping.cancel();
        };
        tokio::join!(events, stop).0
    });
    assert!(lines.body.as_str().is_some_and(|text| text.starts_with("event: log\ndata: {")), "{}", lines.body);
    assert!(events.body.as_str().is_some_and(|text| text.contains(r#""status":"stopped""#)), "{}", events.body);
}

#[tokio::test]
async fn streams_are_bounded_and_their_places_come_back() {
    let bench = bench().await;
    let get = || Request::get("/api/events").body(Body::empty()).expect("a request");
    let mut open = Vec::new();
    for _ in 0..MAX_STREAMS {
        open.push(bench.router.clone().oneshot(get()).await.expect("infallible"));
    }
    let refused = bench.send(get()).await;
    assert_eq!((refused.status, &refused.body["code"]), (503, &"too_many_streams".into()));
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(bench.call("GET", "/api/apps").await.status, 200, "other calls are not in the way");
    open.pop();
    assert_eq!(bench.router.clone().oneshot(get()).await.expect("infallible").status(), 200);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_a_problem_document() {
    let bench = bench().await;
    let deploy = |body: Value| ("POST", "/api/deploy", body.to_string(), "application/json");
    let id = "/api/apps/app/deployments/0198c0de-0000-7000-8000-000000000000";
    let empty = |method: &'static str, path: &'static str| (method, path, String::new(), "application/json");
    for ((method, path, body, kind), status, code) in [
        (empty("GET", "/api/nope"), 404, "no_such_path"),
        (empty("GET", "/api/apps/"), 404, "no_such_path"),
        (empty("PUT", "/api/apps"), 405, "method_not_allowed"),
        (empty("GET", "/api/apps/app/restart"), 405, "method_not_allowed"),
        (empty("GET", "/api/apps/WWW"), 400, "invalid_name"),
        (empty("GET", "/api/apps/%2e%2e"), 400, "invalid_name"),
        (empty("GET", "/api/apps/%ff"), 400, "invalid_request"),
        (empty("GET", "/api/apps/app/deployments/1"), 400, "invalid_id"),
        (empty("GET", id), 404, "app_not_found"),
        (empty("GET", "/api/apps/app/logs?lines=-1"), 400, "invalid_request"),
        (empty("DELETE", "/api/apps/app?purge=maybe"), 400, "invalid_request"),
        (empty("DELETE", "/api/apps/app?force=true"), 400, "invalid_request"),
        (("POST", "/api/deploy", "{".to_owned(), "application/json"), 400, "invalid_request"),
        (("POST", "/api/deploy", "a=b".to_owned(), "application/x-www-form-urlencoded"), 415, "invalid_request"),
        (("POST", "/api/deploy", "{}".to_owned(), "text/plain"), 415, "invalid_request"),
        (deploy(json!({"repository": REPOSITORY})), 422, "invalid_request"),
        (deploy(json!({"subdomain": "app", "repository": REPOSITORY, "color": 1})), 422, "invalid_request"),
        (deploy(json!({"subdomain": "app", "repository": "x".repeat(MAX_BODY)})), 413, "invalid_request"),
        (deploy(json!({"subdomain": "app"})), 400, "repository_missing"),
        (deploy(json!({"subdomain": "app", "repository": "file:///etc"})), 400, "invalid_repository"),
        (deploy(json!({"subdomain": "app", "repository": REPOSITORY, "branch": "--x"})), 400, "invalid_branch"),
    ] {
        let what = format!("{method} {path} {}", body.chars().take(80).collect::<String>());
        let request = Request::builder().method(method).uri(path).header("content-type", kind);
        let reply = bench.send(request.body(Body::from(body)).expect("a request")).await;
        assert_eq!((reply.status, reply.body["code"].as_str()), (status, Some(code)), "{what}: {}", reply.body);
        assert_eq!(reply.headers["content-type"], "application/problem+json", "{what}");
        assert_eq!(reply.body["status"], status, "{what}");
        assert!(reply.body["detail"].as_str().is_some_and(|detail| detail.len() > 5), "{what}");
    }
    assert!(bench.lab.list().await.expect("a list").is_empty(), "nothing was made");
}

#[tokio::test]
async fn a_token_reaches_the_source_and_no_answer() {
    let bench = bench().await;
    let body = json!({"repository": REPOSITORY, "subdomain": "app", "token": "s3cr3t-t0ken"});
    let reply = bench.post("/api/deploy", &body).await;
    let place = reply.headers["location"].to_str().expect("text").to_owned();
    let mut shown = reply.body.to_string();
    bench.lab.idle().await;
    for path in [place.clone(), format!("{place}/events"), format!("{place}/log"), "/api/apps/app".to_owned()] {
        shown.push_str(&bench.call("GET", &path).await.body.to_string());
    }
    assert!(!shown.contains("s3cr3t"), "{shown}");
    assert!(bench.source.journal()[0].with_token);
}

#[tokio::test]
async fn variables_are_changed_and_only_their_names_told() {
    let bench = bench().await;
    let body = json!({"repository": REPOSITORY, "subdomain": "app", "env": {"FIRST": "s3cr3t-1"}});
    let mut shown = bench.post("/api/deploy", &body).await.body.to_string();
    bench.lab.idle().await;
    let change = json!({"set": {"SECOND": "s3cr3t-2"}, "unset": ["FIRST", "THIRD"]});
    let changed = bench.call_with("PATCH", "/api/apps/app/env", &change).await;
    assert_eq!((changed.status, &changed.body), (200, &json!(["SECOND"])));
    assert_eq!(bench.call("GET", "/api/apps/app/env").await.body, json!(["SECOND"]));
    for (body, status) in [
        (json!({"set": {"PATH": "s3cr3t-3"}}), 422),
        (json!({"set": {"A B": "s3cr3t-3"}}), 422),
        (json!({"set": {"A": "s3cr3t-3\u{0}"}}), 400),
        (json!({"set": {"A": "s3cr3t-3"}, "colour": 1}), 422),
    ] {
        let refused = bench.call_with("PATCH", "/api/apps/app/env", &body).await;
        assert_eq!(refused.status, status, "{body}: {}", refused.body);
        shown.push_str(&refused.body.to_string());
    }
    assert_eq!(bench.call_with("PATCH", "/api/apps/nobody/env", &change).await.status, 404);
    shown.push_str(&bench.call("GET", "/api/apps/app").await.body.to_string());
    assert!(!shown.contains("s3cr3t"), "{shown}");
}

#[tokio::test]
async fn domains_are_given_and_taken() {
    let bench = bench().await;
    bench.deploy("app").await;
    bench.deploy("other").await;
    assert_eq!(bench.call("GET", "/api/apps/app/domains").await.body, json!([]));
    for domain in ["shop.example.test", "Shop.Example.Test."] {
        let added = bench.call("PUT", &format!("/api/apps/app/domains/{domain}")).await;
        assert_eq!((added.status, &added.body), (200, &json!(["shop.example.test"])));
    }
    assert_eq!(bench.call("GET", "/api/apps/app").await.body["domains"], json!(["shop.example.test"]));
    assert_eq!(bench.call("GET", "/tls/ask?domain=shop.example.test").await.status, 200);
    for (method, place, status, code) in [
        ("PUT", "other/domains/shop.example.test", 409, "domain_taken"),
        ("PUT", "app/domains/x.lab.localhost", 400, "invalid_domain"),
        ("PUT", "app/domains/*.example.test", 400, "invalid_domain"),
        ("PUT", "app/domains/192.0.2.1", 400, "invalid_domain"),
        ("PUT", "nobody/domains/a.example.test", 404, "app_not_found"),
        ("DELETE", "other/domains/shop.example.test", 404, "domain_not_found"),
        ("GET", "nobody/domains", 404, "app_not_found"),
    ] {
        let refused = bench.call(method, &format!("/api/apps/{place}")).await;
        assert_eq!((refused.status, &refused.body["code"]), (status, &json!(code)), "{place}: {}", refused.body);
    }
    let removed = bench.call("DELETE", "/api/apps/app/domains/shop.example.test").await;
    assert_eq!((removed.status, &removed.body), (200, &json!([])));
    assert_eq!(bench.call("GET", "/tls/ask?domain=shop.example.test").await.status, 404);
}

#[tokio::test]
async fn answers_are_not_kept_by_anybody() {
    let bench = bench().await;
    for path in ["/health", "/api/apps", "/nope", "/"] {
        let reply = bench.call("GET", path).await;
        assert_eq!(reply.headers["cache-control"], "no-store", "{path}");
        assert_eq!(reply.headers["x-content-type-options"], "nosniff", "{path}");
    }
    let key = Some(Arc::new(Secret::new("0123456789abcdef")));
    let guarded = router(bench.lab.clone(), Access { door: Door::Tcp, key }, FRONT, CancellationToken::new());
    let get = |path: &str| Request::get(path).body(Body::empty()).expect("a request");
    let refused = guarded.clone().oneshot(get("/api/apps")).await.expect("infallible");
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["www-authenticate"]),
        (401, &"Bearer".parse().expect("a value"))
    );
    assert_eq!(guarded.oneshot(get("/nope")).await.expect("infallible").status(), 401, "nor what paths there are");
}
