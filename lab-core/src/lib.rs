//! Hosts many PocketBase apps on one server: fetches them from git, builds them, supervises them, leads requests to them,
//! and brings them back after a crash.
//!
//! [`Lab`] is the front door. What it works with are roles, each a trait with a written contract, given to it in
//! [`Backends`]; any of them can be your own.
//!
//! | Role | Implementations here |
//! |---|---|
//! | [`registry::Registry`] | file, memory |
//! | [`ports::PortAllocator`] | file, memory |
//! | [`source::Source`] | git |
//! | [`builder::Builder`] | local |
//! | [`supervisor::ProcessSupervisor`] | native |
//! | [`router::RouterConfig`] | gateway, caddy, memory |
//! | [`health::HealthProbe`] | http |
//! | [`rehearsal::Rehearser`] | local |
//!
//! The nouns: an [`App`] has an [`AppName`], a repository ([`GitUrl`]) and a [`Port`]; a [`deploy::Deployment`] makes a
//! [`release::Release`] of it. What is wanted ([`lifecycle::Desired`]), what was seen ([`lifecycle::Status`]) and what is
//! being done (a deployment under way) are three things.
//!
//! ```no_run
//! use lab_core::{AppName, Backends, DeployRequest, GitUrl, Lab, LabSettings, UrlPolicy, layout::DataDir};
//!
//! # async fn example(backends: Backends) -> Result<(), Box<dyn std::error::Error>> {
//! let settings = LabSettings::new(DataDir::new("/var/lib/lab"), "lab.example.com".parse()?);
//! let lab = Lab::open(settings, backends).await?;
//! let repository = GitUrl::parse("https://github.com/me/guestbook", UrlPolicy::Remote)?;
//! let name: AppName = "guestbook".parse()?;
//! lab.deploy(DeployRequest { repository: Some(repository), ..DeployRequest::new(name) }).await?;
//! # Ok(())
//! # }
//! ```
//! `examples/embed.rs` is a whole program.
//!
//! | Feature | What it adds |
//! |---|---|
//! | `testing` | a conformance suite per role, and fakes that pass them |
//!
//! The library neither prints nor reads the environment, and can be used several times in one process.

mod app;
mod blocking;
pub mod builder;
pub mod data;
pub mod deploy;
mod domain;
pub mod durable;
mod error;
mod file_lock;
mod finding;
mod git_url;
pub mod health;
mod ids;
mod lab;
pub mod layout;
pub mod lifecycle;
pub mod machine;
pub mod pocketbase;
pub mod ports;
pub mod procfs;
pub mod progress;
mod reconcile;
pub mod registry;
pub mod rehearsal;
pub mod release;
pub mod router;
mod secret;
pub mod source;
pub mod supervisor;
#[cfg(feature = "testing")]
pub mod testing;
mod variables;

pub use app::{App, AppName, InvalidAppName, Port, RESERVED_NAMES};
pub use domain::{CustomDomain, DomainError, MAX_DOMAINS};
pub use error::{Error, ErrorKind, report};
pub use finding::Finding;
pub use git_url::{Credentials, GitRef, GitUrl, InvalidGitRef, InvalidGitUrl, Transport, UrlPolicy};
pub use ids::{DataPointId, DeploymentId, InvalidId, ReleaseId};
pub use lab::{AppView, Backends, DeployRequest, DeployStarted, Lab, LabEvent, LabSettings, PublicAddress};
pub use secret::Secret;
pub use variables::{InvalidVariable, VariableChange, VariableName};
