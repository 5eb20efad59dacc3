//! The task that looks for changes.
//!
//! supervisord tells nobody of what happens but its log. So a change is a log that grew: only then is it asked, for all apps
//! at once. Its process id is asked for every second, which tells that it answers, and that it is another one.

use std::{
    collections::HashMap,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    SupervisordError,
    app::{App, Looked},
    exits::last_exits,
    rpc::{Call, Client, Info},
    shared::Shared,
};
use crate::{
    blocking::blocking,
    supervisor::{Exit, ProcessState},
};

/// How often the log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often supervisord is asked whether it is there.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// supervisord's process id, and what it says of every program.
pub(super) async fn look(client: &Client) -> Result<(i64, Vec<Info>), SupervisordError> {
    let calls = [Call("supervisor.getPID", Vec::new()), Call("supervisor.getAllProcessInfo", Vec::new())];
    let [pid, infos] = <[_; 2]>::try_from(client.all_once(&calls).await?)
        .map_err(|_| client.odd("it answered another number of calls"))?;
    let pid = pid?.as_int().ok_or_else(|| client.odd("its process id is no number"))?;
    let infos = infos?.into_array().ok_or_else(|| client.odd("its programs are no list"))?;
    let infos = infos.iter().map(Info::parse).collect::<Option<_>>();
    Ok((pid, infos.ok_or_else(|| client.odd("it tells of a program in an unknown way"))?))
}

/// What shows that a log grew, or is another one.
fn stamp(log: &Path) -> Option<(u64, u64, i64, i64)> {
    let meta = std::fs::metadata(log).ok()?;
    Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
}

pub(super) async fn run(shared: Arc<Shared>, mut pid: i64) {
    let log = shared.settings.log_file();
    let (mut seen, mut asked) = (None, Instant::now());
    while shared.stopping.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
        let now = blocking({
            let log = log.clone();
            move || stamp(&log)
        });
        let now = now.await;
        let has_grown = now != seen;
        if !has_grown && asked.elapsed() < ASK_EVERY && shared.is_answering() {
            continue;
        }
        asked = Instant::now();
        let looked = async {
            if !has_grown && shared.is_answering() {
                let call = Call("supervisor.getPID", Vec::new());
                if shared.client.once(&call).await?.as_int() == Some(pid) {
                    return Ok(None);
                }
            }
            look(&shared.client).await.map(Some)
        };
        let looked = shared.stopping.run_until_cancelled(looked).await;
        match looked {
            None => return,
            Some(Ok(looked)) => {
                if shared.note_touch(true) {
                    tracing::info!("supervisord answers again");
                }
                if let Some((now_pid, infos)) = looked {
                    pid = now_pid;
                    shared.note_pid(pid);
                    let is_whole = take(&shared, infos, asked).await;
                    // what could not be taken in is looked at again
                    seen = now.filter(|_| is_whole);
                }
            }
            Some(Err(error)) => {
                if shared.note_touch(false) {
                    tracing::warn!(error = crate::error::report(&error), "supervisord does not answer");
                }
            }
        }
    }
}

/// Takes in what supervisord said of every program when it was asked at that time; whether nothing was left out.
pub(super) async fn take(shared: &Shared, infos: Vec<Info>, asked: Instant) -> bool {
    let mut is_whole = true;
    let mut by_name: HashMap<String, Info> = infos.into_iter().map(|info| (info.name.clone(), info)).collect();
    let log = shared.settings.log_file();
    let exits = blocking(move || last_exits(&log)).await;
    let (apps, mut looked) = (shared.all(), Vec::new());
    for (name, app) in &apps {
        // an app that something is being done to is seen by what does it
        let Ok(call) = app.calls.try_lock() else {
            is_whole = false;
            continue;
        };
        if app.changed_since(asked) {
            is_whole = false;
            continue;
        }
        let exit = exits.get(name.as_str()).copied().unwrap_or(Exit::Unknown);
        let seen = app.look(by_name.remove(name.as_str()), exit);
        // only these are kept busy until all is told
        if seen.is_over || seen.missed.is_some() || seen.changed.is_some() {
            looked.push((call, app, seen));
        }
    }
    // all of them by one look at the processes: it takes a while where there are many
    let over: Vec<&Arc<App>> = looked.iter().filter(|(.., looked)| looked.is_over).map(|(_, app, _)| *app).collect();
    for app in &over {
        app.output.spool.process_ended();
    }
    if !over.is_empty() {
        shared.end_leftovers(over.iter().map(|app| app.name.clone()).collect()).await;
    }
    for (_call, app, looked) in looked {
        tell(shared, app, looked).await;
    }
    is_whole
}

async fn tell(shared: &Shared, app: &App, looked: Looked) {
    if let Some(missed) = looked.missed {
        shared.tell(app, missed);
    }
    match looked.changed {
        None => {}
        Some(ProcessState::Failed { reason, .. }) => {
            let last_lines = app.output.last_words().await;
            shared.set(app, ProcessState::Failed { reason, last_lines });
        }
        Some(state) => shared.set(app, state),
    }
}
