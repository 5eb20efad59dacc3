//! What only the production stack has: an init, and programs beside lab-server that can die.

use std::time::{Duration, Instant};

use proptest::{prelude::*, strategy::ValueTree};
use serde_json::json;

use crate::{
    chance,
    parts::{Repository, Visitor},
    server::{Server, eventually, signal},
    stack::{Stack, run},
};

mod ending;
mod programs;
mod stacks;

const PROGRAMS: [&str; 3] = ["lab-server", "caddy", "supervisord"];

fn small(app: &str) -> Repository {
    Repository::of_files(&[("pb_public/index.html", &format!("<html>{app}</html>"))])
}

/// Whether an app answers, without insisting.
async fn answers(visitor: &Visitor, app: &str) -> bool {
    visitor.try_get("/").await.is_some_and(|(status, text)| status == 200 && text == format!("<html>{app}</html>"))
}

const NOTES: &str = r#"migrate((app) => app.save(new Collection({
    type: "base", name: "notes", listRule: "", createRule: "", fields: [{ type: "number", name: "n" }],
})), () => {})"#;
const RECORDS: &str = "/api/collections/notes/records";

/// Whether an app serves its page and has so many notes.
async fn is_whole(visitor: &Visitor, app: &str, notes: usize) -> bool {
    let listed = visitor.try_get(&format!("{RECORDS}?perPage=1")).await;
    let listed = listed.and_then(|(_, text)| serde_json::from_str::<serde_json::Value>(&text).ok());
    answers(visitor, app).await && listed.is_some_and(|listed| listed["totalItems"] == notes)
}

/// Whether exactly these apps have a process, one each.
fn each_has_one_process(server: &Server, apps: &[String]) -> bool {
    let folder = format!("DB_DIR={}/", server.data().join("apps").display());
    let app = |pid: u32| {
        let environment = lab_core::procfs::environment(i32::try_from(pid).unwrap());
        environment.iter().find_map(|it| {
            let text = String::from_utf8_lossy(it);
            Some(text.strip_prefix(folder.as_str())?.split('/').next()?.to_owned())
        })
    };
    let mut found: Vec<String> = server.processes().into_iter().filter_map(app).collect();
    let mut expected = apps.to_vec();
    found.sort();
    expected.sort();
    found == expected
}

fn each_has_its_status(server: &Server) -> bool {
    let listed = server.lab(&["ls", "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap_or_default();
    let status = |app: &serde_json::Value| if app["name"] == "stopped" { "stopped" } else { "running" };
    listed["data"].as_array().is_some_and(|all| all.iter().all(|app| app["status"] == status(app)))
}

/// Kills the programs `kills` times each, in an order that no two of them can count on; after each kill everything must
/// come back by itself: pages, data, routes, one process an app.
fn kill_programs(stack: Stack, apps: usize, kills: usize) {
    let server = Server::start_on(stack);
    let names: Vec<String> = (0..apps).map(|n| format!("app-{n}")).collect();
    for name in &names {
        let page = format!("<html>{name}</html>");
        let files = [("pb_public/index.html", page.as_str()), ("pb_migrations/1_notes.js", NOTES)];
        server.deploy(name, &Repository::of_files(&files));
    }
    server.deploy("stopped", &small("stopped"));
    assert!(server.lab(&["stop", "stopped"]).status.success());
    let visitors: Vec<_> = names.iter().map(|name| server.visit(name)).collect();
    let [stopped, nobody] = ["stopped", "nobody"].map(|name| server.visit(name));
    let order: Vec<&str> = PROGRAMS.iter().flat_map(|program| vec![*program; kills]).collect();
    let order = Just(order)
        .prop_shuffle()
        .new_tree(&mut chance::runner(chance::seed(), ProptestConfig::default()))
        .unwrap()
        .current();
    for (kill, program) in order.into_iter().enumerate() {
        // written just before: what was answered is there afterwards; 400: it was written by a try whose answer was lost
        let note = json!({"id": format!("{kill:015}"), "n": kill});
        eventually("a note in every app", || {
            run(async {
                for visitor in &visitors {
                    if !matches!(visitor.try_post(RECORDS, &note).await, Some((200 | 400, _))) {
                        return false;
                    }
                }
                true
            })
        });
        server.kill_program(program);
        eventually(&format!("every app, its data and route after kill {kill}, of {program}"), || {
            run(async {
                for (name, visitor) in names.iter().zip(&visitors) {
                    if !is_whole(visitor, name, kill + 1).await {
                        return false;
                    }
                }
                let status = async |visitor: &Visitor| visitor.try_get("/").await.map(|(status, _)| status);
                (status(&stopped).await, status(&nobody).await) == (Some(503), Some(404))
            })
        });
        eventually(&format!("one process an app after kill {kill}, of {program}"), || {
            each_has_one_process(&server, &names)
        });
        eventually(&format!("every app's status after kill {kill}, of {program}"), || each_has_its_status(&server));
        if kill % 10 == 9 {
            eprintln!("{stack:?}: {} kills", kill + 1);
        }
    }
    assert_eq!(server.programs().len(), PROGRAMS.len());
}

#[test]
fn whatever_is_killed_comes_back_and_so_do_the_apps() {
    kill_programs(Stack::Edge, 3, 2);
}

#[test]
fn whatever_is_killed_comes_back_and_so_do_the_apps_in_the_direct_layout() {
    kill_programs(Stack::Direct, 3, 2);
}

#[test]
#[ignore = "long: `make soak`"]
fn soak_programs() {
    for stack in [Stack::Edge, Stack::Direct] {
        kill_programs(stack, 20, 20);
    }
}

#[test]
fn sigterm_and_sigint_end_all_of_it_soon_and_the_next_start_has_the_apps_and_their_data() {
    let mut server = Server::start_on(Stack::Edge);
    server.deploy("guestbook", &Repository::of_example("guestbook"));
    let visitor = server.visit("guestbook");
    let record = json!({"author": "Me", "body": "before"});
    assert_eq!(run(visitor.post("/api/collections/messages/records", &record)).0, 200);
    // a stream that somebody listens to must not hold it up
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for name in ["TERM", "INT"] {
        let stream = runtime.block_on(visitor.stream("/api/realtime"));
        assert_eq!(stream.status(), 200);
        let programs = server.programs();
        assert_eq!(programs.len(), 3, "{programs:?}");
        let begun = Instant::now();
        let ended = server.end_with(name);
        assert!(ended.success(), "{ended} {}", server.log());
        assert!(begun.elapsed() < lab_server::init::STOP_BUDGET, "{:?}", begun.elapsed());
        // what it promises is for the worst; with nothing in the way it is soon
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}: {}", begun.elapsed(), server.log());
        assert!(server.processes().is_empty());
        for (pid, words) in programs {
            assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "{words} is left");
        }
        server.up();
        eventually("the app", || run(visitor.try_get("/api/guestbook/stats")).is_some_and(|(status, _)| status == 200));
        assert_eq!(run(visitor.get_json("/api/guestbook/stats"))["messages"], 1);
    }
}

