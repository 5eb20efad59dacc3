//! What every [`PortAllocator`] must do, and port ranges that tests can share a machine with.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, TcpListener},
    ops::RangeInclusive,
};

use crate::{
    AppName, Port,
    ports::{PortAllocator, PortError},
};

/// Runs the port allocator's conformance suite over the [`Subject`](super::Subject) that a future makes anew for each
/// test. The allocator's range must be of [`LEASE`] ports, all free, such as [`leased_range`] gives.
#[macro_export]
macro_rules! ports_conformance {
    ($make:expr) => {
        $crate::conformance_tests!(ports, $make;
            each_app_has_its_own_port_and_keeps_it,
            a_released_port_is_used_again,
            release_is_idempotent,
            a_port_that_something_listens_on_is_skipped,
            an_exhausted_range_is_an_error_that_changes_nothing,
            assign_replaces_every_allocation,
            concurrent_allocations_never_collide,
        );
    };
}

/// How many ports [`leased_range`] gives.
pub const LEASE: u16 = 8;
/// How many leases there are: ports 20000 to 31999, below the range from which the kernel gives ports to outgoing
/// connections (32768 by default on Linux).
const LEASES: u16 = 1500;

/// Ports that no other test on this machine has, while this lives.
#[derive(Debug)]
pub struct Lease {
    _locks: Vec<fs::File>,
}

/// A range of [`LEASE`] ports.
pub fn leased_range() -> (RangeInclusive<u16>, Lease) {
    leased_ranges(1)
}

/// A range of `count` times [`LEASE`] ports, all free, with its lease.
pub fn leased_ranges(count: u16) -> (RangeInclusive<u16>, Lease) {
    let folder = std::env::temp_dir().join("lab-test-ports");
    fs::create_dir_all(&folder).expect("the lease folder");
    let start = rand::random_range(0..LEASES);
    let lock = |index: u16| {
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(folder.join(index.to_string()));
        let file = file.expect("a lease file");
        file.try_lock().is_ok().then_some(file)
    };
    let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    for index in (0..LEASES).map(|i| (start + i) % LEASES).filter(|index| index + count <= LEASES) {
        let first = 20000 + index * LEASE;
        let range = first..=first + LEASE * count - 1;
        let locks: Option<Vec<fs::File>> = (index..index + count).map(lock).collect();
        if let Some(locks) = locks.filter(|_| range.clone().all(is_free)) {
            return (range, Lease { _locks: locks });
        }
    }
    panic!("no range of free ports below 32768");
}

fn name(text: &str) -> AppName {
    text.parse().expect("a valid name")
}

#[expect(missing_docs, reason = "a behaviour's name says what it is")]
mod behaviours {
    use super::*;

    pub async fn each_app_has_its_own_port_and_keeps_it(ports: &dyn PortAllocator) {
        let a = ports.allocate(&name("a")).await.expect("allocate");
        let b = ports.allocate(&name("b")).await.expect("allocate");
        assert_ne!(a, b);
        assert_eq!(ports.allocate(&name("a")).await.expect("again"), a);
        assert_eq!(ports.list().await.expect("list"), BTreeMap::from([(name("a"), a), (name("b"), b)]));
    }

    pub async fn a_released_port_is_used_again(ports: &dyn PortAllocator) {
        let a = ports.allocate(&name("a")).await.expect("allocate");
        for round in 0..=LEASE {
            ports.release(&name("a")).await.expect("release");
            ports.allocate(&name("a")).await.unwrap_or_else(|e| panic!("round {round}: {e}"));
        }
        ports.release(&name("a")).await.expect("release");
        assert_eq!(ports.allocate(&name("b")).await.expect("allocate"), a);
    }

    pub async fn release_is_idempotent(ports: &dyn PortAllocator) {
        ports.release(&name("a")).await.expect("release");
        ports.allocate(&name("a")).await.expect("allocate");
        for _ in 0..2 {
            ports.release(&name("a")).await.expect("release");
        }
        assert_eq!(ports.list().await.expect("list"), BTreeMap::new());
    }

    pub async fn a_port_that_something_listens_on_is_skipped(ports: &dyn PortAllocator) {
        let first = ports.allocate(&name("a")).await.expect("allocate");
        ports.release(&name("a")).await.expect("release");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, first.get())).expect("listen");
        assert!(!ports.is_free(first).await.expect("is_free"));
        let second = ports.allocate(&name("a")).await.expect("allocate");
        assert_ne!(first, second);
        drop(listener);
        assert!(ports.is_free(first).await.expect("is_free"));
    }

    pub async fn an_exhausted_range_is_an_error_that_changes_nothing(ports: &dyn PortAllocator) {
        for i in 0..LEASE {
            ports.allocate(&name(&format!("a{i}"))).await.expect("allocate");
        }
        let before = ports.list().await.expect("list");
        let error = ports.allocate(&name("one-more")).await.expect_err("exhausted");
        assert!(matches!(error, PortError::Exhausted { .. }), "{error}");
        assert_eq!(ports.list().await.expect("list"), before);
    }

    pub async fn assign_replaces_every_allocation(ports: &dyn PortAllocator) {
        let a = ports.allocate(&name("a")).await.expect("allocate");
        let wanted = BTreeMap::from([(name("b"), a)]);
        ports.assign(wanted.clone()).await.expect("assign");
        assert_eq!(ports.list().await.expect("list"), wanted);
        assert_ne!(ports.allocate(&name("a")).await.expect("allocate"), a);
    }

    pub async fn concurrent_allocations_never_collide(ports: &dyn PortAllocator) {
        let names: Vec<AppName> = (0..LEASE).map(|i| name(&format!("a{i}"))).collect();
        let got = futures_util::future::join_all(names.iter().map(|n| ports.allocate(n))).await;
        let mut got: Vec<Port> = got.into_iter().map(|p| p.expect("allocate")).collect();
        got.sort_unstable();
        got.dedup();
        assert_eq!(got.len(), usize::from(LEASE));
    }
}
pub use behaviours::*;
