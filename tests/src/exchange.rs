//! Writers of an app that is deployed, restarted and rolled back all the while: no request fails, no write is lost or made
//! twice.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use lab_core::testing::http::{Visitor as Connection, read_all};

use crate::{
    parts::Repository,
    server::Server,
    stack::{Stack, on_every_stack},
};

on_every_stack!(an_exchange_fails_no_request_and_loses_no_write);

const WRITERS: usize = 8;
const HOST: &str = "app.lab.localhost";
const MIGRATION: &str = r#"
migrate((app) => {
    app.save(new Collection({
        type: "base",
        name: "writes",
        listRule: "",
        createRule: "",
        fields: [{ type: "number", name: "n", onlyInt: true }, { type: "text", name: "filling", max: 100000 }],
        // a hundred thousand are read in order afterwards
        indexes: ["CREATE INDEX idx_writes_n ON writes (n)"],
    }));
}, (app) => app.delete(app.findCollectionByNameOrId("writes")));
"#;

/// What the writers met.
#[derive(Debug, Default)]
struct Met {
    next: AtomicUsize,
    /// Numbers whose write was answered with 200.
    written: Mutex<Vec<usize>>,
    failed: Mutex<Vec<String>>,
    /// Whose each answered request was, when it began, and how long it took.
    took: Mutex<Vec<(usize, Instant, Duration)>>,
}

async fn write(writer: usize, port: u16, met: Arc<Met>, stop: Arc<AtomicBool>) {
    let mut connection = Connection::connect(([127, 0, 0, 1], port).into()).await;
    while !stop.load(Ordering::Relaxed) {
        let n = met.next.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        let answered = tokio::time::timeout(Duration::from_secs(30), async {
            let response = connection.send(record(n, "")).await.map_err(|e| e.to_string())?;
            let status = response.status();
            let text = read_all(response).await.map_err(|e| e.to_string())?;
            if status == 200 { Ok(()) } else { Err(format!("{status} {text}")) }
        });
        match answered.await.unwrap_or_else(|_| Err("no answer in 30 s".to_owned())) {
            Ok(()) => {
                met.written.lock().unwrap().push(n);
                met.took.lock().unwrap().push((writer, begun, begun.elapsed()));
            }
            Err(error) => {
                met.failed.lock().unwrap().push(format!("{n}: {error}"));
                connection = Connection::connect(([127, 0, 0, 1], port).into()).await;
            }
        }
    }
}

fn record(n: usize, filling: &str) -> Request<Full<Bytes>> {
    let body = serde_json::json!({"n": n, "filling": filling}).to_string();
    Request::post("/api/collections/writes/records")
        .header(header::HOST, HOST)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(body))
        .unwrap()
}

/// How often each number was written, by what the app says.
fn stored(server: &Server) -> BTreeMap<usize, usize> {
    let visitor = server.visit("app");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut found = BTreeMap::new();
        for page in 1.. {
            let path = format!("/api/collections/writes/records?perPage=1000&page={page}&fields=n&skipTotal=1&sort=n");
            let answer = visitor.get_json(&path).await;
            let items = answer["items"].as_array().unwrap().clone();
            for item in &items {
                *found.entry(usize::try_from(item["n"].as_u64().unwrap()).unwrap()).or_default() += 1;
            }
            if items.len() < 1000 {
                break;
            }
        }
        found
    })
}

/// What came of it.
struct Outcome {
    written: usize,
    failed: usize,
    /// How long the slowest request of each writer took in each exchange: those that waited.
    held: Vec<Duration>,
}

