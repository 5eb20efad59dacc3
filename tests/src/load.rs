//! Visitors of other apps, while apps come, go and restart: none may fail, no stream may be cut.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use lab_core::testing::http::Visitor as Connection;
use reqwest::StatusCode;

use crate::{
    parts::Repository,
    server::Server,
    stack::{Stack, on_every_stack},
};

on_every_stack!(other_apps_never_notice_what_is_done_to_one);

/// After this PocketBase ends a stream that had nothing to tell (five minutes), so it is no cut.
const STREAM_ENDS: Duration = Duration::from_secs(290);

/// What visitors met.
#[derive(Debug, Default)]
struct Met {
    answered: AtomicUsize,
    /// Requests that found their connection closed by Caddy, in the direct layout, and were answered on another one.
    reconnected: AtomicUsize,
    /// Requests without an answer, or with another one than the app's.
    failed: Mutex<Vec<String>>,
    /// Streams that ended.
    cut: AtomicUsize,
}

impl Met {
    fn assert_nobody_noticed(self) {
        assert_eq!((self.cut.into_inner(), self.failed.into_inner().unwrap()), (0, Vec::new()));
    }
}

/// Visits one app over one connection that is kept, without trying anything again; but for Caddy in the direct layout,
/// which closes connections with every change, one request on a new one, as browsers do.
async fn visit(stack: Stack, address: SocketAddr, app: String, met: Arc<Met>, stop: Arc<AtomicBool>) {
    let host = format!("{app}.lab.localhost");
    let mut connection = Connection::connect(address).await;
    let mut again = false;
    while !stop.load(Ordering::Relaxed) {
        match tokio::time::timeout(Duration::from_secs(20), connection.get(&host, "/")).await {
            Ok(Ok((StatusCode::OK, text))) if text == format!("<html>{app}</html>") => {
                met.answered.fetch_add(1, Ordering::Relaxed);
                again = false;
            }
            Ok(Err(_)) if stack == Stack::Direct && !again => {
                again = true;
                met.reconnected.fetch_add(1, Ordering::Relaxed);
                connection = Connection::connect(address).await;
                continue;
            }
            other => {
                met.failed.lock().unwrap().push(format!("{app}: {other:?}"));
                connection = Connection::connect(address).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Listens to one app's stream of events.
async fn listen(stack: Stack, server_port: u16, app: String, met: Arc<Met>, stop: Arc<AtomicBool>) {
    let visitor = crate::parts::Visitor::new(&app, server_port);
    let open = async || {
        let opened = visitor.try_stream("/api/realtime").await;
        if stack == Stack::Direct && opened.is_err() {
            return visitor.try_stream("/api/realtime").await.unwrap();
        }
        opened.unwrap()
    };
    let (mut stream, mut opened) = (open().await, Instant::now());
    while !stop.load(Ordering::Relaxed) {
        match tokio::time::timeout(Duration::from_millis(200), stream.chunk()).await {
            Ok(Ok(Some(_))) | Err(_) => {}
            Ok(Ok(None)) if opened.elapsed() > STREAM_ENDS => (stream, opened) = (open().await, Instant::now()),
            Ok(_) => {
                met.cut.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }
}

/// Visits `apps` apps while `changes` changes are made to others.
fn change_others_under_load(stack: Stack, apps: usize, changes: usize) -> Met {
    let server = Server::start_on(stack);
    for n in 0..apps {
        server.deploy(
            &format!("app-{n}"),
            &Repository::of_files(&[("pb_public/index.html", &format!("<html>app-{n}</html>"))]),
        );
    }
    let (met, stop) = (Arc::new(Met::default()), Arc::new(AtomicBool::new(false)));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let visitors: Vec<_> = (0..apps)
        .flat_map(|n| {
            let app = format!("app-{n}");
            let address = ([127, 0, 0, 1], server.public_port).into();
            [
                runtime.spawn(visit(stack, address, app.clone(), met.clone(), stop.clone())),
                runtime.spawn(listen(stack, server.public_port, app, met.clone(), stop.clone())),
            ]
        })
        .collect();
    let other = Repository::of_files(&[("pb_public/index.html", "<html>other</html>")]);
    for change in 0..changes {
        let done = match change % 5 {
            0 | 1 => server.lab(&["deploy", &other.address(), "--name", "other"]),
            2 => server.lab(&["restart", "other"]),
            3 => server.lab(&["stop", "other"]),
            _ => server.lab(&["rm", "other", "--yes", "--purge"]),
        };
        assert!(done.status.success(), "{} {}", String::from_utf8_lossy(&done.stderr), server.log());
    }
    stop.store(true, Ordering::Relaxed);
    for visitor in visitors {
        runtime.block_on(visitor).unwrap();
    }
    Arc::into_inner(met).unwrap()
}

fn other_apps_never_notice_what_is_done_to_one(stack: Stack) {
    let met = change_others_under_load(stack, 5, 10);
    assert!(met.answered.load(Ordering::Relaxed) > 50, "{met:?}");
    met.assert_nobody_noticed();
}

#[test]
#[ignore = "long: `make soak`"]
fn soak_under_load() {
    for stack in [Stack::Embedded, Stack::Edge, Stack::Direct] {
        let met = change_others_under_load(stack, 20, 100);
        let failed = met.failed.lock().unwrap().len();
        eprintln!(
            "{stack:?}: {:?} requests answered, {failed} failed, {:?} answered on another connection, {:?} of 20 streams cut",
            met.answered, met.reconnected, met.cut
        );
        met.assert_nobody_noticed();
    }
}
