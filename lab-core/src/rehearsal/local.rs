//! [`LocalRehearser`]: rehearses on this machine, with a copy of the data beside the app's folder.
//!
//! ```text
//! <work>/pb_data/                    the copy
//! <work>/releases/<id>/              the release again, whose pb_data leads to the copy
//! <work>/home/  tmp/
//! ```

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use walkdir::WalkDir;

use super::{
    Isolation, Neutralised, Rehearsal, RehearsalError, RehearsalJob, RehearsalReport, Rehearser,
    changes::Schema,
    logged::Logs,
    neutral::neutralise,
    trial::{self, Ended, Kept, Trial},
};
use crate::{
    blocking::blocking,
    data::{self, Copied, CopyLimits, DataError},
    durable,
    layout::AppDirs,
    progress::Progress,
    release::PATH,
    supervisor::marked,
};

/// Rehearses on this machine. Whether with a network of its own is up to the kernel, and told.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalRehearser;

#[async_trait]
impl Rehearser for LocalRehearser {
    fn backend(&self) -> &'static str {
        "local"
    }

    async fn rehearse(
        &self,
        job: RehearsalJob,
        progress: Arc<dyn Progress>,
        cancel: CancellationToken,
    ) -> Result<Rehearsal, RehearsalError> {
        let cancel = cancel.child_token();
        let _ends_with_this = cancel.clone().drop_guard();
        // a task of its own: what it makes is deleted also when nobody waits for it any more
        let done = tokio::spawn(to_its_end(job, progress, cancel)).await;
        done.unwrap_or_else(|error| Err(failed("run a thread")(io::Error::other(error))))
    }
}

/// Ends what a killed lab's rehearsals left running below `work`. Blocks; looks at every process.
pub(crate) fn end_leftovers(work: &Path) -> io::Result<usize> {
    marked::kill(|process| process.is_below(work))
}

async fn to_its_end(
    job: RehearsalJob,
    progress: Arc<dyn Progress>,
    cancel: CancellationToken,
) -> Result<Rehearsal, RehearsalError> {
    let work = job.work.clone();
    let done = rehearse(Arc::new(job), progress.as_ref(), &cancel).await;
    let removed = blocking(move || durable::remove(&work)).await;
    match removed {
        Err(source) if done.is_ok() => Err(RehearsalError::Io { action: "delete the copy", source }),
        _ => done,
    }
}

