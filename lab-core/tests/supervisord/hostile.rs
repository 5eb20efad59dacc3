//! What an app's owner chooses reaches the process as it is, and nothing else.

use std::{collections::BTreeMap, os::unix::ffi::OsStringExt, path::Path};

use futures_util::future::join_all;
use lab_core::{
    AppName,
    supervisor::{ProcessSpec, ProcessSupervisor},
    testing::supervisor::{script, scripts},
};
use proptest::{prelude::*, test_runner::TestRunner};

use super::running::{Running, eventually, name, pid};

/// An app to start: its name, arguments and environment.
type Given = (String, Vec<String>, BTreeMap<String, String>);

/// A process that stays whatever it is given, as no shell does: some take `OPTIND` to heart.
fn spec(folder: &Path, (app, args, env): &Given) -> ProcessSpec {
    let mut spec = script(app, folder, "");
    spec.program = "/usr/bin/tail".into();
    spec.args = ["-f", "--", "/dev/null"].map(str::to_owned).to_vec();
    spec.args.extend(args.iter().cloned());
    spec.env.extend(env.clone());
    spec
}

/// What the kernel says of a process: `cmdline` or `environ`.
fn told(pid: u32, what: &str) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
    let parts = bytes.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned());
    let mut parts: Vec<String> = parts.collect();
    parts.pop();
    parts
}

/// Starts all of them at once beside an app that must not notice, looks at what each process was given, and removes them.
async fn round_trip(running: &Running, apps: &[Given]) {
    let supervisor = running.open().await;
    let folder = running.folder();
    supervisor.start(script("beside", folder, scripts::FOREVER)).await.unwrap();
    let before = pid(&supervisor, "beside").await;
    join_all(apps.iter().map(|given| async { supervisor.start(spec(folder, given)).await.unwrap() })).await;
    for given in apps {
        let (app, args, env) = given;
        let pid = pid(&supervisor, app).await;
        let spec = spec(folder, given);
        // until then it is the shell of its launch file, and then `setpriv`
        eventually("its own program", async || told(pid, "cmdline").get(1).is_some_and(|word| *word == spec.args[0]))
            .await;
        assert_eq!(told(pid, "cmdline")[1..], spec.args, "{app}");
        assert!(told(pid, "cmdline").ends_with(args));
        let mut seen: Vec<String> = told(pid, "environ");
        // the marks are the lab's
        seen.retain(|entry| !entry.starts_with("LAB_PROCESS=") && !entry.starts_with("LAB_RUN_DIR="));
        seen.sort();
        let mut expected: Vec<String> = spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        expected.sort();
        assert_eq!(seen, expected, "{app}");
        // no file of supervisord's holds a value but the app's own
        let program = std::fs::read_to_string(running.settings.programs().join(format!("{app}.conf"))).unwrap();
        for value in env.values().filter(|value| value.len() > 3) {
            assert!(!program.contains(value.as_str()), "{program}");
        }
    }
    assert_eq!(pid(&supervisor, "beside").await, before, "the other app never noticed");
    join_all(apps.iter().map(|(app, ..)| async { supervisor.remove(&name(app)).await.unwrap() })).await;
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
    round_trip(&running, &[("one".to_owned(), args.map(str::to_owned).to_vec(), env)]).await;
}

/// Names that mean something to supervisord, to its command line, or to a parser that is not careful.
const ODD_NAMES: [&str; 14] = [
    "all",
    "include",
    "supervisord",
    "supervisor",
    "supervisorctl",
    "group",
    "program",
    "unix-http-server",
    "eventlistener",
    "default",
    "none",
    "true",
    "0",
    "1e9",
];

#[test]
fn any_text_arrives_as_it_is() {
    /// Apps that are started at once: most of the time is supervisord's tick.
    const APPS: usize = 12;
    let text = || "[^\\x00]{0,24}|[%;\"'\\\\#\\n$`()\\[\\]= ]{1,12}";
    let variable = "[A-Za-z_][A-Za-z0-9_]{0,12}|_|[A-Z]|UID|PPID|PATH|PWD|IFS|ENV|PS[14]|OPTIND|SHLVL|BASH_ENV|LINENO";
    let app = prop_oneof![
        prop::sample::select(ODD_NAMES.map(str::to_owned).to_vec()),
        "[a-z0-9]|[a-z0-9]{40}|[a-z0-9][a-z0-9](-[a-z0-9]){1,19}",
    ];
    let given = (prop::collection::vec(text(), 0..6), prop::collection::btree_map(variable, text(), 0..6));
    let apps = prop::collection::btree_map(app, given, APPS);
    let running = Running::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = ProptestConfig { cases: 10, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&apps, |apps| {
            let apps: Vec<Given> = apps
                .into_iter()
                .filter(|(app, _)| app != "beside" && app.parse::<AppName>().is_ok())
                .map(|(app, (args, env))| (app, args, env))
                .collect();
            runtime.block_on(round_trip(&running, &apps));
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
