//! The conformance suite of [`HealthProbe`], and its fake.
#![expect(clippy::missing_panics_doc, reason = "a behaviour panics when it is not met")]

use std::{
    collections::{HashMap, VecDeque},
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio::net::TcpListener;

use super::http::TestApp;
use crate::{
    app::Port,
    health::{HealthError, HealthProbe},
};

/// A probe that answers by script, and with health where there is none. Clones are the same probe.
#[derive(Debug, Clone, Default)]
pub struct FakeProbe {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    scripts: HashMap<Port, VecDeque<Result<(), HealthError>>>,
    journal: Vec<(Port, String)>,
}

impl FakeProbe {
    /// A probe that finds everything healthy.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next results for a port; after the last one it is healthy.
    pub fn script(&self, port: Port, results: impl IntoIterator<Item = Result<(), HealthError>>) {
        self.state().scripts.entry(port).or_default().extend(results);
    }

    /// The ports and paths asked, in order.
    pub fn journal(&self) -> Vec<(Port, String)> {
        self.state().journal.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl HealthProbe for FakeProbe {
    fn backend(&self) -> &'static str {
        "fake"
    }

    async fn probe(&self, port: Port, path: &str, _: Duration) -> Result<(), HealthError> {
        let mut state = self.state();
        state.journal.push((port, path.to_owned()));
        state.scripts.get_mut(&port).and_then(VecDeque::pop_front).unwrap_or(Ok(()))
    }
}

/// Long enough for any machine.
const LONG: Duration = Duration::from_secs(20);

/// `Ok` means 2xx.
pub async fn an_app_that_answers_2xx_is_up(probe: &dyn HealthProbe) {
    let app = TestApp::start("a").await;
    assert_eq!(probe.probe(app.port(), "/api/health", LONG).await, Ok(()));
    assert_eq!(probe.probe(app.port(), "/status/204", LONG).await, Ok(()));
}

/// Any other status is an error that names it; redirects are not followed.
pub async fn another_status_is_told(probe: &dyn HealthProbe) {
    let app = TestApp::start("a").await;
    for status in [302, 404, 500, 503] {
        let path = format!("/status/{status}");
        let told = probe.probe(app.port(), &path, LONG).await;
        assert_eq!(told, Err(HealthError::Status { path, status }));
    }
}

/// A port without a listener is told apart.
pub async fn a_port_without_listener_is_told(probe: &dyn HealthProbe) {
    let app = TestApp::start("a").await;
    let port = app.port();
    app.kill().await;
    assert_eq!(probe.probe(port, "/", LONG).await, Err(HealthError::Refused(port)));
}

/// An app that closes without an answer has given none.
pub async fn an_app_that_breaks_off_gives_no_answer(probe: &dyn HealthProbe) {
    let app = TestApp::start("a").await;
    let told = probe.probe(app.port(), "/cut", LONG).await;
    assert!(matches!(told, Err(HealthError::NoAnswer { .. })), "{told:?}");
}

/// One call returns within the limit, whether the app is silent or takes no connections.
pub async fn a_silent_app_is_given_up_at_the_limit(probe: &dyn HealthProbe) {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let port = silent.local_addr().ok().and_then(|a| Port::new(a.port())).expect("a port");
    let begun = Instant::now();
    let told = probe.probe(port, "/", Duration::from_millis(100)).await;
    assert!(matches!(told, Err(HealthError::NoAnswer { .. })), "{told:?}");
    assert!(begun.elapsed() < LONG);
}

/// One call is one request, over a connection of its own.
pub async fn one_call_is_one_request_and_one_connection(probe: &dyn HealthProbe) {
    let app = TestApp::start("a").await;
    for n in 1..4 {
        assert_eq!(probe.probe(app.port(), "/x", LONG).await, Ok(()));
        assert_eq!((app.seen().len(), app.connections()), (n, n));
    }
}

/// Checks a [`HealthProbe`] that really asks: the argument is an expression for a future of a
/// `Subject<dyn HealthProbe>`.
#[macro_export]
macro_rules! health_conformance {
    ($make:expr) => {
        $crate::conformance_tests! { health, $make;
            an_app_that_answers_2xx_is_up,
            another_status_is_told,
            a_port_without_listener_is_told,
            an_app_that_breaks_off_gives_no_answer,
            a_silent_app_is_given_up_at_the_limit,
            one_call_is_one_request_and_one_connection,
        }
    };
}
