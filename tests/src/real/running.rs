//! What a stack runs: the backends in this process, and the programs beside it.

use std::{
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use lab_core::{
    layout::DataDir,
    router::{
        RouterConfig,
        caddy::{CaddyLayout, CaddyRouter, CaddySettings},
        gateway::{Gateway, GatewaySettings, Listener},
    },
    supervisor::{
        ProcessSupervisor,
        native::{NativeSettings, NativeSupervisor},
        supervisord::{SupervisordSettings, SupervisordSupervisor},
    },
};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_util::sync::CancellationToken;

use crate::stack::{Stack, program};

pub(super) enum Running {
    Embedded { supervisor: Arc<NativeSupervisor>, gateway: Gateway, stop: CancellationToken },
    Production(Box<Production>),
}

pub(super) struct Production {
    supervisor: Arc<SupervisordSupervisor>,
    router: Arc<CaddyRouter>,
    stop: CancellationToken,
    _programs: Programs,
}

impl Running {
    pub(super) async fn start(stack: Stack, data: &DataDir, public_port: u16) -> Self {
        let stop = CancellationToken::new();
        let layout = match stack {
            Stack::Embedded => {
                let supervisor = NativeSupervisor::open(NativeSettings::new(data.run(), data.logs())).unwrap();
                let gateway = Gateway::new(GatewaySettings::default());
                serve(&gateway, TcpListener::bind(("127.0.0.1", public_port)).await.unwrap(), &stop);
                return Self::Embedded { supervisor: Arc::new(supervisor), gateway, stop };
            }
            Stack::Edge => CaddyLayout::Edge,
            Stack::Direct => CaddyLayout::Direct,
        };
        let supervised = SupervisordSettings::new(data.supervisor(), data.logs());
        let mut caddy = CaddySettings::new(data.caddy(), ([127, 0, 0, 1], public_port).into());
        caddy.layout = layout;
        let programs = Programs::start(supervised.clone(), &caddy);
        let mut settings = GatewaySettings::default();
        // as lab-server has it: supervisord starts an app again on ticks of a second
        settings.timeouts.comeback = Duration::from_secs(10);
        let gateway = Gateway::new(settings);
        serve(&gateway, UnixListener::bind(caddy.gateway_socket()).unwrap(), &stop);
        let router = Arc::new(CaddyRouter::open(caddy, Arc::new(gateway)).await.unwrap());
        let supervisor = Arc::new(SupervisordSupervisor::open(supervised).await.unwrap());
        let listens = async {
            while TcpStream::connect(("127.0.0.1", public_port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), listens).await.expect("Caddy listens");
        Self::Production(Box::new(Production { supervisor, router, stop, _programs: programs }))
    }

    pub(super) fn supervisor(&self) -> Arc<dyn ProcessSupervisor> {
        match self {
            Self::Embedded { supervisor, .. } => supervisor.clone(),
            Self::Production(it) => it.supervisor.clone(),
        }
    }

    pub(super) fn router(&self) -> Arc<dyn RouterConfig> {
        match self {
            Self::Embedded { gateway, .. } => Arc::new(gateway.clone()),
            Self::Production(it) => it.router.clone(),
        }
    }

    /// Ends what it does in this process.
    pub(super) async fn end(&self) {
        match self {
            Self::Embedded { supervisor, stop, .. } => {
                supervisor.shutdown().await;
                stop.cancel();
            }
            Self::Production(it) => {
                it.router.shutdown().await;
                it.supervisor.shutdown().await;
                it.stop.cancel();
            }
        }
    }
}

fn serve(gateway: &Gateway, listener: impl Into<Listener>, stop: &CancellationToken) {
    let (gateway, listener, stop) = (gateway.clone(), listener.into(), stop.clone());
    tokio::spawn(async move { gateway.serve(listener, stop).await });
}

/// supervisord and Caddy, started as `lab-server init` does.
struct Programs {
    supervisord: Child,
    caddy: Child,
    supervised: SupervisordSettings,
}

impl Programs {
    fn start(supervised: SupervisordSettings, caddy: &CaddySettings) -> Self {
        supervised.prepare().unwrap();
        caddy.prepare().unwrap();
        let start = |name: &str, words: &[&str], config: std::path::PathBuf| {
            let log = std::fs::File::create(config.with_extension("out")).unwrap();
            // they end with this thread, as with init
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "TERM", "--"]).arg(program(name)).args(words).arg(config);
            command.env_clear().env("LANG", "C.UTF-8").env("HOME", caddy.dir.join("home"));
            command.env("PATH", std::env::var_os("PATH").unwrap());
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
        };
        let supervisord = start("supervisord", &["-c"], supervised.config_file());
        let caddy = start("caddy", &["run", "--config"], caddy.config_file());
        Self { supervisord, caddy, supervised }
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        for child in [&mut self.caddy, &mut self.supervisord] {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = self.supervised.end_left_behind();
    }
}
