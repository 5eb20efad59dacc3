//! Deploying over fakes, when all goes well.

use std::os::unix::fs::PermissionsExt;

use futures_util::StreamExt;
use lab_core::{
    DeployRequest, Error, LabEvent, Secret, VariableChange,
    deploy::{DeployEventKind, DeployState, DeployStep},
    router::{Target, Unavailable},
    testing::source::FakeCommit,
};

use crate::{
    fakes::Next,
    world::{OTHER_REPOSITORY, REPOSITORY, World, deploy, finished, name, reached, request, url},
};

#[test]
fn a_first_deploy_serves_and_tells_every_step() {
    let world = World::new();
    world.life(async |lab| {
        let mut events = lab.events();
        let started = lab.deploy(request("app")).await.unwrap();
        assert_eq!(started.app.app.status.to_string(), "deploying");
        assert!(started.app.app.port.is_some());
        assert_eq!(started.app.url, "http://app.lab.localhost:8080/");
        let told: Vec<_> = lab.deployment_events(&name("app"), started.deployment, 0).await.unwrap().collect().await;
        let steps: Vec<DeployStep> = told
            .iter()
            .filter_map(|event| match event.kind {
                DeployEventKind::StepFinished { step, .. } => Some(step),
                _ => None,
            })
            .collect();
        assert_eq!(steps, DeployStep::ALL);
        assert!(told.iter().any(|e| e.kind == DeployEventKind::Log { line: "building".to_owned() }));
        world.assert_serves(lab, "app").await;
        assert!(matches!(events.recv().await.unwrap(), LabEvent::DeployStarted { .. }));
    });
}

#[test]
fn a_redeploy_keeps_the_port_and_the_data_and_switches_the_release() {
    let world = World::new();
    world.life(async |lab| {
        deploy(lab, "app").await;
        let before = lab.get(&name("app")).await.unwrap().app;
        let row = world.data().app(&name("app")).data().join("data.db");
        std::fs::write(&row, "a row").unwrap();
        deploy(lab, "app").await;
        let after = lab.get(&name("app")).await.unwrap().app;
        assert_eq!(before.port, after.port);
        assert_ne!(before.release, after.release);
        assert_eq!(std::fs::read_to_string(row).unwrap(), "a row");
        world.assert_serves(lab, "app").await;
        assert_eq!(lab.deployments(&name("app")).await.unwrap().len(), 2);
    });
}

#[test]
fn another_repository_is_refused_unless_the_app_never_ran() {
    let world = World::new();
    world.life(async |lab| {
        world.source.script.push(Next::Fail(lab_core::source::SourceError::Empty { repository: "x".to_owned() }));
        let started = lab.deploy(request("app")).await.unwrap();
        assert_eq!(finished(lab, "app", started.deployment).await.state, DeployState::Failed);
        let mut other = request("app");
        other.repository = Some(url(OTHER_REPOSITORY));
        let started = lab.deploy(other).await.unwrap();
        assert_eq!(finished(lab, "app", started.deployment).await.state, DeployState::Succeeded);
        let error = lab.deploy(request("app")).await.unwrap_err();
        assert_eq!(error.code(), "repository_differs", "{error}");
        let mut known = request("app");
        known.repository = None;
        let started = lab.deploy(known).await.unwrap();
        assert_eq!(finished(lab, "app", started.deployment).await.state, DeployState::Succeeded);
        let mut new = request("new");
        new.repository = None;
        assert_eq!(lab.deploy(new).await.unwrap_err().code(), "repository_missing");
        assert!(matches!(lab.get(&name("new")).await, Err(Error::NoSuchApp(_))));
    });
}

#[test]
fn one_thing_at_a_time_is_done_to_an_app_and_others_go_on() {
    let world = World::new();
    world.life(async |lab| {
        world.source.script.push(Next::Hang);
        let started = lab.deploy(request("slow")).await.unwrap();
        reached(lab, "slow", started.deployment, DeployStep::Fetch).await;
        assert_eq!(lab.deploy(request("slow")).await.unwrap_err().code(), "app_busy");
        assert_eq!(lab.stop(&name("slow")).await.unwrap_err().code(), "app_busy");
        assert_eq!(world.target("slow"), Some(Target::Unavailable(Unavailable::Deploying)));
        deploy(lab, "quick").await;
        let cancelled = lab.cancel(&name("slow"), started.deployment).await.unwrap();
        assert_eq!(cancelled.state, DeployState::Cancelled);
        let ports = lab.backends().ports.list().await.unwrap();
        assert_eq!(ports.into_keys().collect::<Vec<_>>(), [name("quick")]);
        deploy(lab, "slow").await;
    });
}

