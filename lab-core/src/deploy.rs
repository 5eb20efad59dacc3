//! Deployments: what they tell and what is kept of them.

mod event;
pub(crate) mod journal;
pub(crate) mod pipeline;
mod record;
pub(crate) mod store;
pub(crate) mod upgrade;

pub use event::{DeployEvent, DeployEventKind, DeployStep};
pub use record::{DeployAction, DeployState, Deployment, Problem, StepOutcome, StepRecord};
