//! Rehearsals over real parts: what would hurt is seen on a copy, and the app that serves never notices.

use std::time::Duration;

use lab_core::{
    AppName, Lab,
    deploy::{DeployState, DeployStep, Deployment},
    rehearsal::{Isolation, Neutralised, Rehearsal, RehearsalPolicy, RehearsalReport},
    supervisor::ProcessState,
};
use rusqlite::Connection;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    parts::{Repository, Visitor, processes},
    real::Real,
    stack::{Stack, on_both_stacks},
    world::name,
};

on_both_stacks!(
    async
    a_migration_is_rehearsed_and_what_it_changes_is_told,
    a_migration_that_throws_never_reaches_the_data,
    an_app_that_never_gets_healthy_or_dies_soon_is_seen_before_it_serves,
    a_cancelled_rehearsal_leaves_nothing,
    a_verified_data_point_was_started_on,
);

const NOTES: &str = r#"migrate((app) => {
    app.save(new Collection({
        type: "base", name: "notes", listRule: "", viewRule: "", createRule: "",
        fields: [{ type: "text", name: "text" }, { type: "number", name: "mood" }],
    }));
}, () => {});
"#;

/// An app that serves, with two notes.
struct Serving {
    real: Real,
    repository: Repository,
    visitor: Visitor,
    pid: u32,
    /// All that was in its database when it began.
    rows: Vec<String>,
}

impl Serving {
    async fn begin(stack: Stack) -> Self {
        Self::begin_with(Real::open(stack).await).await
    }

    async fn begin_with(real: Real) -> Self {
        let repository = Repository::of_files(&[("pb_migrations/1700000000_notes.js", NOTES)]);
        real.deploy_well("app", &repository).await;
        let visitor = real.visit("app");
        for text in ["one", "two"] {
            let (status, answer) = visitor.post(RECORDS, &json!({"text": text, "mood": 1})).await;
            assert_eq!(status, 200, "{answer}");
        }
        let (pid, rows) = (pid(&real.lab).await, rows(&real));
        Self { real, repository, visitor, pid, rows }
    }

    /// A deployment with these files too, during which every visitor gets an answer.
    async fn deploy(&self, files: &[(&str, &str)]) -> Deployment {
        self.repository.push(files);
        let (visitor, over) = (self.real.visit("app"), CancellationToken::new());
        let stop = over.clone();
        let visits = tokio::spawn(async move {
            let (mut asked, mut refused) = (0, Vec::new());
            while !stop.is_cancelled() {
                match visitor.try_get(RECORDS).await {
                    Some((200, _)) => {}
                    other => refused.push(other),
                }
                asked += 1;
            }
            (asked, refused)
        });
        let deployment = self.real.deploy("app", &self.repository).await;
        over.cancel();
        let (asked, refused) = visits.await.unwrap();
        assert!(asked > 10 && refused.is_empty(), "{refused:?} of {asked} while {deployment:?}");
        deployment
    }

    /// The deployment failed in its rehearsal, for this reason, and nothing else happened.
    async fn never_noticed(&self, deployment: &Deployment, reason: &str) {
        assert_eq!(deployment.state, DeployState::Failed, "{deployment:?}");
        let problem = deployment.problem.as_ref().unwrap();
        assert_eq!(problem.code, "rehearsal_failed", "{problem:?}");
        assert!(problem.message.contains(reason), "{}", problem.message);
        assert_eq!(deployment.steps.last().unwrap().step, DeployStep::Rehearse);
        assert_eq!(pid(&self.real.lab).await, self.pid, "another process serves");
        let items = self.visitor.get_json(&format!("{RECORDS}?sort=text")).await["items"].clone();
        assert_eq!((&items[0]["text"], &items[1]["mood"]), (&json!("one"), &json!(1)));
        assert_eq!(rows(&self.real), self.rows, "its data is another");
        assert!(self.real.lab.points(&app()).await.unwrap().is_empty(), "a data point was taken");
        self.nothing_is_left();
    }

