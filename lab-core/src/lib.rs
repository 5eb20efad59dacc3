//! Hosts many `PocketBase` apps on one server.

mod app;
mod blocking;
pub mod builder;
pub mod deploy;
pub mod durable;
mod error;
mod git_url;
pub mod health;
mod ids;
mod lab;
pub mod layout;
pub mod lifecycle;
pub mod pocketbase;
pub mod ports;
pub mod progress;
mod reconcile;
pub mod registry;
pub mod release;
pub mod router;
mod secret;
pub mod source;
pub mod supervisor;
#[cfg(feature = "testing")]
pub mod testing;

pub use app::{App, AppName, InvalidAppName, Port, RESERVED_NAMES};
pub use error::{Error, ErrorKind, report};
pub use git_url::{Credentials, GitRef, GitUrl, InvalidGitRef, InvalidGitUrl, Transport, UrlPolicy};
pub use ids::{DeploymentId, InvalidId, ReleaseId};
pub use lab::{AppView, Backends, DeployRequest, DeployStarted, Lab, LabEvent, LabSettings, PublicAddress};
pub use secret::Secret;
