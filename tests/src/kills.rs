//! A real server that is killed: in each step of a deployment, and while twenty apps run.

use std::{
    process::Stdio,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use lab_core::deploy::DeployStep;
use serde_json::json;

use crate::{
    parts::Repository,
    server::{Server, eventually, signal},
    stack::{Stack, on_every_stack},
};

on_every_stack!(
    a_server_killed_in_any_step_of_a_redeploy_finds_its_app_serving_with_its_data,
    a_server_killed_in_any_step_of_a_first_deploy_leaves_no_half_app,
    a_server_killed_in_any_step_of_a_rollback_with_data_keeps_code_and_data_together,
    twenty_apps_never_notice_that_the_server_is_killed,
    an_app_that_is_killed_is_back_before_visitors_see_it,
);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn status(server: &Server, app: &str, path: &str) -> u16 {
    runtime().block_on(server.visit(app).get(path)).0
}

fn kill_in_step(server: &mut Server, app: &str, repository: &Repository, step: DeployStep) {
    kill_in_step_of(server, &["deploy", &repository.address(), "--name", app], step);
}

/// Kills the server as soon as the deployment that the command asks for has begun `step`, which it must.
fn kill_in_step_of(server: &mut Server, command: &[&str], step: DeployStep) {
    let deploy = server.lab_command().args(command).arg("--json").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut deploy = deploy.unwrap();
    let mark = json!({"type": "step_started", "step": step});
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(deploy.stdout.take().unwrap()));
    let reached = lines.any(|line| {
        let event: serde_json::Value = serde_json::from_str(&line.unwrap_or_default()).unwrap_or_default();
        event["data"]["type"] == mark["type"] && event["data"]["step"] == mark["step"]
    });
    assert!(reached, "{step} was not reached: {}", server.log());
    server.kill();
    let _ = deploy.kill();
    let _ = deploy.wait();
}

/// Nothing of a deployment is left, and no process and port too many.
fn assert_nothing_leaked(server: &Server) {
    let apps = server.lab_json(&["ls"]);
    let apps = apps.as_array().unwrap();
    let running = apps.iter().filter(|app| app["status"] == "running").count();
    assert_eq!(server.processes().len(), running, "{apps:?} {}", server.log());
    let ports: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(server.data().join("ports.json")).unwrap()).unwrap();
    let with_port = apps.iter().filter(|app| !app["port"].is_null()).count();
    assert_eq!(ports["allocated"].as_object().unwrap().len(), with_port);
    assert_eq!(std::fs::read_dir(server.data().join("work")).unwrap().count(), 0);
    for app in apps {
        let folder = server.data().join("apps").join(app["name"].as_str().unwrap());
        let releases = std::fs::read_dir(folder.join("releases")).map_or(0, Iterator::count);
        if app["release"].is_null() {
            assert_eq!(releases, 0, "{app}");
            assert!(!folder.join("pb_data").exists(), "{app}");
        }
    }
}

fn wait_until_settled(server: &Server) {
    eventually("every app's recovery", || {
        let apps = server.lab_json(&["ls"]);
        apps.as_array().unwrap().iter().all(|app| {
            app["deployment"]["state"] != "running" && (app["status"] == "failed" || app["status"] == "running")
        })
    });
}

fn a_server_killed_in_any_step_of_a_redeploy_finds_its_app_serving_with_its_data(stack: Stack) {
    let mut server = Server::start_on(stack);
    let repository = Repository::of_example("guestbook");
    server.deploy("guestbook", &repository);
    let record = json!({"author": "Me", "body": "before"});
    let posted = runtime().block_on(server.visit("guestbook").post("/api/collections/messages/records", &record));
    assert_eq!(posted.0, 200);
    for step in DeployStep::ALL {
        repository.push(&[("pb_public/step.txt", &step.to_string())]);
        kill_in_step(&mut server, "guestbook", &repository, step);
        server.up();
        wait_until_settled(&server);
        let stats = runtime().block_on(server.visit("guestbook").get_json("/api/guestbook/stats"));
        assert_eq!(stats["messages"], 1, "{step}");
        assert_nothing_leaked(&server);
    }
    server.deploy("guestbook", &repository);
    assert_eq!(status(&server, "guestbook", "/step.txt"), 200);
}

fn a_server_killed_in_any_step_of_a_first_deploy_leaves_no_half_app(stack: Stack) {
    let mut server = Server::start_on(stack);
    let repository = Repository::of_example("guestbook");
    for step in DeployStep::ALL {
        let app = format!("app-{step}");
        kill_in_step(&mut server, &app, &repository, step);
        server.up();
        wait_until_settled(&server);
        assert_nothing_leaked(&server);
        server.deploy(&app, &repository);
        assert_eq!(status(&server, &app, "/api/health"), 200);
    }
}

