//! The conformance suite of [`RouterConfig`], and its fake.
#![expect(clippy::missing_panics_doc, reason = "a behaviour panics when it is not met")]

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    app::{AppName, Port},
    router::{Hostname, Route, RouteTable, RouterConfig, RouterError, Target, Unavailable},
};

/// A router that routes nothing and remembers what it was told. Clones are the same router.
///
/// It is strict: a table that leads two apps to one port is rejected, as no lab may make one.
#[derive(Debug, Clone, Default)]
pub struct FakeRouter {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    table: RouteTable,
    journal: Vec<RouteTable>,
    drained: Vec<Hostname>,
    failures: VecDeque<RouterError>,
}

impl FakeRouter {
    /// A router without routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the next call of `apply` fail; several calls queue up.
    pub fn fail_next(&self, error: RouterError) {
        self.state().failures.push_back(error);
    }

    /// Every table that was put in force, in order.
    pub fn journal(&self) -> Vec<RouteTable> {
        self.state().journal.clone()
    }

    /// Every host that was drained, in order.
    pub fn drained(&self) -> Vec<Hostname> {
        self.state().drained.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RouterConfig for FakeRouter {
    fn backend(&self) -> &'static str {
        "fake"
    }

    async fn apply(&self, table: RouteTable) -> Result<(), RouterError> {
        let mut state = self.state();
        if let Some(error) = state.failures.pop_front() {
            return Err(error);
        }
        let mut owners: HashMap<Port, &Option<AppName>> = HashMap::new();
        for route in table.values() {
            if let Target::Port(port) | Target::Held(port) = route.target
                && *owners.entry(port).or_insert(&route.app) != &route.app
            {
                return Err(RouterError::Rejected { reason: format!("port {port} belongs to two apps") });
            }
        }
        state.journal.push(table.clone());
        state.table = table;
        Ok(())
    }

    async fn table(&self) -> Result<RouteTable, RouterError> {
        Ok(self.state().table.clone())
    }

    async fn drain(&self, host: &Hostname, _: Duration) {
        let mut state = self.state();
        if state.table.get(host).is_some_and(|route| matches!(route.target, Target::Held(_))) {
            state.drained.push(host.clone());
        }
    }
}

/// A table from hosts and targets; each host's first label is its app.
///
/// # Panics
/// If a name is none.
pub fn table<const N: usize>(routes: [(&str, Target); N]) -> RouteTable {
    let route = |(host, target): (&str, Target)| {
        let app = host.split('.').next().and_then(|label| label.parse().ok());
        (host.parse::<Hostname>().expect("a host name"), Route { app, target })
    };
    routes.map(route).into()
}

/// A port that nothing listens on, for tables that carry no traffic.
fn some_port(n: u16) -> Target {
    Target::Port(Port::new(n).expect("not 0"))
}

/// `apply` takes the whole table, and `table` returns it.
pub async fn what_was_applied_is_the_table(router: &dyn RouterConfig) {
    let wanted = table([
        ("a.example.test", some_port(20001)),
        ("b.example.test", Target::Unavailable(Unavailable::Stopped)),
        ("c.example.test", Target::Unavailable(Unavailable::Deploying)),
        ("d.example.test", Target::Unavailable(Unavailable::Failed)),
        ("e.example.test", Target::Held(Port::new(20002).expect("not 0"))),
    ]);
    router.apply(wanted.clone()).await.expect("a good table");
    assert_eq!(router.table().await.expect("a table"), wanted);
}

/// What an earlier table had and the new one has not is gone.
pub async fn a_table_replaces_the_one_before(router: &dyn RouterConfig) {
    let first = table([("a.example.test", some_port(20001)), ("b.example.test", some_port(20002))]);
    let second = table([("b.example.test", some_port(20003))]);
    router.apply(first).await.expect("a good table");
    router.apply(second.clone()).await.expect("a good table");
    assert_eq!(router.table().await.expect("a table"), second);
}

/// The empty table is a table.
pub async fn an_empty_table_takes_all_routes_away(router: &dyn RouterConfig) {
    router.apply(table([("a.example.test", some_port(20001))])).await.expect("a good table");
    router.apply(RouteTable::new()).await.expect("the empty table");
    assert_eq!(router.table().await.expect("a table"), RouteTable::new());
}

/// A table may be applied again.
pub async fn the_same_table_may_be_applied_again(router: &dyn RouterConfig) {
    let wanted = table([("a.example.test", some_port(20001))]);
    for _ in 0..3 {
        router.apply(wanted.clone()).await.expect("a good table");
    }
    assert_eq!(router.table().await.expect("a table"), wanted);
}

/// The lab's own host has a route without an app.
pub async fn a_route_needs_no_app(router: &dyn RouterConfig) {
    let host: Hostname = "lab.example.test".parse().expect("a host name");
    let wanted = RouteTable::from([(host, Route { app: None, target: some_port(20001) })]);
    router.apply(wanted.clone()).await.expect("a good table");
    assert_eq!(router.table().await.expect("a table"), wanted);
}

/// Tables that come at once never mix.
pub async fn tables_applied_at_once_end_as_one_of_them(router: &dyn RouterConfig) {
    let tables: Vec<RouteTable> = (0..8_u16)
        .map(|n| {
            let other = format!("only-{n}.example.test");
            table([("all.example.test", some_port(20010 + n)), (other.as_str(), some_port(20100 + n))])
        })
        .collect();
    let applied = futures_util::future::join_all(tables.iter().map(|table| router.apply(table.clone()))).await;
    assert!(applied.iter().all(Result::is_ok), "{applied:?}");
    let end = router.table().await.expect("a table");
    assert!(tables.contains(&end), "{end:?}");
}

/// Checks a [`RouterConfig`]: the argument is an expression for a future of a fresh `Subject<dyn RouterConfig>`.
#[macro_export]
macro_rules! router_conformance {
    ($make:expr) => {
        $crate::conformance_tests! { router, $make;
            what_was_applied_is_the_table,
            a_table_replaces_the_one_before,
            an_empty_table_takes_all_routes_away,
            the_same_table_may_be_applied_again,
            a_route_needs_no_app,
            tables_applied_at_once_end_as_one_of_them,
        }
    };
}
