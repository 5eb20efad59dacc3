//! The role that tries a release on a copy of an app's data before production is touched.

use std::{collections::BTreeMap, fmt, io, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{
    data::DataError,
    health::HealthError,
    pocketbase::thrown,
    progress::Progress,
    release::{HealthCheck, Release},
};

mod changes;
mod confine;
pub mod local;
mod logged;
mod namespace;
mod neutral;
mod trial;

pub use changes::{Change, CollectionChange, FewerRows, FieldChange};
pub(crate) use local::end_leftovers;
pub use neutral::Neutralised;

/// When an app's releases are rehearsed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RehearsalPolicy {
    /// When a deploy differs from the release that serves in what gets at the data: the program, migrations or hooks.
    #[default]
    Auto,
    /// At every deploy, and when an earlier release is gone back to.
    Always,
    /// At none.
    Never,
}

impl FromStr for RehearsalPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => Err(format!("`{text}` is none of auto, always and never")),
        }
    }
}

impl fmt::Display for RehearsalPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        })
    }
}

/// How releases are rehearsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RehearsalSettings {
    /// When, for apps that say nothing else.
    pub policy: RehearsalPolicy,
    /// What a rehearsal may cost.
    pub limits: RehearsalLimits,
    /// Whether it goes on where the kernel refuses it both a network of its own and a limit to one TCP port. Mail, S3 and
    /// backups lead nowhere all the same; what the app's own code sends to others gets there. With settings that are
    /// encrypted it never goes on.
    pub without_isolation: bool,
}

impl Default for RehearsalSettings {
    /// When a deploy changes what gets at the data, also without isolation.
    fn default() -> Self {
        Self { policy: RehearsalPolicy::Auto, limits: RehearsalLimits::default(), without_isolation: true }
    }
}

/// What a rehearsal may cost. What needs more is deployed without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RehearsalLimits {
    /// Bytes that may be copied. Half of what is free on the disk is a further bound.
    pub max_bytes: u64,
    /// Time for the copy.
    pub copy: Duration,
    /// How long the release must stay up after it became healthy.
    pub stays_up: Duration,
}

impl Default for RehearsalLimits {
    /// 4 GiB, 2 minutes for the copy, and 5 s up.
    fn default() -> Self {
        Self { max_bytes: 4 << 30, copy: Duration::from_mins(2), stays_up: Duration::from_secs(5) }
    }
}

/// What is to be rehearsed.
#[derive(Clone)]
pub struct RehearsalJob {
    /// The release, built and on disk.
    pub release: Release,
    /// The release's folder, which is only read.
    pub release_folder: PathBuf,
    /// The data: copied while the app runs, and only read.
    pub data: PathBuf,
    /// Where to work, on the same file system: not there before, and not there afterwards.
    pub work: PathBuf,
    /// The app's own variables.
    pub env: BTreeMap<String, String>,
    /// How to tell that it is up.
    pub health: HealthCheck,
    /// How long its process may take to end.
    pub stop_grace: Duration,
    /// What it may cost.
    pub limits: RehearsalLimits,
    /// See [`RehearsalSettings::without_isolation`].
    pub without_isolation: bool,
}

/// Without the values of the variables, which may be secret.
impl fmt::Debug for RehearsalJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RehearsalJob")
            .field("release", &self.release.id)
            .field("work", &self.work)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What came of a rehearsal that stops no deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Rehearsal {
    /// The release works on the copy.
    Passed(RehearsalReport),
    /// There was none.
    Skipped {
        /// Why, for a person.
        why: String,
    },
}

impl Rehearsal {
    /// What the migrations take away: collections, fields and rows.
    pub fn losses(&self) -> Vec<CollectionChange> {
        match self {
            Self::Passed(report) => report.changes.iter().filter(|change| change.is_loss()).cloned().collect(),
            Self::Skipped { .. } => Vec::new(),
        }
    }

    /// What it came to, for a person.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Skipped { why } => vec![format!("not rehearsed: {why}")],
            Self::Passed(report) => {
                let mut lines = vec![format!(
                    "rehearsed on a copy of the data: healthy after {} ms, {} collections answer",
                    report.healthy_millis, report.asked
                )];
                match &report.isolation {
                    Isolation::Network => {}
                    Isolation::Tcp { why } => lines.push(format!(
                        "it could reach nobody by TCP meanwhile, but others by UDP and through the machine's programs: {why}"
                    )),
                    Isolation::None { why } => lines.push(format!("it could reach others meanwhile: {why}")),
                }
                if report.settings == Neutralised::Encrypted {
                    lines.push("its settings are encrypted: mail, S3 and backups were as they are".to_owned());
                }
                lines.extend(report.changes.iter().map(|change| format!("it changes the data: {change}")));
                lines.extend(report.logged.iter().map(|text| format!("it logged: {text}")));
                lines
            }
        }
    }
}

