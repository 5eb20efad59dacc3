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

use crate::{AppName, Secret, progress::Progress, release::RunSpec};

mod address;
pub mod detect;
pub mod lab_toml;
pub mod local;
pub mod plan;
pub mod tree;

pub use detect::{DetectSettings, detect};
pub use lab_toml::RepoPath;
pub use local::{LocalBuilder, LocalBuilderSettings};
pub use plan::BuildPlan;

/// The folder of a release that holds the data of a new app, where it was asked for.
pub const SEED: &str = "pb_seed";

/// What to build, and where to.
#[derive(Clone)]
pub struct BuildJob {
    /// Whose. What installs take long to bring is kept for its next build; none: nothing is.
    pub app: Option<AppName>,
    /// The tree, writable: builds write into it.
    pub checkout: PathBuf,
    /// The name of its commit, which builds may ask git for.
    pub commit: Option<String>,
    /// What [`Builder::plan`] said of it.
    pub plan: BuildPlan,
    /// An empty folder that becomes the release.
    pub output: PathBuf,
    /// Variables for the build's commands, on top of the clean environment they get.
    pub env: BTreeMap<String, String>,
    /// The app's own variables. Commands get those that its frontend's build needs; the values of all others stay out of
    /// the log.
    pub app_env: BTreeMap<String, String>,
    /// What else must not be in the log.
    pub secrets: Vec<Secret>,
    /// Whether the committed data of the plan, if any, becomes [`SEED`] in the release.
    pub seed: bool,
    /// Time for the whole build.
    pub timeout: Duration,
}

impl BuildJob {
    /// Builds `plan` from `checkout` into `output`, for no app in particular, within 15 minutes.
    pub fn new(checkout: impl Into<PathBuf>, plan: BuildPlan, output: impl Into<PathBuf>) -> Self {
        Self {
            app: None,
            checkout: checkout.into(),
            commit: None,
            plan,
            output: output.into(),
            env: BTreeMap::new(),
            app_env: BTreeMap::new(),
            secrets: Vec::new(),
            seed: false,
            timeout: Duration::from_mins(15),
        }
    }
}

// by hand: values of variables are secrets
impl fmt::Debug for BuildJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildJob")
            .field("app", &self.app)
            .field("checkout", &self.checkout)
            .field("commit", &self.commit)
            .field("plan", &self.plan)
            .field("output", &self.output)
            .field("env", &self.env.keys())
            .field("app_env", &self.app_env.keys())
            .field("seed", &self.seed)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A release that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// How it is run.
    pub run: RunSpec,
    /// What the owner should know of this build: a lock file that is out of step, a frontend that was left out …
    pub warnings: Vec<String>,
    /// Whether the same build would have the same result: not where something failed that may go better another time.
    pub is_repeatable: bool,
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
    /// What builds share cannot be deleted while one runs.
    #[error("a build is running, which needs what builds share; clear it when it has ended")]
    CacheInUse,
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
/// - `inputs` is the same for two jobs only if the same tree would give the same release; it holds no secret.
/// - `clear_cache` deletes nothing that a running build needs, and no release depends on it.
#[async_trait]
pub trait Builder: fmt::Debug + Send + Sync + 'static {
    /// The name of the technology: `local`, `memory` …
    fn backend(&self) -> &'static str;
    /// Looks at a tree and says how it would be built and run; `root` is the app's folder, where its owner named one.
    async fn plan(&self, checkout: &Path, root: Option<&RepoPath>) -> Result<BuildPlan, BuildError>;
    /// Builds it and says how to run the release.
    async fn build(
        &self,
        job: BuildJob,
        progress: Arc<dyn Progress>,
        cancel: CancellationToken,
    ) -> Result<Built, BuildError>;
    /// A digest of all that a job's result depends on beside the tree: the plan, the tools, the variables.
    async fn inputs(&self, job: &BuildJob) -> Result<String, BuildError>;
    /// Deletes what builds share, which makes the next ones slow; says how many bytes that were.
    async fn clear_cache(&self) -> Result<u64, BuildError>;
}
