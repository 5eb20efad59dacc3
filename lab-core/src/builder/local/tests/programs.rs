//! Releases whose program is a committed one.

use super::*;
use crate::builder::tree::Magic;

/// A program of this machine, by its head, that says `said`.
fn elf(said: &str) -> Vec<u8> {
    let Magic::Elf(processor) = Magic::HERE else { panic!("no processor") };
    let [low, high] = processor.to_le_bytes();
    [b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0", &[low, high][..], said.as_bytes(), b"\0"].concat()
}

const OWN: &str = "path\texample.com/shop\nmod\tx\ndep\tgithub.com/pocketbase/pocketbase\tv0.29.1\th1:x\n";

#[tokio::test]
async fn a_committed_program_is_copied_and_runs_as_a_go_program_does() {
    let bench = Bench::new(&[("server/pb_hooks/a.pb.js", ""), ("server/views/mail.html", "mail")]);
    let committed = bench.checkout().join("server/pocketbase");
    fs::write(&committed, elf(OWN)).expect("write");
    // nothing but the content of what is committed counts
    fs::set_permissions(&committed, fs::Permissions::from_mode(0o4600)).expect("chmod");
    let built = bench.build().await;
    let run = built.unwrap_or_else(|error| panic!("{error}\n{}", bench.progress.text())).run;
    assert_eq!((run.program.as_path(), run.flags), (Path::new("app"), Flags::Base));
    assert_eq!(run.pocketbase.as_deref(), Some("0.29.1"));
    let program = bench.output().join("app");
    assert_eq!(program.symlink_metadata().expect("metadata").permissions().mode() & 0o7777, 0o755);
    assert_eq!(fs::read(&program).expect("read"), elf(OWN));
    assert!(bench.output().join("pb_hooks/a.pb.js").is_file() && bench.output().join("views/mail.html").is_file());
    assert!(!bench.output().join("pocketbase").exists());
    let log = bench.progress.text();
    assert!(log.contains("the committed program `server/pocketbase`"), "{log}");
}

#[tokio::test]
async fn a_committed_release_serves_where_that_version_is_not_to_be_had() {
    let said = |version: &str| {
        let package = "path\tgithub.com/pocketbase/pocketbase/examples/base\nmod\tx";
        elf(&format!("{package}\npocketbase.Version={version}\n"))
    };
    for (version, serves) in [("0.99.3", true), ("0.30.0", false)] {
        let bench = Bench::new(&[("pb_hooks/a.pb.js", "")]);
        fs::write(bench.checkout().join("pocketbase"), said(version)).expect("write");
        let built = bench.build().await.unwrap_or_else(|error| panic!("{error}\n{}", bench.progress.text()));
        assert_eq!((built.run.program.as_path(), built.run.flags), (Path::new("pocketbase"), Flags::Official));
        assert_eq!(built.run.pocketbase.as_deref(), Some(version));
        let is_committed = fs::read(bench.output().join("pocketbase")).expect("read") == said(version);
        assert_eq!((is_committed, built.warnings.len()), (serves, usize::from(serves)), "{:?}", built.warnings);
    }
}

#[tokio::test]
async fn what_is_named_as_a_program_must_be_one_and_in_the_repository() {
    let toml = (
        "lab.toml",
        "[server]\nprogram = \"run\"\n[frontend]\ndirectory = \".\"\nbuild = [\"sh\", \"build.sh\"]\noutput = \"dist\"\n",
    );
    for (script, words) in [
        ("true", "is no program for Linux"),
        ("rm run", "`run`: is not there as a file"),
        ("ln -sf /bin/true run", "`run`: leads out of the repository"),
        ("rm run; mkdir run", "is not there as a file"),
    ] {
        let script = format!("mkdir dist; echo page >dist/index.html; {script}");
        let bench = Bench::new(&[toml, ("build.sh", &script), ("run", "#!/bin/sh\necho hello\n")]);
        let error = bench.build().await.expect_err(&script).to_string();
        assert!(error.contains(words), "{script}: {error}");
        assert!(!bench.output().join("app").exists() || words.contains("no program"), "{script}");
    }
}

#[tokio::test]
async fn a_program_that_was_linked_for_another_system_is_told_before_it_is_started() {
    let mut shell = fs::read("/bin/sh").expect("read");
    // this machine's own loader, under a name that it does not have
    let Some(at) = memchr::memmem::find(&shell, b"/ld-") else { return };
    shell[at..at + 4].copy_from_slice(b"/no-");
    let bench = Bench::new(&[("lab.toml", "[server]\nprogram = \"run\"\n")]);
    fs::write(bench.checkout().join("run"), shell).expect("write");
    let error = bench.build().await.expect_err("another system").to_string();
    assert!(error.contains("/no-") && error.contains("CGO_ENABLED=0"), "{error}");
}
