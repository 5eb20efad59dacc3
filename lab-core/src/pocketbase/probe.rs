//! Asks a binary which version it is.

use std::{io, path::Path, time::Duration};

use tokio::process::Command;

use super::process;

/// A binary that does not answer by then is none.
const LIMIT: Duration = Duration::from_secs(15);

/// What `pocketbase --version` prints, run with an empty environment in its own folder.
pub(super) async fn ask(binary: &Path) -> io::Result<String> {
    let mut command = Command::new(binary);
    command.arg("--version").env_clear().current_dir(binary.parent().unwrap_or(Path::new("/")));
    let finished = process::run(command, LIMIT).await?;
    if finished.success {
        return Ok(finished.stdout);
    }
    let line = finished.stderr.lines().next().unwrap_or("no message").chars().take(200).collect::<String>();
    Err(io::Error::other(format!("`pocketbase --version` failed: {line}")))
}

/// Whether that is `version`, as a word of its own: `0.4.1` is not in `0.4.10`.
pub(super) fn names(said: &str, version: &semver::Version) -> bool {
    let version = version.to_string();
    said.split_whitespace().any(|word| word.strip_prefix('v').unwrap_or(word) == version)
}
