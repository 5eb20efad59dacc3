//! Tokens and redirects.

use lab_core::source::SourceError;

use crate::{
    bench::{Bench, chain},
    repo::Repo,
    servers::Web,
};

const TOKEN: &str = "t0ken-for-tests/4711";

/// `x-access-token:<TOKEN>` as basic authentication sends it.
const ENCODED: &str = "eC1hY2Nlc3MtdG9rZW46dDBrZW4tZm9yLXRlc3RzLzQ3MTE=";

fn private(bench: &Bench) -> Web {
    let repo = Repo::new(bench.dir.path().join("private/app.git"));
    repo.commit("main", "first", &[("a", "1")]);
    Web { root: bench.dir.path().to_owned(), password: Some(ENCODED.to_owned()), ..Web::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_repository_opens_with_its_token_which_is_left_nowhere() {
    let bench = Bench::new();
    let server = private(&bench).start().await;
    let url = format!("http://{}/private/app.git", server.address);
    let error = bench.get(&url, None).await.unwrap_err();
    assert!(matches!(error, SourceError::NotFoundOrPrivate { .. }), "{error:?}");
    let wrong = bench.get_with_token(&url, "wrong-t0ken").await.unwrap_err();
    assert!(matches!(wrong, SourceError::NotFoundOrPrivate { .. }) && !chain(&wrong).contains("wrong-t0ken"));
    bench.get_with_token(&url, TOKEN).await.unwrap();
    assert_eq!(bench.read("a"), "1");
    for secret in [TOKEN, ENCODED, "wrong-t0ken"] {
        bench.assert_nowhere(secret);
    }
    // from the address itself
    let encoded = TOKEN.replace('/', "%2F");
    let url = format!("http://x-access-token:{encoded}@{}/private/app.git", server.address);
    bench.get(&url, None).await.unwrap();
    bench.assert_nowhere(TOKEN);
    bench.assert_nowhere(&encoded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_does_not_follow_a_redirect_to_another_host() {
    let bench = Bench::new();
    let other = private(&bench);
    let seen = other.seen.clone();
    let other = other.start().await;
    for to in
        [format!("http://{}/private", other.address), format!("http://localhost:{}/private", other.address.port())]
    {
        let first = Web { moved_to: Some(to), ..private_web(&bench) }.start().await;
        let url = format!("http://{}/moved/app.git", first.address);
        let error = bench.get_with_token(&url, TOKEN).await.unwrap_err();
        assert!(!chain(&error).contains(TOKEN), "{error:?}");
    }
    assert!(seen.lock().unwrap().iter().all(String::is_empty), "{seen:?}");
}

fn private_web(bench: &Bench) -> Web {
    Web { root: bench.dir.path().to_owned(), ..Web::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_redirects_are_followed() {
    let bench = Bench::new();
    let repo = Repo::new(bench.dir.path().join("public/app.git"));
    repo.commit("main", "first", &[("a", "1")]);
    let other = private_web(&bench).start().await;
    let to = format!("http://localhost:{}/public", other.address.port());
    let first = Web { moved_to: Some(to), ..private_web(&bench) }.start().await;
    bench.get(&format!("http://{}/moved/app.git", first.address), None).await.unwrap();
    assert_eq!(bench.read("a"), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renamed_repository_on_the_same_server_is_followed_with_its_token() {
    let bench = Bench::new();
    let server = Web { moved_to: Some("/private".to_owned()), ..private(&bench) }.start().await;
    bench.get_with_token(&format!("http://{}/moved/app.git", server.address), TOKEN).await.unwrap();
    assert_eq!(bench.read("a"), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_hides_is_missing_and_what_it_breaks_is_a_failure() {
    let bench = Bench::new();
    for (status, missing) in [(401, true), (403, true), (404, true), (500, false)] {
        let server = Web { status: Some(status), ..private_web(&bench) }.start().await;
        let error = bench.get(&format!("http://{}/app.git", server.address), None).await.unwrap_err();
        assert_eq!(matches!(error, SourceError::NotFoundOrPrivate { .. }), missing, "{status} {error:?}");
    }
    let missing = bench.get(bench.dir.path().join("none.git").to_str().unwrap(), None).await.unwrap_err();
    assert!(matches!(missing, SourceError::NotFoundOrPrivate { .. }), "{missing:?}");
    let daemon = crate::servers::daemon(bench.dir.path()).await;
    let missing = bench.get(&format!("git://{}/none.git", daemon.address), None).await.unwrap_err();
    assert!(matches!(missing, SourceError::NotFoundOrPrivate { .. }), "{missing:?}");
    bench.assert_clean();
}
