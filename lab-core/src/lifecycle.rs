//! What an app is wanted to be, what it was seen to be, and the one function that moves it.
//!
//! ```text
//!                DeployStarted          Deployed
//!   (created) ─▶ deploying ───────────────────────▶ running ◀──────────────┐
//!                    │                              │  ▲  │                │ Started, Deployed
//!        DeployFailed│                       Crashed│  │  │StopRequested   │
//!                    ▼                              ▼  │  └─────────▶ stopped
//!                 failed ◀── GaveUp ────────── restarting                  │
//!                    └──────────────── RemoveStarted ──▶ removing ◀────────┘  (from every status)
//! ```
//! A redeploy does not change the status of an app that serves: that a deployment is under way is a third thing, told by
//! the deployment itself.

use serde::{Deserialize, Serialize};

/// What the owner wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    /// It should run.
    Running,
    /// It should not run, and keep its place.
    Stopped,
    /// It should be gone, its data in the trash: a removal was begun and must be finished.
    Removed,
    /// It should be gone with its data: the same.
    Purged,
}

/// What was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Its first deploy is under way.
    Deploying,
    /// It runs and answered its health check.
    Running,
    /// Its process ended and is being started again.
    Restarting,
    /// Its owner stopped it.
    Stopped,
    /// It does not run and will not by itself: a first deploy failed, or its process ended too often.
    Failed,
    /// It is being removed.
    Removing,
}

impl Status {
    /// Every status, for tests and documentation.
    pub const ALL: [Self; 6] =
        [Self::Deploying, Self::Running, Self::Restarting, Self::Stopped, Self::Failed, Self::Removing];
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Deploying => "deploying",
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Removing => "removing",
        })
    }
}

/// What happened to an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// A deployment began. `first`: no release serves yet.
    DeployStarted {
        /// Whether no release serves yet.
        first: bool,
    },
    /// A deployment ended well: its release serves.
    Deployed,
    /// A deployment failed. `serving`: an earlier release serves again.
    DeployFailed {
        /// Whether an earlier release serves again.
        serving: bool,
    },
    /// It was started, or came back by itself, and answers.
    Started,
    /// Its process ended by itself and will be started again.
    Crashed,
    /// Its process ended too often, or cannot be started.
    GaveUp,
    /// Its owner stopped it.
    StopRequested,
    /// Its removal began.
    RemoveStarted,
}

impl Event {
    /// Every event, for tests and documentation.
    pub const ALL: [Self; 10] = [
        Self::DeployStarted { first: true },
        Self::DeployStarted { first: false },
        Self::Deployed,
        Self::DeployFailed { serving: true },
        Self::DeployFailed { serving: false },
        Self::Started,
        Self::Crashed,
        Self::GaveUp,
        Self::StopRequested,
        Self::RemoveStarted,
    ];
}

/// The status after `event`, or `None` where the event says nothing new or comes too late (a crash told after the app was
/// stopped, anything after its removal began).
pub fn transition(status: Status, event: Event) -> Option<Status> {
    let next = match (status, event) {
        (_, Event::RemoveStarted) => Status::Removing,
        (Status::Removing, _) => return None,
        (_, Event::DeployStarted { first: true }) => Status::Deploying,
        (_, Event::DeployStarted { first: false }) => return None,
        (_, Event::Deployed | Event::DeployFailed { serving: true } | Event::Started) => Status::Running,
        (Status::Stopped, Event::DeployFailed { serving: false } | Event::Crashed | Event::GaveUp) => return None,
        // while a first deploy runs, the deploy itself judges what its process does
        (Status::Deploying, Event::Crashed | Event::GaveUp) => return None,
        (_, Event::DeployFailed { serving: false } | Event::GaveUp) => Status::Failed,
        (Status::Failed, Event::Crashed) => return None,
        (_, Event::Crashed) => Status::Restarting,
        (_, Event::StopRequested) => Status::Stopped,
    };
    (next != status).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_its_end_follows_a_removal() {
        for event in Event::ALL {
            assert_eq!(transition(Status::Removing, event), None, "{event:?}");
        }
    }

    #[test]
    fn every_status_can_be_removed_and_no_transition_stays_where_it_is() {
        for status in Status::ALL {
            if status != Status::Removing {
                assert_eq!(transition(status, Event::RemoveStarted), Some(Status::Removing));
            }
            for event in Event::ALL {
                assert_ne!(transition(status, event), Some(status), "{status:?} {event:?}");
            }
        }
    }

    #[test]
    fn a_late_crash_does_not_wake_a_stopped_app() {
        assert_eq!(transition(Status::Stopped, Event::Crashed), None);
        assert_eq!(transition(Status::Stopped, Event::GaveUp), None);
        assert_eq!(transition(Status::Failed, Event::Crashed), None);
    }

    #[test]
    fn the_life_of_an_app() {
        let mut status = Status::Deploying;
        for (event, expected) in [
            (Event::Deployed, Status::Running),
            (Event::DeployStarted { first: false }, Status::Running),
            (Event::Crashed, Status::Restarting),
            (Event::Started, Status::Running),
            (Event::StopRequested, Status::Stopped),
            (Event::Started, Status::Running),
            (Event::Crashed, Status::Restarting),
            (Event::GaveUp, Status::Failed),
            (Event::Deployed, Status::Running),
            (Event::RemoveStarted, Status::Removing),
        ] {
            status = transition(status, event).unwrap_or(status);
            assert_eq!(status, expected, "after {event:?}");
        }
    }
}