#[test]
fn a_killed_init_takes_its_programs_with_it() {
    let mut server = Server::start_on(Stack::Edge);
    server.deploy("app", &small("app"));
    server.kill_init();
    eventually("the end of every process", || server.processes().is_empty() && server.holders().is_empty());
    server.up();
    let visitor = server.visit("app");
    eventually("the app", || run(answers(&visitor, "app")));
}

#[test]
fn settings_that_make_no_sense_end_init_at_once() {
    let mut server = Server::start_on(Stack::Edge);
    assert!(server.end_with("TERM").success());
    let refused = server.command().args(["init"]).env("LAB_PORTS", "9-8").output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
    let misplaced = server.command().args(["--trash-days", "3", "init"]).output().unwrap();
    assert_eq!(misplaced.status.code(), Some(2), "{}", String::from_utf8_lossy(&misplaced.stderr));
}

#[test]
fn what_supervisord_leaves_behind_is_ended_before_another_begins() {
    let server = Server::start_on(Stack::Edge);
    server.deploy("app", &small("app"));
    let before = server.processes();
    server.kill_program("supervisord");
    eventually("another process of the app", || {
        let now = server.processes();
        now.len() == 1 && now != before
    });
    let visitor = server.visit("app");
    eventually("the app", || run(answers(&visitor, "app")));
    let pid = server.pid("app").unwrap();
    // nothing of the app's is anybody's but supervisord's
    let supervisord = server.programs().into_iter().find(|(_, words)| words.contains("supervisord")).unwrap().0;
    assert_eq!(lab_core::procfs::parent(i32::try_from(pid).unwrap()), Some(supervisord));
    signal("KILL", i32::try_from(pid).unwrap());
    eventually("the app again", || run(answers(&visitor, "app")));
}

#[test]
fn caddy_reaches_an_authority_by_the_machines_proxy_and_the_lab_without() {
    let server = Server::start_with(Stack::Edge, &[("http_proxy", "http://127.0.0.1:9"), ("NO_PROXY", "example.test")]);
    let (caddy, _) = server.programs().into_iter().find(|(_, words)| words.contains("caddy run")).unwrap();
    let environment = lab_core::procfs::environment(caddy);
    for expected in ["http_proxy=http://127.0.0.1:9", "NO_PROXY=example.test,127.0.0.1"] {
        assert!(environment.iter().any(|variable| variable == expected.as_bytes()), "{expected}");
    }
}

#[test]
fn no_app_sees_the_environment_of_the_server() {
    let server = Server::start_with(Stack::Edge, &[("LAB_API_KEY", "0123456789abcdef"), ("GITHUB_TOKEN", "t0ken")]);
    server.deploy("app", &small("app"));
    let mut seen = server.processes().into_iter().map(|pid| i32::try_from(pid).unwrap()).collect::<Vec<_>>();
    let programs = server.programs();
    seen.extend(programs.iter().filter(|(_, words)| !words.contains("lab-server")).map(|(pid, _)| *pid));
    assert_eq!(seen.len(), 3, "{programs:?}");
    for pid in seen {
        let environment = lab_core::procfs::environment(pid);
        let text: Vec<_> = environment.iter().map(|variable| String::from_utf8_lossy(variable)).collect();
        assert!(!text.is_empty());
        assert!(
            !text.iter().any(|variable| variable.contains("0123456789abcdef") || variable.contains("t0ken")),
            "{text:?}"
        );
    }
}
