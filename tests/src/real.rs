//! The whole path over real parts, as a program that embeds `lab-core` has it: git, PocketBase, processes, routes.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use lab_core::{
    AppName, Backends, DeployRequest, GitUrl, Lab, LabSettings, UrlPolicy,
    builder::local::{LocalBuilder, LocalBuilderSettings},
    deploy::{DeployEvent, DeployEventKind, DeployState, Deployment},
    health::http::HttpProbe,
    layout::DataDir,
    pocketbase::{PocketBaseStore, path::LocalBinaries},
    ports::file::FilePorts,
    registry::file::FileRegistry,
    rehearsal::{RehearsalPolicy, local::LocalRehearser},
    source::git::{GitSettings, GitSource},
    testing::ports::{Lease, leased_ranges},
};
use serde_json::json;

use crate::{
    parts::{Repository, Visitor, end_processes, folder, pocketbase},
    stack::{Stack, on_every_stack},
    world::{finished, name},
};

mod running;

use running::Running;

on_every_stack!(
    async
    the_guestbook_is_deployed_and_keeps_its_records_over_a_redeploy,
    realtime_events_pass_through_to_the_visitor,
    superusers_are_made_and_get_new_passwords,
    an_app_for_the_older_pocketbase_runs_on_that,
    bad_repositories_end_in_one_clear_error_and_leave_nothing,
    a_broken_release_leaves_the_old_one_serving_with_its_data,
);

/// A lab over real parts; everything it started ends with it.
pub struct Real {
    pub lab: Lab,
    running: Running,
    public_port: u16,
    dir: tempfile::TempDir,
    _lease: Lease,
}

impl Real {
    pub async fn open(stack: Stack) -> Self {
        Self::open_with(stack, |_, _| {}).await
    }

    /// One whose builder, or which itself, has settings of its own.
    pub async fn open_with(stack: Stack, set: impl FnOnce(&mut LocalBuilderSettings, &mut LabSettings)) -> Self {
        let dir = folder();
        let data = DataDir::new(dir.path());
        let (range, lease) = leased_ranges(2);
        let (public_port, last) = (*range.start(), *range.end());
        let store = PocketBaseStore::new(data.pocketbase(), Arc::new(LocalBinaries::new(pocketbase())));
        let mut building = LocalBuilderSettings::new(data.build_cache(), std::env::var("PATH").unwrap());
        for variable in ["GOPROXY", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"] {
            if let Ok(value) = std::env::var(variable) {
                building.env.insert(variable.to_owned(), value);
            }
        }
        let mut settings = LabSettings::new(data.clone(), "lab.localhost".parse().unwrap());
        settings.repositories = UrlPolicy::LocalAllowed;
        set(&mut building, &mut settings);
        let running = Running::start(stack, &data, public_port).await;
        let backends = Backends {
            registry: Arc::new(FileRegistry::open(data.registry()).unwrap()),
            ports: Arc::new(FilePorts::open(data.ports(), public_port + 1..=last).unwrap()),
            source: Arc::new(GitSource::new(GitSettings::default())),
            builder: Arc::new(LocalBuilder::new(building, Arc::new(store))),
            supervisor: running.supervisor(),
            router: running.router(),
            health: Arc::new(HttpProbe::new()),
            rehearser: Arc::new(LocalRehearser),
        };
        let lab = Lab::open(settings, backends).await.unwrap();
        Self { lab, running, public_port, dir, _lease: lease }
    }

    pub async fn deploy(&self, app: &str, repository: &Repository) -> Deployment {
        let repository = GitUrl::parse(&repository.address(), UrlPolicy::LocalAllowed).unwrap();
        let request = DeployRequest { repository: Some(repository), ..DeployRequest::new(name(app)) };
        let started = self.lab.deploy(request).await.unwrap();
        finished(&self.lab, app, started.deployment).await
    }

    pub async fn deploy_well(&self, app: &str, repository: &Repository) {
        let deployment = self.deploy(app, repository).await;
        assert_eq!(deployment.state, DeployState::Succeeded, "{:?}", deployment.problem);
    }

    pub fn visit(&self, app: &str) -> Visitor {
        Visitor::new(app, self.public_port)
    }

