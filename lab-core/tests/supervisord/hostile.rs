//! What an app's owner chooses reaches the process as it is, and nothing else.

use std::{collections::BTreeMap, os::unix::ffi::OsStringExt, path::Path};

use lab_core::{
    supervisor::{ProcessSpec, ProcessSupervisor},
    testing::supervisor::{script, scripts},
};
use proptest::{prelude::*, test_runner::TestRunner};

use super::running::{Running, eventually, name, pid};

/// Prints its arguments and environment into files, each ended by a zero byte, and stays.
const TELLS: &str = r#": > args.new; for arg; do printf '%s\0' "$arg" >> args.new; done
cp /proc/self/environ env.new; mv env.new env; mv args.new args; exec sleep 1000"#;

fn spec(folder: &Path, args: &[String], env: &BTreeMap<String, String>) -> ProcessSpec {
    let mut spec = script("one", folder, TELLS);
    spec.args.push("sh".to_owned());
    spec.args.extend(args.iter().cloned());
    spec.env.extend(env.clone());
    spec
}

fn told(path: &Path) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let parts = bytes.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned());
    let mut parts: Vec<String> = parts.collect();
    parts.pop();
    parts
}

async fn round_trip(running: &Running, args: Vec<String>, env: BTreeMap<String, String>) {
    let supervisor = running.open().await;
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    supervisor.start(script("two", &other, scripts::FOREVER)).await.unwrap();
    let before = pid(&supervisor, "two").await;
    supervisor.start(spec(folder.path(), &args, &env)).await.unwrap();
    eventually("what the process was given", async || folder.path().join("args").exists()).await;
    assert_eq!(told(&folder.path().join("args")), args);
    let given = told(&folder.path().join("env"));
    for (name, value) in &env {
        assert!(given.contains(&format!("{name}={value}")), "{name}={value:?} is not among {given:?}");
    }
    // its own, the marks, and what a shell or a copying program adds by itself
    let known = ["PATH", "LAB_PROCESS", "LAB_RUN_DIR", "PWD", "OLDPWD", "SHLVL", "_"];
    for entry in &given {
        let name = entry.split('=').next().unwrap();
        assert!(env.contains_key(name) || known.contains(&name), "{entry} came from somewhere");
    }
    assert_eq!(pid(&supervisor, "two").await, before, "the other app never noticed");
    // the list of processes shows no value, and no file of supervisord's holds one but the app's own
    let programs = std::fs::read_to_string(running.settings.programs().join("one.conf")).unwrap();
    for value in env.values().filter(|value| value.len() > 3) {
        assert!(!programs.contains(value.as_str()), "{programs}");
    }
    supervisor.remove(&name("one")).await.unwrap();
    supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_ini_would_take_for_its_own_arrives_as_it_is() {
    let running = Running::start();
    let args = [
        "%",
        "%(ENV_HOME)s",
        "%%",
        "a;b",
        " ; comment",
        "# no",
        "\"",
        "'",
        "\\",
        "\\n",
        "$HOME",
        "`id`",
        "$(id)",
        "[program:two]",
        "a\nb",
        "\n[program:two]\ncommand=/bin/false\n",
        "",
        " ",
        "é",
        "\u{2028}",
        "-",
        "--",
        "*",
        "~",
        "&",
        "|",
        ">x",
        "\t",
    ];
    let env = args.iter().enumerate().map(|(n, value)| (format!("VALUE_{n}"), (*value).to_owned())).collect();
    round_trip(&running, args.map(str::to_owned).to_vec(), env).await;
}

#[test]
fn any_text_arrives_as_it_is() {
    let text = || "[^\\x00]{0,24}|[%;\"'\\\\#\\n$`()\\[\\]= ]{1,12}";
    let given =
        (prop::collection::vec(text(), 0..6), prop::collection::btree_map("[A-Za-z_][A-Za-z0-9_]{0,12}", text(), 0..6));
    let running = Running::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&given, |(args, env)| {
            // names that a shell or the dynamic linker takes for itself
            let env = env.into_iter().filter(|(name, _)| {
                name.len() > 1 && !["PATH", "PWD", "IFS", "ENV", "PS"].iter().any(|taken| name.starts_with(taken))
            });
            runtime.block_on(round_trip(&running, args, env.filter(|(name, _)| name != "OPTIND").collect()));
            Ok(())
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_process_can_be_given_is_an_error_and_harms_nobody() {
    let running = Running::start();
    let supervisor = running.open().await;
    supervisor.start(script("two", running.folder(), scripts::FOREVER)).await.unwrap();
    let before = pid(&supervisor, "two").await;
    let mut zero = script("one", running.folder(), scripts::FOREVER);
    zero.args.push("\0".to_owned());
    let mut odd = script("one", running.folder(), scripts::FOREVER);
    odd.env.insert("A B\n[program:two]".to_owned(), "x".to_owned());
    let mut path = script("one", running.folder(), scripts::FOREVER);
    path.directory = std::ffi::OsString::from_vec(vec![b'/', 0xff]).into();
    for bad in [zero, odd, path] {
        assert!(supervisor.start(bad).await.is_err());
        assert_eq!(pid(&supervisor, "two").await, before);
    }
    supervisor.start(script("one", running.folder(), scripts::FOREVER)).await.unwrap();
    supervisor.shutdown().await;
}
