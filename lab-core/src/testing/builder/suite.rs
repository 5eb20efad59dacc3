//! What every builder does. Trees are written by the behaviours themselves; none needs a network.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use walkdir::WalkDir;

use crate::{
    builder::{BuildError, BuildJob, Builder},
    progress::Silent,
    release::RunSpec,
};

/// A tree in a folder of its own.
struct Fixture(TempDir);

impl Fixture {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for (path, content) in files {
            let path = dir.path().join("checkout").join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, content).expect("a file");
        }
        fs::create_dir(dir.path().join("release")).expect("a folder");
        fs::create_dir_all(dir.path().join("apps/other/pb_data")).expect("a folder");
        fs::write(dir.path().join("apps/other/pb_data/data.db"), "precious").expect("a file");
        Self(dir)
    }

    /// An app for the official binary.
    fn app() -> Self {
        Self::new(&[
            ("pb_hooks/main.pb.js", "// a hook"),
            ("pb_migrations/1_init.js", "// a migration"),
            ("pb_public/index.html", "<h1>hi</h1>"),
        ])
    }

    fn checkout(&self) -> PathBuf {
        self.0.path().join("checkout")
    }

    fn output(&self) -> PathBuf {
        self.0.path().join("release")
    }

    async fn job(&self, builder: &dyn Builder) -> BuildJob {
        let plan = builder.plan(&self.checkout(), None).await.expect("a plan");
        let timeout = Duration::from_mins(2);
        BuildJob { timeout, ..BuildJob::new(self.checkout(), plan, self.output()) }
    }

    async fn build(&self, builder: &dyn Builder) -> RunSpec {
        let job = self.job(builder).await;
        builder.build(job, Arc::new(Silent), CancellationToken::new()).await.expect("a release").run
    }
}

/// Every path below `root`, with what it is and holds.
fn snapshot(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = WalkDir::new(root).into_iter().map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| {
            let content =
                if entry.file_type().is_file() { fs::read(entry.path()).expect("a file") } else { Vec::new() };
            (entry.into_path(), content)
        })
        .collect()
}

/// `plan` only reads.
pub async fn plan_only_reads(builder: &dyn Builder) {
    let fixture = Fixture::app();
    let before = snapshot(fixture.0.path());
    builder.plan(&fixture.checkout(), None).await.expect("a plan");
    assert_eq!(snapshot(fixture.0.path()), before);
}

/// The same tree gives the same plan, wherever it is.
pub async fn the_same_tree_gives_the_same_plan(builder: &dyn Builder) {
    let (one, two) = (Fixture::app(), Fixture::app());
    let first = builder.plan(&one.checkout(), None).await.expect("a plan");
    assert_eq!(builder.plan(&one.checkout(), None).await.expect("a plan"), first);
    assert_eq!(builder.plan(&two.checkout(), None).await.expect("a plan"), first);
}

/// A plan says why.
pub async fn a_plan_says_why(builder: &dyn Builder) {
    let plan = builder.plan(&Fixture::app().checkout(), None).await.expect("a plan");
    assert!(!plan.reasons.is_empty());
    assert_eq!(plan.hooks.as_deref(), Some(Path::new("pb_hooks")));
}

/// A tree that holds no app fails and says what was looked for.
pub async fn an_unrecognised_tree_fails_and_says_what_was_looked_for(builder: &dyn Builder) {
    let fixture = Fixture::new(&[("README.md", "nothing to run")]);
    match builder.plan(&fixture.checkout(), None).await {
        Err(BuildError::NotRecognised { looked_for }) => assert!(!looked_for.is_empty()),
        other => panic!("expected NotRecognised, got {other:?}"),
    }
}

/// A tree that states what cannot be is invalid.
pub async fn a_tree_that_states_nonsense_is_invalid(builder: &dyn Builder) {
    let fixture = Fixture::new(&[("lab.toml", "[server]\nknd = \"go\"\n"), ("pb_hooks/main.pb.js", "")]);
    match builder.plan(&fixture.checkout(), None).await {
        Err(BuildError::Invalid { what, .. }) => assert!(what.contains("lab.toml"), "{what}"),
        other => panic!("expected Invalid, got {other:?}"),
    }
}

/// `build` writes the release into `output`: a program that can be run, and the three folders.
pub async fn a_build_writes_the_release_into_output(builder: &dyn Builder) {
    let fixture = Fixture::app();
    let run = fixture.build(builder).await;
    assert!(run.program.is_relative(), "{}", run.program.display());
    let program = fixture.output().join(&run.program).metadata().expect("the program");
    assert!(program.is_file() && program.permissions().mode() & 0o111 != 0);
    for folder in ["pb_hooks", "pb_migrations", "pb_public"] {
        assert!(fixture.output().join(folder).is_dir(), "{folder}");
    }
}

/// `build` writes nothing into any app's data.
pub async fn a_build_writes_nothing_elsewhere(builder: &dyn Builder) {
    let fixture = Fixture::app();
    let before = snapshot(&fixture.0.path().join("apps"));
    fixture.build(builder).await;
    assert_eq!(snapshot(&fixture.0.path().join("apps")), before);
    assert!(!fixture.output().join("pb_data").exists());
}

/// A cancel ends the build, within a second.
pub async fn a_cancelled_build_ends_within_a_second(builder: &dyn Builder) {
    let fixture = Fixture::app();
    let (job, cancel) = (fixture.job(builder).await, CancellationToken::new());
    cancel.cancel();
    let start = Instant::now();
    let built = builder.build(job, Arc::new(Silent), cancel).await;
    assert!(matches!(built, Err(BuildError::Cancelled)), "{built:?}");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

/// A time limit ends the build, and the error names it.
pub async fn a_build_without_time_ends_as_timed_out(builder: &dyn Builder) {
    let fixture = Fixture::app();
    let job = BuildJob { timeout: Duration::ZERO, ..fixture.job(builder).await };
    let built = builder.build(job, Arc::new(Silent), CancellationToken::new()).await;
    assert!(matches!(built, Err(BuildError::TimedOut { limit }) if limit == Duration::ZERO), "{built:?}");
}

/// The release holds no link that leads outside of it.
pub async fn the_release_holds_no_link_that_leads_outside(builder: &dyn Builder) {
    let fixture = Fixture::app();
    let public = fixture.checkout().join("pb_public");
    fs::write(fixture.0.path().join("secret"), "secret").expect("a file");
    for (link, target) in
        [("up", "../../secret"), ("absolute", "/etc/passwd"), ("fine", "index.html"), ("all", "../..")]
    {
        symlink(target, public.join(link)).expect("a link");
    }
    fixture.build(builder).await;
    let root = fixture.output().canonicalize().expect("the release");
    for entry in WalkDir::new(&root) {
        let path = entry.expect("an entry").into_path();
        let leads_to = path.canonicalize().expect("a target");
        assert!(leads_to.starts_with(&root), "{} leads to {}", path.display(), leads_to.display());
    }
}