async fn rehearse(
    job: Arc<RehearsalJob>,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<Rehearsal, RehearsalError> {
    let dirs = AppDirs::at(&job.work);
    let begun = Instant::now();
    let (copied, settings) = match prepare(&job, &dirs, cancel).await? {
        Prepared::Ready { copied, settings } => (copied, settings),
        Prepared::Not(why) => return Ok(Rehearsal::Skipped { why }),
    };
    let bytes = copied.bytes;
    let copy_millis = millis(begun.elapsed());
    progress.log(&format!("rehearsal: {bytes} bytes copied in {copy_millis} ms"));
    let data = dirs.data();
    let before = blocking(move || Ok::<_, DataError>((Schema::read(&data)?, Logs::seen(&data)?))).await?;
    let is_encrypted = settings == Neutralised::Encrypted;
    if is_encrypted && has_sendmail() {
        let why = "its settings are encrypted, and with them it could send mail by the machine's `sendmail`".to_owned();
        return Ok(Rehearsal::Skipped { why });
    }
    let may_reach_others = job.without_isolation && !is_encrypted;
    let (isolation, trial) = match isolated(&job, &dirs, may_reach_others, cancel).await? {
        Ok(tried) => tried,
        Err(why) => return Ok(Rehearsal::Skipped { why }),
    };
    let data = dirs.data();
    let (changes, logged) = blocking(move || {
        let (schema, logs) = before;
        Ok::<_, DataError>((schema.changes(&Schema::read(&data)?), logs.errors(&data)?))
    })
    .await?;
    Ok(Rehearsal::Passed(RehearsalReport {
        isolation,
        settings,
        bytes,
        copy_millis,
        healthy_millis: millis(trial.healthy),
        asked: trial.asked,
        changes,
        logged: left_out(&copied).chain(trial.told).chain(logged).take(20).collect(),
    }))
}

fn left_out(copied: &Copied) -> impl Iterator<Item = String> {
    copied
        .left_out
        .iter()
        .map(|path| format!("`{}` is neither file nor folder: the copy was without it", path.display()))
}

/// The trial, kept from others as well as the kernel lets it; or why there is none.
async fn isolated(
    job: &Arc<RehearsalJob>,
    dirs: &AppDirs,
    may_reach_others: bool,
    cancel: &CancellationToken,
) -> Result<Result<(Isolation, Trial), String>, RehearsalError> {
    let run = |kept| trial::run(job.clone(), dirs.clone(), kept, cancel.clone());
    let why = match run(Kept::InNetwork).await? {
        Ended::Done(trial) => return Ok(Ok((Isolation::Network, trial?))),
        Ended::NotIsolated(error) => format!("the kernel refuses it a network of its own ({error})"),
    };
    let why = match run(Kept::FromTcp).await? {
        Ended::Done(trial) => return Ok(Ok((Isolation::Tcp { why }, trial?))),
        Ended::NotIsolated(error) => format!("{why}, and a limit to its own port ({error})"),
    };
    if !may_reach_others {
        return Ok(Err(why));
    }
    match run(Kept::Not).await? {
        Ended::Done(trial) => Ok(Ok((Isolation::None { why }, trial?))),
        Ended::NotIsolated(error) => Err(failed("isolate it")(error)),
    }
}

/// Whether the machine has what PocketBase sends mail with when mail is switched off. It looks in two places of its own
/// before it looks at the path (`tools/mailer/sendmail.go`), and both are in ours.
fn has_sendmail() -> bool {
    PATH.split(':').any(|folder| Path::new(folder).join("sendmail").exists())
}

enum Prepared {
    Ready {
        copied: Copied,
        settings: Neutralised,
    },
    /// Why there can be no rehearsal.
    Not(String),
}

/// Copies the data and lays out the release.
async fn prepare(
    job: &Arc<RehearsalJob>,
    dirs: &AppDirs,
    cancel: &CancellationToken,
) -> Result<Prepared, RehearsalError> {
    let token = cancel.child_token();
    let is_late = Arc::new(AtomicBool::new(false));
    let limit = job.limits.copy;
    let timer = {
        let (token, is_late) = (token.clone(), is_late.clone());
        async move {
            tokio::time::sleep(limit).await;
            is_late.store(true, Ordering::Relaxed);
            token.cancel();
            std::future::pending::<()>().await;
        }
    };
    let copied = {
        let (job, dirs, token) = (job.clone(), dirs.clone(), token.clone());
        blocking(move || copy(&job, &dirs, &token))
    };
    let copied = tokio::select! {
        copied = copied => copied,
        () = timer => return Err(RehearsalError::Cancelled),
    };
    match copied {
        Ok((copied, settings)) => Ok(Prepared::Ready { copied, settings }),
        Err(RehearsalError::Data(DataError::Cancelled)) if is_late.load(Ordering::Relaxed) => {
            Ok(Prepared::Not(format!("copying the data takes longer than {} s", limit.as_secs())))
        }
        Err(RehearsalError::Data(DataError::Cancelled)) => Err(RehearsalError::Cancelled),
        Err(RehearsalError::Data(DataError::TooLarge { bytes, limit })) => {
            Ok(Prepared::Not(format!("{bytes} bytes of data are more than the {limit} that may be copied")))
        }
        Err(error) => Err(error),
    }
}

fn copy(
    job: &RehearsalJob,
    dirs: &AppDirs,
    cancel: &CancellationToken,
) -> Result<(Copied, Neutralised), RehearsalError> {
    durable::create_private_dir(&job.work).map_err(failed("create a folder"))?;
    for folder in [dirs.home(), dirs.tmp()] {
        durable::create_private_dir(&folder).map_err(failed("create a folder"))?;
    }
    let disk = rustix::fs::statvfs(&job.work).map_err(|e| failed("look at the disk")(e.into()))?;
    let max_bytes = job.limits.max_bytes.min(disk.f_bavail * disk.f_frsize / 2);
    let limits = CopyLimits { max_bytes, is_kept: false };
    let copied = data::copy(&job.data, &dirs.data(), limits, cancel)?;
    let settings = neutralise(&dirs.data())?;
    lay_out(&job.release_folder, &dirs.release(job.release.id), &job.release.run.program)
        .map_err(failed("lay out the release"))?;
    Ok((copied, settings))
}

/// The release again: its program as a second name of the same file, which nothing can write to while it runs; everything
/// else as a copy that may be written to.
fn lay_out(from: &Path, to: &Path, program: &Path) -> io::Result<()> {
    let program = from.join(program);
    for entry in WalkDir::new(from) {
        let entry = entry?;
        let target = to.join(entry.path().strip_prefix(from).map_err(io::Error::other)?);
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target)?;
        } else if entry.file_type().is_symlink() {
            symlink(fs::read_link(entry.path())?, &target)?;
        } else if entry.path() == program {
            fs::hard_link(entry.path(), &target).or_else(|_| fs::copy(entry.path(), &target).map(drop))?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

pub(super) fn failed(action: &'static str) -> impl FnOnce(io::Error) -> RehearsalError {
    move |source| RehearsalError::Io { action, source }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
