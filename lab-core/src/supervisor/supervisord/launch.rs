//! An app's launch file: a shell script that becomes the app's process.
//!
//! It holds what the INI cannot, arbitrary arguments and environment values, and keeps them out of the process list: the
//! values are the shell's own until it becomes the program. Its first line is the specification it was made of, so that
//! both change as one.

use std::{fmt::Write, io, os::unix::fs::MetadataExt, path::Path};

use super::SETPRIV;
use crate::supervisor::{
    ProcessSpec,
    marked::{MARK, OWNER},
};

/// What comes before the specification: a comment for the shell.
const SPEC: &str = "# ";
/// Takes variables as arguments; part of every system.
const ENV: &str = "/usr/bin/env";
/// Variables that one shell or another keeps for itself, read-only or with values of its own, beside bash's `BASH…`.
const SHELLS: [&str; 18] = [
    "DIRSTACK",
    "EPOCHREALTIME",
    "EPOCHSECONDS",
    "EUID",
    "FUNCNAME",
    "GROUPS",
    "HISTCMD",
    "LINENO",
    "OLDPWD",
    "OPTIND",
    "PPID",
    "PWD",
    "RANDOM",
    "SECONDS",
    "SHELLOPTS",
    "SHLVL",
    "SRANDOM",
    "UID",
];

/// The script. An error says what no process could be given, or no shell can give.
pub(super) fn render(spec: &ProcessSpec, launch: &Path, spool: &Path) -> io::Result<String> {
    let mut text = format!("{SPEC}{}\n", serde_json::to_string(spec)?);
    // before all else, so that what goes wrong shows in the app's log
    let _ = writeln!(text, "exec </dev/null >>{} 2>&1", quote_path(spool)?);
    let _ = writeln!(text, "cd -- {} || exit 126", quote_path(&spec.directory)?);
    // a value of its own for each start: what an earlier one left is told from it
    let _ = writeln!(text, "read -r {MARK} </proc/sys/kernel/random/uuid");
    // the shell makes these by itself
    text.push_str("unset PWD OLDPWD SHLVL\n");
    let _ = writeln!(text, "export {MARK} {OWNER}={}", quote_path(launch)?);
    // seen in the process list until `env` has become the next program. No secret is called like these
    let mut seen = String::new();
    for (name, value) in spec.env.iter().filter(|(name, _)| *name != MARK && *name != OWNER) {
        let (name, value) = (variable(name)?, quote(value)?);
        let _ =
            if is_a_shells(name) { write!(seen, " {name}={value}") } else { writeln!(text, "export {name}={value}") };
    }
    text.push_str("exec ");
    if !seen.is_empty() {
        let _ = write!(text, "{ENV}{seen} ");
    }
    // the kernel ends it when supervisord is killed: the next supervisord would start a second one on the same data
    let _ = write!(text, "{SETPRIV} --pdeathsig KILL -- {}", quote_path(&spec.program)?);
    for arg in &spec.args {
        let _ = write!(text, " {}", quote(arg)?);
    }
    text.push('\n');
    Ok(text)
}

/// The specification that a script was made of.
pub(super) fn parse(text: &str) -> Option<ProcessSpec> {
    serde_json::from_str(text.lines().next()?.strip_prefix(SPEC)?).ok()
}

/// Whether there is something to start, as far as can be told before: the shell could only say so in the log.
pub(super) fn check(spec: &ProcessSpec) -> io::Result<()> {
    let program = std::fs::metadata(&spec.program)?;
    if !program.is_file() || program.mode() & 0o111 == 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is not an executable file"));
    }
    if !std::fs::metadata(&spec.directory)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(())
}

/// Between single quotes a shell takes everything as it is, but for the quote itself (POSIX, Shell Command Language 2.2.2).
fn quote(text: &str) -> io::Result<String> {
    if text.contains('\0') {
        return Err(invalid("an argument or value has a zero byte, which no process can be given".to_owned()));
    }
    Ok(format!("'{}'", text.replace('\'', "'\\''")))
}

