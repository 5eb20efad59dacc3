//! What the server's machine has.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use rustix::fs::{Access, access, statvfs};

/// Less free space than this is too little, in MiB.
const MIN_FREE: u64 = 1024;

/// Programs, how to ask for their version, and what does not work without.
pub(super) const PROGRAMS: [(&str, &str, &str); 5] = [
    ("git", "--version", "checkouts by hand (Lab itself does without)"),
    ("go", "version", "apps written in Go"),
    ("node", "--version", "frontends"),
    ("npm", "--version", "frontends"),
    ("python3", "--version", "PocketBase from Python wheels"),
];

pub(super) fn data(folder: &Path) -> Result<String, String> {
    let shown = folder.display();
    match access(folder, Access::READ_OK | Access::EXEC_OK) {
        Ok(()) => Ok(shown.to_string()),
        Err(error) => Err(format!("{shown}: {error}; run this as the server's user to see more")),
    }
}

pub(super) fn disk(folder: &Path) -> Result<String, String> {
    let shown = folder.display();
    let stat = statvfs(folder).map_err(|e| format!("{shown}: {e}"))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize) >> 20;
    if free < MIN_FREE {
        return Err(format!("{free} MiB free at {shown}: builds and databases need more; free some space"));
    }
    Ok(format!("{free} MiB free at {shown}"))
}

pub(super) fn installed(program: &str, argument: &str, what: &str) -> Result<String, String> {
    let ran = Command::new(program).arg(argument).stdin(Stdio::null()).stderr(Stdio::null()).output();
    match ran {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
        }
        Ok(_) => Err(format!("`{program} {argument}` fails: install it again for {what}")),
        Err(_) => Err(format!("not in PATH here: install it for {what}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_what_needs_it() {
        let missing = installed("no-such-program", "--version", "apps written in Go").expect_err("missing");
        assert!(missing.contains("apps written in Go"), "{missing}");
        assert!(installed("false", "--version", "x").expect_err("fails").contains("fails"));
        assert!(data(Path::new("/nowhere")).is_err() && disk(Path::new("/nowhere")).is_err());
        assert!(data(&std::env::temp_dir()).is_ok());
    }
}
