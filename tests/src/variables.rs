//! An app's variables, from the command line to its process.

use serde_json::json;

use crate::{
    parts::Repository,
    server::Server,
    stack::{Stack, on_every_stack},
};

on_every_stack!(async variables_reach_the_app_and_nobody_else);

/// Its second variable is one that nobody gives it.
const HOOK: &str = "routerAdd('GET', '/api/shown', (e) => e.json(200, {
    first: $os.getenv('FIRST'), other: $os.getenv('NOBODYS'), key: $os.getenv('API_KEY')
}))";

/// What no format takes by itself: supervisord's file, shells, JSON.
const HOSTILE: &str = "two\nlines; %(ENV_HOME)s \"$quoted\" 'x' \\ =é";

async fn variables_reach_the_app_and_nobody_else(stack: Stack) {
    let server = Server::start_on(stack);
    let toml = ("lab.toml", "[env]\nrequired = [\"API_KEY\"]\n");
    let repository = Repository::of_files(&[("pb_hooks/main.pb.js", HOOK), toml]);
    let address = repository.address();
    let missing = server.lab(&["deploy", &address, "--name", "app"]);
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(missing.status.code() == Some(5) && said.contains("lab env app set"), "{said}");

    // the file's own quoting takes `\n` for a line's end
    let file = "FIRST=one\nexport API_KEY=\"hunter2\\nsecond\"\n";
    let deployed = server.lab_with_input(&["deploy", &address, "--name", "app", "--env-file", "-"], file);
    let said = String::from_utf8_lossy(&deployed.stderr).into_owned();
    assert!(deployed.status.success() && said.contains("which are not set: NOBODYS ("), "{said}");
    let visitor = server.visit("app");
    let shown = async || visitor.get_json("/api/shown").await;
    assert_eq!(shown().await, json!({"first": "one", "other": "", "key": "hunter2\nsecond"}));

    let set = server.lab_json(&["env", "app", "set", &format!("FIRST={HOSTILE}"), "OTHER=x"]);
    assert_eq!(set, json!({"names": ["API_KEY", "FIRST", "OTHER"], "restarted": true}));
    assert_eq!(shown().await, json!({"first": HOSTILE, "other": "", "key": "hunter2\nsecond"}));
    let before = server.pid("app");
    let unset = server.lab_json(&["env", "app", "unset", "FIRST", "OTHER", "--no-restart"]);
    assert_eq!(unset, json!({"names": ["API_KEY"], "restarted": false}));
    assert_eq!((server.pid("app"), &shown().await["first"]), (before, &json!(HOSTILE)));
    assert!(server.lab(&["restart", "app"]).status.success());
    assert_eq!(shown().await, json!({"first": "", "other": "", "key": "hunter2\nsecond"}));
    assert_eq!(server.lab_json(&["env", "app", "ls"]), json!(["API_KEY"]));

    for (words, code) in [(["set", "PORT=1"], 2), (["set", "A-B=1"], 2), (["unset", "1"], 2)] {
        let refused = server.lab(&[&["env", "app"], &words[..]].concat());
        assert_eq!(refused.status.code(), Some(code), "{words:?}: {}", String::from_utf8_lossy(&refused.stderr));
    }
    assert_eq!(server.lab(&["env", "nobody", "ls"]).status.code(), Some(3));
    let told = [server.log(), server.lab_json(&["show", "app"]).to_string(), {
        String::from_utf8_lossy(&server.lab(&["log", "app"]).stdout).into_owned()
    }];
    assert!(!told.concat().contains("hunter2"), "{told:?}");
}
