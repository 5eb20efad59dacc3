//! Builds with real processes. No test needs a network; those with Go and Node.js need these installed.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    sync::Mutex,
    time::Instant,
};

use super::*;
use crate::{
    pocketbase::PocketBaseError,
    progress::Amount,
    release::{Flags, HealthCheck},
};

mod programs;

/// Writes a script where the official binary would be linked.
#[derive(Debug)]
struct Scripts;

#[async_trait]
impl PocketBaseBinaries for Scripts {
    async fn link_into(
        &self,
        version: &semver::Version,
        folder: &Path,
        _: &dyn Progress,
        _: &CancellationToken,
    ) -> Result<PathBuf, PocketBaseError> {
        let destination = folder.join("pocketbase");
        if version.major == 99 || version.minor == 99 {
            return Err(PocketBaseError::NoSuchVersion {
                origin: "test".to_owned(),
                version: version.to_string(),
                platform: "test".to_owned(),
            });
        }
        fs::write(&destination, format!("#!/bin/sh\necho {version}\n")).expect("write");
        fs::set_permissions(&destination, fs::Permissions::from_mode(0o555)).expect("chmod");
        Ok(destination)
    }

    async fn nearest(
        &self,
        version: &semver::Version,
        _: &CancellationToken,
    ) -> Result<Vec<semver::Version>, PocketBaseError> {
        // 99.1 has a neighbour of its own, of which no other is known
        Ok((version.minor == 1).then(|| semver::Version::new(98, 1, 0)).into_iter().collect())
    }
}

#[derive(Debug, Default)]
struct Recorded(Mutex<Vec<String>>);

impl Recorded {
    fn text(&self) -> String {
        self.0.lock().expect("lock").join("\n")
    }
}

impl Progress for Recorded {
    fn log(&self, line: &str) {
        self.0.lock().expect("lock").push(line.to_owned());
    }
    fn amount(&self, _: Amount) {}
}

/// A builder, a checkout and a place for the release, all in a folder of their own.
struct Bench {
    dir: tempfile::TempDir,
    settings: LocalBuilderSettings,
    progress: Arc<Recorded>,
    cancel: CancellationToken,
    env: BTreeMap<String, String>,
    timeout: Duration,
}

impl Bench {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = std::env::var("PATH").expect("PATH");
        let settings = LocalBuilderSettings::new(dir.path().join("cache"), path);
        for (path, content) in files {
            let path = dir.path().join("checkout").join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("create");
            fs::write(path, content).expect("write");
        }
        let (progress, cancel) = (Arc::default(), CancellationToken::new());
        Self { dir, settings, progress, cancel, env: BTreeMap::new(), timeout: Duration::from_mins(2) }
    }

    /// A checkout whose frontend is built by a shell script.
    fn script(script: &str) -> Self {
        let toml = "[server]\nkind = \"pocketbase\"\n[frontend]\ndirectory = \".\"\nbuild = [\"sh\", \"build.sh\"]\n";
        Self::new(&[("lab.toml", toml), ("build.sh", script), ("pb_hooks/a.pb.js", "")])
    }

    fn checkout(&self) -> PathBuf {
        self.dir.path().join("checkout")
    }

    fn output(&self) -> PathBuf {
        self.dir.path().join("release")
    }

    async fn build(&self) -> Result<Built, BuildError> {
        let builder = LocalBuilder::new(self.settings.clone(), Arc::new(Scripts));
        let plan = builder.plan(&self.checkout(), None).await?;
        let job = BuildJob {
            env: self.env.clone(),
            timeout: self.timeout,
            ..BuildJob::new(self.checkout(), plan, self.output())
        };
        builder.build(job, Arc::clone(&self.progress) as Arc<dyn Progress>, self.cancel.clone()).await
    }

    /// The numbers that a script wrote into `pids`, once there are `count`.
    async fn pids(&self, count: usize) -> Vec<u32> {
        let file = self.checkout().join("pids");
        let read = || -> Vec<u32> {
            let text = fs::read_to_string(&file).unwrap_or_default();
            let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
            complete.lines().filter_map(|line| line.parse().ok()).collect()
        };
        wait_for("the script's processes", || read().len() >= count).await;
        read()
    }
}

async fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process runs; one that only waits to be buried does not.
fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// A daemon that left the process group, an ignorant child that swallows SIGTERM, and the script itself.
const STUBBORN: &str = "echo $$ >> pids
setsid sh -c 'echo $$ >> pids; exec sleep 600' &
sh -c 'trap \"\" TERM; echo $$ >> pids; while :; do sleep 1; done' &
";

#[tokio::test]
async fn an_official_release_has_the_binary_and_three_folders() {
    let bench = Bench::new(&[
        ("pb_hooks/main.pb.js", "// hook"),
        ("pb_hooks/lib/deep.js", "// deep"),
        ("pb_public/index.html", "hi"),
        ("pb_public/.well-known/x", "y"),
        ("pb_public/.git/config", "secret"),
        ("pb_public/.env", "secret"),
        ("pb_public/assets/node_modules/x.png", "icon"),
        ("pb_public/node_modules/.bin/x", "no"),
        ("unrelated/big.bin", "no"),
    ]);
    fs::set_permissions(bench.checkout().join("pb_hooks/lib/deep.js"), fs::Permissions::from_mode(0o4700))
        .expect("chmod");
    let run = bench.build().await.expect("build").run;
    let out = bench.output();
    assert_eq!(run.program, Path::new("pocketbase"));
    assert_eq!(run.flags, Flags::Official);
    assert_eq!(run.pocketbase.as_deref(), Some(crate::pocketbase::DEFAULT_VERSION));
    assert_eq!(run.health, HealthCheck::default());
    assert_eq!(fs::read_to_string(out.join("pb_hooks/lib/deep.js")).expect("read"), "// deep");
    let mode = fs::metadata(out.join("pb_hooks/lib/deep.js")).expect("meta").permissions().mode();
    assert_eq!(mode & 0o7777, 0o744);
    assert!(out.join("pb_public/.well-known/x").is_file() && out.join("pb_migrations").is_dir());
    assert!(out.join("pb_public/assets/node_modules/x.png").is_file());
    for left_out in ["pb_public/.git", "pb_public/.env", "pb_public/node_modules", "unrelated"] {
        assert!(!out.join(left_out).exists(), "{left_out}");
    }
    let told = bench.progress.0.lock().expect("lock");
    assert!(told.iter().any(|line| line.contains("left out: `pb_public/.env` is hidden")), "{told:?}");
    assert_eq!(fs::read_dir(bench.dir.path().join("cache")).expect("cache").count(), 0);
}

#[tokio::test]
async fn what_hooks_and_migrations_read_is_where_they_look_for_it() {
    let bench = Bench::new(&[
        (
            "backend/pb_hooks/a.pb.js",
            "const lib = require(`${__hooks}/../lib/x.js`); $os.readFile('backend/seed.json')",
        ),
        ("backend/pb_migrations/1_a.js", "JSON.parse(toString($os.readFile('./data/one.json')))"),
        ("backend/lib/x.js", "module.exports = require('./y.js')"),
        ("backend/lib/y.js", ""),
        ("backend/lib/.env", "secret"),
        ("backend/seed.json", "{}"),
        ("backend/data/one.json", "[]"),
        ("backend/data/two.json", "[]"),
    ]);
    bench.build().await.expect("build");
    for there in ["lib/x.js", "lib/y.js", "seed.json", "backend/seed.json", "data/one.json"] {
        assert!(bench.output().join(there).is_file(), "{there}");
    }
    for absent in ["lib/.env", "data/two.json", "backend/pb_hooks"] {
        assert!(!bench.output().join(absent).exists(), "{absent}");
    }
}

