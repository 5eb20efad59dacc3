//! Going back to an earlier release, and letting requests wait meanwhile, over fakes.

use std::path::PathBuf;

use lab_core::{
    DeploymentId, Error, Lab, ReleaseId,
    deploy::{DeployAction, DeployState, DeployStep, Deployment},
    router::Target,
};

use crate::world::{World, deploy, finished, name, reached, request};

const ROLLBACK: [DeployStep; 5] =
    [DeployStep::Save, DeployStep::Switch, DeployStep::Start, DeployStep::Health, DeployStep::Publish];

/// The ids of the releases that are kept, newest first, after checking that one of them serves.
async fn releases(lab: &Lab, app: &str) -> Vec<ReleaseId> {
    let views = lab.releases(&name(app)).await.unwrap();
    let serves: Vec<ReleaseId> = views.iter().filter(|view| view.serves).map(|view| view.release.id).collect();
    assert_eq!(serves, [lab.get(&name(app)).await.unwrap().app.release.unwrap()]);
    views.into_iter().map(|view| view.release.id).collect()
}

async fn roll_back(lab: &Lab, app: &str, release: Option<ReleaseId>) -> Deployment {
    let started = lab.rollback(&name(app), release, false, None).await.unwrap();
    finished(lab, app, started.deployment).await
}

/// Makes the app sick while it runs that release, or with `false` any other.
fn sick_with(world: &World, release: ReleaseId, is_it: bool) {
    let current = world.data().app(&name("app")).current();
    *world.probe.sick_with.lock().unwrap() = Some((current, release, is_it));
}

fn data(world: &World) -> PathBuf {
    world.data().app(&name("app")).data().join("data.db")
}

#[test]
fn a_rollback_serves_the_release_before_without_building_it_and_keeps_the_data() {
    let world = World::new();
    world.life(async |lab| {
        for _ in 0..3 {
            deploy(lab, "app").await;
        }
        std::fs::write(data(&world), "a row").unwrap();
        let [third, second, first] = releases(lab, "app").await[..] else { panic!("three releases") };
        let back = roll_back(lab, "app", None).await;
        assert_eq!((back.state, back.action, back.release), (DeployState::Succeeded, DeployAction::Rollback, second));
        assert_eq!(back.steps.iter().map(|step| step.step).collect::<Vec<_>>(), ROLLBACK);
        assert_eq!(lab.get(&name("app")).await.unwrap().app.release, Some(second));
        world.assert_serves(lab, "app").await;
        // once more is one more back, and forward goes by name
        assert_eq!(roll_back(lab, "app", None).await.release, first);
        assert!(matches!(lab.rollback(&name("app"), None, false, None).await, Err(Error::NothingBefore(_))));
        assert!(matches!(lab.rollback(&name("app"), Some(first), false, None).await, Err(Error::ReleaseServes { .. })));
        let unknown = lab.rollback(&name("app"), Some(ReleaseId::new()), false, None).await;
        assert!(matches!(unknown, Err(Error::NoSuchRelease { .. })));
        assert_eq!(roll_back(lab, "app", Some(third)).await.state, DeployState::Succeeded);
        assert_eq!(releases(lab, "app").await, [third, second, first]);
        assert_eq!(std::fs::read_to_string(data(&world)).unwrap(), "a row");
    });
}

#[test]
fn a_rollback_never_returns_by_itself_to_what_was_rolled_back() {
    let world = World::new();
    world.life(async |lab| {
        deploy(lab, "app").await;
        let bad = deploy(lab, "app").await.release;
        let good = roll_back(lab, "app", None).await.release;
        assert!(matches!(lab.rollback(&name("app"), None, false, None).await, Err(Error::NothingBefore(_))));
        deploy(lab, "app").await;
        assert_eq!(roll_back(lab, "app", None).await.release, good);
        // unless it is asked for, and then it is what was there before the next one
        assert_eq!(roll_back(lab, "app", Some(bad)).await.release, bad);
        deploy(lab, "app").await;
        assert_eq!(roll_back(lab, "app", None).await.release, bad);
        assert_eq!(roll_back(lab, "app", None).await.release, good);
    });
}

#[test]
fn what_a_rollback_leads_to_is_kept_however_many_came_and_went_since() {
    let world = World::new();
    let mut settings = world.settings();
    settings.kept_releases = 3;
    world.life_with(settings, async |lab| {
        let good = deploy(lab, "app").await.release;
        for _ in 0..5 {
            deploy(lab, "app").await;
            assert_eq!(roll_back(lab, "app", None).await.release, good);
        }
        assert_eq!(releases(lab, "app").await.len(), 3);
    });
}

