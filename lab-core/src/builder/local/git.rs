//! The commit's name, for builds that ask git for it and put it into what they make.

use std::{fs, io, path::Path};

/// Makes a repository of `checkout` in which `git rev-parse HEAD` tells `commit`, and nothing else is known: no history, no
/// address, no credentials. One that is there stays as it is. Blocks.
pub(super) fn name(checkout: &Path, commit: &str) -> io::Result<()> {
    let git = checkout.join(".git");
    match fs::create_dir(&git) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    for folder in ["objects", "refs"] {
        fs::create_dir(git.join(folder))?;
    }
    fs::write(git.join("HEAD"), format!("{commit}\n"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    #[test]
    fn git_tells_the_commit() {
        let dir = tempfile::tempdir().expect("tempdir");
        let commit = "0123456789abcdef0123456789abcdef01234567";
        super::name(dir.path(), commit).expect("name");
        super::name(dir.path(), "other").expect("once more");
        let tells = |arguments: &[&str]| {
            let told = Command::new("git").args(arguments).current_dir(dir.path()).output().expect("git");
            String::from_utf8(told.stdout).expect("text").trim().to_owned()
        };
        assert_eq!(tells(&["rev-parse", "HEAD"]), commit);
        assert_eq!(tells(&["rev-parse", "--short", "HEAD"]), commit[..7]);
    }
}