#[test]
fn apps_that_are_deployed_at_once_never_take_each_others_routes_back() {
    let world = World::new();
    let mut settings = world.settings();
    settings.parallel_builds = 8;
    world.life_with(settings, async |lab| {
        for round in 0..5 {
            let apps: Vec<String> = (0..8).map(|n| format!("app-{round}-{n}")).collect();
            futures_util::future::join_all(apps.iter().map(|app| deploy(lab, app))).await;
            for app in &apps {
                assert!(matches!(world.target(app), Some(Target::Port(_))), "{app}: {:?}", world.target(app));
            }
            for app in &apps {
                lab.remove(&name(app), true).await.unwrap();
            }
        }
    });
}

#[test]
fn builds_wait_for_a_free_place_and_can_be_cancelled_there() {
    let world = World::new();
    world.life(async |lab| {
        for _ in 0..2 {
            world.source.script.push(Next::Hang);
        }
        let mut running = Vec::new();
        for app in ["a", "b"] {
            let started = lab.deploy(request(app)).await.unwrap();
            reached(lab, app, started.deployment, DeployStep::Fetch).await;
            running.push((app, started.deployment));
        }
        let third = lab.deploy(request("c")).await.unwrap();
        reached(lab, "c", third.deployment, DeployStep::Queue).await;
        assert_eq!(lab.cancel(&name("c"), third.deployment).await.unwrap().state, DeployState::Cancelled);
        let fourth = lab.deploy(request("d")).await.unwrap();
        for (app, id) in running {
            lab.cancel(&name(app), id).await.unwrap();
        }
        assert_eq!(finished(lab, "d", fourth.deployment).await.state, DeployState::Succeeded);
    });
}

#[test]
fn stop_start_and_restart_do_what_they_say() {
    let world = World::new();
    world.life(async |lab| {
        deploy(lab, "app").await;
        let stopped = lab.stop(&name("app")).await.unwrap();
        assert_eq!(stopped.app.status.to_string(), "stopped");
        assert!(!world.runs("app").await);
        assert_eq!(world.target("app"), Some(Target::Unavailable(Unavailable::Stopped)));
        lab.start(&name("app")).await.unwrap();
        world.assert_serves(lab, "app").await;
        lab.restart(&name("app")).await.unwrap();
        world.assert_serves(lab, "app").await;
        assert_eq!(lab.start(&name("nobody")).await.unwrap_err().code(), "app_not_found");
    });
}

#[test]
fn a_stopped_app_that_is_deployed_runs_again() {
    let world = World::new();
    world.life(async |lab| {
        deploy(lab, "app").await;
        lab.stop(&name("app")).await.unwrap();
        deploy(lab, "app").await;
        world.assert_serves(lab, "app").await;
    });
}

#[test]
fn a_removed_app_leaves_only_its_folder_in_the_trash() {
    let world = World::new();
    world.life(async |lab| {
        for round in 1..=2 {
            deploy(lab, "app").await;
            std::fs::write(world.data().app(&name("app")).data().join("data.db"), "a row").unwrap();
            lab.remove(&name("app"), false).await.unwrap();
            assert!(lab.list().await.unwrap().is_empty());
            assert!(lab.backends().ports.list().await.unwrap().is_empty());
            assert_eq!(world.target("app"), None);
            assert!(!world.data().app(&name("app")).root().exists());
            let trashed: Vec<_> = std::fs::read_dir(world.data().trash()).unwrap().map(|e| e.unwrap().path()).collect();
            assert_eq!(trashed.len(), round);
            assert!(trashed.iter().all(|path| path.join("pb_data/data.db").exists()), "{trashed:?}");
        }
        deploy(lab, "app").await;
        lab.remove(&name("app"), true).await.unwrap();
        assert_eq!(std::fs::read_dir(world.data().trash()).unwrap().count(), 2);
        assert_eq!(lab.remove(&name("app"), true).await.unwrap_err().code(), "app_not_found");
    });
}

#[test]
fn a_removal_cancels_the_deployment_that_is_under_way() {
    let world = World::new();
    world.life(async |lab| {
        world.builder.builds.push(Next::Hang);
        let started = lab.deploy(request("app")).await.unwrap();
        reached(lab, "app", started.deployment, DeployStep::Build).await;
        lab.remove(&name("app"), false).await.unwrap();
        assert!(lab.list().await.unwrap().is_empty());
        assert_eq!(std::fs::read_dir(world.data().work_root()).unwrap().count(), 0);
    });
}

