//! What a lab finds after it was killed, over fakes that outlive it.

use lab_core::{
    deploy::{DeployState, DeployStep},
    supervisor::ProcessSupervisor,
};

use crate::{
    fakes::Next,
    world::{World, deploy, name, reached, request},
};

/// Makes a deployment stop at `step`, for ever.
fn hang_at(world: &World, step: DeployStep) {
    match step {
        DeployStep::Fetch => world.source.script.push(Next::Hang),
        DeployStep::Plan => world.builder.plans.push(Next::Hang),
        DeployStep::Build => world.builder.builds.push(Next::Hang),
        DeployStep::Rehearse => world.rehearser.hang(true),
        DeployStep::Switch => world.supervisor.hang(true),
        DeployStep::Health => *world.probe.is_sick.lock().unwrap() = true,
        // nothing hangs there: the kill comes as soon as it is begun
        DeployStep::Queue | DeployStep::Save | DeployStep::Start | DeployStep::Publish => {}
    }
}

fn heal(world: &World) {
    // the kill may have come between the step's beginning and the fake's call
    world.source.script.clear();
    world.builder.plans.clear();
    world.builder.builds.clear();
    world.rehearser.hang(false);
    world.supervisor.hang(false);
    *world.probe.is_sick.lock().unwrap() = false;
}

#[test]
fn a_lab_killed_in_any_step_of_a_first_deploy_starts_clean() {
    for step in DeployStep::ALL {
        let world = World::new();
        let id = world.life(async |lab| {
            hang_at(&world, step);
            let started = lab.deploy(request("app")).await.unwrap();
            reached(lab, "app", started.deployment, step).await;
            started.deployment
        });
        heal(&world);
        world.life(async |lab| {
            lab.idle().await;
            let deployment = lab.deployment(&name("app"), id).await.unwrap();
            if deployment.state == DeployState::Succeeded {
                let slow =
                    [DeployStep::Fetch, DeployStep::Plan, DeployStep::Build, DeployStep::Switch, DeployStep::Health];
                assert!(!slow.contains(&step), "{step}");
                return world.assert_serves(lab, "app").await;
            }
            if lab.get(&name("app")).await.unwrap().app.release.is_some() {
                // killed between the app's record and the deployment's
                assert_eq!(step, DeployStep::Publish);
                return world.assert_serves(lab, "app").await;
            }
            assert_eq!(deployment.state, DeployState::Interrupted, "{step}");
            world.assert_nothing_left(lab, "app").await;
            deploy(lab, "app").await;
            world.assert_serves(lab, "app").await;
        });
    }
}

#[test]
fn a_lab_killed_in_any_step_of_a_redeploy_comes_back_with_one_release_that_serves() {
    for step in DeployStep::ALL {
        let world = World::new();
        world.life(async |lab| {
            deploy(lab, "app").await;
            std::fs::write(world.data().app(&name("app")).data().join("data.db"), "a row").unwrap();
            hang_at(&world, step);
            let started = lab.deploy(request("app")).await.unwrap();
            reached(lab, "app", started.deployment, step).await;
        });
        heal(&world);
        world.life(async |lab| {
            lab.idle().await;
            world.assert_serves(lab, "app").await;
            let row = world.data().app(&name("app")).data().join("data.db");
            assert_eq!(std::fs::read_to_string(row).unwrap(), "a row", "{step}");
            let releases = std::fs::read_dir(world.data().app(&name("app")).releases()).unwrap().count();
            assert!((1..=2).contains(&releases), "{step}: {releases}");
            deploy(lab, "app").await;
            world.assert_serves(lab, "app").await;
        });
    }
}

#[test]
fn a_deployment_that_a_kill_cut_is_found_also_when_the_clock_went_back() {
    let world = World::new();
    let (first, cut) = world.life(async |lab| {
        let first = deploy(lab, "app").await.id;
        hang_at(&world, DeployStep::Build);
        let started = lab.deploy(request("app")).await.unwrap();
        reached(lab, "app", started.deployment, DeployStep::Build).await;
        (first, started.deployment)
    });
    heal(&world);
    // the record from before gets an id that is newer, as if the clock had been ahead then
    let dirs = world.data().app(&name("app"));
    let (old, later) = (dirs.deployment_record(first), lab_core::DeploymentId::new());
    let text = std::fs::read_to_string(&old).unwrap().replace(&first.to_string(), &later.to_string());
    std::fs::write(dirs.deployment_record(later), text).unwrap();
    std::fs::remove_file(old).unwrap();
    world.life(async |lab| {
        lab.idle().await;
        assert_eq!(lab.deployment(&name("app"), cut).await.unwrap().state, DeployState::Interrupted);
        world.assert_serves(lab, "app").await;
        assert_eq!(lab.releases(&name("app")).await.unwrap().len(), 1, "what it had begun is deleted");
    });
}