#[test]
fn an_app_that_never_ran_cannot_be_rolled_back() {
    let world = World::new();
    world.life(async |lab| {
        assert!(matches!(lab.rollback(&name("app"), None, false, None).await, Err(Error::NoSuchApp(_))));
        *world.probe.is_sick.lock().unwrap() = true;
        let failed = lab.deploy(request("app")).await.unwrap();
        finished(lab, "app", failed.deployment).await;
        assert!(matches!(lab.rollback(&name("app"), None, false, None).await, Err(Error::NothingToRun(_))));
        assert!(lab.releases(&name("app")).await.unwrap().is_empty());
    });
}

#[test]
fn a_rollback_that_fails_is_taken_back_and_deletes_no_release() {
    let world = World::new();
    world.life(async |lab| {
        deploy(lab, "app").await;
        deploy(lab, "app").await;
        let before = releases(lab, "app").await;
        sick_with(&world, before[1], true);
        let back = roll_back(lab, "app", None).await;
        assert_eq!((back.state, back.problem.unwrap().code.as_str()), (DeployState::Failed, "app_unhealthy"));
        assert_eq!(releases(lab, "app").await, before);
        assert_eq!(lab.get(&name("app")).await.unwrap().app.release, Some(before[0]));
        world.assert_serves(lab, "app").await;
    });
}

#[test]
fn a_lab_killed_in_any_step_of_a_rollback_keeps_both_releases_and_one_serves() {
    for step in ROLLBACK {
        let world = World::new();
        let before = world.life(async |lab| {
            deploy(lab, "app").await;
            deploy(lab, "app").await;
            std::fs::write(data(&world), "a row").unwrap();
            let before = releases(lab, "app").await;
            match step {
                DeployStep::Switch => world.supervisor.hang(true),
                DeployStep::Health => *world.probe.is_sick.lock().unwrap() = true,
                _ => {}
            }
            let started = lab.rollback(&name("app"), None, false, None).await.unwrap();
            reached(lab, "app", started.deployment, step).await;
            before
        });
        world.supervisor.hang(false);
        *world.probe.is_sick.lock().unwrap() = false;
        world.life(async |lab| {
            lab.idle().await;
            assert_eq!(releases(lab, "app").await, before, "{step}");
            world.assert_serves(lab, "app").await;
            assert_eq!(std::fs::read_to_string(data(&world)).unwrap(), "a row", "{step}");
        });
    }
}

#[test]
fn requests_wait_from_before_the_old_process_ends_until_the_new_one_answers() {
    let world = World::new();
    world.life(async |lab| {
        deploy(lab, "app").await;
        let port = lab.get(&name("app")).await.unwrap().app.port.unwrap();
        let targets = |from: usize| {
            let host = "app.lab.localhost";
            let tables = world.router.journal().into_iter().skip(from);
            tables.map(|table| table.get(host).unwrap().target.clone()).collect::<Vec<_>>()
        };
        let swap = [Target::Held(port), Target::Port(port)];

        let from = world.router.journal().len();
        world.supervisor.hang(true);
        let started = lab.deploy(request("app")).await.unwrap();
        reached(lab, "app", started.deployment, DeployStep::Switch).await;
        while targets(from) != swap[..1] {
            tokio::task::yield_now().await;
        }
        world.supervisor.hang(false);
        finished(lab, "app", started.deployment).await;
        assert_eq!(targets(from), swap);

        // a release that fails: they wait until the old one is back
        let from = world.router.journal().len();
        sick_with(&world, lab.get(&name("app")).await.unwrap().app.release.unwrap(), false);
        let id: DeploymentId = lab.deploy(request("app")).await.unwrap().deployment;
        assert_eq!(finished(lab, "app", id).await.state, DeployState::Failed);
        assert_eq!(targets(from), swap);

        let from = world.router.journal().len();
        lab.restart(&name("app")).await.unwrap();
        assert_eq!(targets(from), swap);
        assert_eq!(world.router.drained().len(), 3);
    });
}

#[test]
fn a_restart_that_fails_keeps_nobody_waiting() {
    let world = World::new();
    world.life(async |lab| {
        deploy(lab, "app").await;
        *world.probe.is_sick.lock().unwrap() = true;
        assert!(lab.restart(&name("app")).await.is_err());
        assert!(!matches!(world.target("app"), Some(Target::Held(_))));
    });
}
