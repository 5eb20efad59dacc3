use rusqlite::Connection;
use serde_json::json;

use super::*;

/// Data before and after something was done to it.
struct Data {
    folder: tempfile::TempDir,
    before: Schema,
}

impl Data {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fields = json!([
            {"id": "f0", "name": "id", "type": "text", "system": true},
            {"id": "f1", "name": "text", "type": "text"},
            {"id": "f2", "name": "mood", "type": "number"},
        ]);
        let open = Connection::open(folder.path().join("data.db")).unwrap();
        open.execute_batch(
            "CREATE TABLE _collections (id TEXT, name TEXT, type TEXT, fields JSON, listRule TEXT, viewRule TEXT,
                 createRule TEXT, updateRule TEXT, deleteRule TEXT, indexes JSON, options JSON);
             CREATE TABLE _migrations (file TEXT); INSERT INTO _migrations VALUES ('1.js');
             CREATE TABLE notes (id TEXT); INSERT INTO notes VALUES ('a'), ('b'), ('c');
             CREATE VIEW latest AS SELECT id FROM notes",
        )
        .unwrap();
        for (id, name, kind) in [("c1", "notes", "base"), ("c2", "latest", "view"), ("c3", "_superusers", "auth")] {
            let insert = "INSERT INTO _collections (id, name, type, fields) VALUES (?1, ?2, ?3, ?4)";
            open.execute(insert, [id, name, kind, &fields.to_string()]).unwrap();
        }
        let before = Schema::read(folder.path()).unwrap();
        Self { folder, before }
    }

    fn after(&self, sql: &str) -> Vec<CollectionChange> {
        Connection::open(self.folder.path().join("data.db")).unwrap().execute_batch(sql).unwrap();
        self.before.changes(&Schema::read(self.folder.path()).unwrap())
    }
}

/// What one statement changes, in words, and whether that is a loss.
fn change(sql: &str) -> (String, bool) {
    let changes = Data::new().after(sql);
    (
        changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        changes.iter().any(CollectionChange::is_loss),
    )
}

fn fields(json: &serde_json::Value) -> String {
    format!("UPDATE _collections SET fields = '{json}' WHERE id = 'c1'")
}

fn is(words: &str, is_loss: bool) -> (String, bool) {
    (words.to_owned(), is_loss)
}

#[test]
fn nothing_is_no_change_and_what_begins_with_an_underscore_is_left_out() {
    assert_eq!(change("DELETE FROM _collections WHERE name = '_superusers'"), is("", false));
}

#[test]
fn fields_are_told_by_what_became_of_them() {
    let (text, mood) =
        (json!({"id": "f1", "name": "text", "type": "text"}), json!({"id": "f2", "name": "mood", "type": "number"}));
    let added = json!({"id": "f3", "name": "title", "type": "text"});
    let cases = [
        (json!([text, mood, added]), is("collection `notes` changed, field `title` added", false)),
        (json!([text]), is("collection `notes` changed, field `mood` removed", true)),
        (
            json!([text, {"id": "f2", "name": "mood", "type": "number", "required": true}]),
            is("collection `notes` changed, field `mood` changed", false),
        ),
        (
            json!([text, {"id": "f2", "name": "feeling", "type": "number"}]),
            is("collection `notes` changed, field `feeling` changed (it was named `mood`)", false),
        ),
        // another id is another field, whatever its name
        (
            json!([text, {"id": "f4", "name": "mood", "type": "number"}]),
            is("collection `notes` changed, field `mood` removed, field `mood` added", true),
        ),
    ];
    for (json, expected) in cases {
        assert_eq!(change(&fields(&json)), expected);
    }
}

#[test]
fn collections_are_told_by_what_became_of_them() {
    let add = "INSERT INTO _collections (id, name, type, fields) VALUES ('c4', 'tags', 'base', '[]')";
    assert_eq!(change(add), is("collection `tags` added", false));
    let rename = "UPDATE _collections SET name = 'memos' WHERE id = 'c1'; ALTER TABLE notes RENAME TO memos";
    assert_eq!(change(rename), is("collection `memos` changed, it was named `notes`", false));
    let rule = "UPDATE _collections SET listRule = '' WHERE id = 'c1'";
    assert_eq!(change(rule), is("collection `notes` changed, its rules, indexes or options changed", false));
    let remove = "INSERT INTO _migrations VALUES ('2.js'); DELETE FROM _collections WHERE id = 'c1'; DROP TABLE notes";
    assert_eq!(change(remove), is("collection `notes` removed, 3 of 3 rows are gone", true));
}

#[test]
fn a_view_holds_nothing_that_could_be_lost() {
    assert_eq!(change("DELETE FROM _collections WHERE id = 'c2'"), is("collection `latest` removed", false));
    let (_, is_loss) = change("UPDATE _collections SET fields = '[]' WHERE id = 'c2'");
    assert!(!is_loss);
    // what becomes a view held something
    let becomes = "INSERT INTO _migrations VALUES ('2.js'); DROP TABLE notes; CREATE VIEW notes AS SELECT 1 AS id;
                   UPDATE _collections SET type = 'view' WHERE id = 'c1'";
    assert!(change(becomes).1);
}

#[test]
fn rows_that_go_without_a_migration_are_no_loss_of_this_release() {
    let rows = "DELETE FROM notes WHERE id <> 'a'";
    let words = "collection `notes` changed, 2 of 3 rows are gone";
    assert_eq!(change(&format!("INSERT INTO _migrations VALUES ('2.js'); {rows}")), is(words, true));
    let by_itself = format!("{words} without a migration: the app's own code deleted them");
    assert_eq!(change(rows), (by_itself, false));
}
