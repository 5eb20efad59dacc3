//! A Caddy that runs for one test, with a gateway behind it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use lab_core::{
    router::{
        RouterConfig, Target,
        caddy::{CaddyLayout, CaddyRouter, CaddySettings},
        gateway::{Gateway, GatewaySettings},
    },
    testing::{
        ports::{Lease, leased_ranges},
        router::table,
    },
};
use tokio::net::UnixListener;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Long enough for any machine.
pub(crate) const LONG: Duration = Duration::from_secs(30);
/// The host that most tests ask for.
pub(crate) const A: &str = "a.example.test";

pub(crate) fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/bin/caddy");
    assert!(program.is_file(), "Caddy is missing: run `scripts/install-tools.sh caddy`, or `make tools`");
    program
}

pub(crate) struct Running {
    pub(crate) settings: CaddySettings,
    pub(crate) gateway: Gateway,
    pub(crate) dir: tempfile::TempDir,
    /// Two ports that nobody else has.
    pub(crate) ports: [u16; 2],
    child: Option<Child>,
    _served: AbortOnDropHandle<()>,
    _lease: Lease,
}

impl Running {
    pub(crate) async fn start(layout: CaddyLayout) -> Self {
        Self::start_with(layout, |_| {}).await
    }

    #[expect(clippy::unused_async, reason = "what it starts needs a runtime")]
    pub(crate) async fn start_with(layout: CaddyLayout, change: impl FnOnce(&mut CaddySettings)) -> Self {
        let (range, lease) = leased_ranges(1);
        let ports = [*range.start(), *range.start() + 1];
        let dir = tempfile::tempdir().unwrap();
        let mut settings = CaddySettings::new(dir.path().join("caddy"), ([127, 0, 0, 1], ports[0]).into());
        settings.layout = layout;
        settings.https = ([127, 0, 0, 1], ports[1]).into();
        change(&mut settings);
        settings.prepare().unwrap();
        let gateway = Gateway::new(GatewaySettings::default());
        let listener = UnixListener::bind(settings.gateway_socket()).unwrap();
        let served = tokio::spawn({
            let gateway = gateway.clone();
            async move {
                gateway.serve(listener, CancellationToken::new()).await;
            }
        });
        let served = AbortOnDropHandle::new(served);
        let mut running = Self { settings, gateway, dir, ports, child: None, _served: served, _lease: lease };
        running.up();
        running
    }

    /// Starts it, as `lab-server init` does.
    pub(crate) fn up(&mut self) {
        self.settings.prepare().unwrap();
        let log = std::fs::File::create(self.dir.path().join("caddy.log")).unwrap();
        let child = Command::new(program())
            .args(["run", "--config"])
            .arg(self.settings.config_file())
            .env_clear()
            .env("HOME", self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    pub(crate) async fn open(&self) -> CaddyRouter {
        CaddyRouter::open(self.settings.clone(), Arc::new(self.gateway.clone())).await.unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.settings.http
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The TCP and the UDP ports on which it listens.
    pub(crate) fn listeners(&self) -> [Vec<u16>; 2] {
        // 0A: listening; 07: the one state of a UDP socket that nobody is connected to
        [self.sockets("tcp", "0A"), self.sockets("udp", "07")]
    }

    fn sockets(&self, protocol: &str, state: &str) -> Vec<u16> {
        let pid = self.child.as_ref().unwrap().id();
        let sockets: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok())
            .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
            .collect();
        let mut ports = Vec::new();
        for table in [protocol.to_owned(), format!("{protocol}6")] {
            for line in std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap().lines().skip(1) {
                let fields: Vec<&str> = line.split_whitespace().collect();
                if fields[3] == state && sockets.iter().any(|inode| inode == fields[9]) {
                    ports.push(u16::from_str_radix(fields[1].rsplit(':').next().unwrap(), 16).unwrap());
                }
            }
        }
        ports.sort_unstable();
        ports
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.path().join("caddy.log")).unwrap_or_default();
            println!("Caddy's log:\n{log}");
        }
        self.kill();
    }
}

/// Leads `A` there.
pub(crate) async fn lead(router: &CaddyRouter, target: Target) {
    router.apply(table([(A, target)])).await.unwrap();
}

pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(LONG, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what} does not come to be"));
}
