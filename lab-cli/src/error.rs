//! Why a command failed, and its exit code.

use serde_json::Value;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// No server answers.
    #[error(
        "no lab server answers at {place}: {reason}; start `lab-server`, or say where it is with --socket or --url (`lab doctor` looks closer)"
    )]
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
        state: String,
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
                _ => 1,
            },
            Self::Deployment { .. } => 5,
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
            Self::Unhealthy(_) => "unhealthy",
        }
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
}
