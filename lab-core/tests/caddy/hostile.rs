//! Whatever name an app, a custom domain or a visitor chooses, Caddy leads nobody else's requests elsewhere.

use std::collections::BTreeMap;

use http::Method;
use lab_core::{
    Port,
    router::{
        Hostname, Route, RouteTable, RouterConfig, Target, Unavailable,
        caddy::{CaddyLayout, CaddySettings, caddyfile},
    },
    testing::{
        http::{TestApp, Visitor},
        router::table,
    },
};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::Value;

use super::running::{A, Running};

const CASES: u32 = 128;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Names that a host may have and that mean something to Caddy, to its Caddyfile or to the lab's own configuration.
const WORDS: [&str; 24] = [
    "lab-map",
    "lab-host",
    "lab-host-a",
    "lab",
    "localhost",
    "admin",
    "config",
    "id",
    "load",
    "unix",
    "http",
    "https",
    "import",
    "handle",
    "route",
    "map",
    "default",
    "127.0.0.1",
    "0",
    "8080",
    "xn--80ak6aa92e",
    "a--b",
    "srv0",
    "mappings",
];

fn host() -> impl Strategy<Value = Hostname> {
    let label = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
    let word = prop::sample::select(WORDS.as_slice());
    let parts = prop_oneof![word.clone().prop_map(str::to_owned), label];
    let below = prop_oneof![
        Just(String::new()),
        Just(".example.test".to_owned()),
        Just(format!(".{A}")),
        word.prop_map(|word| format!(".{word}")),
    ];
    (parts, below).prop_filter_map("too long", |(name, below)| format!("{name}{below}").parse().ok())
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        4 => (1..=u16::MAX).prop_map(|n| Target::Port(Port::new(n).unwrap())),
        1 => (1..=u16::MAX).prop_map(|n| Target::Held(Port::new(n).unwrap())),
        1 => Just(Target::Unavailable(Unavailable::Stopped)),
    ]
}

fn tables() -> impl Strategy<Value = RouteTable> {
    let app = "[a-z][a-z0-9-]{0,20}[a-z0-9]".prop_filter_map("reserved", |name| name.parse().ok());
    let route = (app, target()).prop_map(|(app, target)| Route { app: Some(app), target });
    prop::collection::btree_map(host(), route, 0..12)
}

/// Where a table leads those that run.
fn ports(table: &RouteTable) -> BTreeMap<String, String> {
    let ports = table.iter().filter_map(|(host, route)| match route.target {
        Target::Port(port) | Target::Held(port) => Some((host.to_string(), format!("127.0.0.1:{port}"))),
        Target::Unavailable(_) => None,
    });
    ports.collect()
}

/// Caddy's admin API, as the router asks it.
struct Admin(reqwest::Client);

impl Admin {
    fn of(settings: &CaddySettings) -> Self {
        // each change ends the connections that are idle, also while they are used again
        let client = reqwest::Client::builder().unix_socket(settings.admin_socket()).pool_max_idle_per_host(0);
        Self(client.build().unwrap())
    }

    async fn ask(&self, method: Method, path: &str, caddyfile: String) -> Value {
        let asked = self.0.request(method, format!("http://localhost{path}")).header("content-type", "text/caddyfile");
        let answer = asked.body(caddyfile).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn config(&self) -> Value {
        self.ask(Method::GET, "/config/", String::new()).await
    }
}

/// Takes the table's entries out of a configuration of the direct layout.
fn take_mappings(config: &mut Value) -> BTreeMap<String, String> {
    let mappings = config["apps"]["http"]["servers"]["lab"]["routes"][1]["handle"][0]["mappings"].take();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let entries: Vec<_> = mappings.as_array().unwrap().clone();
    let found: BTreeMap<_, _> = entries.iter().map(|it| (text(&it["input"]), text(&it["outputs"][0]))).collect();
    assert_eq!(found.len(), entries.len(), "a host twice");
    assert!(entries.iter().all(|it| it.as_object().unwrap().len() == 3), "{entries:?}");
    found
}

#[test]
fn the_configuration_in_force_leads_each_host_to_its_own_app_and_is_else_as_it_was() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let _entered = runtime.enter();
    for layout in [CaddyLayout::Direct, CaddyLayout::Edge] {
        let running = runtime.block_on(Running::start(layout));
        let router = runtime.block_on(running.open());
        let admin = Admin::of(&running.settings);
        let mut before = runtime.block_on(admin.config());
        if layout == CaddyLayout::Direct {
            take_mappings(&mut before);
        }
        TestRunner::new(config(CASES))
            .run(&tables(), |table| {
                runtime.block_on(async {
                    router.apply(table.clone()).await.unwrap();
                    let mut now = admin.config().await;
                    if layout == CaddyLayout::Direct {
                        assert_eq!(take_mappings(&mut now), ports(&table));
                    }
                    assert_eq!(now, before);
                });
                Ok(())
            })
            .unwrap();
        runtime.block_on(router.shutdown());
    }
}