    fn nothing_is_left(&self) {
        let data = self.real.lab.settings().data.clone();
        let work: Vec<_> = std::fs::read_dir(data.work_root()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(work, Vec::<std::path::PathBuf>::new());
        assert_eq!(processes(&data.work_root()), Vec::<u32>::new());
    }
}

const RECORDS: &str = "/api/collections/notes/records";

fn app() -> AppName {
    name("app")
}

/// Every row of the app's collections, and which migrations ran; PocketBase's other tables change by themselves soon after
/// its start.
fn rows(real: &Real) -> Vec<String> {
    let data = real.lab.settings().data.app(&app()).data();
    let database = Connection::open(data.join("data.db")).unwrap();
    let tables = "SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name";
    let mut tables = database.prepare(tables).unwrap();
    let tables = tables.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
    let mut all = Vec::new();
    for (name, sql) in tables.map(Result::unwrap) {
        if name != "_migrations" && (name.starts_with('_') || name.starts_with("sqlite")) {
            continue;
        }
        all.push(sql);
        let mut rows = database.prepare(&format!("SELECT * FROM `{name}` ORDER BY rowid")).unwrap();
        let columns = rows.column_count();
        let rows = rows.query_map([], |row| (0..columns).map(|n| row.get::<_, rusqlite::types::Value>(n)).collect());
        all.extend(rows.unwrap().map(|row: Result<Vec<_>, _>| format!("{:?}", row.unwrap())));
    }
    all
}

async fn pid(lab: &Lab) -> u32 {
    match lab.backends().supervisor.state(&app()).await.unwrap() {
        Some(ProcessState::Running { pid, .. }) => pid,
        other => panic!("{other:?}"),
    }
}

fn report(deployment: &Deployment) -> &RehearsalReport {
    match &deployment.rehearsal {
        Some(Rehearsal::Passed(report)) => report,
        other => panic!("{other:?}, {:?}", deployment.problem),
    }
}

async fn a_migration_is_rehearsed_and_what_it_changes_is_told(stack: Stack) {
    let serving = Serving::begin(stack).await;
    let change = r#"migrate((app) => {
        const notes = app.findCollectionByNameOrId("notes");
        notes.fields.removeByName("mood");
        notes.fields.add(new TextField({ name: "title" }));
        app.save(notes);
        app.save(new Collection({ type: "base", name: "tags", fields: [{ type: "text", name: "label" }] }));
        app.db().newQuery("DELETE FROM notes WHERE text = 'two'").execute();
    }, () => {});
    "#;
    let deployment = serving.deploy(&[("pb_migrations/1700000001_change.js", change)]).await;
    serving.never_noticed(&deployment, "field `mood` removed").await;
    assert!(deployment.rehearsal.is_some());
    let request = lab_core::DeployRequest { accept_loss: true, ..lab_core::DeployRequest::new(app()) };
    let started = serving.real.lab.deploy(request).await.unwrap();
    let deployment = crate::world::finished(&serving.real.lab, "app", started.deployment).await;
    assert_eq!(deployment.state, DeployState::Succeeded, "{:?}", deployment.problem);
    let report = report(&deployment);
    let changes: Vec<String> = report.changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        changes,
        [
            "collection `notes` changed, field `mood` removed, field `title` added, 1 of 2 rows are gone",
            "collection `tags` added"
        ]
    );
    assert_eq!((&report.isolation, report.settings), (&Isolation::Network, Neutralised::Done));
    assert!(report.asked >= 2, "{report:?}");
    assert_eq!(serving.visitor.get_json(RECORDS).await["totalItems"], 1);
    let steps: Vec<_> = deployment.steps.iter().map(|step| step.step).collect();
    let at = |step| steps.iter().position(|it| *it == step).unwrap();
    assert!(at(DeployStep::Build) < at(DeployStep::Rehearse) && at(DeployStep::Rehearse) < at(DeployStep::Save));
    serving.nothing_is_left();
    serving.real.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_touches_no_data_is_not_rehearsed_unless_always_and_nothing_is_when_never() {
    let serving = Serving::begin(Stack::Embedded).await;
    let deployment = serving.deploy(&[("pb_public/index.html", "a page")]).await;
    assert_eq!((deployment.state, &deployment.rehearsal), (DeployState::Succeeded, &None));
    let mut request = lab_core::DeployRequest::new(app());
    request.rehearsal = Some(RehearsalPolicy::Always);
    serving.repository.push(&[("pb_public/index.html", "another page")]);
    let started = serving.real.lab.deploy(request.clone()).await.unwrap();
    let deployment = crate::world::finished(&serving.real.lab, "app", started.deployment).await;
    assert_eq!(report(&deployment).changes, []);
    // it is the app's own word from now on
    let deployment = serving.deploy(&[("pb_public/index.html", "a third page")]).await;
    assert_eq!(report(&deployment).changes, []);
    request.rehearsal = Some(RehearsalPolicy::Never);
    serving.repository.push(&[("pb_hooks/a.pb.js", "// changed")]);
    let started = serving.real.lab.deploy(request).await.unwrap();
    let deployment = crate::world::finished(&serving.real.lab, "app", started.deployment).await;
    assert_eq!((deployment.state, &deployment.rehearsal), (DeployState::Succeeded, &None));
    serving.real.close().await;
}

