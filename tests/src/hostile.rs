//! Repositories that mean harm: each ends in a clear error or harmless, and what else the lab hosts never notices.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::StreamExt;
use lab_core::{
    deploy::{DeployState, Deployment},
    router::Route,
    supervisor::ProcessState,
};

use crate::{
    parts::{Repository, folder},
    real::Real,
    stack::{Stack, on_both_stacks},
    world::name,
};

on_both_stacks!(async hostile_repositories_harm_nothing_and_end_in_clear_errors);

/// So many are tried at once.
const AT_ONCE: usize = 3;
/// No one of them takes longer to end.
const LIMIT: Duration = Duration::from_mins(2);

/// Text that is in a file outside every checkout, and must not come out.
const CANARY: &str = "nobody-may-read-this";

struct Case {
    name: &'static str,
    /// Makes the repository's files; the second folder is outside.
    make: fn(&Path, &Path),
    /// The problem's code and a text of its message; none: it is deployed, and must be harmless.
    ends: Option<(&'static str, &'static str)>,
}

const HOOK: &str = r#"routerAdd("GET", "/hello/lab", (e) => e.json(200, {"hello": "lab"}))"#;

const CASES: &[Case] = &[
    Case { name: "links-out", make: links_out, ends: None },
    Case { name: "hooks-are-a-link", make: hooks_are_a_link, ends: Some(("app_not_recognised", "pb_hooks")) },
    Case {
        name: "forks",
        make: |to, _| script(to, "while :; do sleep 600 & done"),
        ends: Some(("build_failed", "processes")),
    },
    Case {
        name: "fills-the-disk",
        make: |to, _| script(to, "while :; do head -c 1000000 /dev/zero >> junk; done"),
        ends: Some(("build_failed", "wrote more than")),
    },
    Case {
        name: "many-files",
        make: |to, _| script(to, "mkdir many; i=0; while :; do : > many/$i; i=$((i+1)); done"),
        ends: Some(("build_failed", "files")),
    },
    Case {
        name: "never-ends",
        make: |to, _| script(to, "trap '' TERM; while :; do sleep 1; done"),
        ends: Some(("build_timed_out", "longer than")),
    },
    Case { name: "detected-never-ends", make: detected_never_ends, ends: None },
    Case {
        name: "prints",
        make: |to, _| script(to, "yes 'a line that is printed again and again'"),
        ends: Some(("build_failed", "printed more than")),
    },
    Case { name: "outlives", make: outlives, ends: None },
    Case {
        name: "root-above",
        make: |to, _| files(to, &[("lab.toml", "root = \"../..\"\n"), ("pb_hooks/main.pb.js", HOOK)]),
        ends: Some(("app_invalid", "inside the repository")),
    },
    Case {
        name: "output-above",
        make: |to, _| {
            files(
                to,
                &[
                    ("lab.toml", "[frontend]\ndirectory = \".\"\noutput = \"/etc\"\nbuild = \"true\"\ninstall = []\n"),
                    ("pb_hooks/main.pb.js", HOOK),
                ],
            );
        },
        ends: Some(("app_invalid", "inside the repository")),
    },
    Case { name: "output-leads-out", make: output_leads_out, ends: Some(("app_invalid", "leads out")) },
    Case { name: "odd-names", make: odd_names, ends: None },
    Case { name: "package-is-a-bomb", make: package_is_a_bomb, ends: None },
    Case {
        name: "flags",
        make: |to, _| files(to, &[("lab.toml", "args = [\"--dir=/\"]\n"), ("pb_hooks/main.pb.js", HOOK)]),
        ends: Some(("app_invalid", "lab.toml")),
    },
    Case { name: "arguments", make: arguments, ends: None },
    Case {
        name: "version-is-lines",
        make: |to, _| {
            let version = "[pocketbase]\nversion = \"0.40.6\\n[program:neighbour]\"\n";
            files(to, &[("lab.toml", version), ("pb_hooks/main.pb.js", HOOK)]);
        },
        ends: Some(("app_invalid", "pocketbase.version")),
    },
];

