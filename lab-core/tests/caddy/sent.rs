//! What is sent to Caddy: looked at, and lost, on its way.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use lab_core::{
    Port,
    router::{
        Hostname, Route, RouteTable, RouterConfig, Target, Unavailable,
        caddy::{CaddyLayout, CaddyRouter, CaddySettings},
    },
    testing::http::{TestApp, Visitor},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};
use tokio_util::task::AbortOnDropHandle;

use super::running::{A, Running, eventually};

/// Stands before Caddy's admin socket. Clones are the same one.
#[derive(Clone, Default)]
struct Between {
    /// The changes that came: method and path, and how long the body was.
    calls: Arc<Mutex<Vec<(String, usize)>>>,
    /// Whether Caddy's next answer to a change is lost.
    loses: Arc<AtomicBool>,
}

impl Between {
    fn start(settings: &CaddySettings) -> (Self, AbortOnDropHandle<()>) {
        let (front, back) = (settings.admin_socket(), settings.dir.join("back.sock"));
        std::fs::rename(&front, &back).unwrap();
        let (between, listener) = (Self::default(), UnixListener::bind(&front).unwrap());
        let task = tokio::spawn({
            let between = between.clone();
            async move {
                loop {
                    let (client, _) = listener.accept().await.unwrap();
                    let (between, caddy) = (between.clone(), UnixStream::connect(&back).await.unwrap());
                    tokio::spawn(async move { between.carry(client, caddy).await });
                }
            }
        });
        (between, AbortOnDropHandle::new(task))
    }

    /// One call.
    async fn carry(&self, mut client: UnixStream, mut caddy: UnixStream) {
        let mut request = Vec::new();
        let (head, body) = loop {
            if client.read_buf(&mut request).await.unwrap_or_default() == 0 {
                return;
            }
            let text = String::from_utf8_lossy(&request).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                break (head.to_owned(), body.len());
            }
        };
        let call = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
        let is_change = !call.starts_with("GET");
        if is_change {
            self.calls.lock().unwrap().push((call, body));
        }
        caddy.write_all(&request).await.unwrap();
        if is_change && self.loses.swap(false, Ordering::Relaxed) {
            let _ = caddy.read(&mut [0; 1]).await;
            return;
        }
        let _ = tokio::io::copy_bidirectional(&mut client, &mut caddy).await;
    }

    fn take(&self) -> Vec<(String, usize)> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

fn host(n: u16) -> Hostname {
    format!("app-{n}.example.test").parse().unwrap()
}

fn to(port: u16) -> Target {
    Target::Port(Port::new(port).unwrap())
}

fn route(target: Target) -> Route {
    Route { app: Some("app".parse().unwrap()), target }
}

/// A router with `hosts` routes, and what stands before its Caddy.
async fn start(running: &Running, hosts: u16) -> (CaddyRouter, RouteTable, Between, AbortOnDropHandle<()>) {
    let router = running.open().await;
    let table: RouteTable = (0..hosts).map(|n| (host(n), route(to(30000 + n)))).collect();
    router.apply(table.clone()).await.unwrap();
    let (between, task) = Between::start(&running.settings);
    (router, table, between, task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_small_call_a_change_and_never_all_of_it() {
    let running = Running::start(CaddyLayout::Direct).await;
    let (router, mut table, between, _task) = start(&running, 200).await;
    let mut changed = async |change: &dyn Fn(&mut RouteTable)| {
        change(&mut table);
        router.apply(table.clone()).await.unwrap();
        between.take()
    };
    let small = |calls: Vec<(String, usize)>, expected: &str| {
        assert!(matches!(calls.as_slice(), [(call, body)] if call == expected && *body < 200), "{expected}: {calls:?}");
    };
    let entry = |method: &str| format!("{method} /id/lab-host-app-7.example.test");
    small(changed(&|t| drop(t.insert(host(7), route(to(31000))))).await, &entry("PATCH"));
    small(
        changed(&|t| drop(t.insert(host(7), route(Target::Unavailable(Unavailable::Stopped))))).await,
        &entry("DELETE"),
    );
    small(changed(&|t| drop(t.insert(host(7), route(to(31000))))).await, "POST /id/lab-map/mappings");
    small(changed(&|t| drop(t.remove(&host(7)))).await, &entry("DELETE"));
    // what Caddy does not see, and nothing at all
    assert_eq!(changed(&|t| drop(t.insert(host(7), route(Target::Unavailable(Unavailable::Failed))))).await, []);
    assert_eq!(changed(&|_| {}).await, []);
    let several = changed(&|t| t.extend([(host(8), route(to(31008))), (host(9), route(to(31009)))])).await;
    assert!(matches!(several.as_slice(), [(call, _)] if call == "PATCH /id/lab-map/mappings"), "{several:?}");
    router.shutdown().await;
    // another lab-server finds Caddy as it should be
    let router = running.open().await;
    assert_eq!(between.take(), []);
    router.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_is_no_failure() {
    let running = Running::start(CaddyLayout::Direct).await;
    let (router, table, between, _task) = start(&running, 3).await;
    let app = TestApp::start("a").await;
    for with_app in [true, false] {
        let mut wanted = table.clone();
        if with_app {
            wanted.insert(A.parse().unwrap(), route(to(app.port().get())));
        }
        between.loses.store(true, Ordering::Relaxed);
        router.apply(wanted.clone()).await.unwrap();
        assert_eq!(router.table().await.unwrap(), wanted);
        let address = running.address();
        eventually("Caddy's listener", async || tokio::net::TcpStream::connect(address).await.is_ok()).await;
        assert_eq!(Visitor::once(address, A, "/").await.0.as_u16(), if with_app { 200 } else { 404 });
        // Caddy had done it
        let calls = between.take();
        assert!(calls.len() == 1 && !calls[0].0.contains("/load"), "{calls:?}");
    }
    router.shutdown().await;
}
