//! What a release's migrations do to the data: the schema before and after.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use rusqlite::OptionalExtension;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::{self, DataError};

#[cfg(test)]
mod tests;

/// What became of one collection. Those whose names begin with `_` are `PocketBase`'s own and are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionChange {
    /// Its name, the new one where it has another now.
    pub name: String,
    /// What happened to it.
    pub change: Change,
    /// The name that it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
    /// Its fields that are not what they were, without those that every collection has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// Whether its rules, indexes or options are others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rules: bool,
    /// Whether it is a view, which holds nothing of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub view: bool,
    /// Its rows before and after, where it has fewer now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fewer_rows: Option<FewerRows>,
}

impl CollectionChange {
    /// Whether a migration takes away something that was there. Rows that the app's own code deletes at a start it deletes
    /// at every start.
    pub fn is_loss(&self) -> bool {
        let is_gone = |change: Change| change == Change::Removed;
        let are_rows_gone = self.fewer_rows.is_some_and(|rows| rows.migrated);
        !self.view && (is_gone(self.change) || are_rows_gone || self.fields.iter().any(|field| is_gone(field.change)))
    }
}

/// Rows that are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FewerRows {
    /// Rows before.
    pub before: u64,
    /// Rows after.
    pub after: u64,
    /// Whether a migration ran in between.
    #[serde(default = "is_so")]
    pub migrated: bool,
}

/// What earlier versions of Lab wrote did not say.
fn is_so() -> bool {
    true
}

/// A field that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Its name, the new one where it has another now.
    pub name: String,
    /// What happened to it.
    pub change: Change,
    /// The name that it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
}

/// What happened to something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is new.
    Added,
    /// It is another.
    Changed,
    /// It is gone, with what was in it.
    Removed,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        })
    }
}

/// One line for a person.
impl fmt::Display for CollectionChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "collection `{}` {}", self.name, self.change)?;
        if let Some(was) = &self.was {
            write!(f, ", it was named `{was}`")?;
        }
        for field in &self.fields {
            write!(f, ", field `{}` {}", field.name, field.change)?;
            if let Some(was) = &field.was {
                write!(f, " (it was named `{was}`)")?;
            }
        }
        if self.rules {
            write!(f, ", its rules, indexes or options changed")?;
        }
        if let Some(FewerRows { before, after, migrated }) = self.fewer_rows {
            write!(f, ", {} of {before} rows are gone", before.saturating_sub(after))?;
            if !migrated {
                write!(f, " without a migration: the app's own code deleted them")?;
            }
        }
        Ok(())
    }
}

/// The collections of some data, by their ids, which a change of name keeps.
#[derive(Debug, Default)]
pub(super) struct Schema {
    collections: BTreeMap<String, Collection>,
    /// How many migrations ran.
    migrations: u64,
}

#[derive(Debug)]
struct Collection {
    name: String,
    /// By their ids, without PocketBase's own.
    fields: BTreeMap<String, (String, Value)>,
    /// Everything else that is defined of it.
    rest: Vec<Option<String>>,
    is_view: bool,
    /// None of a view.
    rows: Option<u64>,
}

impl Schema {
    /// Reads the schema of the data in `folder`; empty where no `PocketBase` has made any. Blocks.
    pub(super) fn read(folder: &Path) -> Result<Self, DataError> {
        let path: PathBuf = folder.join("data.db");
        let rows: BTreeMap<String, u64> =
            data::collections(folder)?.into_iter().map(|collection| (collection.name, collection.rows)).collect();
        data::look(&path, |database| {
            // the fields are in `schema` up to 0.22, and in `fields` from 0.23
            let columns = "SELECT name FROM pragma_table_info('_collections')";
            let mut columns = database.prepare(columns)?;
            let columns: Vec<String> = columns.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            if columns.is_empty() {
                return Ok(Self::default());
            }
            let fields = if columns.iter().any(|name| name == "fields") { "fields" } else { "schema" };
            let all = format!(
                "SELECT id, name, {fields}, type, listRule, viewRule, createRule, updateRule, deleteRule, indexes, options \
                 FROM _collections WHERE name NOT LIKE '\\_%' ESCAPE '\\'"
            );
            let mut all = database.prepare(&all)?;
            let all = all.query_map([], |row| {
                let (id, name): (String, String) = (row.get(0)?, row.get(1)?);
                let rest = (3..11).map(|column| text(row, column)).collect::<rusqlite::Result<_>>()?;
                let (rows, is_view) = (rows.get(&name).copied(), text(row, 3)?.is_some_and(|kind| kind == "view"));
                let fields = fields_of(&text(row, 2)?.unwrap_or_default());
                Ok((id, Collection { name, fields, rest, is_view, rows }))
            })?;
            let collections = all.collect::<rusqlite::Result<_>>()?;
            let ran = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_migrations'";
            let migrations = match database.query_row(ran, [], |_| Ok(())).optional()? {
                Some(()) => database.query_row("SELECT count(*) FROM _migrations", [], |row| row.get(0))?,
                None => 0,
            };
            Ok(Self { collections, migrations })
        })
    }

