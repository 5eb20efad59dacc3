//! TLS from end to end: Caddy ends it, and the lab says who may have a certificate.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use lab_core::testing::ports::{Lease, leased_ranges};

use crate::{
    parts::{Repository, folder},
    pebble::Pebble,
    server::{Server, eventually},
    stack::{Stack, run},
};

/// Ports for Caddy and the lab that are known before they start.
struct Ports {
    all: RangeInclusive<u16>,
    _lease: Lease,
}

impl Ports {
    fn new() -> Self {
        let (all, lease) = leased_ranges(1);
        Self { all, _lease: lease }
    }

    fn number(&self, n: u16) -> u16 {
        self.all.start() + n
    }
}

/// What a host answers over https to who trusts this root alone; nothing where it has no certificate.
async fn get(host: &str, port: u16, root: &Path) -> Option<(u16, String)> {
    let pem = std::fs::read(root).ok()?;
    let client = reqwest::Client::builder()
        .no_proxy()
        .resolve(host, ([127, 0, 0, 1], port).into())
        .tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem).ok()?)
        .build()
        .ok()?;
    let answer = client.get(format!("https://{host}:{port}/")).send().await.ok()?;
    Some((answer.status().as_u16(), answer.text().await.ok()?))
}

/// An app answers over https under its own host and a domain; a host that the lab does not know has no certificate.
fn hosts_of_the_lab_answer_over_https(server: &Server, port: u16, root: &Path) {
    server.deploy("app", &Repository::of_files(&[("pb_public/index.html", "<html>app</html>")]));
    let page = Some((200, "<html>app</html>".to_owned()));
    eventually("an answer over https", || run(get("app.lab.localhost", port, root)) == page);
    assert_eq!(run(get("shop.example.test", port, root)), None, "nobody has it yet");
    server.lab_json(&["domains", "app", "add", "shop.example.test"]);
    eventually("an answer under the domain", || run(get("shop.example.test", port, root)) == page);
    assert_eq!(run(get("nobody.lab.localhost", port, root)), None);
    assert_eq!(run(get("lab.localhost", port, root)).map(|(status, _)| status), Some(200));
}

#[test]
fn caddys_own_authority_vouches_for_what_the_lab_knows() {
    let ports = Ports::new();
    let (https, api) = (ports.number(0), ports.number(1));
    let server = Server::start_with(
        Stack::Edge,
        &[
            ("LAB_TLS", "internal"),
            ("LAB_HTTPS_LISTEN", &format!("127.0.0.1:{https}")),
            // not where most labs listen, and Caddy asks there
            ("LAB_LISTEN", &format!("127.0.0.2:{api}")),
        ],
    );
    let root = server.data().join("caddy/storage/pki/authorities/local/root.crt");
    hosts_of_the_lab_answer_over_https(&server, https, &root);
    let file = String::from_utf8_lossy(&server.lab(&["routes", "--caddyfile"]).stdout).into_owned();
    assert!(file.contains("local_certs") && file.contains(&format!("https://app.lab.localhost:{https} {{")), "{file}");
}

#[test]
fn an_authority_looks_at_what_the_lab_knows_and_vouches_for_it() {
    let (ports, authority) = (Ports::new(), Ports::new());
    let (http, https) = (ports.number(0), ports.number(1));
    let place = folder();
    let pebble = Pebble::start(place.path(), &authority.all, http, https);
    let server = Server::start_with(
        Stack::Edge,
        &[
            ("LAB_TLS", "acme"),
            ("LAB_PUBLIC_LISTEN", &format!("127.0.0.1:{http}")),
            ("LAB_HTTPS_LISTEN", &format!("127.0.0.1:{https}")),
            ("LAB_ACME_EMAIL", "me@example.test"),
            ("LAB_ACME_DIRECTORY", &pebble.directory),
            ("LAB_ACME_ROOT", &pebble.root.display().to_string()),
        ],
    );
    let root: PathBuf = place.path().join("issuer.pem");
    eventually("the authority", || run(pebble.issuer(&root)));
    hosts_of_the_lab_answer_over_https(&server, https, &root);
    let log = pebble.log();
    assert!(log.contains("shop.example.test") && !log.contains("nobody.lab.localhost"), "{log}");
}
