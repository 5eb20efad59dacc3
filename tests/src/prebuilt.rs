//! Apps whose own program is committed without its source, over real parts.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use lab_core::{Error, builder::plan::Server, deploy::DeployState};
use serde_json::json;

use crate::{
    parts::{Repository, copy, folder, root},
    real::Real,
    stack::{Stack, on_both_stacks},
    world::name,
};

on_both_stacks!(
    async
    a_committed_program_with_code_of_its_own_is_run,
);

const MAIN: &str = r#"package main

import (
	"log"
	"os"
	"path/filepath"

	"github.com/pocketbase/pocketbase"
	"github.com/pocketbase/pocketbase/apis"
	"github.com/pocketbase/pocketbase/core"
	"github.com/pocketbase/pocketbase/plugins/jsvm"
)

var built = "?"

func main() {
	app := pocketbase.New()
	jsvm.MustRegister(app, jsvm.Config{MigrationsDir: filepath.Join(app.DataDir(), "../pb_migrations")})
	app.OnServe().BindFunc(func(e *core.ServeEvent) error {
		e.Router.GET("/built", func(e *core.RequestEvent) error { return e.String(200, built) })
		e.Router.GET("/{path...}", apis.Static(os.DirFS(filepath.Join(app.DataDir(), "../pb_public")), true))
		return e.Next()
	})
	if err := app.Start(); err != nil {
		log.Fatal(err)
	}
}
"#;

const MIGRATION: &str = r#"migrate((app) => {
  app.save(new Collection({ type: "base", name: "notes", listRule: "", createRule: "", fields: [{ name: "text", type: "text" }] }))
}, (app) => {
  app.delete(app.findCollectionByNameOrId("notes"))
})
"#;

/// The program as its owner builds it elsewhere; its route answers `says`. PocketBase takes minutes to compile, so the caches
/// of Go are the machine's.
fn build(source: &Path, to: &Path, says: &str) {
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-ldflags"]).arg(format!("-s -w -X main.built={says}")).arg("-o").arg(to).arg(".");
    let done = go.env("CGO_ENABLED", "0").current_dir(source).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Its source, with the modules of a fixture.
fn source() -> tempfile::TempDir {
    let source = folder();
    copy(&root().join("tests/fixtures/repositories/go-jsvm-beside/backend"), source.path());
    std::fs::write(source.path().join("main.go"), MAIN).unwrap();
    source
}

async fn a_committed_program_with_code_of_its_own_is_run(stack: Stack) {
    let real = Real::open(stack).await;
    let source = source();
    let repository = Repository::of_files(&[
        ("server/pb_migrations/1726000000_created_notes.js", MIGRATION),
        ("server/pb_hooks/main.pb.js", r#"routerAdd("GET", "/hook", (e) => e.string(200, "a hook"))"#),
        ("server/pb_public/index.html", "a page"),
    ]);
    let committed = Path::new(&repository.address()).join("server/pocketbase");
    build(source.path(), &committed, "one");
    repository.push(&[]);
    real.deploy_well("club", &repository).await;
    let visitor = real.visit("club");
    assert_eq!(visitor.get("/built").await, (200, "one".to_owned()));
    assert_eq!(visitor.get("/hook").await, (200, "a hook".to_owned()));
    assert_eq!(visitor.get("/").await, (200, "a page".to_owned()));
    let note = json!({"text": "kept"});
    assert_eq!(visitor.post("/api/collections/notes/records", &note).await.0, 200);
    real.lab.create_superuser(&name("club"), "me@example.com", None).await.unwrap();

    // its release says what runs
    let releases = real.lab.releases(&name("club")).await.unwrap();
    let release = &releases[0].release;
    let own = Server::Program { path: PathBuf::from("server/pocketbase"), pocketbase: Some("0.39.11".to_owned()) };
    assert_eq!((&release.plan.server, release.run.pocketbase.as_deref()), (&own, Some("0.39.11")));
    match real.lab.upgrade(&name("club"), None, false, false, None).await {
        Err(error @ Error::NotUpgradable { .. }) => {
            assert!(error.to_string().contains("committed as `server/pocketbase`"), "{error}");
        }
        other => panic!("{other:?}"),
    }

    // the same again is not built, and another program is another release
    let again = real.deploy("club", &repository).await;
    assert_eq!((again.state, again.reused, again.release), (DeployState::Succeeded, true, release.id));
    build(source.path(), &committed, "two");
    repository.push(&[]);
    let changed = real.deploy("club", &repository).await;
    assert_eq!((changed.state, changed.reused), (DeployState::Succeeded, false), "{:?}", changed.problem);
    // what gets at the data has changed
    assert!(changed.rehearsal.is_some() && changed.point.is_some());
    assert_eq!(visitor.get("/built").await, (200, "two".to_owned()));
    assert_eq!(visitor.get_json("/api/collections/notes/records").await["items"][0]["text"], "kept");

    // a release that lab.toml asks for is run instead, and the program's route is gone
    repository.push(&[("lab.toml", "[pocketbase]\nversion = \"0.40.6\"\n")]);
    let official = real.deploy("club", &repository).await;
    assert_eq!(official.state, DeployState::Succeeded, "{:?}", official.problem);
    assert!(official.warnings.concat().contains("is not run: `lab.toml` asks for the official one"), "{official:?}");
    assert_eq!(visitor.get("/built").await.1, "a page");
    assert_eq!(visitor.get("/hook").await, (200, "a hook".to_owned()));
    real.close().await;
}
