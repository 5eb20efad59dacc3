//! What every [`ProcessSupervisor`] must do, and a fake that does it without processes.

use std::{path::Path, time::Duration};

use futures_util::StreamExt;

use crate::{
    AppName,
    supervisor::{LogLine, ProcessSpec, ProcessState, ProcessSupervisor, RestartPolicy, SupervisorError},
};

mod fake;

pub use fake::{FakeSupervisor, SupervisorCall};

/// Runs the supervisor's conformance suite over the [`Subject`](super::Subject) that a future makes anew for each test.
#[macro_export]
macro_rules! supervisor_conformance {
    ($make:expr) => {
        $crate::conformance_tests!(supervisor, $make;
            a_started_process_runs_and_the_same_again_changes_nothing,
            another_specification_replaces_it_and_never_two_run,
            a_program_that_cannot_be_started_is_an_error_and_failed,
            a_process_that_ends_is_started_again,
            a_crash_loop_ends_failed_with_the_last_lines,
            a_failed_app_can_be_started_anew,
            stop_kills_the_whole_group_after_the_grace,
            stop_is_idempotent_and_fine_for_the_unknown,
            a_stopped_app_stays_stopped_and_can_be_started,
            remove_forgets_everything,
            what_is_printed_is_in_the_logs_but_for_the_install_link,
            follow_gives_the_past_and_the_future_without_a_gap,
            events_tell_of_every_change,
            one_app_never_disturbs_another,
        );
    };
}

/// Programs that the suite runs, as shell scripts; a fake knows them by their text.
pub mod scripts {
    /// Runs until it is told to end.
    pub const FOREVER: &str = "exec sleep 1000";
    /// The same, as another program.
    pub const FOREVER_TOO: &str = "exec sleep 1001";
    /// Says something and ends with exit code 7, each time.
    pub const ENDS: &str = "echo about to end; exit 7";
    /// Ends the first time only.
    pub const ENDS_ONCE: &str = "[ -e once ] || { touch once; exit 3; }; exec sleep 1000";
    /// Takes no notice of SIGTERM and has a child in its group and one that left it.
    pub const STUBBORN: &str =
        "trap '' TERM; sleep 1000 & echo $! >> pids; setsid sleep 1000 & echo $! >> pids; while :; do sleep 1; done";
    /// Fails if another one of it runs, which it tells by a folder.
    pub const ALONE: &str =
        "trap 'rmdir alone; exit 0' TERM; mkdir alone || { echo NOT ALONE; exit 9; }; while :; do sleep 0.10; done";
    /// The same, as another program.
    pub const ALONE_TOO: &str =
        "trap 'rmdir alone; exit 0' TERM; mkdir alone || { echo NOT ALONE; exit 9; }; while :; do sleep 0.11; done";
    /// Prints what PocketBase prints on its first start, and stays.
    pub const FIRST_START: &str = "echo one; echo 'http://127.0.0.1:1/_/#/pbinstall/eyJ0b2tlbg.e30.c2ln'; \
        printf 'two\\033[31m red\\033[0m\\n'; exec sleep 1000";
    /// Prints the numbers 1 to 500, the last 250 after a pause, and stays.
    pub const COUNTS: &str = "seq 1 250; sleep 0.3; seq 251 500; exec sleep 1000";
}

/// A process that runs one of [`scripts`] in `folder`, with short times.
pub fn script(app: &str, folder: &Path, script: &str) -> ProcessSpec {
    ProcessSpec {
        app: name(app),
        program: "/bin/sh".into(),
        args: vec!["-c".to_owned(), script.to_owned()],
        directory: folder.to_owned(),
        env: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
        stop_grace: Duration::from_secs(5),
        restart: RestartPolicy {
            first_delay: Duration::from_millis(10),
            max_delay: Duration::from_millis(50),
            stable_after: Duration::from_secs(30),
            max_restarts: 3,
        },
    }
}

fn name(text: &str) -> AppName {
    text.parse().expect("a valid name")
}

