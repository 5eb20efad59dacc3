//! A real `lab-server` process with its own data, and the real `lab` command to drive it.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use lab_core::testing::ports::{Lease, leased_ranges};
use serde_json::Value;

use crate::parts::{Repository, Visitor, end_processes, folder, pocketbase, processes, root};

/// The folder of the binaries, built by the first who asks.
fn binaries() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "-p", "lab-server", "-p", "lab-cli"])
            .args((!cfg!(debug_assertions)).then_some("--release"))
            .current_dir(root())
            .status()
            .unwrap();
        assert!(built.success(), "lab-server and lab do not build");
        // this program is in <target>/<profile>/deps
        let program = std::env::current_exe().unwrap();
        program.ancestors().nth(2).unwrap().to_owned()
    })
}

/// A server and its data. Whatever it started ends with it.
pub struct Server {
    child: Option<Child>,
    pub public_port: u16,
    pub api_port: u16,
    ports: std::ops::RangeInclusive<u16>,
    env: Vec<(String, String)>,
    dir: tempfile::TempDir,
    _lease: Lease,
}

impl Server {
    /// Starts one.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with further settings.
    pub fn start_with(env: &[(&str, &str)]) -> Self {
        let (ports, lease) = leased_ranges(4);
        let (first, last) = (*ports.start(), *ports.end());
        let mut server = Self {
            child: None,
            public_port: first,
            api_port: first + 1,
            ports: first + 2..=last,
            env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            dir: folder(),
            _lease: lease,
        };
        server.up();
        server
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The command that would start it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(binaries().join("lab-server"));
        command
            .env("DATA_DIR", self.data())
            .env("DOMAIN_NAME", "lab.localhost")
            .env("LAB_PUBLIC_LISTEN", format!("127.0.0.1:{}", self.public_port))
            .env("LAB_MANAGER_PORT", self.api_port.to_string())
            .env("LAB_PORTS", format!("{}-{}", self.ports.start(), self.ports.end()))
            .env("LAB_ALLOW_LOCAL_REPOSITORIES", "true")
            .env("LAB_POCKETBASE_SOURCE", format!("path:{}", pocketbase().display()))
            .env_remove("LAB_API_KEY")
            .env_remove("GITHUB_TOKEN")
            .envs(self.env.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Starts the server and waits until it answers.
    pub fn up(&mut self) {
        assert!(self.child.is_none(), "it is up");
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("server.log")).unwrap();
        let child = self.command().stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.child = Some(child);
        let begun = Instant::now();
        while !self.lab(&["ls"]).status.success() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && begun.elapsed() < Duration::from_secs(20), "it does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills the server, and nothing else.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks the server to end, and waits.
    pub fn terminate(&mut self) -> std::process::ExitStatus {
        let mut child = self.child.take().unwrap();
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        child.wait().unwrap()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default()
    }

    /// Runs `lab`.
    pub fn lab(&self, words: &[&str]) -> Output {
        self.lab_in(self.dir.path(), words)
    }

    /// Runs `lab` in a folder.
    pub fn lab_in(&self, folder: &Path, words: &[&str]) -> Output {
        self.lab_command().current_dir(folder).args(words).output().unwrap()
    }

    /// The `lab` command for this server.
    pub fn lab_command(&self) -> Command {
        let mut command = Command::new(binaries().join("lab"));
        command
            .env("LAB_SOCKET", self.data().join("lab.sock"))
            .env_remove("LAB_URL")
            .env_remove("LAB_API_KEY")
            .stdin(Stdio::null());
        command
    }

    /// Runs `lab … --json` and returns the data; it must succeed.
    pub fn lab_json(&self, words: &[&str]) -> Value {
        let output = self.lab(&[words, &["--json"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        let envelope: Value = serde_json::from_str(text.lines().last().unwrap_or_default())
            .unwrap_or_else(|e| panic!("{e}: {text} {}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!(envelope["ok"], true, "{words:?}: {envelope} {}", self.log());
        envelope["data"].clone()
    }

    pub fn deploy(&self, app: &str, repository: &Repository) {
        let output = self.lab(&["deploy", &repository.address(), "--name", app]);
        assert!(output.status.success(), "{} {}", String::from_utf8_lossy(&output.stderr), self.log());
    }

    /// The id of the app's process, where it runs.
    pub fn pid(&self, app: &str) -> Option<u64> {
        self.lab_json(&["show", app])["process"]["pid"].as_u64()
    }

    pub fn visit(&self, app: &str) -> Visitor {
        Visitor::new(app, self.public_port)
    }

    /// Every process that was started for an app of this server.
    pub fn processes(&self) -> Vec<u32> {
        processes(&self.data())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        end_processes(&self.data());
    }
}

/// Waits for something that will come to be.
pub fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what} does not come to be");
        std::thread::sleep(Duration::from_millis(20));
    }
}
