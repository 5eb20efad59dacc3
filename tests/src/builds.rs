//! What a deployment makes of a build, over real parts: a release that is there already, a hook file that throws, a site
//! that cannot be built this time, data to begin with.

use lab_core::{
    DeployRequest,
    deploy::{DeployState, Deployment},
};
use rusqlite::Connection;

use crate::{
    parts::Repository,
    real::Real,
    stack::{Stack, on_both_stacks},
    world::{finished, name},
};

on_both_stacks!(
    async
    what_has_not_changed_is_not_built_again,
    committed_data_is_what_a_new_app_begins_with_where_that_was_asked_for,
);

async fn again(real: &Real, request: DeployRequest) -> Deployment {
    let started = real.lab.deploy(request).await.unwrap();
    finished(&real.lab, "app", started.deployment).await
}

fn succeeded(deployment: &Deployment) {
    assert_eq!(deployment.state, DeployState::Succeeded, "{:?}", deployment.problem);
}

async fn what_has_not_changed_is_not_built_again(stack: Stack) {
    let real = Real::open(stack).await;
    let repository = Repository::of_files(&[("pb_public/index.html", "one")]);
    let first = real.deploy("app", &repository).await;
    let second = real.deploy("app", &repository).await;
    succeeded(&second);
    assert_eq!((second.release, second.reused), (first.release, true));
    repository.push(&[("pb_public/index.html", "two")]);
    let third = real.deploy("app", &repository).await;
    assert_eq!((third.release != first.release, third.reused), (true, false));
    // a failure of one that is used again deletes nothing of it
    let releases = real.lab.releases(&name("app")).await.unwrap();
    assert_eq!(releases.len(), 2);
    assert_eq!(real.visit("app").get("/").await, (200, "two".to_owned()));
    real.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_built_with_a_warning_serves_again_unless_another_build_may_go_better() {
    let real = Real::open(Stack::Embedded).await;
    let toml = |build: &str| {
        format!(
            "[frontend]\ndirectory = \".\"\ninstall = []\nbuild = \"{build}\"\noptional = true\noutput = \"site\"\n"
        )
    };
    let repository = Repository::of_files(&[("pb_hooks/main.pb.js", "// a hook"), ("lab.toml", &toml("true"))]);
    let first = real.deploy("app", &repository).await;
    succeeded(&first);
    assert!(first.warnings.concat().contains("did not make `site`"), "{:?}", first.warnings);
    let second = real.deploy("app", &repository).await;
    succeeded(&second);
    assert_eq!((second.release, second.reused, second.warnings), (first.release, true, first.warnings));
    repository.push(&[("lab.toml", &toml("false"))]);
    for _ in 0..2 {
        let deployment = real.deploy("app", &repository).await;
        succeeded(&deployment);
        assert!(!deployment.reused && deployment.warnings.concat().contains("could not be built"));
    }
    real.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_file_that_always_threw_keeps_the_app_neither_from_beginning_nor_from_going_on() {
    let real = Real::open(Stack::Embedded).await;
    let throws = "throw new Error('not this one')";
    let repository = Repository::of_files(&[
        ("pb_hooks/a.pb.js", throws),
        ("pb_hooks/b.pb.js", "routerAdd('GET', '/b', (e) => e.string(200, 'b'))"),
    ]);
    for round in ["first", "second"] {
        let deployment = real.deploy("app", &repository).await;
        succeeded(&deployment);
        let warnings = deployment.warnings.concat();
        assert!(warnings.contains("a.pb.js") && warnings.contains("not this one"), "{round}: {warnings}");
        assert_eq!(real.visit("app").get("/b").await, (200, "b".to_owned()));
        repository.push(&[("pb_hooks/c.pb.js", "// another")]);
    }
    // once it is in order, it may not break again
    repository.push(&[("pb_hooks/a.pb.js", "// in order")]);
    let deployment = real.deploy("app", &repository).await;
    succeeded(&deployment);
    assert_eq!(deployment.warnings, Vec::<String>::new());
    repository.push(&[("pb_hooks/a.pb.js", throws)]);
    let deployment = real.deploy("app", &repository).await;
    assert_eq!(deployment.problem.unwrap().code, "rehearsal_failed");
    assert_eq!(real.visit("app").get("/b").await, (200, "b".to_owned()));
    real.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_refuses_to_tell_of_its_health_is_up_and_a_chosen_path_must_do_better() {
    let real = Real::open(Stack::Embedded).await;
    let repository = Repository::of_files(&[
        (
            "pb_hooks/a.pb.js",
            "routerUse((e) => e.request.url.path == '/in' ? e.next() : e.string(401, 'members only'))",
        ),
        ("pb_hooks/b.pb.js", "routerAdd('GET', '/in', (e) => e.string(200, 'in'))"),
    ]);
    let deployment = real.deploy("app", &repository).await;
    succeeded(&deployment);
    assert!(deployment.warnings.concat().contains("`/api/health` answers 401"), "{:?}", deployment.warnings);
    repository.push(&[("lab.toml", "[health]\npath = \"/in\"\n")]);
    let deployment = real.deploy("app", &repository).await;
    succeeded(&deployment);
    assert!(!deployment.warnings.concat().contains("answers"), "{:?}", deployment.warnings);
    repository.push(&[("lab.toml", "[health]\npath = \"/out\"\ntimeout = 3\n")]);
    assert!(real.deploy("app", &repository).await.problem.is_some());
    assert_eq!(real.visit("app").get("/in").await, (200, "in".to_owned()));
    real.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_serves_does_not_vanish_because_it_cannot_be_built_this_time() {
    let real = Real::open(Stack::Embedded).await;
    let package = |script: &str| format!(r#"{{"name":"site","version":"1.0.0","scripts":{{"build":"{script}"}}}}"#);
    let good = package("mkdir -p dist && echo page > dist/index.html");
    let repository =
        Repository::of_files(&[("pb_hooks/main.pb.js", "// a hook"), ("frontend/package.json", &package("false"))]);
    // a new app begins without it, and says so
    let deployment = real.deploy("app", &repository).await;
    succeeded(&deployment);
    assert!(deployment.warnings.concat().contains("could not be built"), "{:?}", deployment.warnings);
    repository.push(&[("frontend/package.json", &good)]);
    succeeded(&real.deploy("app", &repository).await);
    assert_eq!(real.visit("app").get("/").await, (200, "page\n".to_owned()));
    repository.push(&[("frontend/package.json", &package("false"))]);
    let deployment = real.deploy("app", &repository).await;
    assert_eq!(deployment.problem.unwrap().code, "build_failed");
    assert_eq!(real.visit("app").get("/").await, (200, "page\n".to_owned()));
    real.close().await;
}

async fn committed_data_is_what_a_new_app_begins_with_where_that_was_asked_for(stack: Stack) {
    let real = Real::open(stack).await;
    let made = Repository::of_files(&[("pb_public/index.html", "x")]);
    // data as PocketBase makes it
    succeeded(&real.deploy("app", &made).await);
    let data = real.lab.settings().data.app(&name("app")).data();
    let seed = crate::parts::folder();
    std::fs::create_dir_all(seed.path().join("pb_data")).unwrap();
    std::fs::create_dir_all(seed.path().join("pb_public")).unwrap();
    std::fs::write(seed.path().join("pb_public/index.html"), "x").unwrap();
    Connection::open(data.join("data.db"))
        .unwrap()
        .execute("VACUUM INTO ?1", [seed.path().join("pb_data/data.db").to_str().unwrap()])
        .unwrap();
    let committed = Connection::open(seed.path().join("pb_data/data.db")).unwrap();
    committed.execute_batch("CREATE TABLE mark (text TEXT); INSERT INTO mark VALUES ('seeded')").unwrap();
    drop(committed);
    real.lab.remove(&name("app"), true).await.unwrap();

    let repository = Repository::of_folder(seed);
    let marks = || {
        let database = Connection::open(data.join("data.db")).unwrap();
        database.query_row("SELECT text FROM mark", [], |row| row.get::<_, String>(0)).ok()
    };
    let url = lab_core::GitUrl::parse(&repository.address(), lab_core::UrlPolicy::LocalAllowed).unwrap();
    let request = DeployRequest { repository: Some(url), seed_data: true, ..DeployRequest::new(name("app")) };
    succeeded(&again(&real, request.clone()).await);
    assert_eq!(marks().as_deref(), Some("seeded"));
    // never over data that is there
    Connection::open(data.join("data.db")).unwrap().execute("UPDATE mark SET text = 'mine'", []).unwrap();
    let deployment = again(&real, request.clone()).await;
    succeeded(&deployment);
    assert!(deployment.warnings.concat().contains("has data already"), "{:?}", deployment.warnings);
    assert_eq!(marks().as_deref(), Some("mine"));
    real.lab.remove(&name("app"), true).await.unwrap();
    succeeded(&again(&real, DeployRequest { seed_data: false, ..request }).await);
    assert_eq!(marks(), None);
    real.close().await;
}
