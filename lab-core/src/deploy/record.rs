//! The record of a deployment, kept after it ended.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::DeployStep;
use crate::{
    AppName, DataPointId, DeploymentId, Error, GitRef, GitUrl, ReleaseId, rehearsal::Rehearsal, source::Commit,
};

/// How far a deployment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeployState {
    /// It is under way.
    Running,
    /// Its release serves, or served until a later one.
    Succeeded,
    /// It failed; what was before is as it was.
    Failed,
    /// It was cancelled; what was before is as it was.
    Cancelled,
    /// The lab ended while it ran; what was before is as it was.
    Interrupted,
}

impl DeployState {
    /// Whether nothing will happen any more.
    pub fn is_final(self) -> bool {
        self != Self::Running
    }
}

impl std::fmt::Display for DeployState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        })
    }
}

/// What a deployment does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeployAction {
    /// Builds a release and lets it serve.
    #[default]
    Deploy,
    /// Lets a release serve that was built before.
    Rollback,
    /// Gives the release that serves another PocketBase.
    Upgrade,
    /// Finds out whether such an upgrade would work; nothing of the app changes.
    Trial,
}

impl std::fmt::Display for DeployAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Deploy => "deploy",
            Self::Rollback => "rollback",
            Self::Upgrade => "upgrade",
            Self::Trial => "trial",
        })
    }
}

/// An error as it is stored and sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// [`Error::code`]: stable.
    pub code: String,
    /// The message with its causes, for a person.
    pub message: String,
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        Self { code: error.code().to_owned(), message: error.report() }
    }
}

/// One step of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Which.
    pub step: DeployStep,
    /// When it began (UTC).
    pub started_at: Timestamp,
    /// How long it took, in milliseconds; none while it runs or when it was interrupted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub millis: Option<u64>,
    /// How it ended; none while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<StepOutcome>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// Well.
    Done,
    /// With the deployment's problem.
    Failed,
    /// With the lab.
    Interrupted,
}

impl std::fmt::Display for StepOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        })
    }
}

/// One run of the pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its name.
    pub id: DeploymentId,
    /// Whose.
    pub app: AppName,
    /// What it does.
    #[serde(default)]
    pub action: DeployAction,
    /// Who asked for it, in the words of the program around the lab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// From where.
    pub repository: GitUrl,
    /// What was asked for; none: the remote's HEAD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<GitRef>,
    /// How far it is.
    pub state: DeployState,
    /// When it began (UTC).
    pub started_at: Timestamp,
    /// When it ended (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// The steps it took; the last one is where it is or where it ended.
    pub steps: Vec<StepRecord>,
    /// What was fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// The release that serves if it succeeds. One that it makes is named before anything of it is on disk.
    pub release: ReleaseId,
    /// Whether that release was there before: the same commit had been built in the same way.
    #[serde(default)]
    pub reused: bool,
    /// Whether it made the app's `pb_data`: then nobody's data is in it until the deployment has succeeded.
    #[serde(default)]
    pub fresh_data: bool,
    /// What its owner should know of the app and of its build.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What its rehearsal told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<Rehearsal>,
    /// The data point that was taken before it let another release at the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<DataPointId>,
    /// The data point that the data became which it replaced, where it restores data too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<DataPointId>,
    /// The data point that the data becomes which its release had, if it fails once that was started: what was there just
    /// before takes its place again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aside: Option<DataPointId>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// What was taken back after it failed, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undone: Vec<String>,
}

impl Deployment {
    /// Whether it has begun that step.
    pub fn has_begun(&self, step: DeployStep) -> bool {
        self.steps.iter().any(|record| record.step == step)
    }
}
