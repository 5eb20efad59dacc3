//! Data points over fakes: taken, restored, gone back to with a release, and what a crash leaves of that.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use lab_core::{
    App, AppName, DataPointId, Error, Lab, ReleaseId,
    data::{Collection, DataPoint, PointReason},
    deploy::{DeployState, DeployStep, Deployment, StepOutcome},
    registry::{Registry, RegistryError},
    router::Target,
    testing::source::FakeCommit,
};
use rusqlite::Connection;

use crate::world::{REPOSITORY, World, deploy, finished, name, reached, url};

/// The app's database, as PocketBase has it.
fn database(world: &World) -> Connection {
    Connection::open(world.data().app(&name("app")).data().join("data.db")).unwrap()
}

fn begin(world: &World) {
    let tables = "CREATE TABLE _collections (name TEXT); INSERT INTO _collections VALUES ('notes');
                  CREATE TABLE notes (id TEXT PRIMARY KEY)";
    database(world).execute_batch(tables).unwrap();
}

fn write(world: &World, from: usize, to: usize) {
    let mut database = database(world);
    let all = database.transaction().unwrap();
    for n in from..to {
        all.execute("INSERT INTO notes VALUES (?1)", [n.to_string()]).unwrap();
    }
    all.commit().unwrap();
}

fn rows(world: &World) -> u64 {
    database(world).query_row("SELECT count(*) FROM notes", [], |row| row.get(0)).unwrap()
}

fn notes(rows: u64) -> Vec<Collection> {
    vec![Collection { name: "notes".to_owned(), rows }]
}

/// The repository gets another migration.
fn migrate(world: &World, migration: &str) {
    let file = format!("pb_migrations/{migration}.js");
    let commit = FakeCommit::new("A migration", [("pb_public/index.html", "an app"), (&file, "migrate(() => {})")]);
    world.source.inner.publish(&url(REPOSITORY), [commit]);
}

async fn restore(lab: &Lab, id: DataPointId) -> Result<DataPoint, Error> {
    lab.restore_point(&name("app"), id).await
}

/// An app with 10 rows under its first release, a migration, and 1000 more rows under its second; its releases, newest first.
async fn two_releases(world: &World, lab: &Lab) -> [ReleaseId; 2] {
    deploy(lab, "app").await;
    begin(world);
    write(world, 0, 10);
    migrate(world, "1_second");
    deploy(lab, "app").await;
    write(world, 10, 1010);
    let releases = lab.releases(&name("app")).await.unwrap();
    [releases[0].release.id, releases[1].release.id]
}

#[test]
fn a_restore_brings_data_back_and_can_be_taken_back() {
    let world = World::new();
    world.life(async |lab| {
        assert!(matches!(lab.take_point(&name("app")).await, Err(Error::NoSuchApp(_))));
        deploy(lab, "app").await;
        begin(&world);
        write(&world, 0, 5);
        let point = lab.take_point(&name("app")).await.unwrap();
        assert_eq!((&point.reason, &point.collections), (&PointReason::Asked, &notes(5)));
        write(&world, 5, 1005);
        let newer = lab.newer_than_point(&name("app"), point.id).await.unwrap();
        assert_eq!((newer.len(), newer[0].rows, newer[0].deleted), (1, 1000, 0));
        assert_eq!(rows(&world), 1005);

        let replaced = restore(lab, point.id).await.unwrap();
        assert_eq!((rows(&world), &replaced.reason), (5, &PointReason::Replaced { by: point.id }));
        assert_eq!(replaced.collections, notes(1005));
        world.assert_serves(lab, "app").await;
        restore(lab, replaced.id).await.unwrap();
        assert_eq!(rows(&world), 1005);
        assert_eq!(lab.points(&name("app")).await.unwrap().len(), 3);
        assert!(matches!(restore(lab, DataPointId::new()).await, Err(Error::NoSuchPoint { .. })));

        let checked = lab.verify_point(&name("app"), point.id).await.unwrap().checked.unwrap();
        assert_eq!(checked.wrong, Vec::<String>::new());
        assert!(lab.points(&name("app")).await.unwrap()[2].checked.is_some());
        // nothing of what was made on the way is left
        for entry in std::fs::read_dir(world.data().app(&name("app")).points()).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(!name.to_str().unwrap().starts_with('.'), "{name:?}");
        }
        assert!(!world.data().app(&name("app")).data().join(".lab-restored").exists());
    });
}

