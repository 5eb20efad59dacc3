//! What every [`Registry`] must do.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    App, AppName, GitUrl, Port, UrlPolicy,
    lifecycle::{Desired, Status},
    registry::{Registry, RegistryError},
};

/// Runs the registry's conformance suite over the [`Subject`](super::Subject) that a future makes anew for each test.
#[macro_export]
macro_rules! registry_conformance {
    ($make:expr) => {
        $crate::conformance_tests!(registry, $make;
            create_stores_with_the_first_revision,
            create_refuses_a_name_that_is_there,
            update_counts_revisions_and_refuses_stale_ones,
            update_of_an_unknown_app_is_not_found,
            absent_is_none_and_removal_is_idempotent,
            list_is_sorted_by_name,
            unknown_fields_are_kept,
            concurrent_updates_lose_nothing,
        );
    };
}

/// A record to test with.
///
/// # Panics
/// When `name` is not an app's name.
pub fn app(name: &str) -> App {
    App {
        name: name.parse().expect("a valid name"),
        repository: GitUrl::parse("https://git.example/me/app", UrlPolicy::Remote).expect("a valid address"),
        root: None,
        rehearsal: None,
        pocketbase: None,
        branch: None,
        port: Port::new(8091),
        status: Status::Running,
        desired: Desired::Running,
        created_at: Timestamp::UNIX_EPOCH,
        last_deploy: None,
        subdomain: name.parse().expect("a valid name"),
        domains: BTreeSet::new(),
        release: None,
        revision: 0,
        extra: serde_json::Map::new(),
    }
}

fn name(text: &str) -> AppName {
    text.parse().expect("a valid name")
}

#[expect(missing_docs, reason = "a behaviour's name says what it is")]
mod behaviours {
    use super::*;

    pub async fn create_stores_with_the_first_revision(registry: &dyn Registry) {
        let stored = registry.create(app("one")).await.expect("create");
        assert_eq!(stored.revision, 1);
        assert_eq!(registry.get(&stored.name).await.expect("get"), Some(stored));
    }

    pub async fn create_refuses_a_name_that_is_there(registry: &dyn Registry) {
        let stored = registry.create(app("one")).await.expect("create");
        let mut second = app("one");
        second.port = None;
        let error = registry.create(second).await.expect_err("it is there");
        assert!(matches!(error, RegistryError::AlreadyExists(ref n) if *n == stored.name), "{error}");
        assert_eq!(registry.get(&stored.name).await.expect("get"), Some(stored));
    }

    pub async fn update_counts_revisions_and_refuses_stale_ones(registry: &dyn Registry) {
        let first = registry.create(app("one")).await.expect("create");
        let mut change = first.clone();
        change.status = Status::Stopped;
        let second = registry.update(change).await.expect("update");
        assert_eq!((second.revision, second.status), (2, Status::Stopped));
        let error = registry.update(first.clone()).await.expect_err("stale");
        assert!(matches!(error, RegistryError::Stale { expected: 1, found: 2, .. }), "{error}");
        assert_eq!(registry.get(&first.name).await.expect("get"), Some(second));
    }

    pub async fn update_of_an_unknown_app_is_not_found(registry: &dyn Registry) {
        let error = registry.update(app("one")).await.expect_err("not there");
        assert!(matches!(error, RegistryError::NotFound(_)), "{error}");
    }

    pub async fn absent_is_none_and_removal_is_idempotent(registry: &dyn Registry) {
        assert_eq!(registry.get(&name("one")).await.expect("get"), None);
        registry.create(app("one")).await.expect("create");
        for _ in 0..2 {
            registry.remove(&name("one")).await.expect("remove");
        }
        assert_eq!(registry.get(&name("one")).await.expect("get"), None);
        assert_eq!(registry.create(app("one")).await.expect("create again").revision, 1);
    }

    pub async fn list_is_sorted_by_name(registry: &dyn Registry) {
        for text in ["b", "c", "a"] {
            registry.create(app(text)).await.expect("create");
        }
        let names: Vec<String> = registry.list().await.expect("list").iter().map(|a| a.name.to_string()).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    pub async fn unknown_fields_are_kept(registry: &dyn Registry) {
        let mut with_extra = app("one");
        with_extra.extra.insert("colour".to_owned(), "blue".into());
        registry.create(with_extra).await.expect("create");
        let mut read = registry.get(&name("one")).await.expect("get").expect("it is there");
        read.status = Status::Failed;
        let written = registry.update(read).await.expect("update");
        assert_eq!(written.extra["colour"], "blue");
    }

    pub async fn concurrent_updates_lose_nothing(registry: &dyn Registry) {
        registry.create(app("one")).await.expect("create");
        let count = async || {
            for _ in 0..10 {
                loop {
                    let mut read = registry.get(&name("one")).await.expect("get").expect("it is there");
                    let n = read.extra.get("n").and_then(serde_json::Value::as_u64).unwrap_or(0);
                    read.extra.insert("n".to_owned(), (n + 1).into());
                    match registry.update(read).await {
                        Ok(_) => break,
                        Err(RegistryError::Stale { .. }) => tokio::task::yield_now().await,
                        Err(other) => panic!("{other}"),
                    }
                }
            }
        };
        tokio::join!(count(), count(), count(), count());
        let read = registry.get(&name("one")).await.expect("get").expect("it is there");
        assert_eq!((read.extra["n"].as_u64(), read.revision), (Some(40), 41));
    }
}
pub use behaviours::*;
