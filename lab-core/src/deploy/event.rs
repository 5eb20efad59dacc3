//! What a deployment tells while it runs.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::{DeployState, Problem};
use crate::progress::Unit;

/// The steps of a deployment, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeployStep {
    /// Waits for a free place among the builds.
    Queue,
    /// Brings the code.
    Fetch,
    /// Decides how to build and run it.
    Plan,
    /// Builds the release.
    Build,
    /// Tries the release on a copy of the data.
    Rehearse,
    /// Takes a data point before another release gets at the data, and makes ready the one to go back to.
    Save,
    /// Ends the old release's process and makes the new one current.
    Switch,
    /// Starts the new release.
    Start,
    /// Waits until it answers.
    Health,
    /// Leads requests to it and records it as the app's release.
    Publish,
}

impl DeployStep {
    /// Every step, in order.
    pub const ALL: [Self; 10] = [
        Self::Queue,
        Self::Fetch,
        Self::Plan,
        Self::Build,
        Self::Rehearse,
        Self::Save,
        Self::Switch,
        Self::Start,
        Self::Health,
        Self::Publish,
    ];
}

impl std::fmt::Display for DeployStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Queue => "queue",
            Self::Fetch => "fetch",
            Self::Plan => "plan",
            Self::Build => "build",
            Self::Rehearse => "rehearse",
            Self::Save => "save",
            Self::Switch => "switch",
            Self::Start => "start",
            Self::Health => "health",
            Self::Publish => "publish",
        })
    }
}

/// One thing a deployment tells: a line of its log file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployEvent {
    /// Counts from 1 without gaps.
    pub seq: u64,
    /// When (UTC).
    pub time: Timestamp,
    /// What.
    #[serde(flatten)]
    pub kind: DeployEventKind,
}

/// What a deployment tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DeployEventKind {
    /// A step began.
    StepStarted {
        /// Which.
        step: DeployStep,
    },
    /// A step ended well.
    StepFinished {
        /// Which.
        step: DeployStep,
        /// How long it took, in milliseconds.
        millis: u64,
    },
    /// A step failed.
    StepFailed {
        /// Which.
        step: DeployStep,
        /// How long it took, in milliseconds.
        millis: u64,
    },
    /// Something was taken back after a failure.
    Undone {
        /// What, for a person.
        what: String,
    },
    /// A line of output.
    Log {
        /// The line.
        line: String,
    },
    /// How far a transfer is; at most five a second.
    Amount {
        /// How much is done.
        done: u64,
        /// How much there is, when known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
        /// What is counted.
        unit: Unit,
    },
    /// The deployment ended; nothing follows.
    Finished {
        /// How.
        state: DeployState,
        /// Why, when it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<Problem>,
    },
}