#[test]
fn data_that_the_app_cannot_live_with_goes_back() {
    let world = World::new();
    world.life(async |lab| {
        deploy(lab, "app").await;
        begin(&world);
        write(&world, 0, 5);
        let point = lab.take_point(&name("app")).await.unwrap();
        write(&world, 5, 8);
        let data = world.data().app(&name("app")).data();
        *world.probe.sick_if.lock().unwrap() = Some(data.join(".lab-restored"));
        assert!(matches!(restore(lab, point.id).await, Err(Error::Unhealthy { .. })));
        assert_eq!(rows(&world), 8);
        world.assert_serves(lab, "app").await;
        // the app has run with what was restored: that is kept
        let points = lab.points(&name("app")).await.unwrap();
        assert_eq!((points.len(), &points[0].reason, &points[0].collections), (2, &PointReason::TakenBack, &notes(5)));
    });
}

#[test]
fn what_a_failed_restore_leaves_on_disk_does_not_keep_the_app_from_running() {
    let world = World::new();
    world.life(async |lab| {
        deploy(lab, "app").await;
        begin(&world);
        write(&world, 0, 5);
        let point = lab.take_point(&name("app")).await.unwrap();
        write(&world, 5, 8);
        let dirs = world.data().app(&name("app"));
        *world.probe.sick_if.lock().unwrap() = Some(dirs.data().join(".lab-restored"));
        let in_the_way = async {
            let making = loop {
                let mut names = std::fs::read_dir(dirs.points()).unwrap().map(|entry| entry.unwrap().file_name());
                let making = names.find(|name| name.to_str().unwrap().starts_with('.'));
                match making.filter(|_| dirs.data().join(".lab-restored").exists()) {
                    Some(making) => break making.into_string().unwrap(),
                    None => tokio::task::yield_now().await,
                }
            };
            // what was restored cannot get its place among the data points
            std::fs::create_dir_all(dirs.points().join(&making[1..]).join("full")).unwrap();
        };
        let (restored, ()) = tokio::join!(restore(lab, point.id), in_the_way);
        assert!(matches!(restored, Err(Error::Unhealthy { .. })), "{restored:?}");
        assert_eq!(rows(&world), 8);
        world.assert_serves(lab, "app").await;
    });
}

#[test]
fn what_was_taken_back_is_in_the_record_also_after_a_crash() {
    let world = World::new();
    let id = world.life(async |lab| {
        two_releases(&world, lab).await;
        *world.probe.is_sick.lock().unwrap() = true;
        let started = lab.rollback(&name("app"), None, true, None).await.unwrap();
        reached(lab, "app", started.deployment, DeployStep::Health).await;
        started.deployment
    });
    *world.probe.is_sick.lock().unwrap() = false;
    world.life(async |lab| {
        lab.idle().await;
        let record = lab.deployment(&name("app"), id).await.unwrap();
        assert!(record.undone.iter().any(|what| what.contains("its data is what it was")), "{:?}", record.undone);
        let outcomes: Vec<_> = record.steps.iter().map(|step| step.outcome.unwrap()).collect();
        assert_eq!(outcomes[..2], [StepOutcome::Done, StepOutcome::Done]);
        assert_eq!(outcomes.last(), Some(&StepOutcome::Interrupted));
        // once
        let told = record.undone.len();
        lab.shutdown().await;
        assert!(told < 6, "{:?}", record.undone);
    });
}