#[test]
fn a_token_is_kept_for_later_and_is_nowhere_else() {
    let world = World::new();
    world.life(async |lab| {
        let mut with_token = request("app");
        with_token.token = Some(lab_core::Secret::new("s3cr3t-token"));
        let started = lab.deploy(with_token).await.unwrap();
        finished(lab, "app", started.deployment).await;
        deploy(lab, "app").await;
        assert!(world.source.inner.journal().iter().all(|call| call.with_token));
    });
    let kept = world.data().app(&name("app")).git_token();
    let mut files = vec![world.dir.path().to_owned()];
    while let Some(path) = files.pop() {
        let meta = std::fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            files.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        } else if meta.is_file() && path != kept {
            let content = std::fs::read(&path).unwrap();
            assert!(!String::from_utf8_lossy(&content).contains("s3cr3t"), "{}", path.display());
        }
    }
    assert_eq!(std::fs::metadata(kept).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn old_releases_and_records_are_deleted_but_never_the_one_that_serves() {
    let world = World::new();
    world.life(async |lab| {
        for _ in 0..12 {
            deploy(lab, "app").await;
        }
        let dirs = world.data().app(&name("app"));
        assert_eq!(std::fs::read_dir(dirs.releases()).unwrap().count(), 10);
        world.assert_serves(lab, "app").await;
    });
}

#[test]
fn releases_that_take_too_much_of_the_disk_go_but_one_to_go_back_to_stays() {
    let world = World::new();
    let mut settings = world.settings();
    settings.kept_release_bytes = 1;
    world.life_with(settings, async |lab| {
        for _ in 0..4 {
            deploy(lab, "app").await;
        }
        let releases = lab.releases(&name("app")).await.unwrap();
        assert_eq!(releases.iter().map(|view| view.serves).collect::<Vec<_>>(), [true, false]);
        world.assert_serves(lab, "app").await;
    });
}

#[test]
fn a_release_tells_who_asked_for_it() {
    let world = World::new();
    world.life(async |lab| {
        let by = Some("a test".to_owned());
        let started = lab.deploy(DeployRequest { by: by.clone(), ..request("app") }).await.unwrap();
        let deployment = finished(lab, "app", started.deployment).await;
        let release = lab.releases(&name("app")).await.unwrap().remove(0).release;
        assert_eq!((&deployment.by, &release.by, release.deployment), (&by, &by, Some(deployment.id)));
    });
}

#[test]
fn a_crash_shows_in_the_status_and_so_does_the_recovery() {
    let world = World::new();
    world.life(async |lab| {
        deploy(lab, "app").await;
        let app = name("app");
        let status = async |wanted: &str| {
            while lab.get(&app).await.unwrap().app.status.to_string() != wanted {
                tokio::task::yield_now().await;
            }
        };
        world.supervisor.crash(&app);
        status("restarting").await;
        assert!(matches!(world.target("app"), Some(Target::Port(_))), "the gateway waits for it to come back");
        world.supervisor.recover(&app);
        status("running").await;
        world.supervisor.give_up(&app);
        status("failed").await;
        while world.target("app") != Some(Target::Unavailable(Unavailable::Failed)) {
            tokio::task::yield_now().await;
        }
        lab.restart(&app).await.unwrap();
        world.assert_serves(lab, "app").await;
    });
}

#[test]
fn an_apps_variables_reach_its_process_and_required_ones_are_asked_for() {
    let world = World::new();
    world.life(async |lab| {
        let files = [("lab.toml", "[env]\nrequired = [\"API_KEY\"]\n"), ("pb_public/index.html", "an app")];
        world.source.inner.push(&url(REPOSITORY), FakeCommit::new("Needs a key", files));
        let started = lab.deploy(request("app")).await.unwrap();
        let failed = finished(lab, "app", started.deployment).await;
        let problem = failed.problem.unwrap();
        assert!(problem.code == "missing_variables" && problem.message.contains("API_KEY"), "{problem:?}");
        let variables = |key: &str| [("API_KEY".parse().unwrap(), Secret::new(key))].into();
        let change = VariableChange { set: variables("first"), ..VariableChange::default() };
        assert_eq!(lab.change_variables(&name("app"), change).await.unwrap(), ["API_KEY"]);
        deploy(lab, "app").await;
        let request = DeployRequest { variables: variables("abc"), ..request("app") };
        assert!(!format!("{request:?}").contains("abc"));
        let started = lab.deploy(request).await.unwrap();
        assert!(matches!(lab.change_variables(&name("app"), VariableChange::default()).await, Err(Error::Busy { .. })));
        assert_eq!(finished(lab, "app", started.deployment).await.state, DeployState::Succeeded);
        let calls = world.supervisor.calls();
        let spec = calls.iter().rev().find_map(|call| match call {
            lab_core::testing::supervisor::SupervisorCall::Start(spec) => Some(spec),
            _ => None,
        });
        let spec = spec.unwrap();
        assert_eq!(spec.env["API_KEY"], "abc");
        assert!(!format!("{spec:?}").contains("abc"));
    });
}
