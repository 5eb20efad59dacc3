//! Another PocketBase for apps that serve, over real parts: one app, and all of them by the command.

use lab_core::{
    DeployRequest, Error,
    deploy::{DeployAction, DeployState, DeployStep, Deployment},
};
use serde_json::json;

use crate::{
    parts::Repository,
    real::Real,
    server::Server,
    stack::{Stack, on_both_stacks},
    world::{finished, name},
};

on_both_stacks!(
    async
    an_upgrade_is_rehearsed_saved_and_stays,
    an_upgrade_that_the_app_does_not_survive_changes_nothing,
);

const MIGRATION: &str = r#"migrate((app) => {
    app.save(new Collection({ type: "base", name: "notes", listRule: "", createRule: "", fields: [{ type: "text", name: "text" }] }));
}, () => {});
"#;

/// It asks for the API of before 0.23, which later versions do not have.
const OLD: &str = "routerAdd('GET', '/hello', (c) => c.string(200, 'hello'));
if (typeof $app.dao !== 'function') { throw new Error('no dao') }";

fn pinned(version: &str) -> String {
    format!("[pocketbase]\nversion = \"{version}\"\n")
}

async fn upgrade(real: &Real, to: &str, is_trial: bool) -> Deployment {
    let started = real.lab.upgrade(&name("app"), Some(to.parse().unwrap()), is_trial, false, None).await.unwrap();
    finished(&real.lab, "app", started.deployment).await
}

async fn runs(real: &Real) -> String {
    let releases = real.lab.releases(&name("app")).await.unwrap();
    releases.into_iter().find(|view| view.serves).unwrap().release.run.pocketbase.unwrap()
}

async fn an_upgrade_is_rehearsed_saved_and_stays(stack: Stack) {
    let real = Real::open(stack).await;
    let repository = Repository::of_files(&[
        ("lab.toml", &pinned("0.28.4")),
        ("pb_migrations/1700000000_notes.js", MIGRATION),
        ("pb_hooks/main.pb.js", "routerAdd('GET', '/hello', (e) => e.string(200, 'hello'))"),
        ("pb_public/index.html", "a page"),
    ]);
    real.deploy_well("app", &repository).await;
    let visitor = real.visit("app");
    let (status, _) = visitor.post("/api/collections/notes/records", &json!({"text": "one"})).await;
    assert_eq!(status, 200);

    let trial = upgrade(&real, "0.40.6", true).await;
    assert_eq!((trial.state, trial.action), (DeployState::Succeeded, DeployAction::Trial), "{:?}", trial.problem);
    assert!(trial.rehearsal.is_some() && trial.steps.last().unwrap().step == DeployStep::Rehearse);
    assert_eq!((runs(&real).await.as_str(), real.lab.releases(&name("app")).await.unwrap().len()), ("0.28.4", 1));

    let done = upgrade(&real, "0.40.6", false).await;
    assert_eq!((done.state, done.action), (DeployState::Succeeded, DeployAction::Upgrade), "{:?}", done.problem);
    assert!(done.rehearsal.is_some() && done.point.is_some());
    assert_eq!(runs(&real).await, "0.40.6");
    assert_eq!(visitor.get("/").await, (200, "a page".to_owned()));
    assert_eq!(visitor.get("/hello").await, (200, "hello".to_owned()));
    assert_eq!(visitor.get_json("/api/collections/notes/records").await["totalItems"], 1);

    // the repository still says otherwise
    repository.push(&[("pb_public/index.html", "another page")]);
    let deployment = real.deploy("app", &repository).await;
    assert_eq!(deployment.state, DeployState::Succeeded, "{:?}", deployment.problem);
    assert!(deployment.warnings.concat().contains("0.40.6"), "{:?}", deployment.warnings);
    assert_eq!(runs(&real).await, "0.40.6");

    for (to, reason) in [("0.40.6", "already"), ("0.28.4", "newer than")] {
        match real.lab.upgrade(&name("app"), Some(to.parse().unwrap()), false, false, None).await {
            Err(error @ Error::NotUpgradable { .. }) => assert!(error.to_string().contains(reason), "{error}"),
            other => panic!("{other:?}"),
        }
    }
    real.close().await;
}

