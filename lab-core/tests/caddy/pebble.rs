//! Pebble, an ACME server for tests, which really looks whether hosts answer its challenges; and the DNS server that it asks.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// One that runs.
pub(crate) struct Pebble {
    children: Vec<Child>,
    /// Where its API begins.
    pub(crate) directory: String,
    /// What vouches for its own https.
    pub(crate) root: PathBuf,
    management: u16,
    log: PathBuf,
}

impl Pebble {
    /// Starts it on the first four of `ports`. It looks for every host at this machine: by HTTP at `http`, by TLS at `https`.
    pub(crate) fn start(folder: &Path, ports: &RangeInclusive<u16>, http: u16, https: u16) -> Self {
        let mut ports = ports.clone().map(|port| format!("127.0.0.1:{port}"));
        let mut port = || ports.next().unwrap();
        let (api, management, dns, dns_management) = (port(), port(), port(), port());
        // its own certificate, for 127.0.0.1
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=pebble"])
            .args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"])
            .args(["-keyout", "pebble.key", "-out", "pebble.crt"])
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let config = serde_json::json!({"pebble": {
            "listenAddress": api,
            "managementListenAddress": management,
            "certificate": folder.join("pebble.crt"),
            "privateKey": folder.join("pebble.key"),
            "httpPort": http,
            "tlsPort": https,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        }});
        std::fs::write(folder.join("pebble.json"), config.to_string()).unwrap();
        let log = folder.join("pebble.log");
        let written = std::fs::File::create(&log).unwrap();
        let start = |name: &str, words: &[&str]| {
            let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/pebble/usr/bin").join(name);
            assert!(program.is_file(), "{name} is missing: run `scripts/install-tools.sh pebble`, or `make tools`");
            let mut command = Command::new(program);
            // no waits between challenges, and no refusals at random
            command.args(words).env_clear().envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "0")]);
            let (out, err) = (written.try_clone().unwrap(), written.try_clone().unwrap());
            command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap()
        };
        // only DNS: its answers to challenges are Caddy's business
        let words = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""];
        let words = [&words[..], &["-dns01", &dns, "-management", &dns_management]].concat();
        let names = start("pebble-challtestsrv", &words);
        let file = folder.join("pebble.json").display().to_string();
        let server = start("pebble", &["-config", &file, "-dnsserver", &dns]);
        Self {
            children: vec![names, server],
            directory: format!("https://{api}/dir"),
            root: folder.join("pebble.crt"),
            management: management.rsplit(':').next().unwrap().parse().unwrap(),
            log,
        }
    }

    /// Writes the root that its certificates lead to, once it is there.
    pub(crate) async fn issuer(&self, file: &Path) -> bool {
        let root = std::fs::read(&self.root).unwrap();
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_merge(reqwest::Certificate::from_pem_bundle(&root).unwrap())
            .build()
            .unwrap();
        let asked = client.get(format!("https://127.0.0.1:{}/roots/0", self.management)).send().await;
        let Ok(answer) = asked else { return false };
        std::fs::write(file, answer.bytes().await.unwrap()).unwrap();
        true
    }

    /// What it did.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("pebble's log:\n{}", self.log());
        }
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