/// Exchanges the app's process again and again, under writers, and looks at every write afterwards.
fn exchange(stack: Stack, [deploys, restarts, rollbacks]: [usize; 3], filling_mb: usize) -> Outcome {
    let server = Server::start_on(stack);
    let repository = Repository::of_files(&[("pb_migrations/1700000000_writes.js", MIGRATION)]);
    server.deploy("app", &repository);
    repository.push(&[("pb_public/round.txt", "before")]);
    server.deploy("app", &repository);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = Connection::connect(([127, 0, 0, 1], server.public_port).into()).await;
        let filling = "x".repeat(100_000);
        for _ in 0..filling_mb * 10 {
            // a number that no writer writes
            let response = connection.send(record(usize::from(u16::MAX) << 32, &filling)).await.unwrap();
            assert_eq!(response.status(), 200);
            read_all(response).await.unwrap();
        }
    });
    let (met, stop) = (Arc::new(Met::default()), Arc::new(AtomicBool::new(false)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| runtime.spawn(write(writer, server.public_port, met.clone(), stop.clone())))
        .collect();
    let mut windows = Vec::new();
    let mut exchange = |words: &[&str]| {
        let begun = Instant::now();
        let done = server.lab(words);
        assert!(done.status.success(), "{} {}", String::from_utf8_lossy(&done.stderr), server.log());
        windows.push((begun, Instant::now()));
    };
    for n in 0..deploys.max(restarts).max(rollbacks) {
        if n < restarts {
            exchange(&["restart", "app"]);
        }
        if n < deploys {
            // without a change the release would be the same
            let hook = format!("routerAdd('GET', '/round', (e) => e.string(200, '{}'))", n / 5);
            // every fifth changes what gets at the data: a rehearsal, a data point and a copy under load
            repository.push(&[("pb_public/round.txt", &n.to_string()), ("pb_hooks/main.pb.js", &hook)]);
            exchange(&["deploy", "--name", "app"]);
        }
        if n < rollbacks {
            exchange(&["rollback", "app"]);
        }
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        runtime.block_on(writer).unwrap();
    }
    let failed = std::mem::take(&mut *met.failed.lock().unwrap());
    let written = std::mem::take(&mut *met.written.lock().unwrap());
    // Caddy by itself can neither hold requests nor wait for those under way: of each writer one may fail per exchange
    let may_fail = if stack == Stack::Direct { windows.len() * WRITERS } else { 0 };
    assert!(failed.len() <= may_fail, "{} of {}: {failed:?}; {}", failed.len(), written.len(), server.log());
    let mut stored = stored(&server);
    stored.remove(&(usize::from(u16::MAX) << 32));
    let twice: Vec<_> = stored.iter().filter(|(_, times)| **times != 1).collect();
    assert_eq!(twice, Vec::new(), "written twice");
    let lost: Vec<_> = written.iter().filter(|n| !stored.contains_key(n)).collect();
    assert_eq!(lost, Vec::<&usize>::new(), "lost");
    assert!(stored.len() <= written.len() + failed.len());
    let took = met.took.lock().unwrap();
    let held = windows.iter().flat_map(|(begun, ended)| {
        let mut slowest = [None; WRITERS];
        for (writer, _, took) in took.iter().filter(|(_, at, took)| at < ended && *at + *took > *begun) {
            slowest[*writer] = slowest[*writer].max(Some(*took));
        }
        slowest.into_iter().flatten()
    });
    Outcome { written: written.len(), failed: failed.len(), held: held.collect() }
}

fn an_exchange_fails_no_request_and_loses_no_write(stack: Stack) {
    let outcome = exchange(stack, [2, 3, 1], 0);
    assert!(outcome.written > 100, "{} writes", outcome.written);
}

fn soak(stack: Stack, megabytes: usize) {
    let Outcome { written, failed, mut held } = exchange(stack, [50, 50, 20], megabytes);
    held.sort_unstable();
    let (half, p99, most) = (held[held.len() / 2], held[held.len() * 99 / 100], held[held.len() - 1]);
    eprintln!("{stack:?}, {megabytes} MB: {written} writes, none lost or doubled, {failed} failed");
    eprintln!("{stack:?}: {} requests waited, p50 {half:?}, p99 {p99:?}, max {most:?}", held.len());
    // Caddy by itself holds nothing, but tries again
    assert!(stack == Stack::Direct || p99 < Duration::from_millis(500), "{p99:?}");
}

#[test]
#[ignore = "long: `make soak`"]
fn soak_exchange() {
    soak(Stack::Embedded, 100);
}

#[test]
#[ignore = "long: `make soak`"]
fn soak_exchange_edge() {
    soak(Stack::Edge, 100);
}

#[test]
#[ignore = "long: `make soak`"]
fn soak_exchange_direct() {
    soak(Stack::Direct, 100);
}
