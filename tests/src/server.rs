//! A real `lab-server` process with its own data, and the real `lab` command to drive it.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use lab_core::testing::ports::{Lease, leased_ranges};
use serde_json::Value;

use crate::{
    parts::{Repository, Visitor, end_processes, folder, pocketbase, processes, root},
    stack::Stack,
};

/// The folder of the binaries, built by the first who asks.
pub fn binaries() -> &'static Path {
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
    /// lab-server; on a production stack the init that keeps it running, with supervisord and Caddy.
    child: Option<Child>,
    pub stack: Stack,
    pub public_port: u16,
    pub api_port: u16,
    ports: std::ops::RangeInclusive<u16>,
    env: Vec<(String, String)>,
    dir: tempfile::TempDir,
    _lease: Lease,
}

impl Server {
    /// Starts one of the embedded stack.
    pub fn start() -> Self {
        Self::start_on(Stack::Embedded)
    }

    /// Starts one.
    pub fn start_on(stack: Stack) -> Self {
        Self::start_with(stack, &[])
    }

    /// Starts one with further settings.
    pub fn start_with(stack: Stack, env: &[(&str, &str)]) -> Self {
        let (ports, lease) = leased_ranges(4);
        let (first, last) = (*ports.start(), *ports.end());
        let mut server = Self {
            child: None,
            stack,
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
            .envs(self.stack.env())
            .envs(self.env.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Starts the server, where nothing starts it again by itself, and waits until it answers.
    pub fn up(&mut self) {
        if self.child.is_none() {
            let log =
                std::fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("server.log")).unwrap();
            let mut command = self.command();
            if self.stack != Stack::Embedded {
                command.arg("init");
            }
            self.child = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        }
        let begun = Instant::now();
        while !self.lab(&["ls"]).status.success() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && begun.elapsed() < Duration::from_secs(20), "it does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills lab-server, and nothing else.
    pub fn kill(&mut self) {
        if self.stack == Stack::Embedded {
            self.kill_init();
        } else {
            self.kill_program("lab-server");
        }
    }

    /// Kills one of the programs that init keeps running, and waits until it is gone.
    pub fn kill_program(&self, name: &str) {
        let mut pid = None;
        eventually(name, || {
            pid = self.programs().into_iter().find(|(_, words)| words.contains(name)).map(|(pid, _)| pid);
            pid.is_some()
        });
        let pid = pid.unwrap();
        signal("KILL", pid);
        eventually("its end", || !self.programs().iter().any(|(its, _)| *its == pid));
    }

    /// The children of init: their process ids and what they were started as.
    pub fn programs(&self) -> Vec<(i32, String)> {
        let init = i32::try_from(self.child.as_ref().unwrap().id()).unwrap();
        let mut pids = lab_core::procfs::pids().unwrap();
        pids.retain(|pid| lab_core::procfs::parent(*pid) == Some(init));
        let words = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        pids.into_iter().map(|pid| (pid, words(pid).replace('\0', " "))).collect()
    }

    /// Asks the server to end, and waits.
    pub fn terminate(&mut self) -> std::process::ExitStatus {
        self.end_with("TERM")
    }

    /// Sends the signal to what was started, and waits for its end.
    pub fn end_with(&mut self, name: &str) -> std::process::ExitStatus {
        let mut child = self.child.take().unwrap();
        signal(name, i32::try_from(child.id()).unwrap());
        child.wait().unwrap()
    }

    /// The id of what was started.
    pub fn init_pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Waits for the end of what was started, which comes by itself.
    pub fn ended(&mut self) -> std::process::ExitStatus {
        let mut status = None;
        eventually("its end", || {
            status = self.child.as_mut().unwrap().try_wait().unwrap();
            status.is_some()
        });
        self.child = None;
        status.unwrap()
    }

    /// Kills what was started, and nothing else.
    pub fn kill_init(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Every process that was started with this server's data directory as an argument or a variable.
    pub fn holders(&self) -> Vec<i32> {
        let place = self.data().display().to_string();
        let mut pids = lab_core::procfs::pids().unwrap();
        pids.retain(|pid| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            [words, environment].iter().any(|text| String::from_utf8_lossy(text).contains(&place))
        });
        pids
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

    /// Runs `lab` with this as its standard input.
    pub fn lab_with_input(&self, words: &[&str], input: &str) -> Output {
        let mut command = self.lab_command();
        let command = command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
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
        let programs = if self.stack == Stack::Embedded || self.child.is_none() { Vec::new() } else { self.programs() };
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // a test that failed need not wait for a graceful end
        for (pid, _) in programs {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
        end_processes(&self.data());
    }
}

/// Sends a signal to a process that is there.
pub fn signal(name: &str, pid: i32) {
    assert!(Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap().success());
}

/// Waits for something that will come to be.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what} does not come to be");
        std::thread::sleep(Duration::from_millis(20));
    }
}