/// Waits until the app's state is as wanted.
pub async fn wait_for_state(
    supervisor: &dyn ProcessSupervisor,
    app: &AppName,
    is_wanted: impl Fn(&ProcessState) -> bool,
) -> ProcessState {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            if let Some(state) = supervisor.state(app).await.expect("state").filter(&is_wanted) {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let Ok(state) = waited.await else { panic!("the state stays {:?}", supervisor.state(app).await) };
    state
}

async fn wait_for_lines(supervisor: &dyn ProcessSupervisor, app: &AppName, count: usize) -> Vec<String> {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let lines = supervisor.logs(app, 1000).await.expect("logs");
            if lines.len() >= count {
                return lines.into_iter().map(|line| line.text).collect();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("the lines come within 20 s")
}

fn is_running(state: &ProcessState) -> bool {
    matches!(state, ProcessState::Running { .. })
}

fn pid(state: &ProcessState) -> u32 {
    match state {
        ProcessState::Running { pid, .. } => *pid,
        other => panic!("not running: {other:?}"),
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[expect(missing_docs, reason = "a behaviour's name says what it is")]
mod behaviours {
    use super::*;

    pub async fn a_started_process_runs_and_the_same_again_changes_nothing(supervisor: &dyn ProcessSupervisor) {
        let dir = folder();
        let spec = script("one", dir.path(), scripts::FOREVER);
        supervisor.start(spec.clone()).await.expect("start");
        let first = supervisor.state(&spec.app).await.expect("state").expect("it is known");
        assert!(is_running(&first), "{first:?}");
        supervisor.start(spec.clone()).await.expect("start again");
        assert_eq!(supervisor.state(&spec.app).await.expect("state"), Some(first));
        supervisor.remove(&spec.app).await.expect("remove");
    }

    pub async fn another_specification_replaces_it_and_never_two_run(supervisor: &dyn ProcessSupervisor) {
        let dir = folder();
        for round in 0..3 {
            for text in [scripts::ALONE, scripts::ALONE_TOO] {
                supervisor.start(script("one", dir.path(), text)).await.unwrap_or_else(|e| panic!("{round}: {e}"));
            }
        }
        let state = wait_for_state(supervisor, &name("one"), is_running).await;
        assert!(matches!(state, ProcessState::Running { restarts: 0, .. }), "{state:?}");
        let lines = supervisor.logs(&name("one"), 100).await.expect("logs");
        assert!(!lines.iter().any(|line| line.text.contains("NOT ALONE")), "{lines:?}");
        supervisor.remove(&name("one")).await.expect("remove");
    }

    pub async fn a_program_that_cannot_be_started_is_an_error_and_failed(supervisor: &dyn ProcessSupervisor) {
        let dir = folder();
        let mut spec = script("one", dir.path(), scripts::FOREVER);
        spec.program = dir.path().join("no-such-program");
        let error = supervisor.start(spec).await.expect_err("it cannot be started");
        assert!(matches!(error, SupervisorError::Start { .. }), "{error}");
        let state = supervisor.state(&name("one")).await.expect("state");
        assert!(matches!(state, Some(ProcessState::Failed { .. })), "{state:?}");
        supervisor.remove(&name("one")).await.expect("remove");
    }

    pub async fn a_process_that_ends_is_started_again(supervisor: &dyn ProcessSupervisor) {
        let dir = folder();
        supervisor.start(script("one", dir.path(), scripts::ENDS_ONCE)).await.expect("start");
        wait_for_state(supervisor, &name("one"), |s| matches!(s, ProcessState::Running { restarts: 1, .. })).await;
        supervisor.remove(&name("one")).await.expect("remove");
    }

    pub async fn a_crash_loop_ends_failed_with_the_last_lines(supervisor: &dyn ProcessSupervisor) {
        let dir = folder();
        supervisor.start(script("one", dir.path(), scripts::ENDS)).await.expect("start");
        let state = wait_for_state(supervisor, &name("one"), |s| matches!(s, ProcessState::Failed { .. })).await;
        let ProcessState::Failed { reason, last_lines } = state else { unreachable!("waited for") };
        assert!(reason.contains("4 times") && reason.contains("exit code 7"), "{reason}");
        assert!(last_lines.iter().any(|line| line == "about to end"), "{last_lines:?}");
        supervisor.remove(&name("one")).await.expect("remove");
    }

    pub async fn a_failed_app_can_be_started_anew(supervisor: &dyn ProcessSupervisor) {
        let dir = folder();
        supervisor.start(script("one", dir.path(), scripts::ENDS)).await.expect("start");
        wait_for_state(supervisor, &name("one"), |s| matches!(s, ProcessState::Failed { .. })).await;
        supervisor.start(script("one", dir.path(), scripts::FOREVER)).await.expect("start");
        let state = supervisor.state(&name("one")).await.expect("state").expect("it is known");
        assert!(matches!(state, ProcessState::Running { restarts: 0, .. }), "{state:?}");
        supervisor.remove(&name("one")).await.expect("remove");
    }

    pub async fn stop_kills_the_whole_group_after_the_grace(supervisor: &dyn ProcessSupervisor) {
        let dir = folder();
        let mut spec = script("one", dir.path(), scripts::STUBBORN);
        spec.stop_grace = Duration::from_millis(200);
        supervisor.start(spec).await.expect("start");
        let leader = pid(&supervisor.state(&name("one")).await.expect("state").expect("it is known"));
        let file = dir.path().join("pids");
        let mut pids = vec![leader];
        if supervisor.backend() != "fake" {
            let has_both = async {
                while std::fs::read_to_string(&file).unwrap_or_default().lines().count() < 2 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), has_both).await.expect("its children start");
            let text = std::fs::read_to_string(&file).expect("pids");
            pids.extend(text.lines().map(|line| line.parse::<u32>().expect("a pid")));
        }
        supervisor.stop(&name("one")).await.expect("stop");
        assert_eq!(supervisor.state(&name("one")).await.expect("state"), Some(ProcessState::Stopped));
        for pid in pids {
            // a zombie that its parent has not taken away yet is gone too
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).chars().next();
            assert!(matches!(state, None | Some('Z')), "process {pid} is still there: {stat}");
        }
        supervisor.remove(&name("one")).await.expect("remove");
    }

    pub async fn stop_is_idempotent_and_fine_for_the_unknown(supervisor: &dyn ProcessSupervisor) {
        let dir = folder();
        supervisor.stop(&name("nobody")).await.expect("stop");
        assert_eq!(supervisor.state(&name("nobody")).await.expect("state"), None);
        supervisor.start(script("one", dir.path(), scripts::FOREVER)).await.expect("start");
        for _ in 0..2 {
            supervisor.stop(&name("one")).await.expect("stop");
        }
        supervisor.remove(&name("one")).await.expect("remove");
        supervisor.remove(&name("one")).await.expect("remove again");
    }

    pub async fn a_stopped_app_stays_stopped_and_can_be_started(supervisor: &dyn ProcessSupervisor) {
        let dir = folder();
        let spec = script("one", dir.path(), scripts::FOREVER);
        supervisor.start(spec.clone()).await.expect("start");
        supervisor.stop(&spec.app).await.expect("stop");
        assert_eq!(supervisor.state(&spec.app).await.expect("state"), Some(ProcessState::Stopped));
        supervisor.start(spec.clone()).await.expect("start");
        assert!(is_running(&supervisor.state(&spec.app).await.expect("state").expect("it is known")));
        supervisor.remove(&spec.app).await.expect("remove");
    }

    pub async fn remove_forgets_everything(supervisor: &dyn ProcessSupervisor) {
        let dir = folder();
        let spec = script("one", dir.path(), scripts::FIRST_START);
        supervisor.start(spec.clone()).await.expect("start");
        wait_for_lines(supervisor, &spec.app, 3).await;
        supervisor.remove(&spec.app).await.expect("remove");
        assert_eq!(supervisor.state(&spec.app).await.expect("state"), None);
        assert!(supervisor.list().await.expect("list").is_empty());
        assert!(matches!(supervisor.logs(&spec.app, 10).await, Err(SupervisorError::Unknown(_))));
        supervisor.start(script("one", dir.path(), scripts::FOREVER)).await.expect("start anew");
        assert_eq!(supervisor.logs(&spec.app, 10).await.expect("logs"), []);
        supervisor.remove(&spec.app).await.expect("remove");
    }

    pub async fn what_is_printed_is_in_the_logs_but_for_the_install_link(supervisor: &dyn ProcessSupervisor) {
        let dir = folder();
        let spec = script("one", dir.path(), scripts::FIRST_START);
        supervisor.start(spec.clone()).await.expect("start");
        let lines = wait_for_lines(supervisor, &spec.app, 3).await;
        assert_eq!((lines[0].as_str(), lines[2].as_str()), ("one", "two red"));
        assert!(!lines.concat().contains("eyJ"), "{lines:?}");
        assert_eq!(supervisor.logs(&spec.app, 1).await.expect("logs").len(), 1);
        supervisor.remove(&spec.app).await.expect("remove");
    }

    pub async fn follow_gives_the_past_and_the_future_without_a_gap(supervisor: &dyn ProcessSupervisor) {
        let dir = folder();
        let spec = script("one", dir.path(), scripts::COUNTS);
        supervisor.start(spec.clone()).await.expect("start");
        wait_for_lines(supervisor, &spec.app, 100).await;
        let follower = supervisor.follow(&spec.app, 1000).await.expect("follow");
        let lines = tokio::time::timeout(Duration::from_secs(20), follower.take(500).collect::<Vec<LogLine>>());
        let numbers: Vec<String> = lines.await.expect("500 lines").into_iter().map(|line| line.text).collect();
        let expected: Vec<String> = (1..=500).map(|n| n.to_string()).collect();
        assert_eq!(numbers, expected);
        supervisor.remove(&spec.app).await.expect("remove");
    }

    pub async fn events_tell_of_every_change(supervisor: &dyn ProcessSupervisor) {
        let dir = folder();
        let mut events = supervisor.events();
        supervisor.start(script("one", dir.path(), scripts::ENDS_ONCE)).await.expect("start");
        wait_for_state(supervisor, &name("one"), |s| matches!(s, ProcessState::Running { restarts: 1, .. })).await;
        supervisor.stop(&name("one")).await.expect("stop");
        let mut seen = Vec::new();
        while seen.last() != Some(&"stopped") {
            let event = tokio::time::timeout(Duration::from_secs(20), events.recv()).await;
            let event = event.expect("an event within 20 s").expect("the channel is open");
            assert_eq!(event.app, name("one"));
            seen.push(match event.state {
                ProcessState::Running { .. } => "running",
                ProcessState::BackingOff { .. } => "backing off",
                ProcessState::Stopping => "stopping",
                ProcessState::Stopped => "stopped",
                ProcessState::Failed { .. } => "failed",
            });
        }
        assert_eq!(seen, ["running", "backing off", "running", "stopping", "stopped"]);
        supervisor.remove(&name("one")).await.expect("remove");
    }

    pub async fn one_app_never_disturbs_another(supervisor: &dyn ProcessSupervisor) {
        let dir = folder();
        supervisor.start(script("calm", dir.path(), scripts::FOREVER)).await.expect("start");
        let before = supervisor.state(&name("calm")).await.expect("state");
        supervisor.start(script("wild", dir.path(), scripts::ENDS)).await.expect("start");
        wait_for_state(supervisor, &name("wild"), |s| matches!(s, ProcessState::Failed { .. })).await;
        supervisor.start(script("wild", dir.path(), scripts::FOREVER_TOO)).await.expect("start");
        supervisor.remove(&name("wild")).await.expect("remove");
        assert_eq!(supervisor.state(&name("calm")).await.expect("state"), before);
        assert_eq!(supervisor.list().await.expect("list").len(), 1);
        supervisor.remove(&name("calm")).await.expect("remove");
    }
}
pub use behaviours::*;
