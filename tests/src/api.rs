//! The HTTP API of a real server.

use std::os::unix::fs::PermissionsExt;

use futures_util::StreamExt;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    parts::Repository,
    server::Server,
    stack::{Stack, on_every_stack},
};

on_every_stack!(async an_app_is_deployed_looked_at_and_removed_over_http, who_may_use_the_api_depends_on_the_door);

const KEY: &str = "a-key-for-these-tests";

struct Api {
    client: Client,
    base: String,
}

impl Api {
    fn socket(server: &Server) -> Self {
        let client = Client::builder().no_proxy().unix_socket(server.data().join("lab.sock")).build().unwrap();
        Self { client, base: "http://localhost".to_owned() }
    }

    fn tcp(port: u16) -> Self {
        let client =
            Client::builder().no_proxy().resolve("lab.localhost", ([127, 0, 0, 1], port).into()).build().unwrap();
        Self { client, base: format!("http://127.0.0.1:{port}") }
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let request = self.client.request(method, format!("{}{path}", self.base));
        let request = if let Some(body) = body { request.json(&body) } else { request };
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.call(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.call(Method::POST, path, Some(body)).await
    }
}

async fn an_app_is_deployed_looked_at_and_removed_over_http(stack: Stack) {
    let server = Server::start_on(stack);
    let api = Api::socket(&server);
    let repository = Repository::of_example("guestbook");
    assert_eq!(api.get("/health").await.0, 200);
    assert_eq!(api.get("/api/apps").await, (200, json!([])));
    let body = json!({"repository": repository.address(), "subdomain": "guestbook"});
    let response = api.client.post("http://localhost/api/deploy").json(&body).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let place = response.headers()["location"].to_str().unwrap().to_owned();
    let app: Value = response.json().await.unwrap();
    assert_eq!(
        (&app["name"], &app["subdomain"], &app["status"]),
        (&"guestbook".into(), &"guestbook".into(), &"deploying".into())
    );
    assert!(app["port"].is_u64() && app["created_at"].is_string(), "{app}");

    let stream = api.client.get(format!("http://localhost{place}/events")).send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let text = stream.text().await.unwrap();
    assert!(text.contains("id: 1\n") && text.contains("\"finished\"") && text.contains("\"succeeded\""), "{text}");
    let later = api.get(&format!("{place}/events?after=3")).await.1;
    assert!(!later.as_str().unwrap().contains("id: 3\n"), "{later}");
    assert_eq!(api.get(&place).await.1["state"], "succeeded");
    assert!(api.get(&format!("{place}/log")).await.1.as_str().unwrap().contains("pb_hooks"));

    let (_, app) = api.get("/api/apps/guestbook").await;
    assert_eq!((&app["status"], app["process"]["state"].as_str()), (&"running".into(), Some("running")));
    let (status, logs) = api.get("/api/apps/guestbook/logs?lines=5").await;
    assert!(status == 200 && logs.as_array().unwrap().len() <= 5, "{logs}");
    let follow = api.client.get("http://localhost/api/apps/guestbook/logs?lines=1&follow=true").send().await.unwrap();
    let first = follow.bytes_stream().next().await.unwrap().unwrap();
    assert!(first.starts_with(b"event: log\ndata: {"), "{first:?}");

    for (verb, expected) in [("stop", "stopped"), ("start", "running"), ("restart", "running")] {
        let (status, app) = api.post(&format!("/api/apps/guestbook/{verb}"), json!({})).await;
        assert_eq!((status, &app["status"]), (200, &expected.into()), "{verb}");
    }
    let other = json!({"repository": "https://git.example/me/other", "subdomain": "guestbook"});
    let (status, problem) = api.post("/api/deploy", other).await;
    assert_eq!((status, &problem["code"]), (409, &"repository_differs".into()));
    assert_eq!(api.call(Method::DELETE, "/api/apps/guestbook?purge=true", None).await.0, 204);
    assert_eq!(api.get("/api/apps/guestbook").await.1["code"], "app_not_found");
}

#[tokio::test]
async fn every_bad_request_is_a_problem_with_a_stable_code() {
    let server = Server::start();
    let api = Api::socket(&server);
    let deploy = |body: Value| (Method::POST, "/api/deploy".to_owned(), Some(body));
    let get = |path: &str| (Method::GET, path.to_owned(), None);
    let id = "0198c0de-0000-7000-8000-000000000000";
    for ((method, path, body), status, code) in [
        (get("/nope"), 404, "no_such_path"),
        (get("/api/apps/app"), 404, "app_not_found"),
        (get("/api/apps/UPPER"), 400, "invalid_name"),
        (get("/api/apps/..%2f..%2fetc"), 400, "invalid_name"),
        (get("/api/apps/app/logs?lines=many"), 400, "invalid_request"),
        (get("/api/apps/app/logs?colour=1"), 400, "invalid_request"),
        (get("/api/apps/app/deployments/nope"), 400, "invalid_id"),
        (get(&format!("/api/apps/app/deployments/{id}")), 404, "app_not_found"),
        ((Method::PUT, "/api/apps".to_owned(), None), 405, "method_not_allowed"),
        ((Method::POST, "/api/apps/app/restart".to_owned(), None), 404, "app_not_found"),
        ((Method::DELETE, "/api/apps/app".to_owned(), None), 404, "app_not_found"),
        ((Method::POST, "/api/deploy".to_owned(), None), 415, "invalid_request"),
        (deploy(json!({"subdomain": "app"})), 400, "repository_missing"),
        (deploy(json!({"subdomain": "www", "repository": "https://h/x"})), 400, "invalid_name"),
        (deploy(json!({"subdomain": "app", "repository": "ext::sh -c id"})), 400, "invalid_repository"),
        (deploy(json!({"subdomain": "app", "repository": "-oProxyCommand=x"})), 400, "invalid_repository"),
        (deploy(json!({"subdomain": "app", "repository": "https://h/x", "branch": "a..b"})), 400, "invalid_branch"),
        (deploy(json!({"subdomain": "app", "repository": "https://h/x", "colour": 1})), 422, "invalid_request"),
        (deploy(json!({"subdomain": "app", "repository": "x".repeat(100_000)})), 413, "invalid_request"),
    ] {
        let (found, problem) = api.call(method.clone(), &path, body).await;
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{method} {path}: {problem}");
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 5), "{problem}");
    }
    assert_eq!(api.get("/api/apps").await.1, json!([]), "nothing was made");
}