/// The text of its two releases' hook, and how many notes there are.
fn code_and_data(server: &Server) -> (String, u64) {
    let visitor = server.visit("app");
    runtime().block_on(async {
        let which = visitor.get_json("/which").await["which"].as_str().unwrap_or_default().to_owned();
        (which, visitor.get_json("/api/collections/notes/records").await["totalItems"].as_u64().unwrap())
    })
}

fn a_server_killed_in_any_step_of_a_rollback_with_data_keeps_code_and_data_together(stack: Stack) {
    const NOTES: &str = r#"migrate((app) => app.save(new Collection({
        type: "base", name: "notes", listRule: "", createRule: "", fields: [{ type: "text", name: "text" }],
    })), (app) => app.delete(app.findCollectionByNameOrId("notes")))"#;
    let hook = |which: &str| format!(r#"routerAdd("GET", "/which", (e) => e.json(200, {{"which": "{which}"}}))"#);
    let write = |server: &Server| {
        let note = json!({"text": "a note"});
        assert_eq!(runtime().block_on(server.visit("app").post("/api/collections/notes/records", &note)).0, 200);
    };
    let mut server = Server::start_on(stack);
    let repository =
        Repository::of_files(&[("pb_migrations/1_notes.js", NOTES), ("pb_hooks/main.pb.js", &hook("one"))]);
    server.deploy("app", &repository);
    write(&server);
    repository.push(&[("pb_hooks/main.pb.js", &hook("two"))]);
    server.deploy("app", &repository);
    write(&server);
    let (one, two) = (("one".to_owned(), 1), ("two".to_owned(), 2));
    assert_eq!(code_and_data(&server), two);
    let releases = server.lab_json(&["releases", "app"]);
    let id = |serves: bool| {
        let release = releases.as_array().unwrap().iter().find(|release| release["serves"] == serves).unwrap();
        release["id"].as_str().unwrap().to_owned()
    };
    let (first, second) = (id(false), id(true));
    for step in [DeployStep::Save, DeployStep::Switch, DeployStep::Start, DeployStep::Health, DeployStep::Publish] {
        kill_in_step_of(&mut server, &["rollback", "app", &first, "--with-data", "--yes"], step);
        server.up();
        wait_until_settled(&server);
        assert_nothing_leaked(&server);
        let found = code_and_data(&server);
        // until the app's record names the release it is taken back; the last step may have come to that
        assert!(found == two || (step == DeployStep::Publish && found == one), "{step}: {found:?} {}", server.log());
        // and there is a way to both
        for (release, expected) in [(&first, &one), (&second, &two)] {
            if code_and_data(&server) != *expected {
                let done = server.lab(&["rollback", "app", release, "--with-data", "--yes"]);
                assert!(done.status.success(), "{step}: {}", String::from_utf8_lossy(&done.stderr));
                assert_eq!(code_and_data(&server), *expected, "{step}");
            }
        }
    }
}

