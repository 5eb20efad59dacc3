//! The role that tells whether an app answers.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use crate::{app::Port, procfs};

pub mod http;

/// Why an app does not count as up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HealthError {
    /// Nothing listens.
    #[error("nothing listens on port {0}")]
    Refused(Port),
    /// Nothing listens there, but the program does elsewhere.
    #[error(
        "nothing listens on port {port}: the program listens on {} instead; its code must take its address from \
         `serve --http` or from `PORT` in its environment",
        ports(.listens_on)
    )]
    Elsewhere {
        /// Where it was to listen.
        port: Port,
        /// Where it listens.
        listens_on: Vec<u16>,
    },
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

impl HealthError {
    /// What is wrong, told by where the program with this id listens. Blocks.
    pub(crate) fn explained(self, pid: Option<u32>) -> Self {
        let (&Self::Refused(port), Some(pid)) = (&self, pid) else { return self };
        match procfs::listening_ports(pid) {
            listens_on if listens_on.is_empty() || listens_on.contains(&port.get()) => self,
            listens_on => Self::Elsewhere { port, listens_on },
        }
    }
}

fn ports(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
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
