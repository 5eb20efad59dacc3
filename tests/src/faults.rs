//! Every failure of every step, over fakes: one clear error, and nothing left behind.

use std::time::Duration;

use lab_core::{
    builder::BuildError,
    deploy::{DeployState, Deployment},
    router::RouterError,
    source::SourceError,
    supervisor::SupervisorError,
};

use crate::{
    fakes::Next,
    world::{World, deploy, finished, name, request},
};

fn disk_full() -> std::io::Error {
    std::io::ErrorKind::StorageFull.into()
}

fn repository() -> String {
    "https://git.example/me/app".to_owned()
}

/// A way to fail: how to arrange it, and the code it must end with.
type Fault = (&'static str, fn(&World));

const FAULTS: &[Fault] = &[
    ("repository_not_found", |w| {
        w.source.script.push(Next::Fail(SourceError::NotFoundOrPrivate { repository: repository() }));
    }),
    ("reference_not_found", |w| {
        w.source.script.push(Next::Fail(SourceError::NoSuchReference {
            repository: repository(),
            reference: "nope".to_owned(),
            known: vec!["main".to_owned()],
        }));
    }),
    ("repository_too_large", |w| {
        w.source.script.push(Next::Fail(SourceError::TooLarge { repository: repository(), limit: 1 }));
    }),
    ("fetch_timed_out", |w| {
        let limit = Duration::from_secs(1);
        w.source.script.push(Next::Fail(SourceError::TimedOut { repository: repository(), limit }));
    }),
    ("fetch_failed", |w| {
        let source = std::io::Error::other("boom").into();
        w.source.script.push(Next::Fail(SourceError::Failed { repository: repository(), source }));
    }),
    ("bug", |w| w.source.script.push(Next::Panic)),
    ("app_not_recognised", |w| {
        let looked_for = vec!["pb_hooks".to_owned()];
        w.builder.plans.push(Next::Fail(BuildError::NotRecognised { looked_for }));
    }),
    ("build_failed", |w| {
        w.builder.builds.push(Next::Fail(BuildError::CommandFailed {
            command: "npm run build".to_owned(),
            status: "exit code 1".to_owned(),
            last_lines: vec!["boom".to_owned()],
            hint: None,
        }));
    }),
    ("build_timed_out", |w| {
        w.builder.builds.push(Next::Fail(BuildError::TimedOut { limit: Duration::from_secs(1) }));
    }),
    ("disk_full", |w| {
        let path = "/somewhere".into();
        w.builder.builds.push(Next::Fail(BuildError::Io { action: "copy", path, source: disk_full() }));
    }),
    ("bug", |w| w.builder.builds.push(Next::Panic)),
    ("supervisor_failed", |w| {
        let source = std::io::Error::other("boom").into();
        w.supervisor.fail_next(SupervisorError::Failed { action: "stop", app: name("app"), source });
    }),
    ("app_crashed", |w| w.supervisor.crash_on_start(&name("app"), true)),
    ("app_unhealthy", |w| *w.probe.is_sick.lock().unwrap() = true),
];

fn heal(world: &World) {
    world.supervisor.crash_on_start(&name("app"), false);
    *world.probe.is_sick.lock().unwrap() = false;
}

fn assert_failed(deployment: &Deployment, code: &str) {
    assert_eq!(deployment.state, DeployState::Failed, "{code}");
    let problem = deployment.problem.as_ref().unwrap();
    assert_eq!(problem.code, code, "{}", problem.message);
}

#[test]
fn a_first_deploy_that_fails_leaves_a_record_and_a_log_and_nothing_else() {
    for (code, arrange) in FAULTS {
        let world = World::new();
        world.life(async |lab| {
            arrange(&world);
            let started = lab.deploy(request("app")).await.unwrap();
            let deployment = finished(lab, "app", started.deployment).await;
            assert_failed(&deployment, code);
            heal(&world);
            world.assert_nothing_left(lab, "app").await;
            lab.logs(&name("app"), 10).await.unwrap();
            // and it can be deployed afterwards
            deploy(lab, "app").await;
            world.assert_serves(lab, "app").await;
        });
    }
}

#[test]
fn a_redeploy_that_fails_leaves_the_old_release_serving() {
    for (code, arrange) in FAULTS {
        if matches!(*code, "app_unhealthy" | "app_crashed") {
            // these also keep the old release from coming back; see below
            continue;
        }
        let world = World::new();
        world.life(async |lab| {
            deploy(lab, "app").await;
            let before = lab.get(&name("app")).await.unwrap().app;
            arrange(&world);
            let started = lab.deploy(request("app")).await.unwrap();
            assert_failed(&finished(lab, "app", started.deployment).await, code);
            let after = lab.get(&name("app")).await.unwrap().app;
            assert_eq!((before.release, before.port), (after.release, after.port), "{code}");
            world.assert_serves(lab, "app").await;
            let releases = std::fs::read_dir(world.data().app(&name("app")).releases()).unwrap().count();
            assert_eq!(releases, 1, "{code}");
        });
    }
}

#[test]
fn when_neither_the_new_nor_the_old_release_runs_the_app_is_failed_and_restarts_when_healed() {
    for (code, arrange) in FAULTS {
        if !matches!(*code, "app_unhealthy" | "app_crashed") {
            continue;
        }
        let world = World::new();
        world.life(async |lab| {
            deploy(lab, "app").await;
            let before = lab.get(&name("app")).await.unwrap().app;
            arrange(&world);
            let started = lab.deploy(request("app")).await.unwrap();
            assert_failed(&finished(lab, "app", started.deployment).await, code);
            heal(&world);
            lab.restart(&name("app")).await.unwrap();
            assert_eq!(lab.get(&name("app")).await.unwrap().app.release, before.release);
            world.assert_serves(lab, "app").await;
        });
    }
}

#[test]
fn no_free_port_is_one_clear_error_and_leaves_no_app() {
    let mut world = World::new();
    world.range = *world.range.start()..=*world.range.start();
    world.life(async |lab| {
        deploy(lab, "one").await;
        let error = lab.deploy(request("two")).await.unwrap_err();
        assert_eq!(error.code(), "ports_exhausted", "{error}");
        assert!(error.to_string().contains("widen the range"), "{error}");
        assert_eq!(lab.list().await.unwrap().len(), 1);
        assert!(!world.data().app(&name("two")).root().exists());
        assert_eq!(world.target("two"), None);
    });
}

#[test]
fn a_port_that_another_program_took_is_exchanged() {
    let world = World::new();
    world.life(async |lab| {
        deploy(lab, "app").await;
        lab.stop(&name("app")).await.unwrap();
        let port = lab.get(&name("app")).await.unwrap().app.port.unwrap();
        let _thief = std::net::TcpListener::bind(("127.0.0.1", port.get())).unwrap();
        lab.start(&name("app")).await.unwrap();
        let now = lab.get(&name("app")).await.unwrap().app.port.unwrap();
        assert_ne!(port, now);
        world.assert_serves(lab, "app").await;
    });
}

#[test]
fn data_that_was_there_before_a_failed_first_deploy_stays() {
    let world = World::new();
    let row = world.data().app(&name("app")).data().join("data.db");
    std::fs::create_dir_all(row.parent().unwrap()).unwrap();
    std::fs::write(&row, "somebody's").unwrap();
    world.life(async |lab| {
        *world.probe.is_sick.lock().unwrap() = true;
        let started = lab.deploy(request("app")).await.unwrap();
        assert_failed(&finished(lab, "app", started.deployment).await, "app_unhealthy");
    });
    assert_eq!(std::fs::read_to_string(row).unwrap(), "somebody's");
}

#[test]
fn a_router_that_refuses_the_new_route_fails_the_deployment() {
    let world = World::new();
    world.life(async |lab| {
        // not healthy before the refusal is arranged: the table that shows it deploying was taken by then
        *world.probe.is_sick.lock().unwrap() = true;
        let started = lab.deploy(request("app")).await.unwrap();
        world.router.fail_next(RouterError::Rejected { reason: "no".to_owned() });
        *world.probe.is_sick.lock().unwrap() = false;
        let deployment = finished(lab, "app", started.deployment).await;
        assert_failed(&deployment, "routes_rejected");
        world.assert_nothing_left(lab, "app").await;
    });
}
