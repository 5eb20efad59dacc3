//! [`GitSource`]: brings code with libgit2.
//!
//! libgit2 blocks while a server is silent and cannot be interrupted there, so every fetch runs on a thread of its own.
//! A thread that does not come back in time is left behind: it holds no folder that the next fetch uses (it took the
//! cache *away*, and writes into a private folder beside the destination), it ends when libgit2's own time-out strikes,
//! and there are never more than [`GitSettings::max_threads`] of them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Commit, FetchRequest, Source, SourceError};
use crate::{progress::Progress, secret::Secret};

mod cache;
mod checkout;
mod credentials;
mod export;
mod fault;
mod gitmodules;
mod job;
mod links;
mod local;
mod plan;
mod remote;
mod resolve;
mod submodule;
mod timeouts;

use self::{checkout::Checkout, fault::Reported, job::Job, job::Stop};

/// How long a fetch that was cancelled may take to clean up before its thread is left behind.
const GRACE: Duration = Duration::from_millis(400);

/// What a [`GitSource`] is told by whoever embeds it.
#[derive(Debug, Clone)]
pub struct GitSettings {
    /// Private ssh keys, tried in this order after the agent.
    pub ssh_keys: Vec<SshKey>,
    /// Whether the ssh agent is asked for keys.
    pub ssh_agent: bool,
    /// Fetches at once, left-behind threads included. Further ones wait.
    pub max_threads: usize,
}

/// A private key in a file, as `ssh-keygen` writes it.
#[derive(Debug, Clone)]
pub struct SshKey {
    /// The private key's file.
    pub path: PathBuf,
    /// What it is encrypted with.
    pub passphrase: Option<Secret>,
}

impl Default for GitSettings {
    /// The agent, no key files, 16 fetches at once.
    fn default() -> Self {
        Self { ssh_keys: Vec::new(), ssh_agent: true, max_threads: 16 }
    }
}

/// Brings code from git repositories over https, ssh, `git://`, or from this machine's disk.
///
/// Credentials are offered to the host of the requested address only: a redirect to another host is not followed when
/// there are any, and submodules on other hosts are fetched without. The key of an ssh server must be in the user's
/// `~/.ssh/known_hosts`. Proxies are taken from git's configuration and the usual environment variables, as libgit2
/// finds them.
#[derive(Debug, Clone)]
pub struct GitSource {
    settings: Arc<GitSettings>,
    threads: Arc<Semaphore>,
}

impl GitSource {
    /// A source with `settings`. Sets libgit2's time-outs, which are the process's: 10 s to connect, 30 s of silence.
    pub fn new(settings: GitSettings) -> Self {
        timeouts::set_once();
        let threads = Arc::new(Semaphore::new(settings.max_threads.max(1)));
        Self { settings: Arc::new(settings), threads }
    }

    /// Runs `job` on a thread of its own.
    async fn run(&self, job: Job) -> Result<Checkout, SourceError> {
        let label = job.label().to_owned();
        let failed = |why: String| SourceError::Failed { repository: label.clone(), source: Reported(why).into() };
        let permit = Arc::clone(&self.threads).acquire_owned().await.map_err(|e| failed(e.to_string()))?;
        let (answer, answered) = oneshot::channel();
        std::thread::Builder::new()
            .name("lab-git".to_owned())
            .spawn(move || work(job, permit, answer))
            .map_err(|e| failed(format!("cannot start a thread: {e}")))?;
        answered.await.map_err(|_| failed("the thread that fetched ended without an answer".to_owned()))?
    }
}

fn work(job: Job, permit: OwnedSemaphorePermit, answer: oneshot::Sender<Result<Checkout, SourceError>>) {
    let done = job.run();
    drop(job);
    // a checkout nobody waits for any more is deleted here, on this thread
    drop(answer.send(done));
    drop(permit);
}

#[async_trait]
impl Source for GitSource {
    fn backend(&self) -> &'static str {
        "git"
    }

    async fn fetch(
        &self,
        request: FetchRequest,
        progress: Arc<dyn Progress>,
        cancel: CancellationToken,
    ) -> Result<Commit, SourceError> {
        let stop = Arc::new(Stop::default());
        // also when this future is dropped
        let _stop = job::StopOnDrop(Arc::clone(&stop));
        let limit = request.limits.timeout;
        let destination = request.destination.clone();
        let repository = request.repository.to_string();
        let job = Job::new(Arc::clone(&self.settings), request, progress, Arc::clone(&stop));
        let mut running = std::pin::pin!(self.run(job));
        let halted = tokio::select! {
            biased;
            () = cancel.cancelled() => SourceError::Cancelled,
            done = &mut running => return done?.place(&destination, &repository),
            () = tokio::time::sleep(limit) => SourceError::TimedOut { repository, limit },
        };
        stop.set();
        if let Ok(Ok(checkout)) = tokio::time::timeout(GRACE, running).await {
            drop(tokio::task::spawn_blocking(move || drop(checkout)));
        }
        Err(halted)
    }
}
