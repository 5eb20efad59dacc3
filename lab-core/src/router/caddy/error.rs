use std::{io, path::PathBuf, time::Duration};

use crate::router::RouterError;

/// Why Caddy could not be asked, or did not do it.
#[derive(Debug, thiserror::Error)]
pub enum CaddyError {
    /// A file of ours could not be read or written.
    #[error("cannot {action} `{}`", .path.display())]
    File {
        /// `read`, `write` …
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The folder cannot be written into Caddy's configuration.
    #[error("Caddy cannot work in `{}`: {why}; move the data directory", .path.display())]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody answers on its admin socket.
    #[error("nobody answers on `{}`: Caddy does not run; start it (`lab-server init` does), and look at its log when it does not stay",
        .socket.display())]
    NotRunning {
        /// Its socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The socket is there and we may not use it.
    #[error("`{}` belongs to another user; run this as the user that Caddy runs as", .0.display())]
    Permission(PathBuf),
    /// It took too long.
    #[error("Caddy did not answer within {} s; it hangs, or the machine is overloaded: look at its processor time", .waited.as_secs())]
    Slow {
        /// How long was waited.
        waited: Duration,
    },
    /// It did not take a configuration; the one before is in force.
    #[error("Caddy refused it: {reason}")]
    Rejected {
        /// What it said.
        reason: String,
    },
    /// It took a configuration, and has another one.
    #[error("Caddy has another configuration than it was given; does something else change it? Leave it to the lab")]
    Differs,
}

impl CaddyError {
    pub(super) fn file(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}

impl From<CaddyError> for RouterError {
    fn from(error: CaddyError) -> Self {
        match error {
            CaddyError::Rejected { reason } => Self::Rejected { reason },
            other => Self::Failed { source: other.into() },
        }
    }
}
