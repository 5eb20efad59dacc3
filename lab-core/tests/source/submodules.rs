//! Submodules: brought recursively, by address rules that keep a repository from naming this machine's disk.

use lab_core::source::SourceError;

use crate::{
    bench::{Bench, chain},
    repo::{FILE, Repo, SUBMODULE, TREE},
    servers::{self, Web},
};

/// A repository with the submodule `lib/sub` at `url`.
fn parent(repo: &Repo, url: &str, commit: git2::Oid) {
    let modules = repo.blob(format!("[submodule \"s\"]\n\tpath = lib/sub\n\turl = {url}\n"));
    let lib = repo.tree(&[(SUBMODULE, b"sub", commit)]);
    let tree = repo.tree(&[(FILE, b".gitmodules", modules), (FILE, b"a", repo.blob("1")), (TREE, b"lib", lib)]);
    repo.commit_on("main", "parent", tree);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submodules_come_along_with_their_own_submodules() {
    let bench = Bench::new();
    let inner = Repo::new(bench.dir.path().join("inner.git"));
    let pinned = inner.commit("main", "inner", &[("i", "inner")]);
    inner.commit("main", "later", &[("i", "later")]);
    let middle = Repo::new(bench.dir.path().join("middle.git"));
    parent(&middle, "../inner.git", pinned);
    let outer = Repo::new(bench.dir.path().join("outer.git"));
    parent(&outer, "./../middle.git", middle.git.refname_to_id("refs/heads/main").unwrap());
    let daemon = servers::daemon(bench.dir.path()).await;
    let web = Web { root: bench.dir.path().to_owned(), ..Web::default() }.start().await;
    for base in
        [format!("git://{}", daemon.address), format!("http://{}", web.address), bench.dir.path().display().to_string()]
    {
        for _ in 0..2 {
            bench.get(&format!("{base}/outer.git"), None).await.unwrap();
            assert_eq!((bench.read("a").as_str(), bench.read("lib/sub/a").as_str()), ("1", "1"), "{base}");
            assert_eq!(bench.read("lib/sub/lib/sub/i"), "inner");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_on_this_machine_are_refused_to_a_remote_repository() {
    let bench = Bench::new();
    let secret = Repo::new(bench.dir.path().join("secret.git"));
    let commit = secret.commit("main", "secret", &[("s", "secret")]);
    let repo = Repo::new(bench.dir.path().join("app.git"));
    let daemon = servers::daemon(bench.dir.path()).await;
    let path = secret.path.display().to_string();
    for url in [&path, &format!("file://{path}"), "../../../secret.git", "../..", "ext::sh -c date", "-oX"] {
        parent(&repo, url, commit);
        let error = bench.get(&format!("git://{}/app.git", daemon.address), None).await.unwrap_err();
        assert!(matches!(&error, SourceError::Hostile { path, .. } if path == "lib/sub"), "{url} {error:?}");
        bench.assert_clean();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submodule_that_cannot_be_had_or_has_no_address_is_left_out() {
    let bench = Bench::new();
    let repo = Repo::new(bench.dir.path().join("app.git"));
    let commit = repo.commit("other", "x", &[("x", "x")]);
    parent(&repo, "../none.git", commit);
    let daemon = servers::daemon(bench.dir.path()).await;
    let url = format!("git://{}/app.git", daemon.address);
    bench.get(&url, None).await.unwrap();
    let log = bench.log();
    assert!(log.contains("left out the submodule `lib/sub`") && log.contains("none.git` as submodule"), "{log}");
    assert!(bench.checkout().join("lib/sub").is_dir() && bench.read("a") == "1");
    let tree = repo.tree(&[(SUBMODULE, b"sub", commit), (FILE, b"a", repo.blob("1"))]);
    repo.commit_on("main", "no .gitmodules", tree);
    bench.get(&url, None).await.unwrap();
    assert!(bench.log().contains("left out the submodule `sub`"));
    assert!(bench.checkout().join("sub").is_dir());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submodule_on_another_host_that_is_not_reached_is_left_out() {
    let bench = Bench::new();
    let repo = Repo::new(bench.dir.path().join("app.git"));
    let commit = repo.commit("other", "x", &[("x", "x")]);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    parent(&repo, &format!("git://{address}/lib.git"), commit);
    bench.get(repo.path.to_str().unwrap(), None).await.unwrap();
    assert!(bench.log().contains("left out the submodule `lib/sub`"), "{}", bench.log());
    // the host of the repository itself is not gone
    parent(&repo, &format!("git://{address}/lib.git"), commit);
    let daemon = servers::daemon(bench.dir.path()).await;
    let error = bench.get(&format!("git://{}/app.git", daemon.address), None).await.unwrap_err();
    assert!(matches!(&error, SourceError::Failed { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_not_offered_to_a_submodules_other_server() {
    let bench = Bench::new();
    let sub = Repo::new(bench.dir.path().join("private/sub.git"));
    let commit = sub.commit("main", "x", &[("x", "x")]);
    let repo = Repo::new(bench.dir.path().join("app.git"));
    let other = Web { root: bench.dir.path().to_owned(), password: Some("none".to_owned()), ..Web::default() };
    let seen = other.seen.clone();
    let other = other.start().await;
    // a repository on the disk may name any address
    parent(&repo, &format!("http://{}/private/sub.git", other.address), commit);
    bench.get_with_token(repo.path.to_str().unwrap(), "t0ken-4711").await.unwrap();
    let log = bench.log();
    assert!(log.contains("is private") && !log.contains("t0ken-4711"), "{log}");
    assert!(!seen.lock().unwrap().is_empty() && seen.lock().unwrap().iter().all(String::is_empty));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_submodules_end() {
    let bench = Bench::new();
    let mut commit = Repo::new(bench.dir.path().join("r0.git")).commit("main", "x", &[("x", "x")]);
    for number in 1..9 {
        let repo = Repo::new(bench.dir.path().join(format!("r{number}.git")));
        parent(&repo, &format!("../r{}.git", number - 1), commit);
        commit = repo.git.refname_to_id("refs/heads/main").unwrap();
    }
    let daemon = servers::daemon(bench.dir.path()).await;
    let error = bench.get(&format!("git://{}/r8.git", daemon.address), None).await.unwrap_err();
    assert!(chain(&error).contains("more than 5 inside one another"), "{error:?}");
    bench.assert_clean();
}