    /// The names of the collections.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.collections.values().map(|collection| collection.name.as_str())
    }

    /// What became of these collections in `after`, by name.
    pub(super) fn changes(&self, after: &Self) -> Vec<CollectionChange> {
        let (before, now) = (&self.collections, &after.collections);
        let ids: std::collections::BTreeSet<&String> = before.keys().chain(now.keys()).collect();
        let migrated = self.migrations != after.migrations;
        let mut changes: Vec<CollectionChange> =
            ids.into_iter().filter_map(|id| change(before.get(id), now.get(id), migrated)).collect();
        changes.sort_by(|a, b| a.name.cmp(&b.name));
        changes
    }
}

/// A column that holds text, which PocketBase writes as a blob at times.
fn text(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    Ok(match row.get_ref(column)? {
        rusqlite::types::ValueRef::Text(bytes) | rusqlite::types::ValueRef::Blob(bytes) => {
            Some(String::from_utf8_lossy(bytes).into_owned())
        }
        _ => None,
    })
}

fn fields_of(json: &str) -> BTreeMap<String, (String, Value)> {
    let Ok(Value::Array(fields)) = serde_json::from_str(json) else { return BTreeMap::new() };
    fields
        .into_iter()
        .filter(|field| field["system"] != true)
        .filter_map(|field| Some((field["id"].as_str()?.to_owned(), (field["name"].as_str()?.to_owned(), field))))
        .collect()
}

fn change(before: Option<&Collection>, after: Option<&Collection>, migrated: bool) -> Option<CollectionChange> {
    let (change, name) = match (before, after) {
        (None, None) => return None,
        (None, Some(after)) => (Change::Added, &after.name),
        (Some(before), None) => (Change::Removed, &before.name),
        (Some(_), Some(after)) => (Change::Changed, &after.name),
    };
    let mut changed = CollectionChange {
        name: name.clone(),
        change,
        was: None,
        fields: Vec::new(),
        rules: false,
        // what becomes a view loses what it held
        view: before.or(after).is_some_and(|collection| collection.is_view),
        fewer_rows: before.and_then(|before| {
            let (before, after) = (before.rows?, after.and_then(|after| after.rows).unwrap_or(0));
            (after < before).then_some(FewerRows { before, after, migrated })
        }),
    };
    if let (Some(before), Some(after)) = (before, after) {
        changed.was = (before.name != after.name).then(|| before.name.clone());
        changed.fields = fields(&before.fields, &after.fields);
        changed.rules = before.rest != after.rest;
        if changed.was.is_none() && changed.fields.is_empty() && !changed.rules && changed.fewer_rows.is_none() {
            return None;
        }
    }
    Some(changed)
}

fn fields(before: &BTreeMap<String, (String, Value)>, after: &BTreeMap<String, (String, Value)>) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    for (id, (name, _)) in before {
        if !after.contains_key(id) {
            changes.push(FieldChange { name: name.clone(), change: Change::Removed, was: None });
        }
    }
    for (id, (name, defined)) in after {
        let (change, was) = match before.get(id) {
            None => (Change::Added, None),
            Some((_, same)) if same == defined => continue,
            Some((was, _)) => (Change::Changed, (was != name).then(|| was.clone())),
        };
        changes.push(FieldChange { name: name.clone(), change, was });
    }
    changes.sort_by(|a, b| a.name.cmp(&b.name));
    changes
}