#[tokio::test]
async fn links_stay_inside_the_release_or_are_left_out() {
    let bench = Bench::new(&[
        ("pb_public/index.html", "hi"),
        ("pb_public/a/b/page.html", "page"),
        ("shared/logo.svg", "logo"),
        ("shared/more/x.css", "css"),
        (".git/config", "token"),
    ]);
    let public = bench.checkout().join("pb_public");
    fs::write(bench.dir.path().join("secret"), "secret").expect("write");
    for (link, target) in [
        ("inside", "a/b/page.html"),
        ("a/b/up", "../../index.html"),
        ("chain", "a/b/up"),
        ("a/b/top", "../.."),
        ("logo.svg", "../shared/logo.svg"),
        ("shared", "../shared"),
        ("secret", "../../secret"),
        ("passwd", "/etc/passwd"),
        ("sly", "a/b/top/../../secret"),
        ("everything", "../"),
        ("git", "../.git/config"),
        ("broken", "nowhere"),
    ] {
        symlink(target, public.join(link)).expect("link");
    }
    nix::unistd::mkfifo(&public.join("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("pipe");
    bench.build().await.expect("build");
    let out = bench.output().join("pb_public");
    let read = |path: &str| fs::read_to_string(out.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!([read("inside"), read("a/b/up"), read("chain")], ["page", "hi", "hi"]);
    assert_eq!([read("logo.svg"), read("shared/more/x.css")], ["logo", "css"]);
    assert!(!out.join("logo.svg").is_symlink() && out.join("inside").is_symlink());
    for left_out in ["secret", "passwd", "sly", "everything", "git", "broken", "pipe"] {
        assert!(out.join(left_out).symlink_metadata().is_err(), "{left_out}");
        assert!(bench.progress.text().contains(&format!("left out: `pb_public/{left_out}`")), "{left_out}");
    }
    let root = bench.output().canonicalize().expect("output");
    for entry in walkdir::WalkDir::new(&root) {
        let entry = entry.expect("walk");
        assert!(entry.path().canonicalize().expect("target").starts_with(&root), "{}", entry.path().display());
    }
}

#[tokio::test]
async fn a_go_module_is_built_and_runs_beside_its_folders() {
    let bench = Bench::new(&[
        ("lab.toml", "[server]\nkind = \"go\"\nmodule = \"backend\"\n"),
        ("backend/go.mod", "module example.com/tiny\n\ngo 1.21\n"),
        (
            "backend/main.go",
            "package main\n\nimport _ \"embed\"\n\n//go:embed ui/dist/index.html\nvar page string\n\nfunc main() { println(mode, page, envFile) }\n",
        ),
        ("backend/mode.go", "//go:build production\n\npackage main\n\nconst mode = \"production\"\n"),
        ("backend/env.go", "package main\n\nconst envFile = \".env\"\n"),
        ("backend/templates/mail.html", "mail"),
        ("backend/ui/package.json", r#"{"name":"ui","version":"1.0.0","scripts":{"build":"node build.js"}}"#),
        (
            "backend/ui/build.js",
            "const fs = require('fs'); fs.mkdirSync('dist', {recursive: true}); fs.writeFileSync('dist/index.html', 'built')",
        ),
        (
            "backend/ui/package-lock.json",
            r#"{"name":"ui","version":"1.0.0","lockfileVersion":3,"requires":true,"packages":{"":{"name":"ui","version":"1.0.0"}}}"#,
        ),
    ]);
    // a committed `.env` is the program's affair, whatever it holds
    fs::write(bench.checkout().join("backend/.env"), b"NAME=\xff").expect("write");
    let built = bench.build().await;
    let run = built.unwrap_or_else(|error| panic!("{error}\n{}", bench.progress.text())).run;
    assert_eq!((run.program.as_path(), run.flags), (Path::new("app"), Flags::Base));
    let printed = std::process::Command::new(bench.output().join("app")).output().expect("run");
    assert_eq!(String::from_utf8_lossy(&printed.stderr), "production built .env\n");
    let out = bench.output();
    assert_eq!(fs::read(out.join(".env")).expect("read"), b"NAME=\xff\n");
    assert_eq!(out.join(".env").metadata().expect("metadata").permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(out.join("pb_public/index.html")).expect("page"), "built");
    assert!(out.join("templates/mail.html").is_file());
    let log = bench.progress.text();
    assert!(log.contains("$ npm ci") && log.contains("$ npm run build") && log.contains("-tags production"), "{log}");
}

/// A module that another one in the same folder needs: nothing is fetched.
const LIBRARY: &[(&str, &str)] =
    &[("lib/go.mod", "module example.com/lib\n\ngo 1.21\n"), ("lib/lib.go", "package lib\n\nconst Name = \"lib\"\n")];
const USER: &str = "package main\n\nimport \"example.com/lib\"\n\nconst Page = \"../web/page.html\"\n\nfunc main() { println(lib.Name) }\n";
const GO_APP: (&str, &str) = ("lab.toml", "[server]\nkind = \"go\"\nmodule = \"server\"\n");

#[tokio::test]
async fn go_files_that_are_out_of_step_are_built_all_the_same_with_a_warning() {
    const REPLACED: &str = "module example.com/app\n\ngo 1.21\n\nreplace example.com/lib => ../lib\n";
    const WORK: &str = "go 1.21\n\nuse (\n\t./server\n\t./gone\n)\n";
    // the standard library is compiled once
    let cache = tempfile::tempdir().expect("tempdir");
    for (name, files, words) in [
        ("not required", &[("server/go.mod", REPLACED)][..], "`-mod=mod`"),
        ("vendored otherwise", &[("server/go.mod", REPLACED), ("server/vendor/modules.txt", "# x v1\n")], "`-mod=mod`"),
        ("a workspace without its folder", &[("server/go.mod", REPLACED), ("go.work", WORK)], "`GOWORK=off`"),
    ] {
        let app = [GO_APP, ("server/main.go", USER), ("web/page.html", "a page")];
        let mut bench = Bench::new(&[&app, LIBRARY, files].concat());
        bench.settings.cache_dir = cache.path().to_owned();
        let built = bench.build().await.unwrap_or_else(|error| panic!("{name}: {error}\n{}", bench.progress.text()));
        assert!(built.warnings.iter().any(|warning| warning.contains(words)), "{name}: {:?}", built.warnings);
        let printed = std::process::Command::new(bench.output().join("app")).output().expect("run");
        assert_eq!(String::from_utf8_lossy(&printed.stderr), "lib\n");
        // what it names beside its module is there from where it runs
        let place = bench.output().join(built.run.directory.expect("a directory"));
        assert_eq!(fs::read_to_string(place.join("../web/page.html")).expect("page"), "a page");
        assert!(place.join("pb_public").is_dir());
    }
}

#[tokio::test]
async fn without_a_c_compiler_an_app_that_needs_one_is_told_before_it_is_built() {
    let mut bench = Bench::new(&[
        GO_APP,
        ("server/go.mod", "module example.com/app\n\ngo 1.21\n"),
        ("server/main.go", "package main\n\nimport \"C\"\n\nfunc main() {}\n"),
    ]);
    // `go` alone
    let bin = bench.dir.path().join("bin");
    fs::create_dir(&bin).expect("create");
    let go = super::environment::find("go", &bench.settings.path).expect("go");
    std::os::unix::fs::symlink(go, bin.join("go")).expect("link");
    bench.settings.path = bin.to_string_lossy().into_owned();
    let error = bench.build().await.expect_err("no compiler").to_string();
    assert!(error.contains("`server/main.go` uses `C`") && error.contains("`gcc`"), "{error}");
    assert!(!bench.progress.text().contains("go build"));
}

#[tokio::test]
async fn a_go_line_that_is_too_new_is_explained() {
    let bench = Bench::new(&[
        ("lab.toml", "[server]\nkind = \"go\"\nmodule = \".\"\n"),
        ("go.mod", "module example.com/tiny\n\ngo 1.999\n"),
        ("main.go", "package main\n\nfunc main() {}\n"),
    ]);
    let error = bench.build().await.expect_err("too new").to_string();
    assert!(error.contains("newer Go"), "{error}");
}

#[tokio::test]
async fn a_failing_command_is_told_with_its_last_lines_and_a_hint() {
    let bench = Bench::script("seq 100\nprintf '\\033[31mENOSPC: full\\033[0m\\n' >&2\nexit 3\n");
    match bench.build().await {
        Err(BuildError::CommandFailed { command, status, last_lines, hint }) => {
            assert_eq!((command.as_str(), status.as_str()), ("sh build.sh", "exit code 3"));
            assert_eq!(last_lines.len(), 20);
            assert_eq!(last_lines.last().map(String::as_str), Some("ENOSPC: full"));
            assert!(hint.is_some_and(|hint| hint.contains("disk")));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_command_that_is_killed_hints_at_memory() {
    match Bench::script("kill -9 $$\n").build().await {
        Err(BuildError::CommandFailed { status, hint, .. }) => {
            assert_eq!(status, "SIGKILL");
            assert!(hint.is_some_and(|hint| hint.contains("memory")));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn npm_tells_of_a_lock_file_that_is_out_of_step() {
    let bench = Bench::new(&[
        ("lab.toml", "[frontend]\ndirectory = \"frontend\""),
        ("pb_hooks/a.pb.js", ""),
        (
            "frontend/package.json",
            r#"{"name":"x","version":"1.0.0","scripts":{"build":"true"},"dependencies":{"a":"1"}}"#,
        ),
        (
            "frontend/package-lock.json",
            r#"{"name":"x","version":"1.0.0","lockfileVersion":3,"packages":{"":{"name":"x","version":"1.0.0"}}}"#,
        ),
    ]);
    // whatever npm asks of a registry is refused at once
    let mut bench = bench;
    bench.env.insert("npm_config_registry".to_owned(), "http://127.0.0.1:9/".to_owned());
    bench.env.insert("npm_config_fetch_retries".to_owned(), "0".to_owned());
    match bench.build().await {
        Err(BuildError::CommandFailed { command, hint: Some(hint), last_lines, .. }) => {
            assert_eq!(command, "npm ci");
            assert!(hint.contains("commit both") || hint.contains("registry"), "{hint}: {last_lines:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_build_that_never_ends_is_stopped_with_all_its_processes() {
    let mut bench = Bench::script(&format!("{STUBBORN}wait\n"));
    bench.timeout = Duration::from_millis(1500);
    let start = Instant::now();
    let error = bench.build().await.expect_err("no end");
    assert!(matches!(error, BuildError::TimedOut { limit } if limit == bench.timeout), "{error}");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    let pids = bench.pids(3).await;
    assert!(!pids.into_iter().any(lives));
}

#[tokio::test]
async fn a_cancel_ends_the_build_within_about_a_second() {
    let bench = Bench::script(&format!("{STUBBORN}wait\n"));
    let (built, (cancelled_at, pids)) = tokio::join!(bench.build(), async {
        let pids = bench.pids(3).await;
        bench.cancel.cancel();
        (Instant::now(), pids)
    });
    assert!(matches!(built, Err(BuildError::Cancelled)), "{built:?}");
    assert!(cancelled_at.elapsed() < Duration::from_secs(2), "{:?}", cancelled_at.elapsed());
    assert!(!pids.into_iter().any(lives));
}

#[tokio::test]
async fn a_build_that_is_dropped_leaves_no_process() {
    let bench = Bench::script(&format!("{STUBBORN}wait\n"));
    let pids = tokio::select! {
        built = bench.build() => panic!("{built:?}"),
        pids = bench.pids(3) => pids,
    };
    wait_for("the end of all processes", || !pids.iter().any(|pid| lives(*pid))).await;
}

#[tokio::test]
async fn what_a_finished_command_leaves_running_is_ended() {
    let script = format!(
        "{STUBBORN}while [ $(wc -l < pids) -lt 3 ]; do sleep 0.05; done\nmkdir dist; echo x > dist/index.html\n"
    );
    let bench = Bench::script(&script);
    bench.build().await.expect("build");
    assert!(!bench.pids(3).await.into_iter().any(lives));
    assert!(bench.progress.text().contains("left behind"));
    assert!(bench.output().join("pb_public/index.html").is_file());
}

#[tokio::test]
async fn a_build_that_prints_without_end_fills_neither_log_nor_memory() {
    let mut bench = Bench::script(
        "yes 'a line of some length, so that it is soon much' | head -c 100000000\necho; echo the end\nexit 1\n",
    );
    bench.settings.max_output_bytes = 100_000;
    let error = bench.build().await.expect_err("fails");
    let log = bench.progress.text();
    assert!(log.len() < 110_000 && log.contains("the rest is left out"), "{}", log.len());
    let BuildError::CommandFailed { last_lines, .. } = error else { panic!("{error}") };
    assert_eq!(last_lines.last().map(String::as_str), Some("the end"));
}

#[tokio::test]
async fn a_build_that_prints_absurdly_much_is_stopped() {
    let mut bench = Bench::script("yes\n");
    bench.settings.max_printed_bytes = 5 << 20;
    let error = bench.build().await.expect_err("stopped").to_string();
    assert!(error.contains("more than 5 MiB"), "{error}");
}

#[tokio::test]
async fn a_build_ends_before_the_disk_is_full_wherever_it_writes() {
    let mut bench = Bench::script("sleep 600\n");
    bench.settings.min_free_bytes = Some(u64::MAX);
    let error = bench.build().await.expect_err("stopped").to_string();
    assert!(error.contains("were free on the server's disk"), "{error}");
}

#[tokio::test]
async fn looks_at_repositories_that_do_not_end_hold_up_others_for_a_limited_time() {
    let bench = Bench::new(&[("pb_hooks/a.pb.js", "")]);
    let settings = LocalBuilderSettings { plan_timeout: Duration::from_millis(50), ..bench.settings.clone() };
    let builder = LocalBuilder::new(settings, Arc::new(Scripts));
    let left_behind = builder.looks.acquire_many(u32::try_from(MAX_LOOKS).expect("few")).await.expect("open");
    let error = builder.plan(&bench.checkout(), None).await.expect_err("no place").to_string();
    assert!(error.contains("could not be read within"), "{error}");
    drop(left_behind);
    let builder = LocalBuilder::new(bench.settings.clone(), Arc::new(Scripts));
    builder.plan(&bench.checkout(), None).await.expect("plan");
}

#[tokio::test]
async fn commands_see_a_clean_environment_and_a_home_of_their_own() {
    let mut bench =
        Bench::script("env | sort > seen; mkdir dist; cp seen dist/index.html; echo x > \"$HOME/.npmrc\"\n");
    bench.settings.env.insert("FROM_SETTINGS".to_owned(), "1".to_owned());
    bench.env.insert("FROM_JOB".to_owned(), "2".to_owned());
    bench.env.insert("LAB_BUILD".to_owned(), "forged".to_owned());
    bench.build().await.expect("build");
    let seen = fs::read_to_string(bench.checkout().join("seen")).expect("seen");
    for wanted in ["CI=1", "NO_COLOR=1", "FROM_SETTINGS=1", "FROM_JOB=2", "CGO_ENABLED=0", "GOTOOLCHAIN=auto"] {
        assert!(seen.lines().any(|line| line == wanted), "{wanted}: {seen}");
    }
    assert!(!seen.contains("CARGO") && !seen.contains("forged"), "{seen}");
    let home = seen.lines().find_map(|line| line.strip_prefix("HOME=")).expect("HOME");
    assert!(Path::new(home).starts_with(bench.dir.path()) && !Path::new(home).exists(), "{home}");
}

#[tokio::test]
async fn hooks_are_built_where_their_build_is_not_committed() {
    let package = |script: &str| format!(r#"{{"scripts":{{"build":"{script}"}}}}"#);
    let files = |package: &str| {
        Bench::new(&[("pb_migrations/1700000000_a.js", ""), ("package.json", package), ("src/a.ts", "hook")])
    };
    let bench = files(&package("mkdir -p pb_hooks && cp src/a.ts pb_hooks/a.pb.js"));
    let built = bench.build().await.expect("build");
    assert_eq!(built.warnings, Vec::<String>::new());
    assert_eq!(fs::read_to_string(bench.output().join("pb_hooks/a.pb.js")).expect("hook"), "hook");
    let bench = files(&package("false && cp src/a.ts pb_hooks/a.pb.js"));
    let built = bench.build().await.expect("deployed without");
    assert!(!built.is_repeatable && built.warnings.concat().contains("deployed without"), "{:?}", built.warnings);
}

#[tokio::test]
async fn create_react_app_is_not_told_that_it_is_in_ci() {
    let mut bench = Bench::script("mkdir dist; echo $CI > dist/index.html\n");
    fs::write(bench.checkout().join("package.json"), r#"{"dependencies":{"react-scripts":"5"}}"#).expect("write");
    let toml = bench.checkout().join("lab.toml");
    fs::write(&toml, fs::read_to_string(&toml).expect("read") + "install = []\n").expect("write");
    let page = |bench: &Bench| fs::read_to_string(bench.output().join("pb_public/index.html")).expect("page");
    bench.build().await.expect("build");
    assert_eq!(page(&bench), "false\n");
    fs::remove_dir_all(bench.output()).expect("remove");
    fs::remove_dir_all(bench.checkout().join("dist")).expect("remove");
    bench.env.insert("CI".to_owned(), "true".to_owned());
    bench.build().await.expect("build");
    assert_eq!(page(&bench), "true\n", "the operator's word counts");
}

#[tokio::test]
async fn what_fails_for_a_reason_of_its_tools_is_built_once_more_otherwise() {
    let old = "case $NODE_OPTIONS in *legacy*) mkdir dist; echo page > dist/index.html;; *) echo ERR_OSSL_EVP_UNSUPPORTED; exit 1;; esac\n";
    let bench = Bench::script(old);
    assert!(bench.build().await.expect("build").warnings.concat().contains("--openssl-legacy-provider"));
    let new = "[ $(node --version) = another ] || { echo 'x requires Node.js 99'; exit 1; }\nmkdir dist; echo page > dist/index.html\n";
    let bench = Bench::script(new);
    // as if they had been fetched
    for version in ["22.23.3", "24.21.0"] {
        let programs = bench.dir.path().join("cache/tools/node").join(version).join("bin");
        fs::create_dir_all(&programs).expect("create");
        fs::write(programs.join("node"), "#!/bin/sh\necho another\n").expect("write");
        fs::set_permissions(programs.join("node"), fs::Permissions::from_mode(0o755)).expect("chmod");
    }
    assert!(bench.build().await.expect("build").warnings.concat().contains("built again with"));
    // and only once
    let bench = Bench::script("echo once >> times; echo ERR_OSSL_EVP_UNSUPPORTED; exit 1\n");
    bench.build().await.expect_err("it fails");
    assert_eq!(fs::read_to_string(bench.checkout().join("times")).expect("times"), "once\nonce\n");
}

#[tokio::test]
async fn a_program_that_is_not_installed_is_named() {
    let mut bench = Bench::new(&[
        ("lab.toml", "[frontend]\ndirectory = \"frontend\""),
        ("pb_hooks/a.pb.js", ""),
        ("frontend/package.json", r#"{"scripts":{"build":"x"}}"#),
    ]);
    bench.settings.path = "/nowhere:relative".to_owned();
    let error = bench.build().await.expect_err("no npm");
    assert!(matches!(&error, BuildError::MissingProgram { program } if program == "npm"), "{error}");
}

#[tokio::test]
async fn a_version_that_cannot_be_had_is_an_error_with_its_cause() {
    let bench = Bench::new(&[("lab.toml", "[pocketbase]\nversion = \"99.0.0\""), ("pb_hooks/a.pb.js", "")]);
    let error = bench.build().await.expect_err("no such version");
    assert!(matches!(&error, BuildError::PocketBase { version, .. } if version == "99.0.0"), "{error}");
}

#[tokio::test]
async fn an_output_that_became_a_link_out_of_the_repository_is_refused() {
    let bench = Bench::script("ln -s /etc dist\n");
    let error = bench.build().await.expect_err("escape").to_string();
    assert!(error.contains("leads out of the repository"), "{error}");
}

#[tokio::test]
async fn a_frontend_that_makes_nothing_to_serve_does_not_keep_the_backend_down() {
    let bench = Bench::script("echo nothing\n");
    bench.build().await.expect("build");
    assert!(bench.progress.text().contains("deployed without it"));
}

#[tokio::test]
async fn a_disk_that_fails_is_an_error_with_a_path() {
    let bench = Bench::new(&[("pb_hooks/a.pb.js", "")]);
    fs::write(bench.output(), "a file where the release goes").expect("write");
    let error = bench.build().await.expect_err("no folder");
    assert!(matches!(error, BuildError::Io { action: "create", .. }), "{error}");
}