/// What could reach a program file or a route; the others end in the builder, which is the same on each stack.
const ON_EDGE: [&str; 7] =
    ["links-out", "odd-names", "root-above", "output-above", "flags", "arguments", "version-is-lines"];

fn files(to: &Path, all: &[(&str, &str)]) {
    for (path, content) in all {
        let path = to.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// A repository whose frontend is built by this script.
fn script(to: &Path, text: &str) {
    files(
        to,
        &[
            ("lab.toml", "[frontend]\ndirectory = \".\"\ninstall = []\nbuild = \"sh build.sh\"\noutput = \"dist\"\n"),
            ("pb_hooks/main.pb.js", HOOK),
            ("build.sh", text),
        ],
    );
}

/// Nobody said that it is the app's frontend: the backend is deployed without.
fn detected_never_ends(to: &Path, _: &Path) {
    let package = r#"{"scripts":{"build":"trap '' TERM; while :; do sleep 1; done"}}"#;
    files(to, &[("frontend/package.json", package), ("pb_hooks/main.pb.js", HOOK)]);
}

fn links_out(to: &Path, outside: &Path) {
    files(to, &[("pb_hooks/main.pb.js", HOOK), ("pb_public/index.html", "page")]);
    symlink(outside.join("canary"), to.join("pb_public/canary.txt")).unwrap();
    symlink(outside, to.join("pb_public/all")).unwrap();
    symlink("../../../../../../../../etc", to.join("pb_public/etc")).unwrap();
}

fn hooks_are_a_link(to: &Path, outside: &Path) {
    files(outside, &[("hooks/main.pb.js", HOOK)]);
    symlink(outside.join("hooks"), to.join("pb_hooks")).unwrap();
    files(to, &[("readme", "x")]);
}

/// It leaves a process in a session of its own behind, which would write on.
fn outlives(to: &Path, outside: &Path) {
    let mark = outside.join("outlived");
    script(
        to,
        &format!(
            "setsid sh -c 'sleep 5; touch {}' > /dev/null 2>&1 &\nmkdir dist; echo page > dist/index.html\n",
            mark.display()
        ),
    );
}

fn output_leads_out(to: &Path, outside: &Path) {
    script(to, &format!("ln -s {} dist\n", outside.display()));
}

fn odd_names(to: &Path, _: &Path) {
    files(
        to,
        &[
            ("pb_hooks/main.pb.js", HOOK),
            ("pb_public/index.html", "page"),
            ("pb_public/a\nb: forged\n[program:x].txt", "x"),
            ("pb_public/\u{1b}[31mred", "x"),
            ("pb_public/--help", "x"),
            ("pb_public/%(ENV_HOME)s;$(touch x)", "x"),
        ],
    );
}

/// What supervisord's files, shells and Caddy would take for their own.
fn arguments(to: &Path, _: &Path) {
    let text = "%(ENV_HOME)s %% ; \\\"quoted\\\" 'x' $(id) `id` \\\\ {http.request.host}\\n[program:neighbour]\\ncommand=/bin/false\\n";
    let toml =
        format!("[server]\nargs = [\"--encryptionEnv={text}\"]\n[hooks]\npath = \"odd %(ENV_HOME)s; 'x' [y]\"\n");
    files(to, &[("lab.toml", &toml), ("odd %(ENV_HOME)s; 'x' [y]/main.pb.js", HOOK), ("pb_public/index.html", "page")]);
}

/// Nested deeper than any parser's stack, and long.
fn package_is_a_bomb(to: &Path, _: &Path) {
    let deep = format!("{}{}", "{\"a\":".repeat(200_000), "1");
    files(
        to,
        &[("pb_hooks/main.pb.js", HOOK), ("package.json", &deep), ("frontend/package.json", &"[".repeat(1_000_000))],
    );
}

async fn hostile_repositories_harm_nothing_and_end_in_clear_errors(stack: Stack) {
    let real = Real::open_with(stack, |building, settings| {
        settings.build_timeout = Duration::from_secs(20);
        building.max_printed_bytes = 64 << 20;
        building.max_disk_bytes = 64 << 20;
        building.max_files = 3000;
        building.max_processes = 100;
    })
    .await;
    real.deploy_well("neighbour", &Repository::of_example("guestbook")).await;
    let before = neighbour(&real).await;
    let outside = folder();
    fs::write(outside.path().join("canary"), CANARY).unwrap();
    let cases = CASES.iter().filter(|case| stack == Stack::Embedded || ON_EDGE.contains(&case.name));
    let tried = cases.map(|case| tried(&real, case, outside.path()));
    let wrong: Vec<String> = futures_util::stream::iter(tried).buffer_unordered(AT_ONCE).concat().await;
    let (status, _) = real.visit("neighbour").get("/api/health").await;
    assert_eq!(status, 200, "the neighbour");
    assert_eq!(neighbour(&real).await, before, "the neighbour's process, program file and route");
    assert_eq!(builds(&real), Vec::<PathBuf>::new(), "processes of builds");
    real.close().await;
    let left = fs::read_dir(outside.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name != "hooks").collect();
    assert_eq!(left, ["canary"], "what is outside");
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Its process, supervisord's file of it where there is one, and its route.
async fn neighbour(real: &Real) -> (Option<ProcessState>, Option<String>, Option<Route>) {
    let backends = real.lab.backends();
    let file = real.lab.settings().data.supervisor().join("programs/neighbour.conf");
    (
        backends.supervisor.state(&name("neighbour")).await.unwrap(),
        fs::read_to_string(file).ok(),
        backends.router.table().await.unwrap().get("neighbour.lab.localhost").cloned(),
    )
}

async fn tried(real: &Real, case: &Case, outside: &Path) -> Vec<String> {
    let files = folder();
    (case.make)(files.path(), outside);
    let repository = Repository::of_folder(files);
    let ended = tokio::time::timeout(LIMIT, real.deploy(case.name, &repository)).await;
    let mut wrong = match (&ended, case.ends) {
        (Err(_), _) => vec![format!("not done within {LIMIT:?}")],
        (Ok(Deployment { problem: Some(problem), .. }), Some((code, text))) => {
            let is_it = problem.code == code && problem.message.contains(text);
            if is_it { Vec::new() } else { vec![format!("ended with {problem:?}")] }
        }
        (Ok(Deployment { state: DeployState::Succeeded, .. }), None) => harmless(real, case.name).await,
        (Ok(other), _) => vec![format!("ended as {:?}: {:?}", other.state, other.problem)],
    };
    let release = real.lab.settings().data.app(&name(case.name)).releases();
    wrong.extend(walkdir::WalkDir::new(release).into_iter().flatten().filter_map(|entry| {
        let text = fs::read_to_string(entry.path()).ok()?;
        text.contains(CANARY).then(|| format!("{} holds what was outside", entry.path().display()))
    }));
    eprintln!("{}: {}", case.name, if wrong.is_empty() { "harmless" } else { "WRONG" });
    wrong.into_iter().map(|what| format!("{}: {what}", case.name)).collect()
}

async fn harmless(real: &Real, app: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for path in ["/canary.txt", "/all/canary", "/etc/passwd"] {
        let (status, text) = real.visit(app).get(path).await;
        if status == 200 && (text.contains(CANARY) || text.contains("root:")) {
            wrong.push(format!("{path} leads out: {text}"));
        }
    }
    let (status, _) = real.visit(app).get("/hello/lab").await;
    if status != 200 {
        wrong.push(format!("its hook answers {status}"));
    }
    wrong
}

/// The programs of builds that still run.
fn builds(real: &Real) -> Vec<PathBuf> {
    let home = format!("HOME={}/", real.lab.settings().data.path().display());
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter(|entry| {
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let has = |start: &str| environment.split(|b| *b == 0).any(|variable| variable.starts_with(start.as_bytes()));
        has("LAB_BUILD=") && has(&home)
    })
    .filter_map(|entry| fs::read_link(entry.path().join("exe")).ok())
    .collect()
}
