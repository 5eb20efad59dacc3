//! An app's own variables: the environment that its owner gives it, keys of other services for the most part.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    path::Path,
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::{Error, Secret, durable};

/// What Lab itself sets for every app, see [`release`](crate::release) and the supervisors.
const RESERVED: &[&str] = &["DB_DIR", "HOME", "LAB_PROCESS", "LAB_RUN_DIR", "PATH", "PORT", "TMPDIR"];
/// The most bytes of a name.
const MAX_NAME: usize = 128;
/// The most bytes of all names and values of an app. One of them may have 128 KiB, see execve(2).
const MAX_BYTES: usize = 64 << 10;

/// Why a variable cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVariable {
    /// Not a name that every shell takes (POSIX.1-2024, 3.216).
    #[error("`{}` is not a variable's name: at most {MAX_NAME} of A-Z, a-z, 0-9 and `_`, no digit first", .0.escape_default())]
    Name(String),
    /// One that Lab sets.
    #[error("the variable `{0}` is set by Lab")]
    Reserved(String),
    /// A value with a NUL byte, which no process can be given.
    #[error("the value of `{0}` holds a NUL byte")]
    Value(VariableName),
    /// More than a process is given here.
    #[error("the variables of an app have at most {MAX_BYTES} bytes together, these have {0}")]
    TooMuch(usize),
}

/// The name of a variable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct VariableName(String);

impl FromStr for VariableName {
    type Err = InvalidVariable;

    fn from_str(text: &str) -> Result<Self, InvalidVariable> {
        let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_plain || text.is_empty() || text.len() > MAX_NAME || text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(InvalidVariable::Name(text.chars().take(MAX_NAME).collect()));
        }
        if RESERVED.contains(&text) {
            return Err(InvalidVariable::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for VariableName {
    type Error = InvalidVariable;

    fn try_from(text: String) -> Result<Self, InvalidVariable> {
        text.parse()
    }
}

impl From<VariableName> for String {
    fn from(name: VariableName) -> Self {
        name.0
    }
}

impl fmt::Display for VariableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What changes in an app's variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VariableChange {
    /// These get a value, or another one.
    pub set: BTreeMap<VariableName, Secret>,
    /// These go; one that is not there is fine.
    pub unset: BTreeSet<VariableName>,
}

/// The variables in the file at `path`; none where there is no file. Blocks.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, String>, Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(Error::storage("read", path)(error)),
    };
    serde_json::from_str(&text).map_err(|error| {
        // its own message may show a value
        let at = format!("line {}, column {} is not JSON of names and values", error.line(), error.column());
        Error::storage("read", path)(io::Error::new(io::ErrorKind::InvalidData, at))
    })
}

/// Makes a change in the file at `path`; the names that are there afterwards. Blocks.
pub(crate) fn change(path: &Path, change: &VariableChange) -> Result<Vec<String>, Error> {
    let mut all = read(path)?;
    for name in &change.unset {
        all.remove(&name.0);
    }
    for (name, value) in &change.set {
        if value.expose().contains('\0') {
            return Err(InvalidVariable::Value(name.clone()).into());
        }
        all.insert(name.0.clone(), value.expose().to_owned());
    }
    let bytes = all.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    if bytes > MAX_BYTES {
        return Err(InvalidVariable::TooMuch(bytes).into());
    }
    let folder = path.parent().unwrap_or(path);
    durable::create_private_dir(folder).map_err(Error::storage("create", folder))?;
    let text = serde_json::to_string_pretty(&all).map_err(|e| Error::Bug(e.to_string()))?;
    durable::write(path, text.as_bytes(), 0o600).map_err(Error::storage("write", path))?;
    Ok(all.into_keys().collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn name(text: &str) -> VariableName {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_those_that_a_shell_takes_and_lab_does_not_set() {
        for good in ["A", "_x", "API_KEY", "a1"] {
            assert_eq!(name(good).to_string(), good);
        }
        for bad in ["", "1A", "A-B", "A B", "A=B", "Ä", "A\n", &"A".repeat(129)] {
            assert!(matches!(bad.parse::<VariableName>(), Err(InvalidVariable::Name(_))), "{bad:?}");
        }
        assert_eq!("PORT".parse::<VariableName>(), Err(InvalidVariable::Reserved("PORT".to_owned())));
    }

    #[test]
    fn what_is_set_is_read_again_whatever_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets/env.json");
        assert!(read(&path).unwrap().is_empty());
        let hostile = "a \"quoted\"\n# line\r\n=$HOME \u{1F600}";
        let set = BTreeMap::from([(name("A"), Secret::new(hostile)), (name("B"), Secret::new(""))]);
        assert_eq!(change(&path, &VariableChange { set, unset: BTreeSet::new() }).unwrap(), ["A", "B"]);
        assert_eq!(
            read(&path).unwrap(),
            BTreeMap::from([("A", hostile), ("B", "")].map(|(n, v)| (n.into(), v.into())))
        );
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let unset = BTreeSet::from([name("A"), name("NEVER_THERE")]);
        assert_eq!(change(&path, &VariableChange { set: BTreeMap::new(), unset }).unwrap(), ["B"]);
    }

    #[test]
    fn what_cannot_be_set_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("env.json");
        for value in ["a\0b".to_owned(), "x".repeat(MAX_BYTES)] {
            let set = BTreeMap::from([(name("A"), Secret::new(value))]);
            assert!(change(&path, &VariableChange { set, unset: BTreeSet::new() }).is_err());
        }
        assert!(read(&path).unwrap().is_empty());
    }

    #[test]
    fn a_broken_file_is_an_error_that_shows_no_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("env.json");
        for text in ["{\"A\": 12345", "{\"A\": 12345}", "[\"12345\"]"] {
            fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err().report();
            assert!(error.contains("env.json") && error.contains("line 1") && !error.contains("12345"), "{error}");
        }
    }
}
