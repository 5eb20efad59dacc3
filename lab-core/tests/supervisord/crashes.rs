//! The lab dies between two changes of an app's files.

use std::{path::Path, time::Duration};

use lab_core::{
    durable::crashes::Crash,
    supervisor::{ProcessSpec, ProcessState, ProcessSupervisor},
    testing::supervisor::{script, scripts, wait_for_state},
};

use super::running::{Running, eventually, name, pid};

/// Ends two seconds after it was asked to, and says so.
const SLOW: &str = "trap 'sleep 2; : > ended; exit' TERM; : > ready; while :; do sleep 0.05; done";

fn slow(folder: &Path, grace: u64) -> ProcessSpec {
    ProcessSpec { stop_grace: Duration::from_secs(grace), ..script("one", folder, SLOW) }
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Start,
    /// With another script, and another grace, which is in the program file.
    Change,
    Stop,
    Remove,
}

/// Crashes in an operation before each change on disk in turn: of the lab alone, or of the whole machine. What is found
/// then is the one or the other, nobody else's process notices, and the lab gets what it wants.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_before_any_change_of_a_file_is_survived() {
    let tried = [(Op::Start, 2), (Op::Change, 2), (Op::Stop, 1), (Op::Remove, 3)].map(async |(op, changes)| {
        for whole_machine in [false, true] {
            let mut moments = 0;
            while crashed(op, moments, whole_machine).await {
                moments += 1;
            }
            assert_eq!(moments, changes, "{op:?}");
        }
    });
    futures_util::future::join_all(tried).await;
}

/// Whether it came to the crash.
async fn crashed(op: Op, changes: usize, whole_machine: bool) -> bool {
    let mut running = Running::start();
    let folder = running.folder().to_owned();
    let supervisor = running.open().await;
    let (old, new) = (script("one", &folder, scripts::FOREVER), slow(&folder, 10));
    supervisor.start(script("two", &folder, scripts::FOREVER)).await.unwrap();
    let other = pid(&supervisor, "two").await;
    if !matches!(op, Op::Start) {
        supervisor.start(old.clone()).await.unwrap();
    }
    let crash = Crash::after(changes, &running.settings.programs(), || {});
    let done = match op {
        Op::Start | Op::Change => supervisor.start(new.clone()).await,
        Op::Stop => supervisor.stop(&name("one")).await,
        Op::Remove => supervisor.remove(&name("one")).await,
    };
    let has_crashed = crash.seen().1;
    assert_eq!(done.is_err(), has_crashed, "{op:?}, {changes}: {done:?}");
    drop(supervisor);
    if whole_machine {
        running.kill();
    }
    drop(crash);
    if whole_machine {
        running.up();
    }
    let supervisor = running.open().await;
    if whole_machine {
        eventually("the other app", async || {
            matches!(supervisor.state(&name("two")).await.unwrap(), Some(ProcessState::Running { .. }))
        })
        .await;
    } else {
        assert_eq!(pid(&supervisor, "two").await, other, "{op:?}, {changes}");
    }
    // one pair each, and nothing half done
    let mut files: Vec<_> =
        std::fs::read_dir(running.settings.programs()).unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    let is_there = supervisor.state(&name("one")).await.unwrap().is_some();
    assert_eq!(files.len(), if is_there { 4 } else { 2 }, "{op:?}, {changes}: {files:?}");
    // what the lab does next
    match op {
        Op::Start | Op::Change => {
            supervisor.start(new).await.unwrap();
            wait_for_state(&supervisor, &name("one"), |state| matches!(state, ProcessState::Running { .. })).await;
            eventually("its start", async || folder.join("ready").exists()).await;
        }
        Op::Stop => {
            supervisor.stop(&name("one")).await.unwrap();
            assert_eq!(supervisor.state(&name("one")).await.unwrap(), Some(ProcessState::Stopped));
        }
        Op::Remove => {
            supervisor.remove(&name("one")).await.unwrap();
            assert_eq!(supervisor.state(&name("one")).await.unwrap(), None);
        }
    }
    supervisor.shutdown().await;
    has_crashed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_supervisord_had_not_read_when_the_lab_died_counts_at_the_next_start() {
    let running = Running::start();
    let folder = running.folder().to_owned();
    let supervisor = running.open().await;
    supervisor.start(slow(&folder, 1)).await.unwrap();
    let crash = Crash::after(1, &running.settings.programs(), || {});
    assert!(supervisor.start(slow(&folder, 30)).await.is_err());
    drop((crash, supervisor));
    let supervisor = running.open().await;
    let _ = std::fs::remove_file(folder.join("ready"));
    supervisor.start(slow(&folder, 30)).await.unwrap();
    eventually("its start", async || folder.join("ready").exists()).await;
    let _ = std::fs::remove_file(folder.join("ended"));
    supervisor.stop(&name("one")).await.unwrap();
    assert!(folder.join("ended").exists(), "it was killed after the grace of before");
    supervisor.shutdown().await;
}