/// Kills the server `kills` times while `apps` apps run and are visited: none may notice, and none may be lost.
fn kill_while_apps_run(stack: Stack, apps: usize, kills: usize) {
    let mut server = Server::start_on(stack);
    let repository = Repository::of_files(&[("pb_public/index.html", "<html>small</html>")]);
    let names: Vec<String> = (0..apps).map(|n| format!("app-{n}")).collect();
    for name in &names {
        server.deploy(name, &repository);
    }
    let before: Vec<_> = names.iter().map(|name| server.pid(name)).collect();
    assert!(before.iter().all(Option::is_some));
    let ports: Vec<u64> = names.iter().map(|name| server.lab_json(&["show", name])["port"].as_u64().unwrap()).collect();
    // straight to the apps, past the gateway, which is killed with the server
    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = runtime();
            let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
            while !stop.load(Ordering::Relaxed) {
                for port in &ports {
                    let url = format!("http://127.0.0.1:{port}/api/health");
                    let answer = runtime.block_on(async { client.get(url).send().await.unwrap() });
                    assert_eq!(answer.status(), 200);
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        for kill in 1..=kills {
            server.kill();
            server.up();
            if kill % 10 == 0 {
                eprintln!("{kill} kills, {} requests answered", asked.load(Ordering::Relaxed));
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(asked.load(Ordering::Relaxed) > apps, "the apps were hardly asked");
    wait_until_settled(&server);
    let after: Vec<_> = names.iter().map(|name| server.pid(name)).collect();
    assert_eq!(before, after, "an app was started again");
    for name in &names {
        assert_eq!(status(&server, name, "/"), 200, "{name}");
    }
    assert_nothing_leaked(&server);
}

fn twenty_apps_never_notice_that_the_server_is_killed(stack: Stack) {
    kill_while_apps_run(stack, 20, 5);
}

#[test]
#[ignore = "long: `make soak KILLS=100`"]
fn soak() {
    let kills = std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    kill_while_apps_run(Stack::Embedded, 20, kills / 2);
    // the other half in the middle of deployments, in turn
    let mut server = Server::start();
    let repository = Repository::of_example("guestbook");
    server.deploy("guestbook", &repository);
    for kill in 0..kills - kills / 2 {
        let step = DeployStep::ALL[kill % DeployStep::ALL.len()];
        repository.push(&[("pb_public/kill.txt", &kill.to_string())]);
        kill_in_step(&mut server, "guestbook", &repository, step);
        server.up();
        wait_until_settled(&server);
        assert_nothing_leaked(&server);
        assert_eq!(status(&server, "guestbook", "/api/guestbook/stats"), 200);
        if kill % 10 == 9 {
            eprintln!("{} kills in deployments", kill + 1);
        }
    }
}

#[test]
fn apps_that_died_with_the_machine_run_again_when_the_server_does() {
    let mut server = Server::start();
    let repository = Repository::of_files(&[("pb_public/index.html", "<html>small</html>")]);
    for app in ["lives", "stopped"] {
        server.deploy(app, &repository);
    }
    assert!(server.lab(&["stop", "stopped"]).status.success());
    let before = server.pid("lives");
    server.kill();
    for pid in server.processes() {
        signal("KILL", i32::try_from(pid).unwrap());
    }
    eventually("the end of the apps", || server.processes().is_empty());
    server.up();
    eventually("the app", || server.lab_json(&["show", "lives"])["status"] == "running");
    assert_ne!(server.pid("lives"), before);
    assert_eq!((status(&server, "lives", "/"), status(&server, "stopped", "/")), (200, 503));
    assert_eq!(server.processes().len(), 1);
}

fn an_app_that_is_killed_is_back_before_visitors_see_it(stack: Stack) {
    let server = Server::start_on(stack);
    server.deploy("app", &Repository::of_files(&[("pb_public/index.html", "<html>small</html>")]));
    for _ in 0..5 {
        let before = server.pid("app").unwrap();
        signal("KILL", i32::try_from(before).unwrap());
        assert_eq!(status(&server, "app", "/"), 200);
        eventually("another process", || server.pid("app").is_some_and(|pid| pid != before));
    }
    eventually("the recovery", || server.lab_json(&["show", "app"])["status"] == "running");
}

#[test]
fn a_server_that_is_asked_to_end_leaves_the_apps_running_unless_told_otherwise() {
    let mut server = Server::start();
    server.deploy("app", &Repository::of_files(&[("pb_public/index.html", "<html>small</html>")]));
    let pid = server.pid("app");
    assert!(server.terminate().success(), "{}", server.log());
    assert_eq!(server.processes().len(), 1);
    assert!(!server.data().join("lab.sock").exists());
    server.up();
    assert_eq!(server.pid("app"), pid);
    drop(server);

    let mut server = Server::start_with(Stack::Embedded, &[("LAB_STOP_APPS_ON_EXIT", "true")]);
    server.deploy("app", &Repository::of_files(&[("pb_public/index.html", "<html>small</html>")]));
    assert!(server.terminate().success(), "{}", server.log());
    assert!(server.processes().is_empty());
    server.up();
    eventually("the app", || server.lab_json(&["show", "app"])["status"] == "running");
}

/// What a life of the server is killed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Deploy,
    /// Well in its rehearsal, but not in its place.
    BadDeploy,
    Rollback,
    RollbackWithData,
    Restore,
    Restart,
    Snapshot,
    Remove,
}

const DONE: [Done; 8] = [
    Done::Deploy,
    Done::BadDeploy,
    Done::Rollback,
    Done::RollbackWithData,
    Done::Restore,
    Done::Restart,
    Done::Snapshot,
    Done::Remove,
];

const WRITES: &str = r#"migrate((app) => app.save(new Collection({
    type: "base", name: "writes", listRule: "", createRule: "", fields: [{ type: "number", name: "n", onlyInt: true }],
})), (app) => app.delete(app.findCollectionByNameOrId("writes")))"#;

/// One writer, and the numbers whose write was answered with 200.
#[derive(Debug, Default)]
struct Written {
    next: AtomicUsize,
    answered: std::sync::Mutex<std::collections::BTreeSet<u64>>,
    most_processes: AtomicUsize,
}

impl Written {
    fn count(&self) -> usize {
        self.answered.lock().unwrap().len()
    }
}