    pub async fn close(&self) {
        self.lab.shutdown().await;
        self.lab.stop_all().await.unwrap();
        self.running.end().await;
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        end_processes(self.dir.path());
    }
}

async fn the_guestbook_is_deployed_and_keeps_its_records_over_a_redeploy(stack: Stack) {
    let real = Real::open(stack).await;
    let repository = Repository::of_example("guestbook");
    real.deploy_well("guestbook", &repository).await;
    let visitor = real.visit("guestbook");
    let (status, page) = visitor.get("/").await;
    assert!(status == 200 && page.contains("<html"), "{status} {page}");
    assert_eq!(visitor.get("/api/health").await.0, 200);
    let (status, record) =
        visitor.post("/api/collections/messages/records", &json!({"author": "Me", "body": "hello"})).await;
    assert_eq!(status, 200, "{record}");
    assert_eq!(visitor.get_json("/api/guestbook/stats").await["messages"], 1);

    repository.push(&[("pb_public/new.txt", "a new file")]);
    real.deploy_well("guestbook", &repository).await;
    assert_eq!(visitor.get("/new.txt").await, (200, "a new file".to_owned()));
    let id = record["id"].as_str().unwrap();
    assert_eq!(visitor.get_json(&format!("/api/collections/messages/records/{id}")).await["body"], "hello");

    // one inode for the store and both releases
    let store = real.dir.path().join("pocketbase/0.40.6/pocketbase");
    assert_eq!(std::os::unix::fs::MetadataExt::nlink(&std::fs::metadata(store).unwrap()), 3);
    let logs = real.lab.logs(&name("guestbook"), 1000).await.unwrap();
    assert!(logs.iter().any(|line| line.text.contains("Server started")), "{logs:?}");
    assert!(!logs.iter().any(|line| line.text.contains("pbinstall")), "{logs:?}");
    real.close().await;
}

