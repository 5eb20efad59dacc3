//! The role that turns a checkout into something that runs.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::{progress::Progress, release::RunSpec};

pub mod detect;
pub mod lab_toml;
pub mod local;
pub mod plan;
pub mod tree;

pub use detect::{DetectSettings, detect};
pub use local::{LocalBuilder, LocalBuilderSettings};
pub use plan::BuildPlan;

/// What to build, and where to.
#[derive(Debug, Clone)]
pub struct BuildJob {
    /// The tree, writable: builds write into it.
    pub checkout: PathBuf,
    /// What [`Builder::plan`] said of it.
    pub plan: BuildPlan,
    /// An empty folder that becomes the release.
    pub output: PathBuf,
    /// Variables for the build's commands, on top of the clean environment they get.
    pub env: BTreeMap<String, String>,
    /// Time for the whole build.
    pub timeout: Duration,
}

/// Why there is no plan or no release.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Nothing that Lab knows how to run.
    #[error("this repository holds no PocketBase app that Lab recognises; looked for {}", .looked_for.join("; "))]
    NotRecognised {
        /// What was looked for and where.
        looked_for: Vec<String>,
    },
    /// The repository says something that cannot be: `lab.toml` with an unknown key, a missing lock file …
    #[error("{what}: {reason}")]
    Invalid {
        /// Which file or folder of the repository.
        what: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A version of PocketBase cannot be had.
    #[error("PocketBase {version} cannot be had")]
    PocketBase {
        /// The version.
        version: String,
        /// Why.
        #[source]
        source: crate::pocketbase::PocketBaseError,
    },
    /// A program the build needs is not on this machine.
    #[error("this app needs `{program}` to build, which is not installed on the server; install it and deploy again")]
    MissingProgram {
        /// The program.
        program: String,
    },
    /// A command of the build failed.
    #[error("`{command}` failed ({status}){}", .hint.as_ref().map(|h| format!("; {h}")).unwrap_or_default())]
    CommandFailed {
        /// The command.
        command: String,
        /// Its exit code or signal.
        status: String,
        /// The last lines it printed.
        last_lines: Vec<String>,
        /// What to do, for the usual causes.
        hint: Option<String>,
    },
    /// The build took too long.
    #[error("the build took longer than {} s and was stopped", .limit.as_secs())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The caller cancelled.
    #[error("the build was cancelled")]
    Cancelled,
    /// The disk or the operating system failed.
    #[error("cannot {action} `{}`", .path.display())]
    Io {
        /// What was tried: `copy`, `create` …
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Plans and builds.
///
/// # Contract
/// - `plan` only reads; the same tree gives the same plan; it says why.
/// - `build` writes the release into `output` and nothing into any app's data.
/// - After an error the content of `output` is undefined; the caller deletes it.
/// - A cancel or time-out ends every process the build started, within a second.
/// - The release holds no link that leads outside of it, apart from what the caller adds.
#[async_trait]
pub trait Builder: fmt::Debug + Send + Sync + 'static {
    /// The name of the technology: `local`, `memory` …
    fn backend(&self) -> &'static str;
    /// Looks at a tree and says how it would be built and run.
    async fn plan(&self, checkout: &Path) -> Result<BuildPlan, BuildError>;
    /// Builds it and says how to run the release.
    async fn build(
        &self,
        job: BuildJob,
        progress: Arc<dyn Progress>,
        cancel: CancellationToken,
    ) -> Result<RunSpec, BuildError>;
}
