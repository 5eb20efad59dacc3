//! An app's variables.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read},
    path::Path,
};

use lab_core::{AppName, AppView, VariableName, lifecycle::Status};
use serde_json::json;

use crate::{args::Env, client::Client, error::CliError, output::Output};

/// The most bytes of a file of variables; more than an app can have.
const MAX_FILE: u64 = 1 << 20;

pub(crate) async fn env(client: &Client, app: &AppName, what: Env, output: &Output) -> Result<(), CliError> {
    let path = format!("/api/apps/{app}/env");
    let (set, unset, no_restart) = match what {
        Env::List => {
            let names: Vec<String> = client.get(&path).await?;
            output.data(&names, || if names.is_empty() { format!("{app} has no variables") } else { names.join("\n") });
            return Ok(());
        }
        Env::Set { variables, file, no_restart } => {
            let mut set = file.as_deref().map(from_file).transpose()?.unwrap_or_default();
            for text in &variables {
                let (name, value) = from_word(text)?;
                set.insert(name, value);
            }
            (set, BTreeSet::new(), no_restart)
        }
        Env::Unset { names, no_restart } => (BTreeMap::new(), names.into_iter().collect(), no_restart),
    };
    let names: Vec<String> = client.patch(&path, &json!({"set": set, "unset": unset})).await?;
    let view: AppView = client.get(&format!("/api/apps/{app}")).await?;
    let restarts = !no_restart && view.app.status == Status::Running;
    if restarts {
        output.note(&format!("{app} is restarted …"));
        client.post::<AppView>(&format!("/api/apps/{app}/restart"), None).await?;
    }
    output.data(&json!({"names": names, "restarted": restarts}), || {
        let known = if names.is_empty() { "no variables".to_owned() } else { names.join(", ") };
        let since = if restarts { "and runs with that" } else { "from its next start on" };
        format!("{app} has {known} {since}")
    });
    Ok(())
}

/// `NAME=value`. What is not is not repeated: it may be a value.
fn from_word(text: &str) -> Result<(VariableName, String), CliError> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(CliError::Usage("give each variable as NAME=value, or all in a file with --file".to_owned()));
    };
    let name = name.parse().map_err(|error: lab_core::InvalidVariable| CliError::Usage(error.to_string()))?;
    Ok((name, value.to_owned()))
}

/// The variables in a file as `.env` files are, `-` for standard input.
pub(super) fn from_file(path: &Path) -> Result<BTreeMap<VariableName, String>, CliError> {
    let shown = path.display();
    let failed = |e: io::Error| CliError::local(format!("`{shown}` cannot be read"))(e.into());
    let source: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path).map_err(failed)?) };
    let mut all = BTreeMap::new();
    for variable in dotenvy::from_read_iter(source.take(MAX_FILE)) {
        let (name, value) = variable.map_err(|error| match error {
            dotenvy::Error::Io(error) => failed(error),
            // its own message shows the line
            _ => {
                CliError::Usage(format!("`{shown}` holds a line that is not NAME=value, after {} good ones", all.len()))
            }
        })?;
        let name = name.parse().map_err(|e: lab_core::InvalidVariable| CliError::Usage(format!("`{shown}`: {e}")))?;
        all.insert(name, value);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<BTreeMap<VariableName, String>, CliError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(".env");
        std::fs::write(&path, text).expect("written");
        from_file(&path)
    }

    #[test]
    fn files_are_read_as_env_files_are() {
        let read = file("# keys\nexport A=1\nB=\"two words\\nand a line\"\n\nC='$as it is'\r\nD=\n").expect("good");
        let read: Vec<(String, String)> = read.into_iter().map(|(name, value)| (name.into(), value)).collect();
        let expected = [("A", "1"), ("B", "two words\nand a line"), ("C", "$as it is"), ("D", "")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_no_variable_is_an_error_that_shows_no_value() {
        for text in ["A=1\nhunter2\n", "A=1\nB=\"hunter2\n", "A=1\nPATH=hunter2\n"] {
            let error = file(text).expect_err(text).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(!from_word("hunter2").expect_err("no name").to_string().contains("hunter2"));
        assert!(from_word("1A=x").is_err());
        let (name, value) = from_word("A=b=c").expect("good");
        assert_eq!((name.to_string().as_str(), value.as_str()), ("A", "b=c"));
    }
}
