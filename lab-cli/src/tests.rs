//! Whole commands against a server that says what a test tells it.

use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{body_json, header, method, path, query_param},
};

use super::*;

const ID: &str = "0198c0de-0000-7000-8000-000000000000";

fn deployment(state: &str) -> Value {
    json!({
        "id": ID, "app": "app", "repository": "https://git.example/me/app", "state": state, "release": ID,
        "started_at": "2026-01-01T00:00:00Z", "steps": [],
        "problem": if state == "failed" { json!({"code": "build_failed", "message": "`npm ci` failed"}) } else { Value::Null },
    })
}

fn view(state: &str) -> Value {
    json!({
        "url": "http://app.lab.localhost:8080/", "process": null, "deployment": deployment(state), "name": "app",
        "repository": "https://git.example/me/app", "status": "running", "desired": "running", "subdomain": "app",
        "created_at": "2026-01-01T00:00:00Z", "last_deploy": null, "port": 8091, "release": null, "revision": 1,
    })
}

fn events(from: u64, kinds: &[Value]) -> ResponseTemplate {
    let mut text = String::from(": alive\n\n");
    for (seq, kind) in (from..).zip(kinds) {
        let mut event = json!({"seq": seq, "time": "2026-01-01T00:00:00Z"});
        for (name, value) in kind.as_object().into_iter().flatten() {
            event[name] = value.clone();
        }
        text = format!("{text}event: deployment\nid: {seq}\ndata: {event}\n\n");
    }
    ResponseTemplate::new(200).set_body_raw(text, "text/event-stream")
}

async fn answers(server: &MockServer, verb: &str, place: &str, answer: ResponseTemplate) {
    Mock::given(method(verb)).and(path(place)).respond_with(answer).mount(server).await;
}

async fn lab(server: &MockServer, words: &[&str]) -> Called {
    let url = server.uri();
    call(["lab", "--url", url.as_str()].into_iter().chain(words.iter().copied())).await
}