/// All that is dialled below a part of a configuration.
fn dialled(part: &Value) -> Vec<String> {
    match part {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match value.as_str() {
                Some(address) if name == "dial" => vec![address.to_owned()],
                _ => dialled(value),
            })
            .collect(),
        Value::Array(parts) => parts.iter().flat_map(dialled).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_caddyfile_says_the_same_to_caddys_own_parser() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let _entered = runtime.enter();
    let running = runtime.block_on(Running::start(CaddyLayout::Direct));
    let (router, admin) = (runtime.block_on(running.open()), Admin::of(&running.settings));
    TestRunner::new(config(CASES))
        .run(&tables(), |table| {
            let text = caddyfile(&running.settings, &table);
            let mut adapted = runtime.block_on(admin.ask(Method::POST, "/adapt", text))["result"].take();
            let servers = adapted["apps"]["http"]["servers"].take();
            let sites = servers.as_object().into_iter().flat_map(|all| all.values()).flat_map(|server| {
                assert_eq!(server["listen"], serde_json::json!([format!(":{}", running.ports[0])]));
                server["routes"].as_array().unwrap()
            });
            let mut found = BTreeMap::new();
            for route in sites {
                let [Value::String(host)] = &route["match"][0]["host"].as_array().unwrap()[..] else {
                    panic!("{route}");
                };
                let [to] = &dialled(&route["handle"])[..] else { panic!("{route}") };
                assert_eq!(found.insert(host.clone(), to.clone()), None, "{host} twice");
            }
            assert_eq!(found, ports(&table));
            // nothing beside the sites
            assert_eq!(adapted["admin"], serde_json::json!({"disabled": true}));
            let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            assert!(names(&adapted).iter().all(|name| name == "admin" || name == "apps"), "{adapted}");
            assert!(adapted["apps"].is_null() || names(&adapted["apps"]) == ["http"], "{adapted}");
            Ok(())
        })
        .unwrap();
    runtime.block_on(router.shutdown());
}

/// Every name that a host can have leads to its own app, and to no other's.
#[test]
fn no_host_leads_to_another_ones_app() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let _entered = runtime.enter();
    let running = runtime.block_on(Running::start(CaddyLayout::Direct));
    let caddy = runtime.block_on(running.open());
    let (mine, other) = (runtime.block_on(TestApp::start("mine")), runtime.block_on(TestApp::start("other")));
    let label = "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?";
    let hosts = format!("{label}(\\.{label}){{0,2}}");
    TestRunner::new(config(20))
        .run(&(hosts.as_str(), "[ -~]{0,30}"), |(host, asked)| {
            prop_assume!(host != A);
            runtime.block_on(async {
                let routes = table([(A, Target::Port(other.port())), (host.as_str(), Target::Port(mine.port()))]);
                caddy.apply(routes).await.unwrap();
                assert_eq!(Visitor::once(running.address(), &host, "/").await.1, "mine");
                assert_eq!(Visitor::once(running.address(), A, "/").await.1, "other");
                // whatever is asked for, nobody gets an app that is not asked for by its name
                if let Ok(value) = http::HeaderValue::from_str(asked.trim()) {
                    let request = http::Request::get("/").header(http::header::HOST, value);
                    let request = request.body(http_body_util::Full::<bytes::Bytes>::default()).unwrap();
                    let answer = Visitor::connect(running.address()).await.send(request).await;
                    let name = asked.trim().to_ascii_lowercase();
                    let is_named = [A, host.as_str()]
                        .iter()
                        .any(|host| name.split(':').next() == Some(*host) || name.trim_end_matches('.') == *host);
                    assert!(
                        is_named || answer.is_err() || answer.is_ok_and(|answer| !answer.status().is_success()),
                        "{asked:?}"
                    );
                }
            });
            Ok(())
        })
        .unwrap();
    runtime.block_on(caddy.shutdown());
}