#[test]
fn apps_that_run_never_notice_and_apps_that_died_run_again() {
    let world = World::new();
    let before = world.life(async |lab| {
        for app in ["lives", "died", "stopped"] {
            deploy(lab, app).await;
        }
        lab.stop(&name("stopped")).await.unwrap();
        world.supervisor.state(&name("lives")).await.unwrap()
    });
    futures_util::future::FutureExt::now_or_never(world.supervisor.stop(&name("died"))).unwrap().unwrap();
    world.life(async |lab| {
        lab.idle().await;
        assert_eq!(world.supervisor.state(&name("lives")).await.unwrap(), before);
        world.assert_serves(lab, "lives").await;
        world.assert_serves(lab, "died").await;
        assert!(!world.runs("stopped").await);
        assert_eq!(lab.get(&name("stopped")).await.unwrap().app.status.to_string(), "stopped");
    });
}

#[test]
fn a_removal_that_a_kill_cut_is_finished() {
    for purge in [false, true] {
        let world = World::new();
        world.life(async |lab| {
            deploy(lab, "app").await;
            world.supervisor.hang(true);
            let app = name("app");
            let remove = lab.remove(&app, purge);
            let cut = tokio::time::timeout(std::time::Duration::from_millis(100), remove).await;
            assert!(cut.is_err(), "it hangs");
        });
        heal(&world);
        world.life(async |lab| {
            lab.idle().await;
            assert!(lab.list().await.unwrap().is_empty());
            assert!(lab.backends().ports.list().await.unwrap().is_empty());
            assert!(!world.data().app(&name("app")).root().exists());
            assert_eq!(std::fs::read_dir(world.data().trash()).unwrap().count(), usize::from(!purge));
        });
    }
}

#[test]
fn ports_that_disagree_with_the_registry_are_assigned_again() {
    let world = World::new();
    let port = world.life(async |lab| {
        deploy(lab, "app").await;
        lab.get(&name("app")).await.unwrap().app.port
    });
    std::fs::write(world.data().ports(), r#"{"allocated": {"ghost": 20000, "app": 20001}, "next_port": 1}"#).unwrap();
    world.life(async |lab| {
        lab.idle().await;
        assert_eq!(lab.get(&name("app")).await.unwrap().app.port, port);
        world.assert_serves(lab, "app").await;
        assert_eq!(lab.backends().ports.list().await.unwrap().len(), 1);
    });
}

#[test]
fn a_process_of_an_app_that_is_gone_is_ended() {
    let world = World::new();
    world.life(async |lab| {
        deploy(lab, "app").await;
        deploy(lab, "ghost").await;
    });
    // as if the registry had been restored from before the deploy
    let text = std::fs::read_to_string(world.data().registry()).unwrap();
    let mut document: serde_json::Value = serde_json::from_str(&text).unwrap();
    document["apps"].as_object_mut().unwrap().remove("ghost");
    std::fs::write(world.data().registry(), document.to_string()).unwrap();
    world.life(async |lab| {
        lab.idle().await;
        while world.supervisor.state(&name("ghost")).await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
        world.assert_serves(lab, "app").await;
        assert!(world.data().app(&name("ghost")).data().exists(), "data is never deleted unasked");
    });
}

#[test]
fn two_labs_never_share_a_data_directory() {
    let world = World::new();
    world.life(async |lab| {
        let mut backends = lab.backends().clone();
        backends.registry = std::sync::Arc::new(lab_core::registry::memory::MemoryRegistry::new());
        let error = lab_core::Lab::open(world.settings(), backends).await.unwrap_err();
        assert_eq!(error.code(), "data_in_use", "{error}");
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    });
}

#[test]
fn a_shutdown_takes_back_what_is_under_way_and_leaves_the_apps_running() {
    let world = World::new();
    world.life(async |lab| {
        deploy(lab, "app").await;
        world.builder.builds.push(Next::Hang);
        let started = lab.deploy(request("app")).await.unwrap();
        reached(lab, "app", started.deployment, DeployStep::Build).await;
        lab.shutdown().await;
        let deployment = lab.deployment(&name("app"), started.deployment).await.unwrap();
        assert_eq!(deployment.state, DeployState::Interrupted);
        assert!(world.runs("app").await);
        assert_eq!(lab.deploy(request("app")).await.unwrap_err().code(), "shutting_down");
    });
    world.life(async |lab| {
        lab.idle().await;
        world.assert_serves(lab, "app").await;
    });
}
