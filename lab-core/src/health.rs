//! The role that tells whether an app answers.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use crate::app::Port;

pub mod http;

/// Why an app does not count as up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HealthError {
    /// Nothing listens.
    #[error("nothing listens on port {0}")]
    Refused(Port),
    /// It answered something else than 2xx.
    #[error("`{path}` answered {status}")]
    Status {
        /// The path.
        path: String,
        /// The HTTP status.
        status: u16,
    },
    /// No answer in time, or none that is HTTP.
    #[error("`{path}` gave no answer: {reason}")]
    NoAnswer {
        /// The path.
        path: String,
        /// What happened.
        reason: String,
    },
}

/// Asks an app whether it is up, once.
///
/// # Contract
/// - `Ok` means that `http://127.0.0.1:<port><path>` answered 2xx within `limit`.
/// - One call is one request; it returns within `limit`.
#[async_trait]
pub trait HealthProbe: fmt::Debug + Send + Sync + 'static {
    /// The name of the technology: `http`, `memory` …
    fn backend(&self) -> &'static str;
    /// Asks once.
    async fn probe(&self, port: Port, path: &str, limit: Duration) -> Result<(), HealthError>;
}
