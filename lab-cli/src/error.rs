//! Why a command failed, and its exit code.

use lab_core::deploy::DeployState;
use serde_json::Value;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// No server answers.
    #[error("no lab server answers at {place}: {reason}")]
    Unreachable {
        /// Where it was looked for.
        place: String,
        /// Why not.
        reason: String,
    },
    /// The server refused.
    #[error("{detail}")]
    Server {
        /// The HTTP status.
        status: u16,
        /// The stable code.
        code: String,
        /// What it said.
        detail: String,
    },
    /// A deployment ended badly.
    #[error("the deployment {state}: {message}")]
    Deployment {
        /// How it ended.
        state: DeployState,
        /// The stable code.
        code: String,
        /// Why.
        message: String,
    },
    /// Something on this machine failed.
    #[error("{what}: {source}")]
    Local {
        /// What was tried.
        what: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The library refused.
    #[error("{}", .0.report())]
    Lab(#[from] lab_core::Error),
    /// Somebody has seen enough; what the server does goes on.
    #[error("{0}")]
    Left(String),
    /// `lab doctor` found something.
    #[error("{0} of the checks failed")]
    Unhealthy(usize),
}

impl CliError {
    /// Documented in `lab --help`.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Unreachable { .. } => 6,
            Self::Server { status, .. } => match status {
                401 | 403 => 6,
                404 => 3,
                409 => 4,
                422 => 5,
                400 => 2,
                503 => 6,
                _ => 1,
            },
            Self::Deployment { state: DeployState::Failed, .. } => 5,
            Self::Deployment { .. } => 1,
            // as a shell reports it
            Self::Left(_) => 130,
            Self::Lab(error) if error.kind() == lab_core::ErrorKind::App => 5,
            Self::Lab(_) | Self::Local { .. } | Self::Unhealthy(_) => 1,
        }
    }

    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Usage(_) => "usage",
            Self::Unreachable { .. } => "unreachable",
            Self::Server { code, .. } | Self::Deployment { code, .. } => code,
            Self::Local { .. } => "local",
            Self::Lab(error) => error.code(),
            Self::Left(_) => "left",
            Self::Unhealthy(_) => "unhealthy",
        }
    }

    /// What to do, where the message does not say it.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unreachable { .. } => {
                "start `lab-server`, or say where it is with --socket or --url; `lab doctor` looks closer"
            }
            Self::Deployment { state: DeployState::Interrupted, .. } => "deploy it again",
            Self::Server { code, .. } if code == "unknown" => "is that a lab server? `lab doctor` looks closer",
            _ => return None,
        };
        Some(hint.to_owned())
    }

    pub(crate) fn local(what: impl Into<String>) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Self {
        let what = what.into();
        move |source| Self::Local { what, source }
    }

    /// From a problem document of the server.
    pub(crate) fn of_problem(status: u16, text: &str) -> Self {
        let problem: Value = serde_json::from_str(text).unwrap_or_default();
        let field = |name: &str| problem[name].as_str().map(str::to_owned);
        Self::Server {
            status,
            code: field("code").unwrap_or_else(|| "unknown".to_owned()),
            detail: field("detail").unwrap_or_else(|| format!("the server answered {status}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_problem_keeps_its_code_and_gets_its_exit_code() {
        let error = CliError::of_problem(404, r#"{"code": "app_not_found", "detail": "there is no app named `x`"}"#);
        assert_eq!((error.code(), error.exit_code()), ("app_not_found", 3));
        assert_eq!(CliError::of_problem(502, "<html>").exit_code(), 1);
        assert_eq!(CliError::of_problem(409, "{}").exit_code(), 4);
    }

    #[test]
    fn a_deployment_that_somebody_ended_is_not_the_apps_fault() {
        let ended = |state| CliError::Deployment { state, code: String::new(), message: String::new() }.exit_code();
        assert_eq!([DeployState::Failed, DeployState::Cancelled, DeployState::Interrupted].map(ended), [5, 1, 1]);
    }
}
