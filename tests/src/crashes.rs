//! Whatever is done to an app, and wherever the lab crashes while it is done: a model says what may be found afterwards.
//!
//! Over fakes that outlive the lab, with the real records, releases and databases on disk. A crash is a moment between two
//! changes on disk, after which nothing changes any more; the next life of the lab opens what it finds, and may crash too.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lab_core::{
    DataPointId, DeployRequest, DeployStarted, Error, Lab, LabSettings, ReleaseId,
    builder::BuildError,
    deploy::DeployState,
    durable::crashes::Crash,
    lifecycle::Desired,
    rehearsal::{RehearsalError, RehearsalPolicy},
    router::{Target, Unavailable},
    testing::source::FakeCommit,
};
use proptest::{prelude::*, test_runner::TestCaseError};
use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

use crate::{
    chance,
    fakes::Next,
    world::{OTHER_REPOSITORY, REPOSITORY, World, finished, name, url},
};

/// No operation changes the disk more often.
const CHANGES: usize = 70;
/// So many data points are kept: few, so that old ones are deleted all the time.
const KEPT_POINTS: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fails {
    Build,
    Rehearsal,
    Health,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    /// With another migration or without, and perhaps failing.
    Deploy {
        migrates: bool,
        fails: Option<Fails>,
    },
    Rollback {
        with_data: bool,
    },
    TakePoint,
    /// One of the data points there are.
    Restore(usize),
    Restart,
    Stop,
    Start,
    Remove {
        purge: bool,
    },
    /// To a newer PocketBase.
    Upgrade,
    /// A deploy that is cancelled at once.
    Cancel,
    /// So many rows more.
    Write(u8),
}

/// What is done, after how many changes the lab crashes in it, and after how many more when it is opened again.
type Step = (Op, Option<usize>, Option<usize>);