async fn who_may_use_the_api_depends_on_the_door(stack: Stack) {
    let server = Server::start();
    let mode = std::fs::metadata(server.data().join("lab.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (tcp, public) = (Api::tcp(server.api_port), Api::tcp(server.public_port));
    assert_eq!(tcp.get("/api/apps").await.0, 200);
    let foreign =
        [("host", "evil.example"), ("origin", "http://guestbook.lab.localhost:8080"), ("sec-fetch-site", "cross-site")];
    for (name, value) in foreign {
        let request = tcp.client.get(format!("{}/api/apps", tcp.base)).header(name, value);
        assert_eq!(request.send().await.unwrap().status(), 403, "{name}: {value}");
    }
    let own = format!("http://lab.localhost:{}", server.public_port);
    assert_eq!(public.client.get(format!("{own}/health")).send().await.unwrap().status(), 200);
    let refused = public.client.get(format!("{own}/api/apps")).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "key_not_configured");
    drop(server);

    let server = Server::start_with(stack, &[("LAB_API_KEY", KEY)]);
    let (tcp, public) = (Api::tcp(server.api_port), Api::tcp(server.public_port));
    for url in [format!("{}/api/apps", tcp.base), format!("http://lab.localhost:{}/api/apps", server.public_port)] {
        assert_eq!(public.client.get(&url).send().await.unwrap().status(), 401, "{url}");
        assert_eq!(public.client.get(&url).bearer_auth("wrong").send().await.unwrap().status(), 401, "{url}");
        assert_eq!(public.client.get(&url).bearer_auth(KEY).send().await.unwrap().status(), 200, "{url}");
    }
    assert_eq!(Api::socket(&server).get("/api/apps").await.0, 200);
    assert!(!server.log().contains(KEY));
}

#[tokio::test]
async fn a_deployment_goes_on_when_its_client_hangs_up_and_can_be_cancelled() {
    let server = Server::start();
    let api = Api::socket(&server);
    let never = r#"{"name": "x", "version": "1.0.0", "scripts": {"build": "sleep 1000"}}"#;
    let lock = r#"{"name": "x", "version": "1.0.0", "lockfileVersion": 3, "packages": {"": {"name": "x", "version": "1.0.0"}}}"#;
    let built = "[frontend]\ndirectory = \".\"\nbuild = \"npm run build\"\noutput = \"dist\"\n";
    let hooks = ("pb_hooks/main.pb.js", "// none");
    let files = [hooks, ("lab.toml", built), ("package.json", never), ("package-lock.json", lock)];
    let repository = Repository::of_files(&files);
    let body = json!({"repository": repository.address(), "subdomain": "app"});
    let (_, app) = api.post("/api/deploy", body.clone()).await;
    let place = format!("/api/apps/app/deployments/{}", app["deployment"]["id"].as_str().unwrap());
    let mut events = api.client.get(format!("http://localhost{place}/events")).send().await.unwrap();
    let mut seen = String::new();
    while !seen.contains("sleep 1000") {
        seen.push_str(&String::from_utf8_lossy(&events.chunk().await.unwrap().unwrap()));
    }
    drop(events);
    assert_eq!(api.get(&place).await.1["state"], "running");
    assert_eq!(api.post("/api/deploy", body).await.1["code"], "app_busy");
    let (status, ended) = api.post(&format!("{place}/cancel"), json!({})).await;
    assert_eq!((status, &ended["state"]), (200, &"cancelled".into()));
    let still = std::process::Command::new("pgrep").args(["-f", "sleep 1000"]).output().unwrap();
    let marked = String::from_utf8_lossy(&still.stdout).lines().any(|pid| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&server.data().display().to_string())
    });
    assert!(!marked, "the build's process is left");
}
