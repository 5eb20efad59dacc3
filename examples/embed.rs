//! A program of one's own that hosts PocketBase apps: no server, no CLI, only the library.
//!
//! ```text
//! cargo run -p lab-examples --example embed -- https://github.com/me/app
//! ```
//! The app answers at `http://app.lab.localhost:8080/` until Ctrl-C.

use std::{error::Error, sync::Arc};

use futures_util::StreamExt;
use lab_core::{
    Backends, DeployRequest, GitUrl, Lab, LabSettings, UrlPolicy,
    builder::local::{LocalBuilder, LocalBuilderSettings},
    deploy::DeployEventKind,
    health::http::HttpProbe,
    layout::DataDir,
    pocketbase::{
        PocketBaseStore,
        archive::{ReleaseArchive, ReleaseSettings},
    },
    ports::{file::FilePorts, memory::DEFAULT_RANGE},
    registry::file::FileRegistry,
    rehearsal::local::LocalRehearser,
    router::gateway::{Gateway, GatewaySettings},
    source::git::{GitSettings, GitSource},
    supervisor::native::{NativeSettings, NativeSupervisor},
};
use tokio_util::sync::CancellationToken;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a program for people")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("give the address of a repository")?;
    let data = DataDir::new(std::path::absolute("data")?);
    std::fs::create_dir_all(data.path())?;

    // the roles, each with an implementation of Lab's; any of them could be your own
    let store = PocketBaseStore::new(data.pocketbase(), Arc::new(ReleaseArchive::new(ReleaseSettings::default())));
    let building = LocalBuilderSettings::new(data.build_cache(), std::env::var("PATH")?);
    let supervisor = Arc::new(NativeSupervisor::open(NativeSettings::new(data.run(), data.logs()))?);
    let gateway = Gateway::new(GatewaySettings::default());
    let backends = Backends {
        registry: Arc::new(FileRegistry::open(data.registry())?),
        ports: Arc::new(FilePorts::open(data.ports(), DEFAULT_RANGE)?),
        source: Arc::new(GitSource::new(GitSettings::default())),
        builder: Arc::new(LocalBuilder::new(building, Arc::new(store))),
        supervisor: supervisor.clone(),
        router: Arc::new(gateway.clone()),
        health: Arc::new(HttpProbe::new()),
        rehearser: Arc::new(LocalRehearser),
    };
    let lab = Lab::open(LabSettings::new(data, "lab.localhost".parse()?), backends).await?;
    let stop = CancellationToken::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    let serving = tokio::spawn({
        let stop = stop.clone();
        async move { gateway.serve(listener, stop).await }
    });

    let request = DeployRequest {
        repository: Some(GitUrl::parse(&address, UrlPolicy::Remote)?),
        ..DeployRequest::new("app".parse()?)
    };
    let started = lab.deploy(request).await?;
    let mut events = lab.deployment_events(&started.app.app.name, started.deployment, 0).await?;
    while let Some(event) = events.next().await {
        match event.kind {
            DeployEventKind::StepStarted { step } => println!("{step} …"),
            DeployEventKind::Log { line } => println!("  {line}"),
            DeployEventKind::Finished { state, problem } => {
                println!("{state}{}", problem.map(|p| format!(": {}", p.message)).unwrap_or_default());
            }
            _ => {}
        }
    }
    println!("{} until Ctrl-C", started.app.url);
    tokio::signal::ctrl_c().await?;

    lab.shutdown().await;
    lab.stop_all().await?;
    supervisor.shutdown().await;
    stop.cancel();
    serving.await?;
    Ok(())
}