async fn a_migration_that_throws_never_reaches_the_data(stack: Stack) {
    let serving = Serving::begin(stack).await;
    let throws = r#"migrate((app) => {
        app.db().newQuery("DELETE FROM notes").execute();
        throw new Error("halfway through");
    }, () => {});
    "#;
    let deployment = serving.deploy(&[("pb_migrations/1700000001_throws.js", throws)]).await;
    serving.never_noticed(&deployment, "halfway through").await;
    serving.real.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_throws_at_boot_is_seen_before_it_serves() {
    let serving = Serving::begin(Stack::Embedded).await;
    let deployment = serving.deploy(&[("pb_hooks/main.pb.js", "throw new Error('no boot')")]).await;
    serving.never_noticed(&deployment, "no boot").await;
    serving.real.close().await;
}

async fn an_app_that_never_gets_healthy_or_dies_soon_is_seen_before_it_serves(stack: Stack) {
    let real = Real::open_with(stack, |_, settings| settings.health_timeout = Some(Duration::from_secs(4))).await;
    let serving = Serving::begin_with(real).await;
    let hangs = "onBootstrap((e) => { e.next(); while (true) { sleep(1000) } })";
    let deployment = serving.deploy(&[("pb_hooks/main.pb.js", hangs)]).await;
    serving.never_noticed(&deployment, "not healthy within 4 s").await;
    let elsewhere = "$app.rootCmd.setArgs(['serve', '--http', '127.0.0.1:4321'])";
    let deployment = serving.deploy(&[("pb_hooks/main.pb.js", elsewhere)]).await;
    serving.never_noticed(&deployment, "the program listens on 4321 instead").await;
    // healthy, and gone after three seconds
    let dies = "onBootstrap((e) => { e.next(); $os.cmd('sh', '-c', 'sleep 3; kill -TERM $PPID').start() })";
    let deployment = serving.deploy(&[("pb_hooks/main.pb.js", dies)]).await;
    serving.never_noticed(&deployment, "did not stay up").await;
    // what it printed holds a link to become a superuser
    let message = &deployment.problem.as_ref().unwrap().message;
    assert!(message.contains("the link to create the first superuser is left out"), "{message}");
    assert!(!message.contains("pbinstal"), "{message}");
    serving.real.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsed_app_reaches_nobody() {
    let serving = Serving::begin(Stack::Embedded).await;
    let outside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = outside.local_addr().unwrap();
    outside.set_nonblocking(true).unwrap();
    let calls = format!(
        "onBootstrap((e) => {{ e.next(); try {{ $http.send({{ url: 'http://{address}/', timeout: 2 }}) }} catch (_) {{}} }})"
    );
    let mut request = lab_core::DeployRequest::new(app());
    request.rehearsal = Some(RehearsalPolicy::Always);
    // it fails after the call, so that the release itself never runs
    serving.repository.push(&[("pb_hooks/a.pb.js", &calls), ("pb_hooks/b.pb.js", "throw new Error('enough')")]);
    let started = serving.real.lab.deploy(request).await.unwrap();
    let deployment = crate::world::finished(&serving.real.lab, "app", started.deployment).await;
    serving.never_noticed(&deployment, "enough").await;
    assert_eq!(outside.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "it reached the machine");
    serving.real.close().await;
}

/// Set where the test below runs itself again.
const WITHOUT_SYS_ADMIN: &str = "LAB_TEST_WITHOUT_SYS_ADMIN";

#[test]
fn without_a_network_of_its_own_a_rehearsed_app_reaches_nobody_by_tcp() {
    if std::env::var_os(WITHOUT_SYS_ADMIN).is_none() {
        // as in the image and under systemd, where the kernel refuses namespaces
        let this = "rehearsal::without_a_network_of_its_own_a_rehearsed_app_reaches_nobody_by_tcp";
        let output = std::process::Command::new("setpriv")
            .args(["--bounding-set=-sys_admin", "--inh-caps=-sys_admin"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", this, "--nocapture"])
            .env(WITHOUT_SYS_ADMIN, "1")
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && printed.contains("1 passed"), "{printed}\n{said}");
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let serving = Serving::begin(Stack::Embedded).await;
        let outside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = outside.local_addr().unwrap();
        outside.set_nonblocking(true).unwrap();
        let calls = format!(
            "onBootstrap((e) => {{ e.next(); $http.send({{ url: 'http://{address}/', timeout: 2 }}); throw new Error('out') }})"
        );
        let deployment = serving.deploy(&[("pb_hooks/a.pb.js", &calls)]).await;
        serving.never_noticed(&deployment, "permission denied").await;
        assert_eq!(outside.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "it reached the machine");
        let deployment = serving.deploy(&[("pb_hooks/a.pb.js", "// changed")]).await;
        assert_eq!(deployment.state, DeployState::Succeeded, "{:?}", deployment.problem);
        let isolation = &report(&deployment).isolation;
        assert!(matches!(isolation, Isolation::Tcp { why } if why.contains("a network of its own")), "{isolation:?}");
        serving.real.close().await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_cannot_be_listed_stops_the_deployment() {
    let serving = Serving::begin(Stack::Embedded).await;
    let hook = "onRecordsListRequest((e) => { throw new InternalServerError('not this one') }, 'notes')";
    let deployment = serving.deploy(&[("pb_hooks/main.pb.js", hook)]).await;
    serving.never_noticed(&deployment, "the records of `notes` cannot be listed").await;
    serving.real.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_deployed_without_and_says_so() {
    let real = Real::open_with(Stack::Embedded, |_, settings| settings.rehearsal.limits.max_bytes = 1000).await;
    let serving = Serving::begin_with(real).await;
    let deployment = serving.deploy(&[("pb_hooks/main.pb.js", "// changed")]).await;
    assert_eq!(deployment.state, DeployState::Succeeded, "{:?}", deployment.problem);
    assert!(
        matches!(&deployment.rehearsal, Some(Rehearsal::Skipped { why }) if why.contains("1000")),
        "{deployment:?}"
    );
    assert!(deployment.warnings.concat().contains("not rehearsed"), "{:?}", deployment.warnings);
    serving.real.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_and_backups_of_the_copy_lead_nowhere_and_the_apps_own_settings_stay() {
    let serving = Serving::begin(Stack::Embedded).await;
    let database = serving.real.lab.settings().data.app(&app()).data().join("data.db");
    let settings = || -> String {
        let database = Connection::open(&database).unwrap();
        database
            .query_row("SELECT CAST(value AS TEXT) FROM _params WHERE id = 'settings'", [], |row| row.get(0))
            .unwrap()
    };
    let before = settings();
    let shows = "onBootstrap((e) => { e.next(); throw new Error('smtp ' + $app.settings().smtp.host + ':' + $app.settings().smtp.port) })";
    let deployment = serving.deploy(&[("pb_hooks/main.pb.js", shows)]).await;
    serving.never_noticed(&deployment, "smtp 127.0.0.1:1").await;
    assert_eq!(settings(), before);
    serving.real.close().await;
}

async fn a_cancelled_rehearsal_leaves_nothing(stack: Stack) {
    let serving = Serving::begin(stack).await;
    serving
        .repository
        .push(&[("pb_hooks/main.pb.js", "onBootstrap((e) => { e.next(); while (true) { sleep(1000) } })")]);
    let started = serving.real.lab.deploy(lab_core::DeployRequest::new(app())).await.unwrap();
    crate::world::reached(&serving.real.lab, "app", started.deployment, DeployStep::Rehearse).await;
    serving.real.lab.cancel(&app(), started.deployment).await.unwrap();
    let deployment = crate::world::finished(&serving.real.lab, "app", started.deployment).await;
    assert_eq!(deployment.state, DeployState::Cancelled, "{:?}", deployment.problem);
    assert_eq!(pid(&serving.real.lab).await, serving.pid);
    serving.nothing_is_left();
    serving.real.close().await;
}

async fn a_verified_data_point_was_started_on(stack: Stack) {
    let serving = Serving::begin(stack).await;
    let point = serving.real.lab.take_point(&app()).await.unwrap();
    let checked = serving.real.lab.verify_point(&app(), point.id).await.unwrap().checked.unwrap();
    assert_eq!((checked.wrong.as_slice(), checked.started), (&[] as &[String], true));
    // whole for SQLite, and nothing that PocketBase can work with
    let data = serving.real.lab.settings().data.app(&app()).point(point.id).join("pb_data/data.db");
    let database = Connection::open(data).unwrap();
    database.execute_batch("DROP TABLE _collections; CREATE TABLE _collections (name TEXT)").unwrap();
    drop(database);
    let checked = serving.real.lab.verify_point(&app(), point.id).await.unwrap().checked.unwrap();
    assert!(checked.started && !checked.wrong.is_empty(), "{checked:?}");
    serving.nothing_is_left();
    serving.real.close().await;
}

/// Throws once it runs in another release's place, and never on a copy of the data.
pub const NOT_HERE: &str = r#"
const first = $app.dataDir() + "/first";
let known = "";
try { known = toString($os.readFile(first)); } catch (_) {}
if (!known) { $os.writeFile(first, $app.dataDir(), 0o644); }
else if ($app.dataDir().includes("/apps/") && known !== $app.dataDir()) { throw new Error("not here"); }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_whose_release_fails_only_in_its_place_leaves_the_data_as_it_was() {
    let change = r#"migrate((app) => {
        const notes = app.findCollectionByNameOrId("notes");
        notes.fields.add(new TextField({ name: "title" }));
        app.save(notes);
        app.db().newQuery("DELETE FROM notes WHERE text = 'two'").execute();
    }, () => {});
    "#;
    for policy in [RehearsalPolicy::Auto, RehearsalPolicy::Never] {
        let real = Real::open_with(Stack::Embedded, |_, settings| settings.rehearsal.policy = policy).await;
        let serving = Serving::begin_with(real).await;
        let hook = [("pb_hooks/here.pb.js", NOT_HERE)];
        let before = serving.deploy(&hook).await;
        assert_eq!(before.state, DeployState::Succeeded, "{:?}", before.problem);
        serving.repository.push(&[("pb_migrations/1700000001_change.js", change)]);
        let lab = &serving.real.lab;
        let request = lab_core::DeployRequest { accept_loss: true, ..lab_core::DeployRequest::new(app()) };
        let started = lab.deploy(request).await.unwrap();
        crate::world::reached(lab, "app", started.deployment, DeployStep::Switch).await;
        // it waits, or was written just before
        let (status, _) = serving.visitor.post(RECORDS, &json!({"text": "three", "mood": 3})).await;
        assert_eq!(status, 200);
        let ended = crate::world::finished(lab, "app", started.deployment).await;
        assert_eq!((ended.state, ended.problem.unwrap().code.as_str()), (DeployState::Failed, "app_crashed"));
        assert_eq!(ended.steps.last().unwrap().step, DeployStep::Health, "{policy}");
        let items = serving.visitor.get_json(&format!("{RECORDS}?sort=text")).await["items"].clone();
        let texts: Vec<_> = items.as_array().unwrap().iter().map(|item| item["text"].as_str().unwrap()).collect();
        assert_eq!(texts.len(), 3, "{policy}: {items}");
        assert!(["one", "two", "three"].iter().all(|text| texts.contains(text)), "{policy}: {items}");
        assert!(items[0].get("title").is_none(), "{policy}: {items}");
        let points = lab.points(&app()).await.unwrap();
        let left = points.iter().find(|point| point.reason == lab_core::data::PointReason::TakenBack).unwrap();
        assert_eq!(Some(left.id), ended.aside, "{policy}");
        serving.real.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_waits_for_a_release_that_never_answers_is_made_once_by_the_one_before() {
    let real = Real::open_with(Stack::Embedded, |_, settings| {
        settings.rehearsal.policy = RehearsalPolicy::Never;
        settings.hold = Duration::from_secs(7);
    });
    let serving = Serving::begin_with(real.await).await;
    serving.repository.push(&[("lab.toml", "[health]\npath = \"/never\"\n")]);
    let lab = &serving.real.lab;
    let started = lab.deploy(lab_core::DeployRequest::new(app())).await.unwrap();
    crate::world::reached(lab, "app", started.deployment, DeployStep::Start).await;
    let (status, answer) = serving.visitor.post(RECORDS, &json!({"text": "held"})).await;
    assert_eq!(status, 200, "{answer}");
    let ended = crate::world::finished(lab, "app", started.deployment).await;
    assert_eq!((ended.state, ended.problem.unwrap().code.as_str()), (DeployState::Failed, "app_unhealthy"));
    let found = serving.visitor.get_json(&format!("{RECORDS}?filter=(text='held')")).await;
    assert_eq!(found["totalItems"], 1);
    serving.real.close().await;
}
