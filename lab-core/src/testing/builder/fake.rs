//! A builder without tools, for tests of what uses builders.

use std::{
    collections::VecDeque,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::{
    builder::{
        BuildError, BuildJob, BuildPlan, Builder, Built, RepoPath,
        detect::{DetectSettings, detect},
        plan::Server,
        tree::{Limits, Tree},
    },
    pocketbase::digest::Sum,
    progress::Progress,
    release::{Flags, RunSpec},
};

/// One call of a [`FakeBuilder`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuilderCall {
    /// `plan` of this checkout.
    Plan(PathBuf),
    /// `build` of this checkout into this output.
    Build {
        /// The tree.
        checkout: PathBuf,
        /// The release.
        output: PathBuf,
    },
}

/// What the next build does instead.
#[derive(Debug)]
enum Next {
    Fail(BuildError),
    Hang,
}

/// Plans like the real one and writes a tiny release: no command is run. A clone is a handle to the same fake. It is
/// strict: a checkout that is not there, or an output that is not an empty folder, is an error.
#[derive(Debug, Clone, Default)]
pub struct FakeBuilder(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    journal: Vec<BuilderCall>,
    next_plan: VecDeque<BuildError>,
    next_build: VecDeque<Next>,
    is_repeatable: bool,
    asked: u64,
}

impl FakeBuilder {
    /// A fake that succeeds.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next build fails with this; several are used up in order.
    pub fn fail_next(&self, error: BuildError) {
        self.state().next_build.push_back(Next::Fail(error));
    }

    /// The next plan fails with this.
    pub fn fail_next_plan(&self, error: BuildError) {
        self.state().next_plan.push_back(error);
    }

    /// The next build goes on until it is cancelled or its time is up.
    pub fn hang_next(&self) {
        self.state().next_build.push_back(Next::Hang);
    }

    /// From now on, the same plan has the same inputs, so that its release is made only once.
    pub fn repeatable(&self) {
        self.state().is_repeatable = true;
    }

    /// Every call so far.
    pub fn journal(&self) -> Vec<BuilderCall> {
        self.state().journal.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Builder for FakeBuilder {
    fn backend(&self) -> &'static str {
        "memory"
    }

    async fn plan(&self, checkout: &Path, root: Option<&RepoPath>) -> Result<BuildPlan, BuildError> {
        let failure = {
            let mut state = self.state();
            state.journal.push(BuilderCall::Plan(checkout.to_owned()));
            state.next_plan.pop_front()
        };
        if let Some(error) = failure {
            return Err(error);
        }
        let settings = DetectSettings { root: root.cloned(), ..DetectSettings::default() };
        detect(&Tree::read(checkout, &Limits::default())?, &settings)
    }

    async fn build(
        &self,
        job: BuildJob,
        progress: Arc<dyn Progress>,
        cancel: CancellationToken,
    ) -> Result<Built, BuildError> {
        let next = {
            let mut state = self.state();
            state.journal.push(BuilderCall::Build { checkout: job.checkout.clone(), output: job.output.clone() });
            state.next_build.pop_front()
        };
        if cancel.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        if job.timeout.is_zero() {
            return Err(BuildError::TimedOut { limit: job.timeout });
        }
        progress.log("a fake build");
        match next {
            Some(Next::Fail(error)) => Err(error),
            Some(Next::Hang) => tokio::select! {
                () = cancel.cancelled() => Err(BuildError::Cancelled),
                () = tokio::time::sleep(job.timeout) => Err(BuildError::TimedOut { limit: job.timeout }),
            },
            None => Ok(Built { run: write_release(job)?, warnings: Vec::new(), is_repeatable: true }),
        }
    }

    /// The plan and the variables: the fake has no tools. Another one each time, unless told otherwise.
    async fn inputs(&self, job: &BuildJob) -> Result<String, BuildError> {
        let mut state = self.state();
        state.asked += u64::from(!state.is_repeatable);
        let text = format!("{:?} {:?} {}", job.plan, job.env, state.asked);
        Ok(Sum::of_bytes(text.as_bytes()).hex())
    }

    async fn clear_cache(&self) -> Result<u64, BuildError> {
        Ok(0)
    }
}

fn write_release(job: BuildJob) -> Result<RunSpec, BuildError> {
    let output = &job.output;
    let is_empty = || output.read_dir().map(|mut entries| entries.next().is_none());
    let strict = |what: &Path, reason: &str| BuildError::Invalid {
        what: format!("`{}`, given to a fake builder,", what.display()),
        reason: reason.to_owned(),
    };
    if !job.checkout.is_dir() {
        return Err(strict(&job.checkout, "is not a folder"));
    }
    if output.exists() && !is_empty().map_err(failed("read", output))? {
        return Err(strict(output, "is not empty"));
    }
    for name in ["pb_hooks", "pb_migrations", "pb_public"] {
        let folder = output.join(name);
        fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
    }
    let program = output.join("app");
    fs::write(&program, "#!/bin/sh\nexec sleep 600\n").map_err(failed("create", &program))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).map_err(failed("create", &program))?;
    let (flags, pocketbase) = match job.plan.server {
        Server::PocketBase { version, .. } => (Flags::Official, Some(version)),
        Server::Go { pocketbase, .. } | Server::Program { pocketbase, .. } => (Flags::Base, pocketbase),
    };
    Ok(RunSpec {
        program: "app".into(),
        directory: None,
        flags,
        pocketbase,
        args: job.plan.args,
        health: job.plan.health,
    })
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BuildError {
    move |source| BuildError::Io { action, path: path.to_owned(), source }
}
