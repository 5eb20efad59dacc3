//! The fake of [`Rehearser`].

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::{
    ReleaseId,
    progress::Progress,
    rehearsal::{Isolation, Neutralised, Rehearsal, RehearsalError, RehearsalJob, RehearsalReport, Rehearser},
};

/// A rehearser that copies and starts nothing: every release passes, unless it is told otherwise. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct FakeRehearser {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    next: VecDeque<Result<Rehearsal, RehearsalError>>,
    hangs: bool,
    journal: Vec<ReleaseId>,
}

impl FakeRehearser {
    /// One that lets everything pass.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the next rehearsals come to; after the last one they pass.
    pub fn script(&self, results: impl IntoIterator<Item = Result<Rehearsal, RehearsalError>>) {
        self.state().next.extend(results);
    }

    /// Forgets what was not played yet.
    pub fn clear(&self) {
        self.state().next.clear();
    }

    /// From now on rehearsals wait until they are cancelled, or no longer.
    pub fn hang(&self, hangs: bool) {
        self.state().hangs = hangs;
    }

    /// The releases that were rehearsed, in order.
    pub fn journal(&self) -> Vec<ReleaseId> {
        self.state().journal.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Rehearser for FakeRehearser {
    fn backend(&self) -> &'static str {
        "fake"
    }

    async fn rehearse(
        &self,
        job: RehearsalJob,
        _: Arc<dyn Progress>,
        cancel: CancellationToken,
    ) -> Result<Rehearsal, RehearsalError> {
        if cancel.is_cancelled() {
            return Err(RehearsalError::Cancelled);
        }
        let hangs = {
            let mut state = self.state();
            state.journal.push(job.release.id);
            state.hangs
        };
        if hangs {
            cancel.cancelled().await;
            return Err(RehearsalError::Cancelled);
        }
        let mut state = self.state();
        state.next.pop_front().unwrap_or_else(|| {
            Ok(Rehearsal::Passed(RehearsalReport {
                isolation: Isolation::Network,
                settings: Neutralised::Nothing,
                bytes: 0,
                copy_millis: 0,
                healthy_millis: 0,
                asked: 0,
                changes: Vec::new(),
                logged: Vec::new(),
            }))
        })
    }
}
