//! The server around [`lab_core::Lab`]: its HTTP API, its listeners and its settings.

mod access;
mod api;
pub mod config;
pub mod init;
mod problem;
mod server;
mod stream;
pub mod wiring;

pub use access::{Access, Door};
pub use api::{Front, router};
pub use server::{ServeError, Server};