impl RehearsalError {
    /// What was printed of a hook file that ended it, if one did.
    pub(crate) fn throwing_hook(&self) -> Option<String> {
        let Self::Ended { last_lines, .. } = self else { return None };
        thrown::find(last_lines.iter().map(String::as_str)).map(|(_, what)| what)
    }
}

/// What a rehearsal found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsalReport {
    /// Whether it had no way out of the machine; or why it had one.
    pub isolation: Isolation,
    /// What became of the settings in the copy.
    pub settings: Neutralised,
    /// Bytes that were copied, without the uploads, which get a second name.
    pub bytes: u64,
    /// How long the copy took, in milliseconds.
    pub copy_millis: u64,
    /// How long the release took to become healthy, migrations included, in milliseconds.
    pub healthy_millis: u64,
    /// How many collections were asked for a page of their records.
    pub asked: usize,
    /// What its migrations change, by name.
    pub changes: Vec<CollectionChange>,
    /// Errors that it logged, and what else is worth knowing: none of it stopped anything. At most 20.
    pub logged: Vec<String>,
}

/// Whether a rehearsed app could reach others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "isolation", rename_all = "snake_case")]
pub enum Isolation {
    /// It had a network of its own, with the loopback interface only.
    Network,
    /// It had the machine's network, but could connect to itself only: by TCP, which is how HTTP, mail and databases are
    /// reached. UDP and local sockets were open to it.
    Tcp {
        /// Why the kernel refused a network of its own.
        why: String,
    },
    /// It had the machine's network.
    None {
        /// Why the kernel refused.
        why: String,
    },
}

/// Why a release must not serve.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// Its process ended.
    #[error("on a copy of the data it did not stay up: it ended with {how}{}", crate::error::indented(.last_lines))]
    Ended {
        /// How, such as `exit code 1`.
        how: String,
        /// What it printed last.
        last_lines: Vec<String>,
    },
    /// It did not answer in time.
    #[error("on a copy of the data it was not healthy within {limit_secs} s{}", crate::error::indented(.last_lines))]
    Unhealthy {
        /// The limit in seconds.
        limit_secs: u64,
        /// What it printed last.
        last_lines: Vec<String>,
        /// What the last probe said.
        #[source]
        source: HealthError,
    },
    /// A collection cannot be listed.
    #[error("on a copy of the data the records of `{collection}` cannot be listed{}", crate::error::indented(.last_lines))]
    Collection {
        /// Which.
        collection: String,
        /// What it printed last.
        last_lines: Vec<String>,
        /// What it answered.
        #[source]
        source: HealthError,
    },
    /// A hook file could not be loaded, or something in the program panicked.
    #[error("on a copy of the data its hooks failed{}", crate::error::indented(.lines))]
    Hooks {
        /// What it printed of that.
        lines: Vec<String>,
    },
    /// Its migrations would take data away, and nobody said that they may.
    #[error(
        "its migrations would take data away: {}; if that is meant, deploy it with `--accept-loss`",
        .changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    Loss {
        /// What.
        changes: Vec<CollectionChange>,
    },
    /// It was cancelled.
    #[error("the rehearsal was cancelled")]
    Cancelled,
    /// The copy.
    #[error("the data cannot be rehearsed with")]
    Data(#[from] DataError),
    /// A file, process or thread of Lab's own failed.
    #[error("cannot {action} for the rehearsal")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Tries a release on a copy of an app's data.
///
/// # Contract
/// - The data is only read, and the app that runs on it never notices.
/// - `Ok` with [`Rehearsal::Passed`] means that the release became healthy on the copy, answered for every collection and
///   stayed up for as long as the limits say.
/// - What exceeds the limits is [`Rehearsal::Skipped`], with the limit.
/// - When it returns, whatever it returns, no process of it runs and nothing is left of it on disk; also, soon after, when
///   the future is dropped. What a killed lab leaves in `work` is deleted at the next start.
#[async_trait]
pub trait Rehearser: fmt::Debug + Send + Sync + 'static {
    /// The name of the technology: `local`, `memory` …
    fn backend(&self) -> &'static str;
    /// Rehearses once.
    async fn rehearse(
        &self,
        job: RehearsalJob,
        progress: Arc<dyn Progress>,
        cancel: CancellationToken,
    ) -> Result<Rehearsal, RehearsalError>;
}