async fn realtime_events_pass_through_to_the_visitor(stack: Stack) {
    let real = Real::open(stack).await;
    real.deploy_well("guestbook", &Repository::of_example("guestbook")).await;
    let visitor = real.visit("guestbook");
    let mut stream = visitor.stream("/api/realtime").await;
    let mut seen = String::new();
    let mut wait_for = async |seen: &mut String, text: &str| {
        while !seen.contains(text) {
            let chunk = tokio::time::timeout(Duration::from_secs(20), stream.chunk()).await;
            let chunk = chunk.expect("an event within 20 s").unwrap().expect("the stream goes on");
            seen.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    wait_for(&mut seen, "\"clientId\":\"").await;
    let client = seen.split("\"clientId\":\"").nth(1).unwrap().split('"').next().unwrap();
    let subscription = json!({"clientId": client, "subscriptions": ["messages/*"]});
    assert_eq!(visitor.post("/api/realtime", &subscription).await.0, 204);
    let record = json!({"author": "Me", "body": "live"});
    assert_eq!(visitor.post("/api/collections/messages/records", &record).await.0, 200);
    wait_for(&mut seen, "\"live\"").await;
    real.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_go_app_with_its_frontend_is_built_and_served() {
    let real = Real::open(Stack::Embedded).await;
    let repository = Repository::of_example("notes-go");
    real.deploy_well("notes", &repository).await;
    let visitor = real.visit("notes");
    let (status, page) = visitor.get("/").await;
    assert!(status == 200 && page.contains("<html"), "{status} {page}");
    assert!(visitor.get_json("/api/collections/notes/records").await["items"].is_array());
    assert_eq!(visitor.get("/api/notes/summary").await.0, 200);
    let password = real.lab.create_superuser(&name("notes"), "me@example.com", None).await.unwrap();
    assert_eq!(sign_in(&visitor, password.expose()).await, 200);

    // with another page the packages stay installed, and with nothing new no command runs
    repository.push(&[("frontend/public/changed.txt", "another file")]);
    let commands = commands(&real, "notes", &repository).await;
    let ran = |start: &str| commands.iter().filter(|command| command.starts_with(start)).count();
    assert_eq!((ran("npm run build"), ran("go build"), ran("npm ci")), (1, 1, 0), "{commands:?}");
    assert_eq!(real.visit("notes").get("/changed.txt").await, (200, "another file".to_owned()));
    assert_eq!(self::commands(&real, "notes", &repository).await, [""; 0]);
    real.close().await;
}

/// What a deployment that goes well runs to build.
async fn commands(real: &Real, app: &str, repository: &Repository) -> Vec<String> {
    let deployment = real.deploy(app, repository).await;
    assert_eq!(deployment.state, DeployState::Succeeded, "{:?}", deployment.problem);
    let events = real.lab.deployment_events(&name(app), deployment.id, 0).await.unwrap();
    let command = |event: DeployEvent| match event.kind {
        DeployEventKind::Log { line } => line.strip_prefix("$ ").map(str::to_owned),
        _ => None,
    };
    events.filter_map(async |event| command(event)).collect().await
}

async fn sign_in(visitor: &Visitor, password: &str) -> u16 {
    let path = "/api/collections/_superusers/auth-with-password";
    visitor.post(path, &json!({"identity": "me@example.com", "password": password})).await.0
}

async fn superusers_are_made_and_get_new_passwords(stack: Stack) {
    let real = Real::open(stack).await;
    real.deploy_well("guestbook", &Repository::of_example("guestbook")).await;
    let (visitor, app) = (real.visit("guestbook"), name("guestbook"));
    let first = real.lab.create_superuser(&app, "me@example.com", None).await.unwrap();
    assert_eq!(sign_in(&visitor, first.expose()).await, 200);
    let chosen = lab_core::Secret::new("a password of mine");
    real.lab.create_superuser(&app, "me@example.com", Some(chosen)).await.unwrap();
    assert_eq!(sign_in(&visitor, "a password of mine").await, 200);
    assert_eq!(sign_in(&visitor, first.expose()).await, 400);
    for (email, password) in [("nobody", None), ("me@example.com", Some(lab_core::Secret::new("short")))] {
        let error = real.lab.create_superuser(&app, email, password).await.unwrap_err();
        assert_eq!(error.code(), "superuser_failed", "{error}");
    }
    real.lab.stop(&app).await.unwrap();
    assert_eq!(real.lab.create_superuser(&app, "me@example.com", None).await.unwrap_err().code(), "app_not_running");
    real.close().await;
}

async fn an_app_for_the_older_pocketbase_runs_on_that(stack: Stack) {
    let real = Real::open(stack).await;
    let hook = r#"routerAdd("GET", "/old", (c) => c.json(200, {"old": true}))"#;
    let repository = Repository::of_files(&[
        ("lab.toml", "[pocketbase]\nversion = \"0.22.27\"\n"),
        ("pb_hooks/main.pb.js", hook),
        ("pb_public/index.html", "<html>old</html>"),
    ]);
    real.deploy_well("old", &repository).await;
    let visitor = real.visit("old");
    assert_eq!(visitor.get_json("/old").await["old"], true);
    assert_eq!(visitor.get("/").await.1, "<html>old</html>");
    let password = real.lab.create_superuser(&name("old"), "me@example.com", None).await.unwrap();
    let again = real.lab.create_superuser(&name("old"), "me@example.com", None).await.unwrap();
    let auth = async |password: &str| {
        let body = json!({"identity": "me@example.com", "password": password});
        visitor.post("/api/admins/auth-with-password", &body).await.0
    };
    assert_eq!((auth(again.expose()).await, auth(password.expose()).await), (200, 400));
    real.close().await;
}

/// A repository that fails in its own way: its files, the error's code, and what its message must name.
type BadRepository = (&'static str, &'static [(&'static str, &'static str)], &'static str, &'static str);

const BAD_REPOSITORIES: &[BadRepository] = &[
    ("nothing", &[("README.md", "hello")], "app_not_recognised", "pb_hooks"),
    ("bad-toml", &[("lab.toml", "colour = 1\n"), ("pb_public/index.html", "x")], "app_invalid", "colour"),
    (
        "bad-version",
        &[("lab.toml", "[pocketbase]\nversion = \"9.9.9\"\n"), ("pb_public/index.html", "x")],
        "pocketbase_unavailable",
        "9.9.9",
    ),
    (
        "bad-build",
        &[
            ("pb_hooks/main.pb.js", "// none"),
            ("lab.toml", "[frontend]\ndirectory = \".\"\nbuild = \"npm run build\"\noutput = \"dist\"\n"),
            ("package.json", r#"{"name": "x", "version": "1.0.0", "scripts": {"build": "echo boom; exit 3"}}"#),
            (
                "package-lock.json",
                r#"{"name": "x", "version": "1.0.0", "lockfileVersion": 3, "packages": {"": {"name": "x", "version": "1.0.0"}}}"#,
            ),
        ],
        "build_failed",
        "npm",
    ),
    (
        "bad-migration",
        &[("pb_migrations/1700000000_bad.js", "migrate((app) => { throw new Error('broken migration') })")],
        "app_crashed",
        "broken migration",
    ),
    (
        "never-healthy",
        &[("lab.toml", "[health]\npath = \"/nope\"\ntimeout = 1\n"), ("pb_public/no-index.txt", "x")],
        "app_unhealthy",
        "/nope",
    ),
    (
        "own-address",
        &[
            ("lab.toml", "[health]\ntimeout = 5\n"),
            ("pb_hooks/main.pb.js", "$app.rootCmd.setArgs(['serve', '--http', '127.0.0.1:0'])"),
        ],
        "app_unhealthy",
        "must take its address from `serve --http`",
    ),
];

async fn bad_repositories_end_in_one_clear_error_and_leave_nothing(stack: Stack) {
    let real = Real::open(stack).await;
    for (app, files, code, named) in BAD_REPOSITORIES {
        let deployment = real.deploy(app, &Repository::of_files(files)).await;
        let problem = deployment.problem.unwrap();
        assert_eq!(problem.code, *code, "{app}: {}", problem.message);
        assert!(problem.message.contains(named), "{app}: {}", problem.message);
        let view = real.lab.get(&name(app)).await.unwrap();
        assert_eq!((view.app.status.to_string().as_str(), view.app.port), ("failed", None), "{app}");
        let dirs = real.lab.settings().data.app(&name(app));
        for path in [dirs.data(), dirs.current(), dirs.release(deployment.release)] {
            assert!(std::fs::symlink_metadata(&path).is_err(), "{app}: {} is left", path.display());
        }
        let (status, _) = real.visit(app).get("/").await;
        assert_eq!(status, 503, "{app}");
    }
    assert!(real.lab.backends().ports.list().await.unwrap().is_empty());
    assert_eq!(real.visit("nobody").get("/").await.0, 404);
    real.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_does_not_exist_is_named_with_those_that_do() {
    let real = Real::open(Stack::Embedded).await;
    let repository = Repository::of_example("guestbook");
    let request = DeployRequest {
        repository: Some(GitUrl::parse(&repository.address(), UrlPolicy::LocalAllowed).unwrap()),
        branch: Some("nope".parse().unwrap()),
        ..DeployRequest::new(name("guestbook"))
    };
    let started = real.lab.deploy(request).await.unwrap();
    let problem = finished(&real.lab, "guestbook", started.deployment).await.problem.unwrap();
    assert_eq!(problem.code, "reference_not_found");
    assert!(problem.message.contains("nope") && problem.message.contains("main"), "{}", problem.message);
    real.close().await;
}

async fn a_broken_release_leaves_the_old_one_serving_with_its_data(stack: Stack) {
    // without a rehearsal, which would have seen it
    let real = Real::open_with(stack, |_, settings| settings.rehearsal.policy = RehearsalPolicy::Never).await;
    let repository = Repository::of_example("guestbook");
    real.deploy_well("guestbook", &repository).await;
    let visitor = real.visit("guestbook");
    let record = json!({"author": "Me", "body": "before"});
    assert_eq!(visitor.post("/api/collections/messages/records", &record).await.0, 200);
    repository.push(&[("pb_migrations/1999999999_bad.js", "migrate((app) => { throw new Error('broken') })")]);
    let deployment = real.deploy("guestbook", &repository).await;
    assert_eq!(deployment.problem.unwrap().code, "app_crashed");
    assert_eq!(visitor.get_json("/api/guestbook/stats").await["messages"], 1);
    let app: AppName = name("guestbook");
    assert_eq!(real.lab.get(&app).await.unwrap().app.status.to_string(), "running");
    real.close().await;
}
