//! Changes while Caddy is away, as when it is started again.

use std::time::Duration;

use http::StatusCode;
use lab_core::{
    router::{RouterConfig, RouterError, Target, caddy::CaddyLayout},
    testing::{
        http::{TestApp, Visitor},
        router::table,
    },
};

use super::running::{A, Running, eventually, lead};

async fn answers(running: &Running, text: &str) -> bool {
    if tokio::net::TcpStream::connect(running.address()).await.is_err() {
        return false;
    }
    let asked = Visitor::connect(running.address()).await.get(A, "/").await;
    asked.is_ok_and(|answer| answer == (StatusCode::OK, text.to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_waits_for_a_caddy_that_is_started_again() {
    let mut running = Running::start(CaddyLayout::Direct).await;
    let router = running.open().await;
    let (a, b) = (TestApp::start("a").await, TestApp::start("b").await);
    lead(&router, Target::Port(a.port())).await;
    running.kill();
    let router = std::sync::Arc::new(router);
    let change = tokio::spawn({
        let (router, wanted) = (router.clone(), table([(A, Target::Port(b.port()))]));
        async move { router.apply(wanted).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!change.is_finished());
    running.up();
    change.await.unwrap().unwrap();
    eventually("the other app", async || answers(&running, "b").await).await;
    router.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_change_that_failed_everything_is_as_before_and_the_next_one_works() {
    let mut running = Running::start_with(CaddyLayout::Direct, |settings| {
        settings.patience = Duration::from_secs(5);
    })
    .await;
    let router = running.open().await;
    let (a, b) = (TestApp::start("a").await, TestApp::start("b").await);
    let (to_a, to_b) = (table([(A, Target::Port(a.port()))]), table([(A, Target::Port(b.port()))]));
    router.apply(to_a.clone()).await.unwrap();
    running.kill();
    let failed = router.apply(to_b.clone()).await.unwrap_err();
    assert!(matches!(failed, RouterError::Failed { .. }), "{failed}");
    assert_eq!(router.table().await.unwrap(), to_a);
    running.up();
    eventually("the app as before", async || answers(&running, "a").await).await;
    router.apply(to_b).await.unwrap();
    assert!(answers(&running, "b").await);
    router.shutdown().await;
}
