//! Deployments: what they tell and what is kept of them.

mod event;
mod record;

pub use event::{DeployEvent, DeployEventKind, DeployStep};
pub use record::{DeployState, Deployment, Problem, StepRecord};
