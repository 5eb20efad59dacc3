//! Makes a copy of an app's data harmless: what it would reach the world with is taken out of its settings.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, types::ValueRef};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::data::DataError;

/// What became of the settings in the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Neutralised {
    /// Mail, S3 and backups lead nowhere.
    Done,
    /// There were none.
    Nothing,
    /// They are encrypted with a key that only the app has, and are as they were.
    Encrypted,
}

/// Neutralises mail, S3 and backups in the copy at `folder`. Blocks.
pub(super) fn neutralise(folder: &Path) -> Result<Neutralised, DataError> {
    let path = folder.join("data.db");
    if !path.exists() {
        return Ok(Neutralised::Nothing);
    }
    Connection::open(&path).and_then(|database| in_database(&database)).map_err(|source| DataError::Database {
        action: "neutralise the settings in",
        path,
        source,
    })
}

/// The superuser for whom PocketBase prints a link at a start without any other. With the app's own record in the copy the
/// link's token would be good for the app too; without it PocketBase makes another.
const INSTALLER: &str = "__pbinstaller@example.com";

fn in_database(database: &Connection) -> rusqlite::Result<Neutralised> {
    let superusers = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_superusers'";
    if database.query_row(superusers, [], |_| Ok(())).optional()?.is_some() {
        database.execute("DELETE FROM _superusers WHERE email = ?1", [INSTALLER])?;
    }
    // up to 0.22 the row is found by its `key`, from 0.23 by its `id`
    let column = "SELECT name FROM pragma_table_info('_params') WHERE name IN ('key', 'id') ORDER BY name DESC LIMIT 1";
    let Some(column) = database.query_row(column, [], |row| row.get::<_, String>(0)).optional()? else {
        return Ok(Neutralised::Nothing);
    };
    let stored = format!("SELECT value FROM _params WHERE {column} = 'settings'");
    let stored = database.query_row(&stored, [], |row| {
        Ok(match row.get_ref(0)? {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.to_vec()),
            _ => None,
        })
    });
    let Some(stored) = stored.optional()?.flatten() else { return Ok(Neutralised::Nothing) };
    // encrypted ones are base64, bare or as a JSON text
    let Ok(Value::Object(mut settings)) = serde_json::from_slice(&stored) else { return Ok(Neutralised::Encrypted) };
    set(&mut settings, "smtp", DEAD_MAIL);
    set(&mut settings, "s3", &[("enabled", Setting::Is(false)), ("secret", Setting::Text(""))]);
    let backups = &[("cron", Setting::Text(""))];
    set(&mut settings, "backups", backups);
    if let Some(backups) = settings.get_mut("backups").and_then(Value::as_object_mut) {
        set(backups, "s3", &[("enabled", Setting::Is(false)), ("secret", Setting::Text(""))]);
    }
    let update = format!("UPDATE _params SET value = ?1 WHERE {column} = 'settings'");
    database.execute(&update, [Value::Object(settings).to_string()])?;
    Ok(Neutralised::Done)
}

#[derive(Debug, Clone, Copy)]
enum Setting {
    Is(bool),
    Text(&'static str),
    Number(u16),
}

/// Switched on, but to where nobody listens: with mail switched off PocketBase hands what it sends to the machine's
/// `sendmail` (`tools/mailer/sendmail.go`), which no network namespace holds back.
const DEAD_MAIL: &[(&str, Setting)] = &[
    ("enabled", Setting::Is(true)),
    ("host", Setting::Text("127.0.0.1")),
    ("port", Setting::Number(1)),
    ("username", Setting::Text("")),
    ("password", Setting::Text("")),
];

fn set(settings: &mut serde_json::Map<String, Value>, part: &str, values: &[(&str, Setting)]) {
    let part = settings.entry(part).or_insert_with(|| json!({}));
    if !part.is_object() {
        *part = json!({});
    }
    for (name, value) in values {
        part[*name] = match *value {
            Setting::Is(it) => it.into(),
            Setting::Text(text) => text.into(),
            Setting::Number(number) => number.into(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The settings after neutralising, of a table of one generation.
    fn neutralised(table: &str, row: &str) -> (Neutralised, String) {
        let database = Connection::open_in_memory().expect("a database");
        database.execute_batch(table).expect("the table");
        database.execute(row, []).expect("the row");
        let outcome = in_database(&database).expect("neutralised");
        (outcome, database.query_row("SELECT value FROM _params", [], |row| row.get(0)).expect("settings"))
    }

    const SETTINGS: &str = r#"{"meta": {"appName": "A"}, "smtp": {"enabled": false, "host": "smtp.example.com", "password": "x"},
        "s3": {"enabled": true, "bucket": "b"}, "backups": {"cron": "0 0 * * *", "s3": {"enabled": true}}}"#;

    #[test]
    fn mail_s3_and_backups_lead_nowhere_in_both_generations() {
        let rows = [
            (
                "CREATE TABLE _params (id TEXT, value JSON)",
                format!("INSERT INTO _params VALUES ('settings', '{SETTINGS}')"),
            ),
            (
                "CREATE TABLE _params (id TEXT, key TEXT, value JSON)",
                format!("INSERT INTO _params VALUES ('x', 'settings', '{SETTINGS}')"),
            ),
        ];
        for (table, row) in rows {
            let (outcome, text) = neutralised(table, &row);
            assert_eq!(outcome, Neutralised::Done);
            let settings: Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(settings["smtp"]["host"], "127.0.0.1");
            assert_eq!((&settings["smtp"]["enabled"], &settings["smtp"]["password"]), (&json!(true), &json!("")));
            assert_eq!((&settings["s3"]["enabled"], &settings["s3"]["bucket"]), (&json!(false), &json!("b")));
            assert_eq!(settings["backups"], json!({"cron": "", "s3": {"enabled": false, "secret": ""}}));
            assert_eq!(settings["meta"]["appName"], "A");
        }
    }

    #[test]
    fn encrypted_settings_are_told_and_left_alone() {
        for value in ["\"c2VjcmV0\"", "c2VjcmV0"] {
            let row = format!("INSERT INTO _params VALUES ('settings', '{value}')");
            let (outcome, text) = neutralised("CREATE TABLE _params (id TEXT, value JSON)", &row);
            assert_eq!((outcome, text.as_str()), (Neutralised::Encrypted, value));
        }
    }

    #[test]
    fn the_installer_of_the_app_is_not_the_copys() {
        let database = Connection::open_in_memory().expect("a database");
        let made = "CREATE TABLE _superusers (id TEXT, email TEXT);
                    INSERT INTO _superusers VALUES ('a', '__pbinstaller@example.com'), ('b', 'me@example.com')";
        database.execute_batch(made).expect("the table");
        in_database(&database).expect("looked");
        let left = database.query_row("SELECT group_concat(email) FROM _superusers", [], |row| row.get::<_, String>(0));
        assert_eq!(left.expect("one"), "me@example.com");
    }

    #[test]
    fn a_database_without_settings_has_nothing_to_neutralise() {
        let database = Connection::open_in_memory().expect("a database");
        assert_eq!(in_database(&database).expect("looked"), Neutralised::Nothing);
    }
}
