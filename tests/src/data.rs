//! Data points over fakes: taken, restored, gone back to with a release, and what a crash leaves of that.

use lab_core::{
    DataPointId, Error, Lab, ReleaseId,
    data::{Collection, DataPoint, PointReason},
    deploy::{DeployState, DeployStep},
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
        assert_eq!(lab.points(&name("app")).await.unwrap().len(), 1);
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