/// The numbers that are stored, each once.
fn stored_writes(server: &Server) -> std::collections::BTreeSet<u64> {
    let visitor = server.visit("app");
    let mut found = std::collections::BTreeSet::new();
    for page in 1.. {
        let path = format!("/api/collections/writes/records?perPage=1000&page={page}&fields=n&skipTotal=1&sort=n");
        let answer = runtime().block_on(visitor.get_json(&path));
        let items = answer["items"].as_array().unwrap().clone();
        for item in &items {
            assert!(found.insert(item["n"].as_u64().unwrap()), "written twice: {item}");
        }
        if items.len() < 1000 {
            return found;
        }
    }
    found
}

/// Kills the server at random moments of random operations, under a writer: no answered write is lost unless a restore, a
/// rollback with data or a removal was asked for, and there is never more than one process on the data.
fn kill_at_random(stack: Stack, mut seed: u64, lives: usize) {
    let mut random = move |below: u64| {
        // xorshift64
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let mut server = Server::start_with(stack, &[("LAB_KEPT_RELEASES", "3"), ("LAB_KEPT_POINTS", "4")]);
    let repository = Repository::of_files(&[("pb_migrations/1_writes.js", WRITES)]);
    server.deploy("app", &repository);
    let (written, stop) = (Written::default(), AtomicBool::new(false));
    // rehearsals run on data of their own
    let (port, data) = (server.public_port, server.data().join("apps"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (runtime, visitor) = (runtime(), crate::parts::Visitor::new("app", port));
            while !stop.load(Ordering::Relaxed) {
                let n = written.next.fetch_add(1, Ordering::Relaxed) as u64;
                let body = json!({"n": n});
                let answer = runtime.block_on(visitor.try_post("/api/collections/writes/records", &body));
                if answer.is_some_and(|(status, _)| status == 200) {
                    written.answered.lock().unwrap().insert(n);
                } else {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                written.most_processes.fetch_max(crate::parts::processes(&data).len(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        // whatever fails, the others end
        let _stops = Stops(&stop);
        for life in 0..lives {
            let done = DONE[usize::try_from(random(DONE.len() as u64)).unwrap()];
            let text = format!("routerAdd('GET', '/life', (e) => e.string(200, '{life}'))");
            let hook = if done == Done::BadDeploy { crate::rehearsal::NOT_HERE.to_owned() } else { text };
            repository.push(&[("pb_hooks/main.pb.js", &hook)]);
            let points = server.lab_json(&["data", "app", "list"]);
            let point = points[0]["id"].as_str().unwrap_or("none").to_owned();
            let words: Vec<&str> = match done {
                Done::Deploy | Done::BadDeploy => vec!["deploy", "--name", "app"],
                Done::Rollback => vec!["rollback", "app"],
                Done::RollbackWithData => vec!["rollback", "app", "--with-data", "--yes"],
                Done::Restore => vec!["data", "app", "restore", &point, "--yes"],
                Done::Restart => vec!["restart", "app"],
                Done::Snapshot => vec!["data", "app", "snapshot"],
                Done::Remove => vec!["rm", "app", "--yes"],
            };
            let command = server.lab_command().args(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            let mut command = command.unwrap();
            std::thread::sleep(Duration::from_millis(random(2500)));
            server.kill();
            let _ = command.kill();
            let _ = command.wait();
            let before = written.answered.lock().unwrap().clone();
            server.up();
            wait_until_settled(&server);
            if server.lab(&["show", "app"]).status.code() == Some(3) {
                assert_eq!(done, Done::Remove);
                server.deploy("app", &repository);
            }
            let answered = written.count();
            eventually("the writer's next answer", || written.count() > answered);
            let now = written.answered.lock().unwrap().clone();
            let stored = stored_writes(&server);
            let takes_data = matches!(done, Done::RollbackWithData | Done::Restore | Done::Remove);
            let lost: Vec<u64> = now.difference(&stored).copied().collect();
            let is_asked = takes_data && lost.iter().all(|n| before.contains(n));
            assert!(lost.is_empty() || is_asked, "life {life}, {done:?}: lost {lost:?}: {}", server.log());
            written.answered.lock().unwrap().retain(|n| !lost.contains(n));
            assert!(written.most_processes.load(Ordering::Relaxed) <= 1, "life {life}, {done:?}: two on one data");
            eprintln!("life {life}: {done:?}, {} writes", now.len());
        }
    });
}

/// Ends the threads beside a test, also when it fails.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn whatever_a_killed_server_was_doing_no_answered_write_is_lost() {
    kill_at_random(Stack::Embedded, 20_261_128, 4);
}

#[test]
#[ignore = "long: `make soak KILLS=100`"]
fn soak_lives() {
    let kills = std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    let seed = crate::chance::seed();
    kill_at_random(Stack::Embedded, seed, kills / 2);
    kill_at_random(Stack::Edge, seed, kills / 2);
}
