//! The real `lab` command against a real server.

use serde_json::Value;

use crate::{
    parts::Repository,
    server::Server,
    stack::{Stack, on_every_stack},
};

on_every_stack!(an_app_goes_through_its_life, the_doctor_looks_at_everything, routes_are_a_caddyfile_that_caddy_takes);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn an_app_goes_through_its_life(stack: Stack) {
    let server = Server::start_on(stack);
    let repository = Repository::of_example("guestbook");
    assert!(text(&server.lab(&["ls"]).stdout).contains("no apps yet"));
    let deployed = server.lab(&["deploy", &repository.address(), "--name", "guestbook"]);
    assert!(deployed.status.success(), "{}", text(&deployed.stderr));
    assert!(text(&deployed.stdout).contains("guestbook is live at http://guestbook.lab.localhost"));
    assert!(text(&deployed.stderr).contains("✓ health"), "{}", text(&deployed.stderr));
    assert!(text(&server.lab(&["ls"]).stdout).contains("running"));
    assert!(text(&server.lab(&["show", "guestbook"]).stdout).contains("succeeded"));
    assert!(text(&server.lab(&["logs", "guestbook"]).stdout).contains("Server started"));
    assert!(text(&server.lab(&["log", "guestbook"]).stdout).contains("pb_hooks"));
    assert_eq!(server.lab_json(&["deployments", "guestbook"]).as_array().unwrap().len(), 1);
    assert!(text(&server.lab(&["stop", "guestbook"]).stdout).contains("stopped"));
    assert!(text(&server.lab(&["start", "guestbook"]).stdout).contains("running"));
    assert!(text(&server.lab(&["restart", "guestbook"]).stdout).contains("running"));
    assert!(text(&server.lab(&["routes"]).stdout).contains("guestbook.lab.localhost"));
    assert!(text(&server.lab(&["open", "guestbook"]).stdout).starts_with("http://guestbook."));
    let made = server.lab(&["superuser", "guestbook", "me@example.com"]);
    assert!(text(&made.stdout).contains("not shown again"), "{}", text(&made.stderr));
    let refused = server.lab(&["rm", "guestbook"]);
    assert_eq!((refused.status.code(), text(&refused.stderr).contains("--yes")), (Some(2), true));
    assert!(server.lab(&["rm", "guestbook", "--yes"]).status.success());
    assert_eq!(server.lab(&["show", "guestbook"]).status.code(), Some(3));
}

