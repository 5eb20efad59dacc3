//! What an app logged while it was rehearsed. PocketBase keeps its log in a database beside the data.

use std::path::{Path, PathBuf};

use crate::data::{self, DataError};

/// `slog.LevelError`
const ERROR: i64 = 8;
/// So many errors are shown.
const MOST: usize = 20;
/// An error is cut after so many characters.
const LONGEST: usize = 300;

/// How far the log went before.
#[derive(Debug)]
pub(super) struct Logs(i64);

impl Logs {
    /// Looks at the log of the data in `folder`. Blocks.
    pub(super) fn seen(folder: &Path) -> Result<Self, DataError> {
        let Some(path) = database(folder) else { return Ok(Self(0)) };
        let newest = "SELECT coalesce(max(rowid), 0) FROM _logs";
        data::look(&path, |database| database.query_row(newest, [], |row| row.get(0))).map(Self).or(Ok(Self(0)))
    }

    /// The errors since, apart from those of requests. Blocks.
    pub(super) fn errors(&self, folder: &Path) -> Result<Vec<String>, DataError> {
        let Some(path) = database(folder) else { return Ok(Vec::new()) };
        let texts = data::look(&path, |database| {
            let errors = "SELECT message, json_extract(data, '$.error') FROM _logs WHERE rowid > ?1 AND level >= ?2 \
                          AND coalesce(json_extract(data, '$.type'), '') <> 'request' ORDER BY rowid LIMIT ?3";
            let mut errors = database.prepare(errors)?;
            let rows = errors.query_map(rusqlite::params![self.0, ERROR, MOST], |row| {
                let (message, error): (String, Option<String>) = (row.get(0)?, row.get(1).unwrap_or(None));
                let text = error.map_or_else(|| message.clone(), |error| format!("{message}: {error}"));
                Ok(text.chars().filter(|c| !c.is_control()).take(LONGEST).collect())
            })?;
            rows.collect::<rusqlite::Result<Vec<String>>>()
        });
        // a log in another form says nothing about the app
        texts.or(Ok(Vec::new()))
    }
}

/// `auxiliary.db` from 0.23, `logs.db` before.
fn database(folder: &Path) -> Option<PathBuf> {
    ["auxiliary.db", "logs.db"].iter().map(|name| folder.join(name)).find(|path| path.exists())
}