fn quote_path(path: &Path) -> io::Result<String> {
    quote(path.to_str().ok_or_else(|| invalid(format!("the path `{}` is not UTF-8", path.display())))?)
}

/// Only what a shell takes for a name.
fn variable(name: &str) -> io::Result<&str> {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_name = name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit());
    if is_name {
        return Ok(name);
    }
    Err(invalid(format!("`{}` is no name for a variable of a process", name.escape_debug())))
}

/// Whether a shell may not take a value for it, or not pass it on.
fn is_a_shells(name: &str) -> bool {
    name == "_" || name.starts_with("BASH") || SHELLS.contains(&name)
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::supervisor::RestartPolicy;

    fn spec(env: &[(&str, &str)], args: &[&str]) -> ProcessSpec {
        ProcessSpec {
            app: "one".parse().expect("name"),
            program: "/bin/true".into(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            directory: "/tmp".into(),
            env: env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>(),
            stop_grace: Duration::from_secs(5),
            restart: RestartPolicy::default(),
        }
    }

    fn rendered(spec: &ProcessSpec) -> io::Result<String> {
        render(spec, Path::new("/lab/one.sh"), Path::new("/lab/one.out"))
    }

    #[test]
    fn the_specification_comes_back_whatever_it_holds() {
        let odd = spec(&[("A", "x\n# {\ny")], &["'; rm -rf /; '", "\r\n", "ü"]);
        let text = rendered(&odd).expect("render");
        assert_eq!(parse(&text), Some(odd));
        assert_eq!(parse("#!/bin/sh\n"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn what_no_process_or_no_shell_can_be_given_is_refused() {
        for bad in [spec(&[("A", "\0")], &[]), spec(&[], &["\0"]), spec(&[("a b", "")], &[]), spec(&[("", "")], &[])] {
            assert_eq!(rendered(&bad).expect_err("refused").kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn every_shell_passes_on_what_it_keeps_for_itself_and_nothing_else_is_an_argument() {
        let folder = tempfile::tempdir().expect("tempdir");
        let mut env: Vec<(&str, &str)> = SHELLS.iter().map(|name| (*name, "it's mine")).collect();
        env.extend([
            ("_", "mine"),
            ("BASHOPTS", "mine"),
            ("BASH_ENV", "/no"),
            ("IFS", "m"),
            ("PATH", "/no"),
            ("PS4", "$(x)"),
        ]);
        env.push(("SECRET", "s3cret"));
        let mut spec = spec(&env, &["/proc/self/environ"]);
        spec.program = "/bin/cat".into();
        let (script, spool) = (folder.path().join("one.sh"), folder.path().join("one.out"));
        let text = render(&spec, &script, &spool).expect("render");
        let last = text.lines().last().expect("a line");
        assert!(last.contains("UID='") && !last.contains("s3cret"), "{last}");
        std::fs::write(&script, text).expect("write");
        for shell in ["/bin/sh", "/bin/dash", "/bin/bash"].iter().filter(|shell| Path::new(shell).exists()) {
            // as the name by which it is a POSIX shell
            let shell_as_sh = folder.path().join("sh");
            let _ = std::fs::remove_file(&shell_as_sh);
            std::os::unix::fs::symlink(shell, &shell_as_sh).expect("link");
            let _ = std::fs::remove_file(&spool);
            let status = std::process::Command::new(&shell_as_sh).arg(&script).env_clear().status().expect("run");
            let given = std::fs::read(&spool).expect("output");
            let given: Vec<_> = given.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
            assert!(status.success(), "{shell}: {given:?}");
            for (name, value) in &env {
                assert!(given.contains(&format!("{name}={value}").into()), "{shell}: {name} is not in {given:?}");
            }
            // and the marks
            assert_eq!(given.iter().filter(|entry| !entry.is_empty()).count(), env.len() + 2, "{shell}: {given:?}");
        }
    }

    #[test]
    fn an_app_cannot_set_the_marks() {
        let text = rendered(&spec(&[(MARK, "mine"), (OWNER, "mine")], &[])).expect("render");
        assert!(!text.lines().skip(1).any(|line| line.contains("mine")), "{text}");
    }
}
