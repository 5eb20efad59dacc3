//! Branches, tags and commits, and what a second fetch costs.

use std::fs;

use lab_core::source::SourceError;

use crate::{
    bench::Bench,
    repo::{FILE, PROGRAM, Repo},
    servers,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_light_and_annotated_and_short_hashes_are_found() {
    let bench = Bench::new();
    let repo = Repo::new(bench.dir.path().join("app.git"));
    let first = repo.commit("main", "first", &[("a", "1")]);
    repo.commit("main", "second", &[("a", "2")]);
    repo.point("refs/tags/light", first);
    let by = git2::Signature::new("A", "a@example.com", &git2::Time::new(0, 0)).unwrap();
    repo.git.tag("v1", repo.git.find_commit(first).unwrap().as_object(), &by, "one", false).unwrap();
    let daemon = servers::daemon(bench.dir.path()).await;
    for base in [format!("git://{}", daemon.address), bench.dir.path().display().to_string()] {
        let url = format!("{base}/app.git");
        for (reference, name) in
            [("light", Some("light")), ("v1", Some("v1")), (&first.to_string()[..8], None), (&first.to_string(), None)]
        {
            let commit = bench.get(&url, Some(reference)).await.unwrap();
            assert_eq!((commit.hash, commit.branch.as_deref()), (first.to_string(), name), "{url} {reference}");
            assert_eq!(bench.read("a"), "1");
        }
        assert_eq!(bench.get(&url, None).await.unwrap().branch.as_deref(), Some("main"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_no_tip_is_found_by_deepening_where_the_server_sends_no_single_ones() {
    let bench = Bench::new();
    let repo = Repo::new(bench.dir.path().join("app.git"));
    let first = repo.commit("main", "first", &[("a", "1")]);
    for number in 0..5 {
        repo.commit("main", "more", &[("a", &format!("more {number}"))]);
    }
    let daemon = servers::daemon(bench.dir.path()).await;
    let url = format!("git://{}/app.git", daemon.address);
    // shallow first, then the whole history
    bench.get(&url, None).await.unwrap();
    bench.get(&url, Some(&first.to_string())).await.unwrap();
    assert_eq!(bench.read("a"), "1");
    assert!(bench.log().contains("whole history"));
    let error = bench.get(&url, Some(&"1".repeat(40))).await.unwrap_err();
    assert!(matches!(error, SourceError::NoSuchReference { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_commit_is_brought_without_history_where_the_server_allows_it() {
    let bench = Bench::new();
    let repo = Repo::new(bench.dir.path().join("app.git"));
    repo.git.config().unwrap().set_bool("uploadpack.allowReachableSHA1InWant", true).unwrap();
    let first = repo.commit("main", "first", &[("a", "1")]);
    repo.commit("main", "second", &[("a", "2")]);
    let daemon = servers::daemon(bench.dir.path()).await;
    bench.get(&format!("git://{}/app.git", daemon.address), Some(&first.to_string())).await.unwrap();
    assert_eq!((bench.read("a").as_str(), bench.objects()), ("1", 3));
    assert!(!bench.log().contains("whole history"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_fetch_is_shallow_and_the_next_ones_transfer_only_what_is_new() {
    let bench = Bench::new();
    let repo = Repo::new(bench.dir.path().join("app.git"));
    let many: Vec<(String, String)> = (0..50).map(|n| (format!("f{n}"), format!("content {n}"))).collect();
    let mut files: Vec<(&str, &str)> = many.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    for number in 0..10 {
        repo.commit("main", &format!("old {number}"), &[("old", &number.to_string())]);
    }
    repo.commit("main", "many", &files);
    let daemon = servers::daemon(bench.dir.path()).await;
    let url = format!("git://{}/app.git", daemon.address);
    bench.get(&url, None).await.unwrap();
    assert_eq!(bench.objects(), 52);
    bench.get(&url, None).await.unwrap();
    assert_eq!(bench.objects(), 0);
    for content in ["new 0", "new 1", "new 2"] {
        files[0].1 = content;
        repo.commit("main", "one more", &files);
        bench.get(&url, None).await.unwrap();
        assert_eq!((bench.read("f0"), bench.read("f49").as_str()), (content.to_owned(), "content 49"));
        assert!(bench.objects() <= 3, "{}", bench.objects());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forced_push_a_moved_tag_and_a_deleted_branch_are_seen() {
    let bench = Bench::new();
    let repo = Repo::new(bench.dir.path().join("app.git"));
    let first = repo.commit("main", "first", &[("a", "1")]);
    repo.commit("main", "second", &[("a", "2")]);
    repo.commit("side", "side", &[("a", "side")]);
    repo.point("refs/tags/v1", first);
    let daemon = servers::daemon(bench.dir.path()).await;
    let url = format!("git://{}/app.git", daemon.address);
    for (reference, content) in [("main", "2"), ("side", "side"), ("v1", "1")] {
        bench.get(&url, Some(reference)).await.unwrap();
        assert_eq!(bench.read("a"), content);
    }
    repo.point("refs/heads/main", first);
    let forced = repo.commit("main", "forced", &[("a", "3")]);
    repo.point("refs/tags/v1", forced);
    repo.git.find_reference("refs/heads/side").unwrap().delete().unwrap();
    for reference in ["main", "v1"] {
        bench.get(&url, Some(reference)).await.unwrap();
        assert_eq!(bench.read("a"), "3");
    }
    let error = bench.get(&url, Some("side")).await.unwrap_err();
    assert!(matches!(error, SourceError::NoSuchReference { .. }), "{error:?}");
    bench.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_cache_is_made_anew() {
    let bench = Bench::new();
    let repo = Repo::new(bench.dir.path().join("app.git"));
    repo.commit("main", "first", &[("a", "1")]);
    let daemon = servers::daemon(bench.dir.path()).await;
    let url = format!("git://{}/app.git", daemon.address);
    bench.get(&url, None).await.unwrap();
    for entry in walkdir::WalkDir::new(bench.cache()).into_iter().flatten() {
        if entry.path().extension().is_some_and(|e| e == "pack" || e == "idx") {
            let mut content = fs::read(entry.path()).unwrap();
            let length = content.len();
            content[20..length].fill(0xAA);
            drop(fs::remove_file(entry.path()));
            fs::write(entry.path(), content).unwrap();
        }
    }
    bench.get(&url, None).await.unwrap();
    assert_eq!(bench.read("a"), "1");
    fs::remove_dir_all(bench.cache()).unwrap();
    fs::write(bench.cache(), "no folder").unwrap();
    bench.get(&url, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_come_as_they_were_committed() {
    use std::os::unix::{ffi::OsStrExt, fs::PermissionsExt};
    let bench = Bench::new();
    let repo = Repo::new(bench.dir.path().join("app.git"));
    let (crlf, attributes) = (repo.blob("a\r\nb\n"), repo.blob("* text=auto eol=crlf filter=evil\n"));
    let pointer = repo.blob("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    let tree = repo.tree(&[
        (FILE, b".gitattributes", attributes),
        (FILE, b"crlf.txt", crlf),
        (FILE, b"large.bin", pointer),
        (FILE, b"odd\xff\nname", crlf),
        (PROGRAM, b"run.sh", crlf),
    ]);
    repo.commit_on("main", "a \u{1b}[31mred\u{1b}[0m subject\n\nbody", tree);
    let commit = bench.get(repo.path.to_str().unwrap(), None).await.unwrap();
    assert_eq!((commit.author.as_str(), commit.message.as_str()), ("Ada L.", "a \\u{1b}[31mred\\u{1b}[0m subject"));
    let mode = |name| fs::metadata(bench.checkout().join(name)).unwrap().permissions().mode() & 0o111;
    assert_eq!((bench.read("crlf.txt").as_str(), mode("crlf.txt"), mode("run.sh") & 0o100), ("a\r\nb\n", 0, 0o100));
    assert!(bench.checkout().join(std::ffi::OsStr::from_bytes(b"odd\xff\nname")).exists());
    assert!(
        bench.log().contains("files kept in Git LFS come as pointers only, 1 of them")
            && bench.log().contains("large.bin"),
        "{}",
        bench.log()
    );
}
