//! `fly.toml`: every key is known, every value in its range, and all of it fits the image, the settings and the stop
//! budget. The mistakes that guides make are fixtures, each refused by name.

use std::{fs, path::PathBuf};

use crate::{
    parts::root,
    server::Server,
    stack::{Stack, on_every_stack},
};

mod check;
pub mod facts;
mod schema;
mod span;

on_every_stack!(async a_lab_answers_the_check_with_200);

/// The longest time `lab-server init` takes to end: what stops it must wait longer.
pub use lab_server::init::STOP_BUDGET;

/// Where the API says that it is there.
pub const HEALTH_PATH: &str = "/health";

/// What a file is refused for; nothing where it is right.
fn faults(text: &str) -> Vec<String> {
    match toml::from_str::<schema::Fly>(text) {
        Ok(fly) => check::faults(&fly),
        Err(error) => vec![error.to_string()],
    }
}

fn own() -> String {
    fs::read_to_string(root().join("fly.toml")).unwrap()
}

#[test]
fn the_fly_toml_of_this_repository_is_right() {
    assert_eq!(faults(&own()), Vec::<String>::new());
}

#[test]
fn so_it_is_with_the_api_port_opened_as_its_comment_says() {
    // prose has a space after its `#`, what is to be used has a bracket or the two spaces of an indent
    let is_off = |line: &&str| line.starts_with("#[") || line.starts_with("#  ");
    let own = own();
    assert!(own.lines().any(|line| line == "#[[services]]"), "the commented block is not there");
    let opened: Vec<&str> = own.lines().map(|line| if is_off(&line) { &line[1..] } else { line }).collect();
    assert_eq!(faults(&opened.join("\n")), Vec::<String>::new());
}

/// As Fly.io's checker asks: at the machine's address, with the check's headers and no key.
async fn a_lab_answers_the_check_with_200(stack: Stack) {
    let fly: schema::Fly = toml::from_str(&own()).unwrap();
    let checks = fly.http_service.unwrap().checks;
    assert!(!checks.is_empty());
    let server =
        Server::start_with(stack, &[("DOMAIN_NAME", fly.env["DOMAIN_NAME"].as_str()), ("LAB_PUBLIC_HTTPS", "true")]);
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    for check in checks {
        let mut request = client.get(format!("http://127.0.0.1:{}{}", server.public_port, check.path));
        for (name, value) in &check.headers {
            request = request.header(name, value);
        }
        let answer = request.timeout(check.timeout.0).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{check:?}");
    }
}

#[test]
fn each_mistake_that_guides_make_is_refused_by_name() {
    let folder = root().join("tests/fixtures/fly");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 50, "fixtures are missing: {files:?}");
    for file in files {
        let (text, name) = (fs::read_to_string(&file).unwrap(), file.display());
        let expected = text.lines().next().and_then(|line| line.strip_prefix("# refused: "));
        let expected = expected.unwrap_or_else(|| panic!("{name}: its first line does not say `# refused: …`"));
        let faults = faults(&text);
        assert_eq!(faults.len(), 1, "{name}: each has one mistake: {faults:#?}");
        assert!(faults[0].contains(expected), "{name}: expected `{expected}` in: {}", faults[0]);
    }
}
