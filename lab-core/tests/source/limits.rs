//! Bytes, time, and threads that are left behind.

use std::time::{Duration, Instant};

use lab_core::source::{Source, SourceError};
use tokio_util::sync::CancellationToken;

use crate::{bench::Bench, repo::Repo, servers};

/// Text that does not compress well.
fn noise(length: usize, mut seed: u64) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_that_is_too_large_is_refused_while_it_arrives_and_once_unpacked() {
    let bench = Bench::new();
    let repo = Repo::new(bench.dir.path().join("app.git"));
    let daemon = servers::daemon(bench.dir.path()).await;
    let url = format!("git://{}/app.git", daemon.address);
    for content in [noise(3 << 20, 1), vec![b'x'; 3 << 20]] {
        let tree = repo.tree(&[(crate::repo::FILE, b"large", repo.blob(content))]);
        repo.commit_on("main", "large", tree);
        let mut request = bench.request(&url);
        request.limits.max_bytes = 1 << 20;
        let error = bench.fetch(request).await.unwrap_err();
        assert!(matches!(error, SourceError::TooLarge { limit: 1_048_576, .. }), "{error:?}");
        bench.assert_clean();
    }
    assert_eq!(bench.objects(), 3, "the second one arrives and is refused before it is written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_that_was_left_behind_does_not_stand_in_the_next_fetchs_way() {
    let bench = Bench::new();
    let silent = servers::silent().await;
    let repo = Repo::new(bench.dir.path().join("app.git"));
    repo.commit("main", "first", &[("a", "1")]);
    let daemon = servers::daemon(bench.dir.path()).await;
    let url = format!("git://{}/app.git", daemon.address);
    bench.get(&url, None).await.unwrap();
    let mut request = bench.request(&format!("git://{}/app.git", silent.address));
    request.limits.timeout = Duration::from_millis(200);
    let error = bench.fetch(request).await.unwrap_err();
    assert!(matches!(error, SourceError::TimedOut { .. }), "{error:?}");
    bench.get(&url, None).await.unwrap();
    assert_eq!(bench.read("a"), "1");
    // its connection ends: the thread ends, and takes its folder with it
    drop(silent);
    let deadline = Instant::now() + Duration::from_secs(10);
    let cache = bench.dir.path().join("cache");
    while std::fs::read_dir(&cache).unwrap().count() > 1 {
        assert!(Instant::now() < deadline, "the left-behind folder stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_fetch_leaves_nothing_at_its_destination() {
    let bench = Bench::new();
    let repo = Repo::new(bench.dir.path().join("app.git"));
    repo.commit("main", "first", &[("a", "1")]);
    let daemon = servers::daemon(bench.dir.path()).await;
    let request = bench.request(&format!("git://{}/app.git", daemon.address));
    let fetch = bench.source.fetch(request, bench.seen.clone(), CancellationToken::new());
    drop(tokio::time::timeout(Duration::from_millis(1), fetch).await);
    tokio::time::sleep(Duration::from_millis(500)).await;
    bench.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_destination_is_an_error_and_stays_as_it_was() {
    let bench = Bench::new();
    let repo = Repo::new(bench.dir.path().join("app.git"));
    repo.commit("main", "first", &[("a", "1")]);
    std::fs::create_dir(bench.checkout()).unwrap();
    std::fs::write(bench.checkout().join("mine"), "x").unwrap();
    let request = bench.request(repo.path.to_str().unwrap());
    let error = bench.source.fetch(request, bench.seen.clone(), CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, SourceError::Failed { .. }), "{error:?}");
    assert_eq!((bench.read("mine").as_str(), bench.checkout().join("a").exists()), ("x", false));
}
