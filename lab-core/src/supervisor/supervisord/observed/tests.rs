use std::collections::BTreeMap;

use super::*;
use crate::supervisor::RestartPolicy;

fn spec() -> ProcessSpec {
    ProcessSpec {
        app: "one".parse().expect("name"),
        program: "/bin/true".into(),
        args: Vec::new(),
        directory: "/".into(),
        env: BTreeMap::new(),
        stop_grace: Duration::from_secs(5),
        restart: RestartPolicy { stable_after: Duration::from_secs(10), max_restarts: 3, ..RestartPolicy::default() },
    }
}

fn info(state: i64, pid: u32, start: i64, stop: i64) -> Info {
    Info { name: "one".to_owned(), state, pid, start, stop, spawn_error: String::new() }
}

const EXIT: Exit = Exit::Code(7);

fn seen(seen: &mut Seen, info: &Info) -> ProcessState {
    let change = seen.take(info, EXIT, &spec(), true);
    assert_eq!(change.missed, None);
    change.state
}

fn restarts(state: &ProcessState) -> Option<u32> {
    match state {
        ProcessState::Running { restarts, .. } | ProcessState::BackingOff { restarts, .. } => Some(*restarts),
        _ => None,
    }
}

#[test]
fn every_state_of_supervisord_has_its_own_here() {
    let one = |state, pid| seen(&mut Seen::default(), &info(state, pid, 100, 90));
    assert_eq!(one(code::STOPPED, 0), ProcessState::Stopped);
    assert!(matches!(one(code::STARTING, 5), ProcessState::Running { pid: 5, restarts: 0, .. }));
    assert!(matches!(one(code::STARTING, 0), ProcessState::BackingOff { .. }));
    assert!(matches!(one(code::RUNNING, 5), ProcessState::Running { pid: 5, .. }));
    assert_eq!(one(code::BACKOFF, 0), ProcessState::BackingOff { exit: EXIT, restarts: 0, until: time(91) });
    assert_eq!(one(code::STOPPING, 5), ProcessState::Stopping);
    assert!(matches!(one(code::EXITED, 0), ProcessState::BackingOff { exit: EXIT, restarts: 0, .. }));
    for (state, part) in
        [(code::FATAL, "it ended 4 times in a row, last with exit code 7"), (code::UNKNOWN, "UNKNOWN"), (77, "77")]
    {
        let ProcessState::Failed { reason, .. } = one(state, 0) else { panic!("state {state} is not failed") };
        assert!(reason.contains(part), "{reason}");
    }
}

#[test]
fn what_ended_by_itself_after_it_was_stopped_is_stopped() {
    for state in [code::EXITED, code::FATAL] {
        let change = Seen::default().take(&info(state, 0, 100, 101), EXIT, &spec(), false);
        assert_eq!(change.state, ProcessState::Stopped);
    }
}

#[test]
fn a_program_that_cannot_be_made_says_why() {
    let info = Info { spawn_error: "too many open files".to_owned(), ..info(code::FATAL, 0, 100, 0) };
    let ProcessState::Failed { reason, .. } = seen(&mut Seen::default(), &info) else { panic!("not failed") };
    assert_eq!(reason, "supervisord cannot start it: too many open files");
}

#[test]
fn restarts_are_counted_until_a_run_was_stable() {
    let (mut so_far, first) = Seen::started(info(code::STARTING, 5, 100, 0));
    assert_eq!(restarts(&first), Some(0));
    assert_eq!(restarts(&seen(&mut so_far, &info(code::BACKOFF, 0, 100, 101))), Some(0));
    assert_eq!(restarts(&seen(&mut so_far, &info(code::STARTING, 6, 102, 101))), Some(1));
    assert_eq!(restarts(&seen(&mut so_far, &info(code::BACKOFF, 0, 102, 103))), Some(1));
    assert_eq!(restarts(&seen(&mut so_far, &info(code::STARTING, 7, 105, 103))), Some(2));
    assert_eq!(restarts(&seen(&mut so_far, &info(code::RUNNING, 7, 105, 103))), Some(2));
    assert_eq!(restarts(&seen(&mut so_far, &info(code::EXITED, 0, 105, 200))), Some(0));
    assert_eq!(restarts(&seen(&mut so_far, &info(code::STARTING, 8, 200, 200))), Some(1));
}

#[test]
fn a_restart_between_two_looks_is_told_of() {
    let (mut so_far, _) = Seen::started(info(code::STARTING, 5, 100, 0));
    let change = so_far.take(&info(code::STARTING, 6, 103, 101), EXIT, &spec(), true);
    assert!(matches!(change.missed, Some(ProcessState::BackingOff { exit: EXIT, restarts: 0, .. })), "{change:?}");
    assert_eq!(restarts(&change.state), Some(1));
    // long enough to count as recovered
    let change = so_far.take(&info(code::STARTING, 7, 203, 201), EXIT, &spec(), true);
    assert!(matches!(change.missed, Some(ProcessState::BackingOff { restarts: 0, .. })), "{change:?}");
    assert_eq!(restarts(&change.state), Some(1));
}

#[test]
fn what_is_seen_twice_is_the_same() {
    let mut so_far = Seen::default();
    for state in [code::STARTING, code::RUNNING] {
        let first = seen(&mut so_far, &info(state, 5, 100, 0));
        assert_eq!(seen(&mut so_far, &info(state, 5, 100, 0)), first);
    }
}