#[tokio::test]
async fn help_is_no_error_and_a_wrong_command_line_has_the_envelope_it_asks_for() {
    let help = call(["lab", "--help"]).await;
    assert_eq!(help.code, 0);
    assert!(help.out.contains("Exit codes") && help.out.contains("LAB_URL"), "{}", help.out);
    let wrong = call(["lab", "shwo", "app", "--json"]).await;
    assert_eq!(wrong.code, 2);
    assert!(wrong.out.starts_with(r#"{"ok":false,"error":{"code":"usage""#), "{}", wrong.out);
    let wrong = call(["lab", "show", "My App"]).await;
    assert_eq!((wrong.code, wrong.out.as_str()), (2, ""));
    assert!(wrong.err.contains("a-z"), "{}", wrong.err);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_with_what_to_do() {
    let called = call(["lab", "ls", "--socket", "/nowhere/lab.sock"]).await;
    assert_eq!(called.code, 6);
    assert!(called.err.contains("/nowhere/lab.sock") && called.err.contains("hint: "), "{}", called.err);
}

#[tokio::test]
async fn a_stream_that_breaks_is_taken_up_where_it_broke() {
    let server = MockServer::start().await;
    let place = format!("/api/apps/app/deployments/{ID}");
    let body = json!({
        "subdomain": "app", "repository": "https://git.example/me/app.git", "branch": "main", "token": null,
        "root": "apps/one", "rehearsal": "always", "seed_data": false, "accept_loss": true, "env": {},
    });
    let accepted = Mock::given(method("POST")).and(path("/api/deploy")).and(body_json(&body));
    accepted.respond_with(ResponseTemplate::new(202).set_body_json(view("running"))).expect(1).mount(&server).await;
    let first = [json!({"type": "step_started", "step": "fetch"}), json!({"type": "log", "line": "one\u{1b}[2J"})];
    let rest = [json!({"type": "log", "line": "two"}), json!({"type": "finished", "state": "succeeded"})];
    for (after, answer) in [("0", events(1, &first)), ("2", events(3, &rest))] {
        let asked = Mock::given(path(format!("{place}/events"))).and(query_param("after", after));
        asked.respond_with(answer).expect(1).mount(&server).await;
    }
    answers(&server, "GET", &place, ResponseTemplate::new(200).set_body_json(deployment("running"))).await;
    answers(&server, "GET", "/api/apps/app", ResponseTemplate::new(200).set_body_json(view("succeeded"))).await;
    let words = [
        "deploy",
        "https://git.example/me/app.git",
        "--branch",
        "main",
        "--root",
        "apps/one/",
        "--rehearse",
        "always",
        "--accept-loss",
    ];
    let called = lab(&server, &words).await;
    assert_eq!((called.code, called.out.as_str()), (0, "app is live at http://app.lab.localhost:8080/\n"));
    assert_eq!(called.err, "  one[2J\n  two\n");
}

#[tokio::test]
async fn a_deployment_that_failed_is_the_apps_fault_and_streams_are_envelopes() {
    let server = MockServer::start().await;
    let place = format!("/api/apps/app/deployments/{ID}");
    answers(&server, "POST", "/api/deploy", ResponseTemplate::new(202).set_body_json(view("running"))).await;
    let told = [json!({"type": "log", "line": "one"})];
    answers(&server, "GET", &format!("{place}/events"), events(1, &told)).await;
    // the server ended before it told the end: the record knows
    answers(&server, "GET", &place, ResponseTemplate::new(200).set_body_json(deployment("failed"))).await;
    let called = lab(&server, &["deploy", "https://git.example/me/app", "--name", "app", "--json"]).await;
    let lines: Vec<Value> = called.out.lines().map(|line| serde_json::from_str(line).expect("json")).collect();
    assert_eq!((called.code, called.err.as_str(), lines.len()), (5, "", 2));
    assert_eq!((&lines[0]["ok"], &lines[0]["data"]["line"]), (&true.into(), &"one".into()));
    assert_eq!((&lines[1]["ok"], &lines[1]["error"]["code"]), (&false.into(), &"build_failed".into()));
    let detached = lab(&server, &["deploy", "https://git.example/me/app", "-d"]).await;
    assert!(detached.code == 0 && detached.out.contains("lab log app"), "{detached:?}");
}

#[tokio::test]
async fn what_the_server_refuses_has_its_exit_code() {
    for (status, code, exit) in [
        (400, "invalid_name", 2),
        (401, "unauthorized", 6),
        (403, "key_not_configured", 6),
        (404, "app_not_found", 3),
        (409, "app_busy", 4),
        (422, "app_crashed", 5),
        (500, "disk_full", 1),
        (503, "shutting_down", 6),
    ] {
        let server = MockServer::start().await;
        let problem = json!({"status": status, "code": code, "detail": "no\u{1b}[31m"});
        answers(&server, "POST", "/api/apps/app/restart", ResponseTemplate::new(status).set_body_json(problem)).await;
        let called = lab(&server, &["restart", "app", "--json"]).await;
        let envelope: Value = serde_json::from_str(&called.out).expect("json");
        assert_eq!((called.code, envelope["error"]["code"].as_str()), (exit, Some(code)));
        let called = lab(&server, &["restart", "app"]).await;
        assert_eq!((called.code, called.out.as_str(), called.err.as_str()), (exit, "", "lab: no[31m\n"));
    }
    let other = MockServer::start().await;
    answers(&other, "GET", "/api/apps", ResponseTemplate::new(502).set_body_string("<html>")).await;
    let called = lab(&other, &["ls"]).await;
    assert!(called.code == 1 && called.err.contains("lab doctor"), "{called:?}");
}

#[tokio::test]
async fn a_key_is_sent_and_never_shown() {
    let server = MockServer::start().await;
    let asked = Mock::given(method("GET")).and(path("/api/apps")).and(header("authorization", "Bearer s3cr3t-key"));
    asked.respond_with(ResponseTemplate::new(200).set_body_json([view("succeeded")])).expect(1).mount(&server).await;
    let called = lab(&server, &["ls", "--api-key", "s3cr3t-key"]).await;
    assert!(called.code == 0 && called.out.contains("app") && called.out.contains("running"), "{called:?}");
    let refused = lab(&server, &["show", "app", "--api-key", "s3cr3t-key"]).await;
    assert!(!format!("{called:?}{refused:?}").contains("s3cr3t"));
}

#[tokio::test]
async fn nothing_is_removed_without_being_sure() {
    let server = MockServer::start().await;
    let removed = |request: &Request| {
        assert_eq!(request.url.query(), Some("purge=true"));
        ResponseTemplate::new(204)
    };
    Mock::given(method("DELETE")).and(path("/api/apps/app")).respond_with(removed).expect(1).mount(&server).await;
    let asked = lab(&server, &["rm", "app", "--purge"]).await;
    assert!(asked.code == 2 && asked.err.contains("--yes"), "{asked:?}");
    assert_eq!(lab(&server, &["rm", "app", "--purge", "--yes"]).await.out, "app is removed\n");
}

#[tokio::test]
async fn a_new_password_is_shown_once() {
    let server = MockServer::start().await;
    let made = json!({"email": "me@example.com", "password": "new"});
    answers(&server, "POST", "/api/apps/app/superuser", ResponseTemplate::new(200).set_body_json(made)).await;
    let called = lab(&server, &["superuser", "app", "me@example.com"]).await;
    assert!(called.out.contains("password new\nit is not shown again"), "{called:?}");
}

#[tokio::test]
async fn completions_and_plans_need_no_server() {
    let called = call(["lab", "completions", "bash", "--socket", "/nowhere"]).await;
    assert!(called.code == 0 && called.out.contains("_lab"), "{}", called.err);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("pb_hooks")).expect("made");
    std::fs::write(folder.path().join("pb_hooks/main.pb.js"), "// hi").expect("written");
    let place = folder.path().to_str().expect("text");
    let called = call(["lab", "plan", place, "--socket", "/nowhere", "--json"]).await;
    let envelope: Value = serde_json::from_str(&called.out).expect("json");
    assert_eq!((called.code, &envelope["ok"]), (0, &true.into()), "{called:?}");
    assert!(envelope["data"]["lab_toml"].as_str().is_some_and(|text| text.contains("[server]")), "{envelope}");
    let nothing = call(["lab", "plan", "/nowhere/at/all", "--json"]).await;
    assert_eq!(nothing.code, 5, "{nothing:?}");
}