#[test]
fn the_checkout_one_stands_in_is_deployed() {
    let server = Server::start();
    let origin = Repository::of_example("guestbook");
    let folder = crate::parts::folder();
    let place = folder.path().join("my-checkout");
    git2::Repository::clone(&origin.address(), &place).unwrap();
    let deployed = server.lab_in(&place, &["deploy", "--name", "mine"]);
    assert!(deployed.status.success(), "{}", text(&deployed.stderr));
    let app = server.lab_json(&["show", "mine"]);
    assert_eq!((app["repository"].as_str(), app["branch"].as_str()), (Some(origin.address().as_str()), Some("main")));
    std::fs::write(place.join("pb_public/index.html"), "changed").unwrap();
    let again = server.lab_in(&place, &["deploy", &origin.address(), "--name", "mine"]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    let elsewhere = server.lab_in(folder.path().parent().unwrap().ancestors().nth(3).unwrap(), &["deploy"]);
    assert_eq!(elsewhere.status.code(), Some(2), "{}", text(&elsewhere.stderr));
}

#[test]
fn failures_have_exit_codes_and_one_envelope() {
    let server = Server::start();
    let bad = Repository::of_files(&[("README.md", "nothing")]);
    for (words, exit, code) in [
        (vec!["show", "nobody"], 3, "app_not_found"),
        (vec!["deploy", "ftp://x/y", "--name", "app"], 2, "invalid_repository"),
        (vec!["deploy", bad.address().leak(), "--name", "bad"], 5, "app_not_recognised"),
        (vec!["start", "bad"], 4, "nothing_to_run"),
        (vec!["plan", bad.address().leak()], 5, "app_not_recognised"),
        (vec!["rm", "bad"], 2, "usage"),
    ] {
        let output = server.lab(&[&words[..], &["--json"]].concat());
        let last = text(&output.stdout).lines().last().unwrap_or_default().to_owned();
        let envelope: Value = serde_json::from_str(&last).unwrap_or_else(|e| panic!("{words:?}: {e}: {last}"));
        assert_eq!(output.status.code(), Some(exit), "{words:?}: {envelope}");
        assert_eq!((&envelope["ok"], &envelope["error"]["code"]), (&false.into(), &code.into()), "{words:?}");
    }
    let lost = server.lab_command().env("LAB_SOCKET", "/nowhere/lab.sock").arg("ls").output().unwrap();
    assert_eq!(lost.status.code(), Some(6));
    assert!(text(&lost.stderr).contains("/nowhere/lab.sock"), "{}", text(&lost.stderr));
}

#[test]
fn secrets_come_by_standard_input_and_are_not_shown() {
    let server = Server::start();
    server.deploy("guestbook", &Repository::of_example("guestbook"));
    let output =
        server.lab_with_input(&["superuser", "guestbook", "me@example.com", "--password-stdin"], "my own passw0rd\n");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let everything = format!("{}{}{}", text(&output.stdout), text(&output.stderr), server.log());
    assert!(!everything.contains("my own passw0rd"), "{everything}");
}

#[test]
fn a_plan_is_shown_without_a_server() {
    let server = Server::start();
    let repository = Repository::of_example("notes-go");
    let output =
        server.lab_command().env("LAB_SOCKET", "/nowhere").args(["plan", &repository.address()]).output().unwrap();
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(shown.contains("go build") && shown.contains("npm") && shown.contains("[server]"), "{shown}");
}

#[test]
fn settings_are_checked_and_secrets_hidden() {
    let server = Server::start();
    let mut check = server.command();
    check.arg("check").env("LAB_API_KEY", "0123456789abcdef").env("GITHUB_TOKEN", "t0ken");
    let output = check.output().unwrap();
    let shown = text(&output.stdout);
    // the running server has the ports
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("cannot listen") && shown.contains("(hidden)"), "{shown}");
    assert!(!shown.contains("0123456789abcdef") && !shown.contains("t0ken"), "{shown}");
    let second =
        server.command().env("LAB_MANAGER_PORT", "0").env("LAB_PUBLIC_LISTEN", "127.0.0.1:0").output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("in use by another"), "{}", text(&second.stderr));
    let open = server.command().env("LAB_LISTEN", "0.0.0.0:0").output().unwrap();
    assert_eq!(open.status.code(), Some(2));
    assert!(text(&open.stderr).contains("LAB_API_KEY"), "{}", text(&open.stderr));
    let help = text(&server.command().arg("--help").env("GITHUB_TOKEN", "t0ken").output().unwrap().stdout);
    assert!(help.contains("LAB_MANAGER_PORT") && !help.contains("t0ken"), "{help}");
}

fn routes_are_a_caddyfile_that_caddy_takes(stack: Stack) {
    // with https in front, as on Fly.io: Caddy itself ends none
    let server = Server::start_with(stack, &[("LAB_PUBLIC_HTTPS", "true")]);
    server.deploy("app", &Repository::of_files(&[("pb_public/index.html", "app")]));
    server.lab_json(&["domains", "app", "add", "shop.example.test"]);
    let printed = server.lab(&["routes", "--caddyfile"]);
    let file = text(&printed.stdout);
    for host in ["app.lab.localhost", "shop.example.test"] {
        assert!(file.contains(&format!("http://{host}:{} {{", server.public_port)), "{file}");
    }
    assert!(file.contains("auto_https off") && !file.contains("https://"), "{file}");
    let caddyfile = server.data().join("Caddyfile");
    std::fs::write(&caddyfile, &file).unwrap();
    let mut caddy = std::process::Command::new(crate::parts::root().join(".tools/bin/caddy"));
    let adapted = caddy.args(["adapt", "--validate", "--adapter", "caddyfile", "--config"]).arg(&caddyfile).output();
    let adapted = adapted.unwrap();
    assert!(adapted.status.success(), "{}", text(&adapted.stderr));
    let config: Value = serde_json::from_slice(&adapted.stdout).unwrap();
    assert!(config["apps"]["tls"].is_null(), "{config}");
    let servers = config["apps"]["http"]["servers"].as_object().unwrap();
    assert!(
        servers.values().all(|s| s["listen"] == serde_json::json!([format!(":{}", server.public_port)])),
        "{config}"
    );
}

fn the_doctor_looks_at_everything(stack: Stack) {
    let server = Server::start_on(stack);
    let checks = server.lab_json(&["doctor"]);
    let names: Vec<&str> = checks.as_array().unwrap().iter().map(|check| check["what"].as_str().unwrap()).collect();
    assert!(["socket", "server", "version", "apps", "go"].iter().all(|name| names.contains(name)), "{names:?}");
    let lost = server.lab_command().env("LAB_SOCKET", "/nowhere/lab.sock").arg("doctor").output().unwrap();
    assert_eq!(lost.status.code(), Some(1));
    assert!(text(&server.lab(&["completions", "bash"]).stdout).contains("_lab"));
}