#[test]
fn without_a_copy_of_the_moment_newer_rows_stay_and_the_way_back_is_told() {
    let world = World::new();
    let mut settings = world.settings();
    settings.held_copy_bytes = 0;
    world.life_with(settings, async |lab| {
        let ended = fails_once_started(&world, lab).await;
        let said = format!("lab data app restore {}", ended.point.unwrap());
        assert!(ended.undone.iter().any(|what| what.contains(&said)), "{:?}", ended.undone);
        // what the release did stays, and with it whatever was written meanwhile
        assert_eq!((rows(&world), has_title(&world)), (0, true));
        world.assert_serves(lab, "app").await;
        assert_eq!(points(lab).await, [10]);
    });
}

#[test]
fn data_points_of_an_idle_app_get_old_too() {
    let world = World::new();
    world.life(async |lab| {
        deploy(lab, "app").await;
        begin(&world);
        for _ in 0..3 {
            lab.take_point(&name("app")).await.unwrap();
        }
    });
    let mut settings = world.settings();
    settings.points_for = std::time::Duration::ZERO;
    world.life_with(settings, async |lab| {
        while points(lab).await.len() != 1 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn a_deploy_that_changes_what_gets_at_the_data_saves_it_first() {
    let world = World::new();
    world.life(async |lab| {
        deploy(lab, "app").await;
        begin(&world);
        write(&world, 0, 3);
        deploy(lab, "app").await;
        assert!(lab.points(&name("app")).await.unwrap().is_empty(), "nothing of it changed");
        let serving = lab.get(&name("app")).await.unwrap().app.release;
        migrate(&world, "1_second");
        deploy(lab, "app").await;
        let [point] = &lab.points(&name("app")).await.unwrap()[..] else { panic!("one data point") };
        let last = lab.deployments(&name("app")).await.unwrap().remove(0);
        assert_eq!(last.point, Some(point.id));
        assert_eq!(point.reason, PointReason::Deploy { deployment: last.id });
        assert_eq!((point.release, &point.collections), (serving, &notes(3)));
    });
}

#[test]
fn a_rollback_with_data_takes_both_back_and_can_be_taken_back() {
    let world = World::new();
    world.life(async |lab| {
        let [second, first] = two_releases(&world, lab).await;
        let started = lab.rollback(&name("app"), None, true, None).await.unwrap();
        let ended = finished(lab, "app", started.deployment).await;
        assert_eq!((ended.state, ended.release), (DeployState::Succeeded, first));
        assert_eq!(rows(&world), 10);
        world.assert_serves(lab, "app").await;
        // forward again, with the data that it replaced
        let started = lab.rollback(&name("app"), Some(second), true, None).await.unwrap();
        finished(lab, "app", started.deployment).await;
        assert_eq!(rows(&world), 1010);
        world.assert_serves(lab, "app").await;
    });
}

#[test]
fn a_rollback_with_data_needs_a_data_point_of_that_release() {
    let world = World::new();
    world.life(async |lab| {
        deploy(lab, "app").await;
        deploy(lab, "app").await;
        let refused = lab.rollback(&name("app"), None, true, None).await;
        assert!(matches!(refused, Err(Error::NoPointOfRelease { .. })));
    });
}

#[test]
fn a_rollback_with_data_that_fails_takes_nothing_away() {
    let world = World::new();
    world.life(async |lab| {
        let [second, _] = two_releases(&world, lab).await;
        let data = world.data().app(&name("app")).data();
        *world.probe.sick_if.lock().unwrap() = Some(data.join(".lab-restored"));
        let started = lab.rollback(&name("app"), None, true, None).await.unwrap();
        let ended = finished(lab, "app", started.deployment).await;
        assert_eq!(ended.state, DeployState::Failed);
        assert_eq!((lab.get(&name("app")).await.unwrap().app.release, rows(&world)), (Some(second), 1010));
        world.assert_serves(lab, "app").await;
    });
}

#[test]
fn a_lab_killed_in_any_step_of_a_rollback_with_data_has_release_and_data_of_one_time() {
    for step in [DeployStep::Save, DeployStep::Switch, DeployStep::Start, DeployStep::Health, DeployStep::Publish] {
        let world = World::new();
        let [second, first] = world.life(async |lab| {
            let releases = two_releases(&world, lab).await;
            match step {
                DeployStep::Switch => world.supervisor.hang(true),
                DeployStep::Health => *world.probe.is_sick.lock().unwrap() = true,
                _ => {}
            }
            let started = lab.rollback(&name("app"), None, true, None).await.unwrap();
            reached(lab, "app", started.deployment, step).await;
            releases
        });
        world.supervisor.hang(false);
        *world.probe.is_sick.lock().unwrap() = false;
        world.life(async |lab| {
            lab.idle().await;
            world.assert_serves(lab, "app").await;
            let serves = lab.get(&name("app")).await.unwrap().app.release.unwrap();
            let expected = if serves == first { 10 } else { 1010 };
            assert!([first, second].contains(&serves));
            assert_eq!(rows(&world), expected, "{step}");
            // what is not there is a data point: nothing is lost
            let points = lab.points(&name("app")).await.unwrap();
            assert!(points.iter().any(|point| point.collections == notes(if serves == first { 1010 } else { 10 })));
        });
    }
}

#[test]
fn while_an_app_is_exchanged_a_point_can_be_packed_and_no_superuser_made() {
    let world = World::new();
    world.life(async |lab| {
        deploy(lab, "app").await;
        begin(&world);
        let point = lab.take_point(&name("app")).await.unwrap();
        *world.probe.is_sick.lock().unwrap() = true;
        migrate(&world, "1_second");
        let started = lab.deploy(lab_core::DeployRequest::new(name("app"))).await.unwrap();
        reached(lab, "app", started.deployment, DeployStep::Health).await;
        let refused = lab.create_superuser(&name("app"), "me@example.com", None).await;
        assert!(matches!(refused, Err(Error::Busy { .. })), "{refused:?}");
        assert!(lab.export_point(&name("app"), point.id).await.unwrap().metadata().unwrap().len() > 0);
        *world.probe.is_sick.lock().unwrap() = false;
        finished(lab, "app", started.deployment).await;
    });
}

#[test]
fn a_record_that_cannot_be_read_hides_no_other() {
    let world = World::new();
    let dirs = world.data().app(&name("app"));
    world.life(async |lab| {
        two_releases(&world, lab).await;
        lab.take_point(&name("app")).await.unwrap();
        lab.take_point(&name("app")).await.unwrap();
        let point = lab.points(&name("app")).await.unwrap()[0].id;
        let release = lab.releases(&name("app")).await.unwrap()[1].release.id;
        let deployment = lab.deployments(&name("app")).await.unwrap()[0].id;
        std::fs::write(dirs.point(point).join("point.json"), "{").unwrap();
        std::fs::write(dirs.release(release).join("release.json"), "{").unwrap();
        std::fs::write(dirs.deployment_record(deployment), "{").unwrap();
    });
    world.life(async |lab| {
        lab.idle().await;
        world.assert_serves(lab, "app").await;
        assert_eq!(lab.points(&name("app")).await.unwrap().len(), 2);
        assert_eq!(lab.releases(&name("app")).await.unwrap().len(), 1);
        assert_eq!(lab.deployments(&name("app")).await.unwrap().len(), 1);
        migrate(&world, "2_third");
        deploy(lab, "app").await;
    });
}

#[test]
fn a_release_that_lost_its_link_to_the_data_gets_it_back_before_it_starts() {
    let world = World::new();
    world.life(async |lab| {
        deploy(lab, "app").await;
        let dirs = world.data().app(&name("app"));
        let link = dirs.current().join("pb_data");
        std::fs::remove_file(&link).unwrap();
        lab.restart(&name("app")).await.unwrap();
        assert_eq!(std::fs::read_link(&link).unwrap(), std::path::Path::new("../../pb_data"));
    });
}

#[test]
fn old_data_points_are_deleted_but_never_the_newest() {
    let world = World::new();
    let mut settings = world.settings();
    settings.kept_points = 2;
    world.life_with(settings, async |lab| {
        deploy(lab, "app").await;
        begin(&world);
        let mut last = None;
        for _ in 0..4 {
            last = Some(lab.take_point(&name("app")).await.unwrap().id);
        }
        let kept: Vec<_> = lab.points(&name("app")).await.unwrap().into_iter().map(|point| point.id).collect();
        assert_eq!((kept.len(), kept.first()), (2, last.as_ref()));
    });
    let mut settings = world.settings();
    settings.points_for = std::time::Duration::ZERO;
    world.life_with(settings, async |lab| {
        lab.idle().await;
        lab.take_point(&name("app")).await.unwrap();
        assert_eq!(lab.points(&name("app")).await.unwrap().len(), 1);
    });
}

/// What the app's data points hold, in rows.
async fn points(lab: &Lab) -> Vec<u64> {
    let points = lab.points(&name("app")).await.unwrap();
    points.iter().map(|point| point.collections.iter().map(|it| it.rows).sum()).collect()
}

#[test]
fn what_an_unpublished_release_answered_before_a_crash_is_kept() {
    let world = World::new();
    world.life(async |lab| {
        two_releases(&world, lab).await;
        *world.probe.is_sick.lock().unwrap() = true;
        let started = lab.rollback(&name("app"), None, true, None).await.unwrap();
        reached(lab, "app", started.deployment, DeployStep::Health).await;
    });
    // its process lives on, and answers whoever comes to it
    write(&world, 5000, 5001);
    *world.probe.is_sick.lock().unwrap() = false;
    world.supervisor.hang(true);
    world.life(async |lab| {
        assert!(matches!(world.target("app"), Some(Target::Held(_))), "{:?}", world.target("app"));
        world.supervisor.hang(false);
        lab.idle().await;
        world.assert_serves(lab, "app").await;
        assert_eq!(rows(&world), 1010);
        assert!(points(lab).await.contains(&11), "{:?}", points(lab).await);
    });
}

/// A registry on a disk that is full when a release is to be recorded; and where requests went then.
#[derive(Debug)]
struct Full {
    inner: Arc<dyn Registry>,
    refuses: AtomicBool,
    router: lab_core::testing::router::FakeRouter,
    targets: Mutex<Vec<Option<Target>>>,
}

#[async_trait]
impl Registry for Full {
    fn backend(&self) -> &'static str {
        self.inner.backend()
    }

    async fn create(&self, app: App) -> Result<App, RegistryError> {
        self.inner.create(app).await
    }

    async fn get(&self, name: &AppName) -> Result<Option<App>, RegistryError> {
        self.inner.get(name).await
    }

    async fn list(&self) -> Result<Vec<App>, RegistryError> {
        self.inner.list().await
    }

    async fn update(&self, app: App) -> Result<App, RegistryError> {
        let before = self.inner.get(&app.name).await?;
        if self.refuses.load(Ordering::Relaxed) && before.is_some_and(|before| before.release != app.release) {
            use lab_core::router::RouterConfig;
            let table = self.router.table().await.unwrap();
            self.targets.lock().unwrap().push(table.get("app.lab.localhost").map(|route| route.target.clone()));
            let source = std::io::Error::from(std::io::ErrorKind::StorageFull).into();
            return Err(RegistryError::Storage { action: "write", place: "apps.json".to_owned(), source });
        }
        self.inner.update(app).await
    }

    async fn remove(&self, name: &AppName) -> Result<(), RegistryError> {
        self.inner.remove(name).await
    }
}

#[test]
fn a_release_is_recorded_before_anybody_is_led_to_it() {
    let world = World::new();
    world.life(async |lab| {
        two_releases(&world, lab).await;
    });
    let mut backends = world.backends();
    let full = Arc::new(Full {
        inner: backends.registry.clone(),
        refuses: AtomicBool::new(true),
        router: world.router.clone(),
        targets: Mutex::default(),
    });
    backends.registry = full.clone();
    crate::stack::run(async {
        let lab = Lab::open(world.settings(), backends).await.unwrap();
        lab.idle().await;
        let started = lab.rollback(&name("app"), None, true, None).await.unwrap();
        let ended = finished(&lab, "app", started.deployment).await;
        assert_eq!(ended.state, DeployState::Failed);
        let targets = full.targets.lock().unwrap().clone();
        assert!(matches!(targets[..], [Some(Target::Held(_))]), "{targets:?}");
        world.assert_serves(&lab, "app").await;
        assert_eq!(rows(&world), 1010);
    });
}

#[test]
fn a_router_that_refuses_a_release_leaves_the_one_before_recorded() {
    let world = World::new();
    world.life(async |lab| {
        let [second, _] = two_releases(&world, lab).await;
        *world.probe.is_sick.lock().unwrap() = true;
        let started = lab.rollback(&name("app"), None, true, None).await.unwrap();
        reached(lab, "app", started.deployment, DeployStep::Health).await;
        world.router.fail_next(lab_core::router::RouterError::Rejected { reason: "no".to_owned() });
        *world.probe.is_sick.lock().unwrap() = false;
        let ended = finished(lab, "app", started.deployment).await;
        assert_eq!((ended.state, ended.problem.unwrap().code.as_str()), (DeployState::Failed, "routes_rejected"));
        assert_eq!((lab.get(&name("app")).await.unwrap().app.release, rows(&world)), (Some(second), 1010));
        world.assert_serves(lab, "app").await;
    });
}

/// A deploy with a migration that is well in its rehearsal, but not in the place of the release before; a row is written
/// after its data point was taken, and the release changes the data.
async fn fails_once_started(world: &World, lab: &Lab) -> Deployment {
    deploy(lab, "app").await;
    begin(world);
    write(world, 0, 10);
    migrate(world, "1_second");
    world.supervisor.hang(true);
    let started = lab.deploy(crate::world::request("app")).await.unwrap();
    reached(lab, "app", started.deployment, DeployStep::Switch).await;
    write(world, 10, 11);
    let serves = lab.get(&name("app")).await.unwrap().app.release.unwrap();
    let current = world.data().app(&name("app")).current();
    *world.probe.sick_with.lock().unwrap() = Some((current, serves, false));
    world.supervisor.hang(false);
    reached(lab, "app", started.deployment, DeployStep::Health).await;
    database(world).execute_batch("DELETE FROM notes; ALTER TABLE notes ADD COLUMN title TEXT").unwrap();
    finished(lab, "app", started.deployment).await
}

fn has_title(world: &World) -> bool {
    database(world).prepare("SELECT title FROM notes").is_ok()
}

#[test]
fn a_release_that_fails_once_started_gives_the_data_back_as_it_was_just_before() {
    let world = World::new();
    world.life(async |lab| {
        let ended = fails_once_started(&world, lab).await;
        assert_eq!(ended.state, DeployState::Failed);
        assert_eq!((rows(&world), has_title(&world)), (11, false));
        world.assert_serves(lab, "app").await;
        assert_eq!(points(lab).await, [0, 10], "what the release left of it, and the data point from before");
    });
}

#[test]
fn a_lab_killed_while_a_migrated_release_is_not_healthy_gives_the_data_back() {
    let world = World::new();
    world.life(async |lab| {
        deploy(lab, "app").await;
        begin(&world);
        write(&world, 0, 10);
        migrate(&world, "1_second");
        *world.probe.is_sick.lock().unwrap() = true;
        let started = lab.deploy(crate::world::request("app")).await.unwrap();
        reached(lab, "app", started.deployment, DeployStep::Health).await;
        database(&world).execute_batch("DELETE FROM notes; ALTER TABLE notes ADD COLUMN title TEXT").unwrap();
    });
    *world.probe.is_sick.lock().unwrap() = false;
    for _ in 0..2 {
        world.life(async |lab| {
            lab.idle().await;
            assert_eq!((rows(&world), has_title(&world)), (10, false));
            world.assert_serves(lab, "app").await;
            assert_eq!(points(lab).await, [0, 10]);
        });
    }
}
