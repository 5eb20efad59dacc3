//! The front door: [`Lab`] only sequences what the roles do.

use futures_util::stream::BoxStream;
use tokio::sync::broadcast;

use crate::{
    AppName, DeploymentId, Error, Secret,
    deploy::{DeployEvent, Deployment},
    supervisor::LogLine,
};

mod types;

pub use types::{AppView, Backends, DeployRequest, DeployStarted, LabEvent, LabSettings, PublicAddress};

/// A lab: deploys apps and looks after them. Cheap to clone; every clone is the same lab.
#[derive(Debug, Clone)]
pub struct Lab {}

#[allow(unused_variables, clippy::unused_async)]
impl Lab {
    /// Opens the lab in its data directory and brings what runs in line with what is recorded.
    pub async fn open(settings: LabSettings, backends: Backends) -> Result<Self, Error> {
        unimplemented!()
    }
    /// Its settings.
    pub fn settings(&self) -> &LabSettings {
        unimplemented!()
    }
    /// Begins a deployment and returns at once; it goes on whoever hangs up.
    pub async fn deploy(&self, request: DeployRequest) -> Result<DeployStarted, Error> {
        unimplemented!()
    }
    /// Cancels a deployment and waits until it ended; one that has ended is returned as it is.
    pub async fn cancel(&self, app: &AppName, id: DeploymentId) -> Result<Deployment, Error> {
        unimplemented!()
    }
    /// The deployments that are kept, newest first.
    pub async fn deployments(&self, app: &AppName) -> Result<Vec<Deployment>, Error> {
        unimplemented!()
    }
    /// One deployment.
    pub async fn deployment(&self, app: &AppName, id: DeploymentId) -> Result<Deployment, Error> {
        unimplemented!()
    }
    /// What a deployment told with a `seq` above `after` (0: everything), then what it tells, until it ended.
    pub async fn deployment_events(
        &self,
        app: &AppName,
        id: DeploymentId,
        after: u64,
    ) -> Result<BoxStream<'static, DeployEvent>, Error> {
        unimplemented!()
    }
    /// Every app, by name.
    pub async fn list(&self) -> Result<Vec<AppView>, Error> {
        unimplemented!()
    }
    /// One app.
    pub async fn get(&self, app: &AppName) -> Result<AppView, Error> {
        unimplemented!()
    }
    /// Starts an app and waits until it is healthy.
    pub async fn start(&self, app: &AppName) -> Result<AppView, Error> {
        unimplemented!()
    }
    /// Stops an app; it stays stopped.
    pub async fn stop(&self, app: &AppName) -> Result<AppView, Error> {
        unimplemented!()
    }
    /// Stops and starts an app and waits until it is healthy.
    pub async fn restart(&self, app: &AppName) -> Result<AppView, Error> {
        unimplemented!()
    }
    /// Removes an app. Its data goes to the trash, or with `purge` is deleted at once.
    pub async fn remove(&self, app: &AppName, purge: bool) -> Result<(), Error> {
        unimplemented!()
    }
    /// The last lines an app printed.
    pub async fn logs(&self, app: &AppName, lines: usize) -> Result<Vec<LogLine>, Error> {
        unimplemented!()
    }
    /// The last lines an app printed, then new ones as they come.
    pub async fn follow(&self, app: &AppName, lines: usize) -> Result<BoxStream<'static, LogLine>, Error> {
        unimplemented!()
    }
    /// Creates a superuser, or gives an existing one a new password. Returns the password: the given one or a new one.
    pub async fn create_superuser(
        &self,
        app: &AppName,
        email: &str,
        password: Option<Secret>,
    ) -> Result<Secret, Error> {
        unimplemented!()
    }
    /// What happens from now on.
    pub fn events(&self) -> broadcast::Receiver<LabEvent> {
        unimplemented!()
    }
    /// Ends the lab's own work: deployments are cancelled and taken back. The apps keep running.
    pub async fn shutdown(&self) {
        unimplemented!()
    }
    /// Stops every process, leaving what is wanted as it is: they start again when the lab is opened again.
    pub async fn stop_all(&self) -> Result<(), Error> {
        unimplemented!()
    }
}
