//! Going back with the data, as an owner does it: real PocketBase, the command line, a thousand writes.

use std::time::Duration;

use serde_json::json;

use crate::{
    parts::{Repository, Visitor},
    server::Server,
    stack::{Stack, on_both_stacks},
};

on_both_stacks!(
    a_rollback_with_data_says_what_it_takes_away_and_can_be_taken_back,
    data_is_saved_looked_at_taken_home_and_restored,
);

const FIRST: &str = r#"
migrate((app) => {
    app.save(new Collection({
        type: "base",
        name: "notes",
        listRule: "",
        createRule: "",
        fields: [{ type: "text", name: "text" }, { type: "text", name: "author" }],
    }));
}, (app) => app.delete(app.findCollectionByNameOrId("notes")));
"#;
/// Takes a column away, as nobody should.
const SECOND: &str = r#"
migrate((app) => {
    const notes = app.findCollectionByNameOrId("notes");
    notes.fields.removeByName("author");
    app.save(notes);
}, (app) => {});
"#;

fn write(visitor: &Visitor, notes: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for n in 0..notes {
            let note = json!({"text": format!("note {n}"), "author": "me"});
            assert_eq!(visitor.post("/api/collections/notes/records", &note).await.0, 200);
        }
    });
}

/// How many notes there are, and whether they have authors.
fn notes(visitor: &Visitor) -> (u64, bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(visitor.get_json("/api/collections/notes/records?perPage=1"));
    (answer["totalItems"].as_u64().unwrap(), answer["items"][0]["author"] == "me")
}

fn a_rollback_with_data_says_what_it_takes_away_and_can_be_taken_back(stack: Stack) {
    let server = Server::start_on(stack);
    let repository = Repository::of_files(&[("pb_migrations/1700000001_first.js", FIRST)]);
    server.deploy("app", &repository);
    let visitor = server.visit("app");
    write(&visitor, 10);
    repository.push(&[("pb_migrations/1700000002_second.js", SECOND)]);
    let refused = server.lab(&["deploy", "--name", "app"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("field `author` removed"), "{said}");
    assert_eq!(notes(&visitor), (10, true));
    let meant = server.lab(&["deploy", "--name", "app", "--accept-loss"]);
    assert!(meant.status.success(), "{}", String::from_utf8_lossy(&meant.stderr));
    assert_eq!(notes(&visitor), (10, false));
    write(&visitor, 1000);

    // nobody is asked, so it is said and not done
    let refused = server.lab(&["rollback", "app", "--with-data"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("1000 rows") && said.contains("notes: 1000"), "{said}");
    assert_eq!(notes(&visitor), (1010, false));

    let done = server.lab(&["rollback", "app", "--with-data", "--yes"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(notes(&visitor), (10, true));

    // what was replaced is a data point, of the release that goes with it
    let points = server.lab_json(&["data", "app", "list"]);
    let replaced = points.as_array().unwrap().iter().find(|point| point["why"] == "replaced").unwrap().clone();
    assert_eq!(replaced["collections"][0], json!({"name": "notes", "rows": 1010}));
    let release = replaced["release"].as_str().unwrap();
    let again = server.lab(&["rollback", "app", release, "--with-data", "--yes"]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(notes(&visitor), (1010, false));
}

fn data_is_saved_looked_at_taken_home_and_restored(stack: Stack) {
    let server = Server::start_on(stack);
    server.deploy("app", &Repository::of_files(&[("pb_migrations/1700000001_first.js", FIRST)]));
    let visitor = server.visit("app");
    write(&visitor, 3);
    let point = server.lab_json(&["data", "app", "snapshot"]);
    assert_eq!(point["collections"][0], json!({"name": "notes", "rows": 3}));
    let id = point["id"].as_str().unwrap();
    write(&visitor, 4);
    assert_eq!(server.lab_json(&["data", "app", "verify", id])["checked"]["wrong"], json!([]));

    // the archive is a PocketBase's data as it is
    let home = tempfile::tempdir().unwrap();
    let archive = home.path().join("app.zip");
    let done = server.lab(&["data", "app", "download", id, "--output", archive.to_str().unwrap()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let mut unpack = std::process::Command::new("python3");
    assert!(unpack.args(["-m", "zipfile", "-e"]).arg(&archive).arg(home.path()).status().unwrap().success());
    let database = rusqlite::Connection::open(home.path().join("data.db")).unwrap();
    assert_eq!(database.query_row("SELECT count(*) FROM notes", [], |row| row.get::<_, u64>(0)).unwrap(), 3);
    let twice = server.lab(&["data", "app", "download", id, "--output", archive.to_str().unwrap()]);
    assert!(!twice.status.success(), "a file that is there is not overwritten");

    let stream_ended = {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut stream = runtime.block_on(visitor.stream("/api/realtime"));
        let restored = server.lab(&["data", "app", "restore", id, "--yes"]);
        assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(20), async { while let Ok(Some(_)) = stream.chunk().await {} })
                .await
        })
    };
    assert!(stream_ended.is_ok(), "visitors are told to connect again");
    assert_eq!(notes(&visitor), (3, true));
}
