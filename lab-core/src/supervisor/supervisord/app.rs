//! One app, as the lab wants it and as it was last seen.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::{observed::Seen, rpc::Info};
use crate::{
    app::AppName,
    supervisor::{Exit, ProcessSpec, ProcessState, output::Output},
};

#[derive(Debug)]
pub(super) struct App {
    pub(super) name: AppName,
    pub(super) output: Output,
    /// Held by a call from its beginning to its end; what is seen meanwhile is the call's to tell.
    pub(super) calls: tokio::sync::Mutex<()>,
    /// Never held across an await.
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    spec: Option<ProcessSpec>,
    wanted: bool,
    /// The program file that supervisord is known to have read.
    loaded: Option<String>,
    seen: Seen,
    state: ProcessState,
    /// When a call changed something last: what was looked at before that is out of date.
    changed: Instant,
}

/// What a look at an app found.
pub(super) struct Looked {
    /// A run that ended since the last look.
    pub(super) missed: Option<ProcessState>,
    /// The state, where it is another one.
    pub(super) changed: Option<ProcessState>,
    /// A run is over.
    pub(super) is_over: bool,
}

impl App {
    pub(super) fn new(name: AppName, output: Output, spec: Option<ProcessSpec>, wanted: bool) -> Self {
        let (seen, state) = (Seen::default(), ProcessState::Stopped);
        let inner = Inner { spec, wanted, loaded: None, seen, state, changed: Instant::now() };
        Self { name, output, calls: tokio::sync::Mutex::default(), inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> ProcessState {
        self.inner().state.clone()
    }

    pub(super) fn set(&self, state: ProcessState) {
        self.inner().state = state;
    }

    pub(super) fn spec(&self) -> Option<ProcessSpec> {
        self.inner().spec.clone()
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.inner().wanted
    }

    /// Notes what the files say from now on.
    pub(super) fn want(&self, spec: ProcessSpec, wanted: bool) {
        let mut inner = self.inner();
        inner.spec = Some(spec);
        inner.wanted = wanted;
        inner.changed = Instant::now();
    }

    /// Takes what supervisord is known to have read, until it is known again.
    pub(super) fn take_loaded(&self) -> Option<String> {
        self.inner().loaded.take()
    }

    pub(super) fn set_loaded(&self, program: String) {
        self.inner().loaded = Some(program);
    }

    /// Notes a start that the lab asked for.
    pub(super) fn started(&self, info: Info) -> ProcessState {
        let (seen, state) = Seen::started(info);
        let mut inner = self.inner();
        inner.seen = seen;
        inner.changed = Instant::now();
        state
    }

    /// Notes that there is no process, because the lab wanted it so.
    pub(super) fn ended(&self) {
        let mut inner = self.inner();
        inner.seen = Seen::default();
        inner.changed = Instant::now();
    }

    /// Whether a call changed something after that time.
    pub(super) fn changed_since(&self, time: Instant) -> bool {
        self.inner().changed > time
    }

    /// Takes in what supervisord says; `None`: it has no such program.
    pub(super) fn look(&self, info: Option<Info>, exit: Exit) -> Looked {
        let inner = &mut *self.inner();
        let before = inner.seen.pid();
        let (missed, state) = if let (Some(info), Some(spec)) = (info, &inner.spec) {
            let change = inner.seen.take(&info, exit, spec, inner.wanted);
            (change.missed, change.state)
        } else {
            inner.seen = Seen::default();
            (None, ProcessState::Stopped)
        };
        let pid = inner.seen.pid();
        let is_same = match (&state, &inner.state) {
            // what cannot be started is known to the lab only
            (ProcessState::Stopped, ProcessState::Failed { .. }) => !inner.wanted || before.is_none(),
            (ProcessState::Failed { reason, .. }, ProcessState::Failed { reason: known, .. }) => reason == known,
            (new, known) => new == known,
        };
        Looked { missed, changed: (!is_same).then_some(state), is_over: before.is_some() && before != pid }
    }
}
