//! One machine per data directory, also where the lock file does not reach: on a network share and on a copied volume.
//!
//! The machine that uses a data directory claims it in `machine.json` and renews the claim every few seconds. Another one
//! watches the file for a while before it claims the directory itself: if the file changes, it is refused. Only that is
//! looked at, never the time in it, because the clocks of two machines differ. On one machine the lock file decides, so a
//! claim of the same machine, or of the same boot of a kernel (two containers), is taken over at once.
//!
//! It does not stop a machine that lost sight of the share, and it takes no lock: two that begin at the same moment both
//! write, and the one that does not find its own claim a moment later gives way.

use std::{io, path::PathBuf, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{blocking::blocking, layout::DataDir};

mod file;
mod identity;
#[cfg(test)]
mod tests;

pub use identity::{InvalidMachineId, MachineId, ThisMachine};

/// How often a claim is renewed.
pub const RENEW_EVERY: Duration = Duration::from_secs(5);
/// A claim of another machine that did not change for so long while it was watched is stale: six renewals were missed.
pub const STALE_AFTER: Duration = Duration::from_secs(30);
/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After a take-over: how long another one that took over at the same moment has to show.
const SETTLE: Duration = Duration::from_secs(2);

/// Why a data directory cannot be used by this machine.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// Another machine uses it now.
    #[error(
        "`{place}` is in use by the machine {holder}, which renewed its claim meanwhile; on two machines each app would run \
         twice on one database: stop that machine, or give this one a data directory of its own (on Fly.io: `fly machine \
         list`, then `fly scale count 1`)"
    )]
    InUse {
        /// The data directory.
        place: String,
        /// The other machine, for a person.
        holder: String,
    },
    /// Another machine took it over from this one.
    #[error(
        "`{place}` was taken over by the machine {holder}; this one must not write there any more: stop one of the two \
         before this one is started again"
    )]
    Lost {
        /// The data directory.
        place: String,
        /// The other machine, for a person.
        holder: String,
    },
    /// This machine cannot be told from others.
    #[error("cannot tell this machine from others: {reason}")]
    Unidentified {
        /// What was looked for.
        reason: String,
        /// Why it was not found.
        #[source]
        source: io::Error,
    },
    /// The claim cannot be read or written.
    #[error("cannot {action} `{path}`")]
    Storage {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What `machine.json` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    machine: MachineId,
    /// The kernel's boot id: it tells one start of a machine from another.
    boot: Uuid,
    pid: u32,
    /// This very claim.
    claim: Uuid,
    /// Grows with each renewal.
    beat: u64,
    /// By that machine's clock, for people only.
    renewed: Timestamp,
}

/// A data directory that this machine may use, as long as [`Claim::keep`] runs.
#[derive(Debug)]
pub struct Claim {
    data: DataDir,
    record: Record,
}

impl Claim {
    /// Claims the data directory for `machine`. At once where no other machine has it; otherwise it watches for
    /// [`STALE_AFTER`] whether that one still lives. May be dropped at any time.
    ///
    /// # Errors
    /// [`MachineError::InUse`] when another machine renews its claim, [`MachineError::Storage`].
    pub async fn take(data: &DataDir, machine: ThisMachine) -> Result<Self, MachineError> {
        let ThisMachine { id, boot, pid } = machine;
        let record = Record { machine: id, boot, pid, claim: Uuid::new_v4(), beat: 0, renewed: Timestamp::UNIX_EPOCH };
        let mut claim = Self { data: data.clone(), record };
        let first = claim.read().await?;
        let Some(other) = first.filter(|content| claim.is_foreign(content)) else {
            claim.write().await?;
            return Ok(claim);
        };
        tracing::warn!(
            holder = holder(&other),
            wait_secs = STALE_AFTER.as_secs(),
            "another machine used this data; waiting to see whether it still does"
        );
        claim.watch(other).await?;
        claim.write().await?;
        sleep(SETTLE).await;
        match claim.read().await? {
            Some(content) if claim.is_foreign(&content) => Err(claim.in_use(&content)),
            _ => Ok(claim),
        }
    }

    /// Renews the claim until `stop`. A renewal that fails is tried again at the next.
    ///
    /// # Errors
    /// [`MachineError::Lost`] when another machine has the directory now: end everything, at once.
    pub async fn keep(&mut self, stop: &CancellationToken) -> Result<(), MachineError> {
        loop {
            if stop.run_until_cancelled(sleep(RENEW_EVERY)).await.is_none() {
                return Ok(());
            }
            match stop.run_until_cancelled(self.renew()).await {
                None => return Ok(()),
                Some(Ok(())) => {}
                Some(Err(error @ MachineError::Lost { .. })) => return Err(error),
                Some(Err(error)) => tracing::warn!(error = crate::report(&error), "the claim is not renewed"),
            }
        }
    }

    /// Gives the directory back, so that another machine need not wait. Only once nothing of this machine uses it: no app
    /// runs here any more.
    pub async fn release(self) -> Result<(), MachineError> {
        let now = self.read().await?.and_then(|content| file::parse(&content));
        if now.is_none_or(|record| record.claim != self.record.claim) {
            return Ok(());
        }
        let path = self.path();
        blocking(move || file::remove(&path)).await.map_err(self.storage("remove"))
    }

    /// Waits until the claim `first` of another machine is stale or given back.
    async fn watch(&self, first: Vec<u8>) -> Result<(), MachineError> {
        let begun = Instant::now();
        while begun.elapsed() < STALE_AFTER {
            sleep(LOOK_EVERY).await;
            match self.read().await? {
                None => return Ok(()),
                Some(now) if now == first => {}
                Some(now) => return Err(self.in_use(&now)),
            }
        }
        Ok(())
    }

    async fn renew(&mut self) -> Result<(), MachineError> {
        if let Some(content) = self.read().await?
            && self.is_foreign(&content)
        {
            return Err(MachineError::Lost { place: self.place(), holder: holder(&content) });
        }
        self.record.beat += 1;
        self.write().await
    }

    /// Whether a claim is another machine's, in a way that the lock file does not know of. One that cannot be read is.
    fn is_foreign(&self, content: &[u8]) -> bool {
        let own = &self.record;
        file::parse(content).is_none_or(|record| record.machine != own.machine && record.boot != own.boot)
    }

    async fn read(&self) -> Result<Option<Vec<u8>>, MachineError> {
        let path = self.path();
        blocking(move || file::read(&path)).await.map_err(self.storage("read"))
    }

    async fn write(&mut self) -> Result<(), MachineError> {
        self.record.renewed = Timestamp::now();
        let (path, record) = (self.path(), self.record.clone());
        blocking(move || file::write(&path, &record)).await.map_err(self.storage("write"))
    }

    fn path(&self) -> PathBuf {
        self.data.machine()
    }

    fn place(&self) -> String {
        self.data.path().display().to_string()
    }

    fn in_use(&self, content: &[u8]) -> MachineError {
        MachineError::InUse { place: self.place(), holder: holder(content) }
    }

    fn storage(&self, action: &'static str) -> impl FnOnce(io::Error) -> MachineError + use<> {
        let path = self.path().display().to_string();
        move |source| MachineError::Storage { action, path, source }
    }
}

/// A claim's machine, for a person.
fn holder(content: &[u8]) -> String {
    file::parse(content).map_or_else(
        || "that wrote an unreadable `machine.json`".to_owned(),
        |record| format!("`{}` (process {})", record.machine, record.pid),
    )
}
