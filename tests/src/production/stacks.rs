//! The same data under the one stack and then under the other.

use serde_json::json;

use super::{answers, small};
use crate::{
    parts::Repository,
    server::{Server, eventually},
    stack::{Stack, run},
};

const MESSAGES: &str = "/api/collections/messages/records";

#[test]
fn a_change_of_stack_never_runs_an_app_twice_and_keeps_what_is_wanted() {
    let mut server = Server::start_on(Stack::Embedded);
    server.deploy("guestbook", &Repository::of_example("guestbook"));
    server.deploy("stopped", &small("stopped"));
    assert!(server.lab(&["stop", "stopped"]).status.success());
    let port = server.lab_json(&["show", "guestbook"])["port"].clone();
    for (count, stack) in [Stack::Edge, Stack::Embedded, Stack::Edge, Stack::Embedded].into_iter().enumerate() {
        let record = json!({"author": "Me", "body": count.to_string()});
        assert_eq!(run(server.visit("guestbook").post(MESSAGES, &record)).0, 200);
        let before = server.processes();
        if server.stack == Stack::Embedded {
            assert!(server.terminate().success());
            assert_eq!(server.processes(), before, "the apps outlive the embedded server");
        } else {
            // whatever supervisord does on its way out is not waited for
            server.kill_init();
        }
        server.stack = stack;
        server.up();
        let visitor = server.visit("guestbook");
        let stats = || run(visitor.try_get("/api/guestbook/stats")).filter(|(status, _)| *status == 200);
        eventually("the app", || stats().is_some());
        let stats: serde_json::Value = serde_json::from_str(&stats().unwrap().1).unwrap();
        assert_eq!(stats["messages"], count + 1, "{stack:?}");
        eventually("one process", || server.processes().len() == 1);
        assert!(!server.processes().iter().any(|pid| before.contains(pid)), "{stack:?}: the old process is left");
        assert_eq!(server.lab_json(&["show", "guestbook"])["port"], port, "{stack:?}: {}", server.log());
        assert_eq!(server.lab_json(&["show", "stopped"])["status"], "stopped");
    }
}

#[test]
fn what_was_changed_under_the_other_stack_counts() {
    let mut server = Server::start_on(Stack::Edge);
    for app in ["gone", "stopped", "kept"] {
        server.deploy(app, &small(app));
    }
    assert!(server.end_with("TERM").success());
    server.stack = Stack::Embedded;
    server.up();
    assert!(server.lab(&["stop", "stopped"]).status.success());
    assert!(server.lab(&["rm", "gone", "--yes"]).status.success());
    assert!(server.terminate().success());
    server.stack = Stack::Edge;
    server.up();
    eventually("the app", || run(answers(&server.visit("kept"), "kept")));
    // supervisord starts what its files say before anybody asks
    let log = std::fs::read_to_string(server.data().join("supervisor/supervisord.log")).unwrap();
    let last = log.rsplit("supervisord started").next().unwrap();
    assert!(last.contains("spawned: 'kept'") && !last.contains("'stopped'") && !last.contains("'gone'"), "{last}");
}

#[test]
fn supervisords_folder_is_made_anew_where_it_is_lost() {
    let mut server = Server::start_on(Stack::Edge);
    for app in ["one", "two", "stopped"] {
        server.deploy(app, &small(app));
    }
    assert!(server.lab(&["stop", "stopped"]).status.success());
    assert!(server.end_with("TERM").success());
    std::fs::remove_dir_all(server.data().join("supervisor")).unwrap();
    server.up();
    for app in ["one", "two"] {
        eventually(app, || run(answers(&server.visit(app), app)));
    }
    eventually("the recovery of every app", || {
        let listed = server.lab_json(&["ls"]);
        let wanted = |app: &serde_json::Value| if app["name"] == "stopped" { "stopped" } else { "running" };
        listed.as_array().unwrap().iter().all(|app| app["status"] == wanted(app))
    });
    assert_eq!(server.processes().len(), 2);
}