async fn an_upgrade_that_the_app_does_not_survive_changes_nothing(stack: Stack) {
    let real = Real::open(stack).await;
    let repository = Repository::of_files(&[("lab.toml", &pinned("0.22.27")), ("pb_hooks/main.pb.js", OLD)]);
    real.deploy_well("app", &repository).await;
    for is_trial in [true, false] {
        let ended = upgrade(&real, "0.40.6", is_trial).await;
        assert_eq!(ended.state, DeployState::Failed);
        let problem = ended.problem.unwrap();
        assert!(problem.code == "rehearsal_failed" && problem.message.contains("no dao"), "{problem:?}");
        assert_eq!((runs(&real).await.as_str(), real.lab.releases(&name("app")).await.unwrap().len()), ("0.22.27", 1));
        assert_eq!(real.visit("app").get("/hello").await, (200, "hello".to_owned()));
    }
    assert_eq!(real.lab.deploy(DeployRequest::new(name("app"))).await.unwrap().app.app.pocketbase, None);
    real.close().await;
}

#[test]
fn all_apps_are_tried_first_and_those_that_passed_are_upgraded() {
    let server = Server::start();
    let good =
        Repository::of_files(&[("lab.toml", &pinned("0.28.4")), ("pb_migrations/1700000000_notes.js", MIGRATION)]);
    let bad = Repository::of_files(&[("lab.toml", &pinned("0.22.27")), ("pb_hooks/main.pb.js", OLD)]);
    server.deploy("good", &good);
    server.deploy("bad", &bad);
    server.deploy("new", &Repository::of_files(&[("pb_public/index.html", "x")]));
    let done = server.lab(&["upgrade", "--all", "--to", "0.40.6", "--yes"]);
    let printed = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    let outcome = |app: &str| {
        let line = String::from_utf8_lossy(&done.stdout)
            .lines()
            .find(|line| line.starts_with(app))
            .unwrap_or_default()
            .to_owned();
        line.split_whitespace().nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(["good", "bad", "new"].map(outcome), ["upgraded", "failed", "skipped"], "{printed}");
    // the table of the rehearsals comes before anything is upgraded
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(said.find("OUTCOME").unwrap() < said.find("upgrading good").unwrap(), "{said}");
    let version = |app: &str| server.lab_json(&["releases", app])[0]["run"]["pocketbase"].clone();
    assert_eq!((version("good"), version("bad")), (json!("0.40.6"), json!("0.22.27")), "{printed}");
}

#[test]
fn a_wave_that_fails_is_the_last_and_what_could_not_be_rehearsed_is_left_alone() {
    let server = Server::start();
    let files = |hook: &str| {
        let toml = pinned("0.28.4");
        Repository::of_files(&[
            ("lab.toml", &toml),
            ("pb_migrations/1700000000_notes.js", MIGRATION),
            ("pb_hooks/a.pb.js", hook),
        ])
    };
    // by name: the one that fails is the first wave
    server.deploy("a-fails", &files(crate::rehearsal::NOT_HERE));
    server.deploy("b-good", &files(""));
    let done = server.lab(&["upgrade", "--all", "--to", "0.40.6", "--yes", "--json"]);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(!done.status.success(), "{text}");
    let version = |app: &str| {
        let releases = server.lab_json(&["releases", app]);
        let it = releases.as_array().unwrap().iter().find(|release| release["serves"] == true).unwrap().clone();
        it["run"]["pocketbase"].clone()
    };
    assert_eq!((version("a-fails"), version("b-good")), (json!("0.28.4"), json!("0.28.4")), "{text}");
    assert!(text.contains("\"left\"") && text.contains("\"failed\""), "{text}");
}
