//! A supervisord that runs for one test.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use lab_core::{
    AppName,
    supervisor::{
        ProcessState, ProcessSupervisor,
        supervisord::{SupervisordSettings, SupervisordSupervisor},
    },
};

/// Long enough for any machine.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/bin/supervisord");
    assert!(program.is_file(), "supervisord is missing: run `scripts/install-tools.sh supervisor`, or `make tools`");
    program
}

pub(crate) struct Running {
    pub(crate) settings: SupervisordSettings,
    child: Option<Child>,
    dir: tempfile::TempDir,
}

impl Running {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = SupervisordSettings::new(dir.path().join("supervisor"), dir.path().join("logs"));
        let mut running = Self { settings, child: None, dir };
        running.up();
        running
    }

    /// Starts it, as `lab-server init` does.
    pub(crate) fn up(&mut self) {
        self.settings.end_left_behind().unwrap();
        self.settings.prepare().unwrap();
        self.settings.mend().unwrap();
        let child = Command::new(program())
            .arg("-c")
            .arg(self.settings.config_file())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    pub(crate) async fn open(&self) -> SupervisordSupervisor {
        SupervisordSupervisor::open(self.settings.clone()).await.unwrap()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Ends it in order.
    pub(crate) fn end(&mut self) {
        let mut child = self.child.take().unwrap();
        let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(told.success() && child.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.settings.log_file()).unwrap_or_default();
            println!("supervisord's log:\n{log}");
        }
        self.kill();
        let _ = self.settings.end_left_behind();
    }
}

pub(crate) fn name(text: &str) -> AppName {
    text.parse().unwrap()
}

/// The process id of an app that runs.
pub(crate) async fn pid(supervisor: &SupervisordSupervisor, app: &str) -> u32 {
    match supervisor.state(&name(app)).await.unwrap() {
        Some(ProcessState::Running { pid, .. }) => pid,
        other => panic!("not running: {other:?}"),
    }
}

pub(crate) fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(LONG, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what} does not come to be"));
}
