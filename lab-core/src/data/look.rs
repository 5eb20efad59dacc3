//! What data holds.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};
use walkdir::WalkDir;

use super::{
    DataError,
    copy::{file, is_database, is_kept_only, open},
};

/// `PocketBase`'s own database.
const MAIN: &str = "data.db";

/// One collection and how many rows of it there are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Collection {
    /// Its name.
    pub name: String,
    /// Rows.
    pub rows: u64,
}

/// What one collection holds otherwise than in older data.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Newer {
    /// Its name.
    pub name: String,
    /// Rows that the older data lacks.
    pub rows: u64,
    /// Rows that were written again since, by their field `updated`, where the collection has one.
    #[serde(default)]
    pub changed: u64,
    /// Rows that only the older data has.
    #[serde(default)]
    pub deleted: u64,
}

/// The collections of the data in a folder, by name, those that begin with `_` left out: they are `PocketBase`'s own. Empty
/// where no `PocketBase` has made any. Blocks.
pub fn collections(folder: &Path) -> Result<Vec<Collection>, DataError> {
    let path = folder.join(MAIN);
    if !is_database(&path).unwrap_or(false) {
        return Ok(Vec::new());
    }
    look(&path, |database| {
        let mut found = Vec::new();
        for name in tables(database)? {
            let rows = database.query_row(&format!("SELECT count(*) FROM {}", quoted(&name)), [], |row| row.get(0))?;
            found.push(Collection { name, rows });
        }
        Ok(found)
    })
}

/// How the rows of each collection in `folder` differ from those in `older`, by name: what would be lost, or come back, if the
/// older data took its place. Collections that do not differ are left out. Blocks.
pub fn newer(folder: &Path, older: &Path) -> Result<Vec<Newer>, DataError> {
    let (path, old) = (folder.join(MAIN), older.join(MAIN));
    if !is_database(&path).unwrap_or(false) {
        return Ok(Vec::new());
    }
    if !is_database(&old).unwrap_or(false) {
        let all = collections(folder)?.into_iter();
        return Ok(all.map(|Collection { name, rows }| Newer { name, rows, changed: 0, deleted: 0 }).collect());
    }
    look(&path, |database| {
        let count = |rows: &str| database.query_row(rows, [], |row| row.get::<_, u64>(0));
        let old = old.to_str().ok_or_else(|| rusqlite::Error::InvalidPath(old.clone()))?;
        database.execute("ATTACH DATABASE ?1 AS older", [old])?;
        let mut found = Vec::new();
        for name in tables(database)? {
            let table = quoted(&name);
            let was = "SELECT 1 FROM older.sqlite_master WHERE type = 'table' AND name = ?1";
            let was = database.query_row(was, [&name], |_| Ok(())).optional()?.is_some();
            if !was {
                let rows = count(&format!("SELECT count(*) FROM main.{table}"))?;
                found.extend((rows > 0).then_some(Newer { name, rows, changed: 0, deleted: 0 }));
                continue;
            }
            let lacks = |one: &str, other: &str| {
                count(&format!("SELECT count(*) FROM {one}.{table} WHERE id NOT IN (SELECT id FROM {other}.{table})"))
            };
            let (rows, deleted) = (lacks("main", "older")?, lacks("older", "main")?);
            let both = "SELECT count(*) FROM pragma_table_info(?1, 'main') a JOIN pragma_table_info(?1, 'older') b \
                        ON a.name = b.name WHERE a.name = 'updated'";
            let has_time = database.query_row(both, [&name], |row| row.get::<_, u64>(0))? > 0;
            let again = format!(
                "SELECT count(*) FROM main.{table} m JOIN older.{table} o ON m.id = o.id WHERE m.updated <> o.updated"
            );
            let changed = if has_time { count(&again)? } else { 0 };
            if rows + changed + deleted > 0 {
                found.push(Newer { name, rows, changed, deleted });
            }
        }
        Ok(found)
    })
}

/// What `SQLite` finds wrong with the databases of a folder: nothing, if all is well. At most ten lines. Blocks.
pub fn check(folder: &Path) -> Result<Vec<String>, DataError> {
    let mut wrong = Vec::new();
    let is_meant = |entry: &walkdir::DirEntry| !entry.path().strip_prefix(folder).is_ok_and(is_kept_only);
    for entry in WalkDir::new(folder).sort_by_file_name().into_iter().filter_entry(is_meant) {
        let entry = entry.map_err(|error| {
            let path: PathBuf = error.path().unwrap_or(folder).to_owned();
            DataError::File { action: "read", path, source: error.into() }
        })?;
        if !entry.file_type().is_file() || !is_database(entry.path()).map_err(file("read", entry.path()))? {
            continue;
        }
        let lines = look(entry.path(), |database| {
            let mut check = database.prepare("PRAGMA integrity_check(10)")?;
            check.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()
        });
        let name = entry.file_name().to_string_lossy().into_owned();
        match lines {
            Ok(lines) => {
                wrong.extend(lines.into_iter().filter(|line| line != "ok").map(|line| format!("{name}: {line}")));
            }
            Err(DataError::Database { source, .. }) => wrong.push(format!("{name}: {source}")),
            Err(other) => return Err(other),
        }
    }
    wrong.truncate(10);
    Ok(wrong)
}

/// Opens a database and looks at it, without writing. Blocks.
pub(crate) fn look<T>(path: &Path, look: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, DataError> {
    open(path).and_then(|database| look(&database)).map_err(|source| DataError::Database {
        action: "read",
        path: path.to_owned(),
        source,
    })
}

/// The tables of the collections that hold rows: views hold none.
fn tables(database: &Connection) -> rusqlite::Result<Vec<String>> {
    let known = "SELECT c.name FROM _collections c JOIN sqlite_master m ON m.type = 'table' AND m.name = c.name \
                 WHERE c.name NOT LIKE '\\_%' ESCAPE '\\' ORDER BY c.name";
    let is_pocketbase = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_collections'";
    if database.query_row(is_pocketbase, [], |_| Ok(())).optional()?.is_none() {
        return Ok(Vec::new());
    }
    database.prepare(known)?.query_map([], |row| row.get(0))?.collect()
}

/// A name as `SQLite` takes it wherever one stands.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
