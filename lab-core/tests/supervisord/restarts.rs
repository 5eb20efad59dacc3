//! supervisord, the lab or the machine begins anew.

use std::time::Duration;

use futures_util::StreamExt;
use lab_core::{
    supervisor::{ProcessState, ProcessSupervisor},
    testing::supervisor::{script, scripts, wait_for_state},
};

use super::running::{Running, eventually, is_alive, name, pid};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_supervisord_takes_its_apps_with_it_and_the_next_one_brings_back_those_that_are_wanted() {
    let mut running = Running::start();
    let supervisor = running.open().await;
    let folder = running.folder().to_owned();
    supervisor.start(script("one", &folder, scripts::FOREVER)).await.unwrap();
    supervisor.start(script("two", &folder, scripts::FOREVER)).await.unwrap();
    supervisor.stop(&name("two")).await.unwrap();
    for _ in 0..3 {
        let before = pid(&supervisor, "one").await;
        running.kill();
        // an app that had not yet asked to be told of its parent's end is ended before the next supervisord starts
        running.up();
        eventually("the end of the app", async || !is_alive(before)).await;
        // without a word from the lab
        eventually("the app's next process", async || {
            let state = supervisor.state(&name("one")).await.unwrap();
            matches!(state, Some(ProcessState::Running { pid, .. }) if pid != before && is_alive(pid))
        })
        .await;
        assert_eq!(supervisor.state(&name("two")).await.unwrap(), Some(ProcessState::Stopped));
    }
    supervisor.start(script("two", &folder, scripts::FOREVER)).await.unwrap();
    pid(&supervisor, "two").await;
    supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lab_that_is_opened_again_finds_what_runs_and_the_log_has_no_gap() {
    let running = Running::start();
    let first = running.open().await;
    let counts = script("one", running.folder(), "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done");
    first.start(counts.clone()).await.unwrap();
    let before = pid(&first, "one").await;
    first.shutdown().await;
    drop(first);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let second = running.open().await;
    assert_eq!(pid(&second, "one").await, before);
    second.start(counts).await.unwrap();
    assert_eq!(pid(&second, "one").await, before);
    let lines: Vec<_> = second.follow(&name("one"), 100_000).await.unwrap().take(60).collect().await;
    let numbers: Vec<u32> = lines.iter().map(|line| line.text.parse().unwrap()).collect();
    assert_eq!(numbers, (1..=60).collect::<Vec<u32>>());
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_with_nothing_but_the_files_starts_the_same_apps() {
    let mut running = Running::start();
    let supervisor = running.open().await;
    let folder = running.folder().to_owned();
    for app in ["one", "two"] {
        supervisor.start(script(app, &folder, scripts::FOREVER)).await.unwrap();
    }
    supervisor.stop(&name("two")).await.unwrap();
    supervisor.shutdown().await;
    drop(supervisor);
    running.end();
    // a file that makes no sense would keep supervisord from starting, and one of nobody's from being found out
    std::fs::write(running.settings.programs().join("three.conf"), "[program:three\ncommand").unwrap();
    std::fs::write(running.settings.programs().join("one.conf"), "%(nonsense)s").unwrap();
    running.up();
    let supervisor = running.open().await;
    wait_for_state(&supervisor, &name("one"), |state| matches!(state, ProcessState::Running { .. })).await;
    assert_eq!(supervisor.state(&name("two")).await.unwrap(), Some(ProcessState::Stopped));
    assert_eq!(supervisor.list().await.unwrap().len(), 2);
    supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_done_to_one_app_leaves_the_processes_of_the_others() {
    let running = Running::start();
    let supervisor = running.open().await;
    for app in ["one", "two", "three"] {
        supervisor.start(script(app, running.folder(), scripts::FOREVER)).await.unwrap();
    }
    let before = [pid(&supervisor, "one").await, pid(&supervisor, "three").await];
    let mut changed = script("two", running.folder(), scripts::FOREVER);
    for n in 0..3 {
        // other arguments, another grace, which is in the program file, gone, and back
        changed.args[1] = format!("{} # {n}", scripts::FOREVER);
        supervisor.start(changed.clone()).await.unwrap();
        changed.stop_grace += Duration::from_secs(1);
        supervisor.start(changed.clone()).await.unwrap();
        supervisor.remove(&name("two")).await.unwrap();
        assert_eq!(supervisor.state(&name("two")).await.unwrap(), None);
        supervisor.start(changed.clone()).await.unwrap();
    }
    assert_eq!([pid(&supervisor, "one").await, pid(&supervisor, "three").await], before);
    supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crashed_process_left_is_ended() {
    let running = Running::start();
    let supervisor = running.open().await;
    let leaves = "[ -e once ] && exec sleep 1000; touch once; setsid sleep 1000 & echo $! > left; exit 1";
    supervisor.start(script("one", running.folder(), leaves)).await.unwrap();
    let left = running.folder().join("left");
    eventually("a process that is left", async || {
        std::fs::read_to_string(&left).is_ok_and(|text| text.ends_with('\n'))
    })
    .await;
    let left: u32 = std::fs::read_to_string(left).unwrap().trim().parse().unwrap();
    eventually("its end", async || !is_alive(left)).await;
    wait_for_state(&supervisor, &name("one"), |state| matches!(state, ProcessState::Running { .. })).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    // the process itself was not taken for one
    pid(&supervisor, "one").await;
    supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_lab_writes_just_now_is_left_alone_when_supervisord_is_started_again() {
    let mut running = Running::start();
    let supervisor = running.open().await;
    supervisor.start(script("one", running.folder(), scripts::FOREVER)).await.unwrap();
    let programs = running.settings.programs();
    let (conf, begun) = (programs.join("one.conf"), programs.join(".tmp-begun"));
    // in the middle of a write: the one file is made, the other not yet
    let text = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&begun, &text).unwrap();
    std::fs::remove_file(&conf).unwrap();
    running.kill();
    running.settings.prepare().unwrap();
    assert!(begun.exists() && !conf.exists());
    std::fs::rename(&begun, &conf).unwrap();
    running.up();
    wait_for_state(&supervisor, &name("one"), |state| matches!(state, ProcessState::Running { .. })).await;
    supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_started_does_not_come_back_as_what_it_was_before() {
    let mut running = Running::start();
    let supervisor = running.open().await;
    let spec = script("one", running.folder(), scripts::FOREVER);
    supervisor.start(spec.clone()).await.unwrap();
    let mut missing = spec;
    missing.program = running.folder().join("missing");
    supervisor.start(missing).await.unwrap_err();
    running.kill();
    running.up();
    supervisor.start(script("two", running.folder(), scripts::FOREVER)).await.unwrap();
    pid(&supervisor, "two").await;
    let log = std::fs::read_to_string(running.settings.log_file()).unwrap();
    let last = log.rsplit("supervisord started").next().unwrap();
    assert!(last.contains("'two'") && !last.contains("'one'"), "{last}");
    supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_apps_are_ended_at_once_and_a_stubborn_one_holds_up_no_other() {
    let running = Running::start();
    let supervisor = running.open().await;
    let told = "trap 'touch $NAME.told; exit 0' TERM; touch $NAME.up; while :; do sleep 0.05; done";
    let stubborn = "trap '' TERM; touch $NAME.up; while :; do sleep 0.05; done";
    let names: Vec<String> = (0..8).map(|n| format!("app-{n}")).collect();
    for (n, app) in names.iter().enumerate() {
        // supervisord itself begins with the last one
        let mut spec = script(app, running.folder(), if n == 7 { stubborn } else { told });
        spec.env.insert("NAME".to_owned(), app.clone());
        spec.stop_grace = Duration::from_secs(2);
        supervisor.start(spec).await.unwrap();
    }
    let is_there = |app: &str, what: &str| running.folder().join(format!("{app}.{what}")).exists();
    eventually("every app", async || names.iter().all(|app| is_there(app, "up"))).await;
    supervisor.shutdown().await;
    running.settings.stop_all(Duration::from_secs(10)).await.unwrap();
    assert!(names[..7].iter().all(|app| is_there(app, "told")));
    let log = std::fs::read_to_string(running.settings.log_file()).unwrap();
    let stopped = |app: &str| log.find(&format!("stopped: {app} ")).unwrap_or_else(|| panic!("{app} in {log}"));
    assert!(names[..7].iter().all(|app| stopped(app) < stopped("app-7")), "{log}");
    assert_eq!(log.matches("SIGKILL)").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_look_for_leftovers_ends_what_supervisord_has_started_again_meanwhile() {
    let running = Running::start();
    let supervisor = running.open().await;
    let names: Vec<String> = (0..10).map(|n| format!("app-{n}")).collect();
    let mut before = Vec::new();
    for app in &names {
        supervisor.start(script(app, running.folder(), "sleep 1000 & exec sleep 1000")).await.unwrap();
        before.push(pid(&supervisor, app).await);
    }
    for pid in &before {
        assert!(std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
        // one after another, so that some are started again while others are looked at
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    for (app, before) in names.iter().zip(&before) {
        let is_new = |state: &ProcessState| matches!(state, ProcessState::Running { pid, .. } if pid != before);
        wait_for_state(&supervisor, &name(app), is_new).await;
    }
    supervisor.shutdown().await;
    let log = std::fs::read_to_string(running.settings.log_file()).unwrap();
    for app in &names {
        assert_eq!(log.matches(&format!("spawned: '{app}'")).count(), 2, "{log}");
    }
}
