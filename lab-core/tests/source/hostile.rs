//! Trees that want to write elsewhere.

use std::fs;

use lab_core::source::SourceError;

use crate::{
    bench::{Bench, exists},
    repo::{FILE, LINK, Repo, TREE},
};

#[tokio::test]
async fn links_that_lead_outside_are_left_out_with_a_warning() {
    let bench = Bench::new();
    let repo = Repo::new(bench.dir.path().join("app.git"));
    let file = repo.blob("x");
    let deep = repo.tree(&[(LINK, b"up", repo.blob("../.."))]);
    let folder = repo.tree(&[(TREE, b"deep", deep), (FILE, b"file", file)]);
    let tree = repo.tree(&[
        (LINK, b"absolute", repo.blob("/etc/passwd")),
        (LINK, b"broken", repo.blob("not/there")),
        (TREE, b"folder", folder),
        (LINK, b"good", repo.blob("folder/file")),
        (LINK, b"parent", repo.blob("../x")),
        (LINK, b"through", repo.blob("folder/deep/up/..")),
    ]);
    repo.commit_on("main", "links", tree);
    bench.get(repo.path.to_str().unwrap(), None).await.unwrap();
    let there = |name| exists(&bench.checkout().join(name));
    assert_eq!((there("good"), there("broken"), there("folder/deep/up")), (true, true, true));
    assert_eq!((there("absolute"), there("parent"), there("through")), (false, false, false));
    assert_eq!(bench.read("good"), "x");
    assert_eq!(bench.log().matches("warning: left out the link").count(), 3, "{}", bench.log());
}

#[tokio::test]
async fn no_file_is_written_through_a_link_of_the_same_tree() {
    let bench = Bench::new();
    let repo = Repo::new(bench.dir.path().join("app.git"));
    let outside = bench.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let inner = repo.tree(&[(FILE, b"file", repo.blob("pwned"))]);
    // `a` twice: a link outside, and a folder
    let tree = repo.tree(&[(LINK, b"a", repo.blob(outside.to_str().unwrap())), (TREE, b"a", inner)]);
    repo.commit_on("main", "twice", tree);
    drop(bench.get(repo.path.to_str().unwrap(), None).await);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    let inside = repo.tree(&[(LINK, b"a", repo.blob("b")), (TREE, b"a", inner), (TREE, b"b", inner)]);
    repo.commit_on("main", "twice, inside", inside);
    let error = bench.get(repo.path.to_str().unwrap(), None).await.unwrap_err();
    assert!(matches!(error, SourceError::Hostile { .. }), "{error:?}");
    bench.assert_clean();
}

#[tokio::test]
async fn names_that_are_no_names_are_refused() {
    let bench = Bench::new();
    let repo = Repo::new(bench.dir.path().join("app.git"));
    let (file, folder) = (repo.blob("x"), repo.tree(&[(FILE, b"config", repo.blob("x"))]));
    for (mode, name, id) in [
        (TREE, b"..".as_slice(), folder),
        (TREE, b".", folder),
        (TREE, b".git", folder),
        (TREE, b".GIT", folder),
        (FILE, b".git", file),
        (FILE, b"a/../../b", file),
        (FILE, b"/etc/cron.d/x", file),
    ] {
        let tree = repo.tree(&[(FILE, b"ok", file), (mode, name, id)]);
        repo.commit_on("main", "hostile", tree);
        let error = bench.get(repo.path.to_str().unwrap(), None).await.unwrap_err();
        assert!(matches!(error, SourceError::Hostile { .. }), "{} {error:?}", String::from_utf8_lossy(name));
        bench.assert_clean();
    }
}

#[tokio::test]
async fn a_tree_that_multiplies_itself_is_refused_in_time() {
    let bench = Bench::new();
    let repo = Repo::new(bench.dir.path().join("app.git"));
    let names: Vec<String> = (0..10).map(|n| format!("n{n}")).collect();
    let mut tree = repo.tree(&[(FILE, b"x", repo.blob(""))]);
    for _ in 0..9 {
        let entries: Vec<(u32, &[u8], git2::Oid)> = names.iter().map(|name| (TREE, name.as_bytes(), tree)).collect();
        tree = repo.tree(&entries);
    }
    repo.commit_on("main", "bomb", tree);
    let error = bench.get(repo.path.to_str().unwrap(), None).await.unwrap_err();
    assert!(crate::bench::chain(&error).contains("more than 200000"), "{error:?}");
    for _ in 0..150 {
        tree = repo.tree(&[(TREE, b"d", tree)]);
    }
    repo.commit_on("main", "deep", tree);
    let error = bench.get(repo.path.to_str().unwrap(), None).await.unwrap_err();
    assert!(matches!(error, SourceError::Hostile { .. }), "{error:?}");
    bench.assert_clean();
}