fn op() -> impl Strategy<Value = Op> {
    let fails = prop_oneof![
        6 => Just(None),
        1 => Just(Some(Fails::Build)),
        1 => Just(Some(Fails::Rehearsal)),
        1 => Just(Some(Fails::Health)),
    ];
    prop_oneof![
        6 => (any::<bool>(), fails).prop_map(|(migrates, fails)| Op::Deploy { migrates, fails }),
        3 => any::<bool>().prop_map(|with_data| Op::Rollback { with_data }),
        2 => Just(Op::TakePoint),
        2 => (0..8_usize).prop_map(Op::Restore),
        1 => Just(Op::Restart),
        1 => Just(Op::Stop),
        1 => Just(Op::Start),
        1 => any::<bool>().prop_map(|purge| Op::Remove { purge }),
        2 => Just(Op::Upgrade),
        1 => Just(Op::Cancel),
        4 => (1..20_u8).prop_map(Op::Write),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let crash = prop_oneof![1 => Just(None), 2 => (0..CHANGES).prop_map(Some)];
    let again = prop_oneof![3 => Just(None), 1 => (0..20_usize).prop_map(Some)];
    (op(), crash, again)
}

/// What should be there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Model {
    /// None where there is no app.
    app: Option<App>,
    /// Numbers of rows that were ever written.
    written: u32,
    deployed: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct App {
    /// None before one has ever served.
    serves: Option<ReleaseId>,
    is_stopped: bool,
    rows: BTreeSet<u32>,
    /// Of which release's data each is, and what is in it.
    points: BTreeMap<DataPointId, (Option<ReleaseId>, BTreeSet<u32>)>,
    /// Where a rollback leads.
    before: Option<ReleaseId>,
}

impl App {
    /// What is in the data point that the operation puts in the place of the data.
    fn chosen(&self, op: Op) -> Option<&BTreeSet<u32>> {
        let mut points = self.points.values().rev();
        let chosen = match op {
            Op::Restore(n) => points.nth(n % self.points.len().max(1)),
            Op::Rollback { with_data: true } => points.find(|(of, _)| of.is_some() && *of == self.before),
            _ => None,
        };
        chosen.map(|(_, rows)| rows)
    }
}

/// A world, its model, and what it saw.
struct Play {
    world: World,
    model: Model,
    /// How often the lab crashed.
    crashes: usize,
}

fn settings(world: &World) -> LabSettings {
    let mut settings = world.settings();
    settings.health_timeout = Some(Duration::from_millis(60));
    settings.rehearsal.policy = RehearsalPolicy::Auto;
    (settings.kept_points, settings.kept_releases) = (KEPT_POINTS, 3);
    settings
}

/// One life of the lab, which may crash; then there is no answer.
fn life<T>(world: &World, crash: Option<usize>, live: impl AsyncFnOnce(&Lab) -> T) -> Option<T> {
    let over = CancellationToken::new();
    let armed = crash.map(|changes| {
        let (over, supervisor) = (over.clone(), world.supervisor.clone());
        Crash::after(changes, world.data().path(), move || {
            // the dying lab does nothing to processes either
            supervisor.hang(true);
            over.cancel();
        })
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let lived = runtime.block_on(async {
        let live = async {
            let lab = Lab::open(settings(world), world.backends()).await?;
            lab.idle().await;
            Ok::<_, Error>(live(&lab).await)
        };
        tokio::select! {
            biased;
            () = over.cancelled() => None,
            lived = tokio::time::timeout(Duration::from_mins(1), live) => Some(lived.expect("a life ends within a minute")),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    let has_crashed = armed.is_some_and(|armed| armed.seen().1);
    world.supervisor.hang(false);
    if has_crashed {
        return None;
    }
    lived.map(|lived| lived.expect("it opens"))
}

impl Play {
    fn new() -> Self {
        let play = Self { world: World::new(), model: Model::default(), crashes: 0 };
        life(&play.world, None, async |lab| {
            let request =
                DeployRequest { repository: Some(url(OTHER_REPOSITORY)), ..DeployRequest::new(name("other")) };
            let started = lab.deploy(request).await.unwrap();
            assert_eq!(finished(lab, "other", started.deployment).await.state, DeployState::Succeeded);
        });
        play
    }

    fn database(&self) -> Connection {
        let database = Connection::open(self.world.data().app(&name("app")).data().join("data.db")).unwrap();
        let tables = "PRAGMA synchronous = OFF;
                      CREATE TABLE IF NOT EXISTS _collections (name TEXT UNIQUE);
                      INSERT OR IGNORE INTO _collections VALUES ('notes');
                      CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY)";
        database.execute_batch(tables).unwrap();
        database
    }

    /// One step, and what must hold after it.
    fn step(&mut self, (op, crash, again): Step) -> Result<(), TestCaseError> {
        if let Op::Write(count) = op {
            self.write(count);
            return Ok(());
        }
        let before = self.model.clone();
        if matches!(op, Op::Deploy { .. } | Op::Cancel) {
            self.publish(op);
        }
        self.model.deployed += 1;
        let version = semver::Version::new(0, 50, self.model.deployed.into());
        let done = life(&self.world, crash, async |lab| self.perform(lab, op, version).await);
        self.heal();
        if done.is_none() {
            self.crashes += 1;
            // a crash while the crash is cleared up
            self.crashes += usize::from(life(&self.world, again, async |_| {}).is_none());
        }
        let world = &self.world;
        let found = life(world, None, async |lab| look(world, lab).await).expect("nothing crashes here")?;
        compare(&before, op, done, found.as_ref())?;
        self.model.app = found;
        Ok(())
    }

    fn write(&mut self, count: u8) {
        if let Some(app) = self.model.app.as_mut().filter(|app| app.serves.is_some()) {
            let database = Connection::open(self.world.data().app(&name("app")).data().join("data.db")).unwrap();
            for _ in 0..count {
                self.model.written += 1;
                database.execute("INSERT INTO notes VALUES (?1)", [self.model.written]).unwrap();
                app.rows.insert(self.model.written);
            }
        }
    }

    /// What the next deploy finds.
    fn publish(&mut self, op: Op) {
        let (migrates, fails) = match op {
            Op::Deploy { migrates, fails } => (migrates, fails),
            _ => (true, None),
        };
        if migrates {
            self.model.deployed += 1;
        }
        let file = format!("pb_migrations/{}_x.js", self.model.deployed);
        let commit = FakeCommit::new("A change", [("pb_public/index.html", "an app"), (&file, "migrate(() => {})")]);
        self.world.source.inner.publish(&url(REPOSITORY), [commit]);
        match fails {
            Some(Fails::Build) => {
                let failed = BuildError::MissingProgram { program: "x".into() };
                self.world.builder.builds.push(Next::Fail(failed));
            }
            Some(Fails::Rehearsal) => {
                let failed = RehearsalError::Hooks { lines: Vec::new() };
                self.world.rehearser.script([Err(failed)]);
            }
            Some(Fails::Health) => {
                let (current, serves) = (self.world.data().app(&name("app")).current(), self.serves());
                // only what is new is sick: what served before comes back
                *self.world.probe.sick_with.lock().unwrap() =
                    Some((current, serves.unwrap_or_else(ReleaseId::new), false));
            }
            None => {}
        }
    }

    fn serves(&self) -> Option<ReleaseId> {
        self.model.app.as_ref().and_then(|app| app.serves)
    }

    fn heal(&self) {
        self.world.builder.builds.clear();
        self.world.rehearser.clear();
        *self.world.probe.sick_with.lock().unwrap() = None;
    }

    /// Does it, to its end; whether it succeeded.
    async fn perform(&self, lab: &Lab, op: Op, version: semver::Version) -> bool {
        let app = name("app");
        let followed = async |started: Result<DeployStarted, Error>| match started {
            Ok(started) => finished(lab, "app", started.deployment).await.state == DeployState::Succeeded,
            Err(_) => false,
        };
        match op {
            Op::Deploy { .. } => {
                let request = DeployRequest { repository: Some(url(REPOSITORY)), ..DeployRequest::new(app) };
                followed(lab.deploy(request).await).await
            }
            Op::Rollback { with_data } => followed(lab.rollback(&app, None, with_data, None).await).await,
            Op::TakePoint => lab.take_point(&app).await.is_ok(),
            Op::Restore(n) => {
                let points = lab.points(&app).await.unwrap_or_default();
                match points.get(n % points.len().max(1)) {
                    Some(point) => lab.restore_point(&app, point.id).await.is_ok(),
                    None => false,
                }
            }
            Op::Restart => lab.restart(&app).await.is_ok(),
            Op::Stop => lab.stop(&app).await.is_ok(),
            Op::Start => lab.start(&app).await.is_ok(),
            Op::Remove { purge } => lab.remove(&app, purge).await.is_ok(),
            Op::Upgrade => followed(lab.upgrade(&app, Some(version), false, false, None).await).await,
            Op::Cancel => {
                let request = DeployRequest { repository: Some(url(REPOSITORY)), ..DeployRequest::new(app.clone()) };
                let Ok(started) = lab.deploy(request).await else { return false };
                lab.cancel(&app, started.deployment).await.unwrap().state == DeployState::Succeeded
            }
            Op::Write(_) => true,
        }
    }
}

/// Whether what was found is what the operation may leave: all of it, or, where it failed or was cut, nothing of it.
fn compare(before: &Model, op: Op, done: Option<bool>, found: Option<&App>) -> Result<(), TestCaseError> {
    let context = || format!("{op:?} (done: {done:?}) made\n{before:#?}\ninto\n{found:#?}");
    let (Some(was), Some(is)) = (before.app.as_ref(), found) else {
        let is_fine = match (before.app.as_ref(), found) {
            (None, None) => !(matches!(op, Op::Deploy { fails: None, .. } | Op::Cancel) && done == Some(true)),
            // a first deploy, whole or not at all
            (None, Some(is)) => {
                matches!(op, Op::Deploy { .. } | Op::Cancel)
                    && is.rows.is_empty()
                    && is.points.is_empty()
                    && (done != Some(true) || is.serves.is_some())
                    && (done != Some(false) || is.serves.is_none())
            }
            (Some(_), None) => matches!(op, Op::Remove { .. }) && done != Some(false),
            (Some(_), Some(_)) => unreachable!(),
        };
        prop_assert!(is_fine, "{}", context());
        return Ok(());
    };
    prop_assert!(!matches!(op, Op::Remove { .. }) || done != Some(true), "{}", context());
    for (id, point) in &was.points {
        if let Some(kept) = is.points.get(id) {
            prop_assert_eq!(kept, point, "a data point is another: {}", context());
        } else {
            // only the oldest go, and only where there are too many
            let is_old = is.points.keys().next().is_some_and(|oldest| id < oldest);
            prop_assert!(is_old && is.points.len() >= KEPT_POINTS, "a data point is lost: {}", context());
        }
    }
    let chosen = was.chosen(op);
    let new: Vec<&BTreeSet<u32>> =
        is.points.iter().filter(|(id, _)| !was.points.contains_key(id)).map(|(_, (_, rows))| rows).collect();
    for rows in &new {
        // what was there, or what was put there and taken back
        let is_known = *rows == &was.rows || Some(*rows) == chosen;
        prop_assert!(is_known, "a data point holds other data: {}", context());
    }
    let is_whole = match op {
        Op::Deploy { .. } | Op::Cancel | Op::Upgrade => {
            is.rows == was.rows
                && (is.serves != was.serves || !new.is_empty() || done != Some(true) || was.serves.is_some())
                && (done != Some(true) || is.serves != was.serves)
                && (done != Some(false) || is.serves == was.serves)
                && (is.is_stopped == was.is_stopped || (is.serves != was.serves && !is.is_stopped))
        }
        Op::Rollback { with_data } => {
            let has_moved = is.serves != was.serves;
            let data = if with_data && has_moved {
                // both of one time, and what was replaced is kept
                chosen == Some(&is.rows) && (is.rows == was.rows || new.contains(&&was.rows))
            } else {
                is.rows == was.rows
            };
            data && (!has_moved || is.serves == was.before)
                && (done != Some(true) || has_moved)
                && (done != Some(false) || !has_moved)
        }
        Op::Restore(_) => {
            let restored = chosen == Some(&is.rows) && new.contains(&&was.rows);
            is.serves == was.serves && (restored || (is.rows == was.rows && done != Some(true)))
        }
        Op::TakePoint => (is.serves, &is.rows) == (was.serves, &was.rows) && (done != Some(true) || new.len() == 1),
        Op::Stop => (is.serves, &is.rows) == (was.serves, &was.rows) && (done != Some(true) || is.is_stopped),
        Op::Start | Op::Restart => {
            (is.serves, &is.rows) == (was.serves, &was.rows) && (done != Some(true) || !is.is_stopped)
        }
        Op::Remove { .. } | Op::Write(_) => is == was,
    };
    prop_assert!(is_whole, "{}", context());
    Ok(())
}

/// What is there, and what must hold of it whatever was done.
async fn look(world: &World, lab: &Lab) -> Result<Option<App>, TestCaseError> {
    world.assert_serves(lab, "other").await;
    let Ok(view) = lab.get(&name("app")).await else {
        prop_assert!(!world.runs("app").await, "an app that is gone runs");
        prop_assert_eq!(world.target("app"), None);
        return Ok(None);
    };
    let dirs = world.data().app(&name("app"));
    for deployment in lab.deployments(&name("app")).await.unwrap() {
        prop_assert!(deployment.state.is_final(), "{:?}", deployment);
    }
    let releases = lab.releases(&name("app")).await.unwrap();
    let before = releases.iter().find(|release| release.is_before).map(|release| release.release.id);
    let on_disk = std::fs::read_dir(dirs.releases()).map_or(0, Iterator::count);
    prop_assert_eq!(releases.len(), on_disk, "releases on disk that are none");
    let is_stopped = view.app.desired == Desired::Stopped;
    let Some(serves) = view.app.release else {
        if is_stopped {
            prop_assert_eq!((world.runs("app").await, world.leftovers("app")), (false, Vec::new()));
        } else {
            world.assert_nothing_left(lab, "app").await;
        }
        return Ok(Some(App { is_stopped, ..App::default() }));
    };
    prop_assert!(releases.iter().any(|release| release.serves && release.release.id == serves));
    if is_stopped {
        prop_assert!(!world.runs("app").await, "a stopped app runs");
        prop_assert_eq!(world.target("app"), Some(Target::Unavailable(Unavailable::Stopped)));
    } else {
        world.assert_serves(lab, "app").await;
    }
    let rows = |path: std::path::PathBuf| -> BTreeSet<u32> {
        let database = Connection::open(path).unwrap();
        let mut all = database.prepare("SELECT id FROM notes").unwrap();
        all.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let points = lab.points(&name("app")).await.unwrap();
    let on_disk = std::fs::read_dir(dirs.points()).map_or(0, Iterator::count);
    prop_assert_eq!(points.len(), on_disk, "data points on disk that are none");
    let points =
        points.into_iter().map(|point| (point.id, (point.release, rows(dirs.point(point.id).join("pb_data/data.db")))));
    let points: BTreeMap<_, _> = points.collect();
    if !dirs.data().join("data.db").exists() {
        // PocketBase would have made it at its first start
        return Ok(Some(App { serves: Some(serves), is_stopped, rows: BTreeSet::new(), points, before }));
    }
    Ok(Some(App { serves: Some(serves), is_stopped, rows: rows(dirs.data().join("data.db")), points, before }))
}

/// Tells the steps that end in a panic.
struct Told<'a>(&'a [Step]);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("after {:?}", self.0);
        }
    }
}

/// Plays the steps; each time an app begins to serve, it gets a database. How often the lab crashed.
fn play(steps: &[Step]) -> Result<usize, TestCaseError> {
    let _told = Told(steps);
    let mut play = Play::new();
    for step in steps {
        play.step(*step)?;
        if play.serves().is_some() {
            drop(play.database());
        }
    }
    Ok(play.crashes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_done_and_wherever_it_crashes_all_or_nothing_of_it_is_found(steps in prop::collection::vec(step(), 10..16)) {
        play(&steps)?;
    }
}

/// What leads to an app with rows, two releases with a migration between them, and rows since.
const BEGIN: [Step; 5] = [
    (Op::Deploy { migrates: true, fails: None }, None, None),
    (Op::Write(5), None, None),
    (Op::Deploy { migrates: true, fails: None }, None, None),
    (Op::Write(7), None, None),
    (Op::TakePoint, None, None),
];

/// A crash before each change on disk in turn, of each of these: the first deploy too.
#[test]
fn a_crash_before_any_change_of_an_operation_is_survived() {
    let each = [
        (0, Op::Deploy { migrates: true, fails: None }),
        (5, Op::Deploy { migrates: true, fails: None }),
        (5, Op::Deploy { migrates: true, fails: Some(Fails::Health) }),
        (5, Op::Rollback { with_data: false }),
        (5, Op::Rollback { with_data: true }),
        (5, Op::Restore(1)),
        (5, Op::TakePoint),
        (5, Op::Remove { purge: false }),
        (5, Op::Upgrade),
    ];
    for (begin, op) in each {
        let mut points = 0;
        for changes in 0.. {
            let mut steps = BEGIN[..begin].to_vec();
            steps.push((op, Some(changes), None));
            match play(&steps) {
                Err(error) => panic!("{op:?}, crashed before change {changes}: {error}"),
                Ok(0) => break,
                Ok(_) => points = changes + 1,
            }
        }
        eprintln!("{op:?}: {points} moments");
        assert!(points > 3, "{op:?}: {points}");
    }
}

#[test]
#[ignore = "long: `make soak CRASHES=1000`"]
fn soak_crashes() {
    let wanted = std::env::var("CRASHES").map_or(1000, |text| text.parse().unwrap());
    let crashes = std::cell::Cell::new((0, 0));
    for seed in chance::seed().. {
        let config =
            ProptestConfig { cases: 4, max_shrink_iters: 500, failure_persistence: None, ..Default::default() };
        let played = chance::runner(seed, config).run(&prop::collection::vec(step(), 20..40), |steps| {
            let (operations, before) = crashes.get();
            crashes.set((operations + steps.len(), before + play(&steps)?));
            Ok(())
        });
        if let Err(error) = played {
            panic!("SEED={seed}: {error}");
        }
        let (operations, so_far) = crashes.get();
        eprintln!("{operations} operations, {so_far} crashes (SEED={seed})");
        if so_far >= wanted {
            return;
        }
    }
}
