use std::{collections::BTreeSet, path::Path, time::Duration};

use futures_util::StreamExt;

use super::*;
use crate::testing::{
    Subject,
    supervisor::{script, scripts, wait_for_state},
};

fn open(dir: &Path) -> NativeSupervisor {
    NativeSupervisor::open(NativeSettings::new(dir.join("run"), dir.join("logs"))).expect("open")
}

crate::supervisor_conformance!(async {
    let dir = tempfile::tempdir().expect("tempdir");
    Subject::<dyn ProcessSupervisor>::new(Arc::new(open(dir.path()))).with(dir)
});

fn pid(state: Option<ProcessState>) -> u32 {
    match state {
        Some(ProcessState::Running { pid, .. }) => pid,
        other => panic!("not running: {other:?}"),
    }
}

fn app() -> AppName {
    "one".parse().expect("name")
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what} does not come to be"));
}

#[tokio::test]
async fn a_supervisor_opened_again_adopts_what_runs_and_its_log_has_no_gap() {
    let dir = tempfile::tempdir().expect("tempdir");
    let first = open(dir.path());
    let spec = script("one", dir.path(), "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done");
    first.start(spec.clone()).await.expect("start");
    let before = pid(first.state(&app()).await.expect("state"));
    let mut follower = first.follow(&app(), 0).await.expect("follow");
    follower.next().await.expect("a line");
    first.shutdown().await;
    drop((first, follower));
    tokio::time::sleep(Duration::from_millis(100)).await;

    let second = open(dir.path());
    assert_eq!(pid(second.state(&app()).await.expect("state")), before);
    second.start(spec).await.expect("the same again");
    assert_eq!(pid(second.state(&app()).await.expect("state")), before);
    let lines: Vec<LogLine> = second.follow(&app(), 100_000).await.expect("follow").take(60).collect().await;
    let numbers: Vec<u32> = lines.iter().map(|line| line.text.parse().expect("a number")).collect();
    assert_eq!(numbers, (1..=60).collect::<Vec<u32>>());
    second.remove(&app()).await.expect("remove");
    second.shutdown().await;
}

#[tokio::test]
async fn a_process_that_a_crash_left_without_a_note_is_adopted_by_its_mark() {
    let dir = tempfile::tempdir().expect("tempdir");
    let first = open(dir.path());
    first.start(script("one", dir.path(), scripts::FOREVER)).await.expect("start");
    let before = pid(first.state(&app()).await.expect("state"));
    first.shutdown().await;
    let note = dir.path().join("run/one.pid");
    std::fs::remove_file(&note).expect("a note");
    let second = open(dir.path());
    assert_eq!(pid(second.state(&app()).await.expect("state")), before);
    second.shutdown().await;
    std::fs::write(&note, "{").expect("write");
    let third = open(dir.path());
    assert_eq!(pid(third.state(&app()).await.expect("state")), before);
    third.remove(&app()).await.expect("remove");
    assert!(!note.exists());
}

#[tokio::test]
async fn another_process_with_the_same_id_is_neither_adopted_nor_harmed() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut stranger = std::process::Command::new("sleep").arg("1000").spawn().expect("spawn");
    let record = Record::new(script("one", dir.path(), scripts::FOREVER));
    let boot = crate::procfs::boot_id().expect("boot id");
    let identity = process::Identity { pid: i32::try_from(stranger.id()).expect("pid"), started: 1, boot };
    let run = dir.path().join("run");
    std::fs::create_dir_all(&run).expect("dir");
    record.write(&run).expect("write");
    record::note(&run, &app(), &identity).expect("note");
    let supervisor = open(dir.path());
    assert_eq!(supervisor.state(&app()).await.expect("state"), Some(ProcessState::Stopped));
    supervisor.remove(&app()).await.expect("remove");
    assert!(stranger.try_wait().expect("wait").is_none(), "the stranger was harmed");
    stranger.kill().expect("kill");
    stranger.wait().expect("wait");
}

#[tokio::test]
async fn a_killed_process_is_back_at_once_and_leaves_no_zombie() {
    let dir = tempfile::tempdir().expect("tempdir");
    let supervisor = open(dir.path());
    supervisor.start(script("one", dir.path(), scripts::FOREVER)).await.expect("start");
    let mut seen = BTreeSet::new();
    for round in 1..=3 {
        let before = pid(supervisor.state(&app()).await.expect("state"));
        seen.insert(before);
        let victim = nix::unistd::Pid::from_raw(i32::try_from(before).expect("pid"));
        nix::sys::signal::kill(victim, nix::sys::signal::Signal::SIGKILL).expect("kill");
        wait_for_state(
            &supervisor,
            &app(),
            |s| matches!(s, ProcessState::Running { restarts, .. } if *restarts == round),
        )
        .await;
    }
    for pid in seen {
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "a zombie of {pid} is left");
    }
    supervisor.remove(&app()).await.expect("remove");
}

#[tokio::test]
async fn a_flood_of_output_is_bounded_on_disk_and_the_app_goes_on() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut settings = NativeSettings::new(dir.path().join("run"), dir.path().join("logs"));
    settings.max_log_bytes = 1 << 20;
    let supervisor = NativeSupervisor::open(settings).expect("open");
    let flood = "head -c 100000000 /dev/zero | tr '\\0' x | fold -w 100; echo; echo done; exec sleep 1000";
    supervisor.start(script("one", dir.path(), flood)).await.expect("start");
    let log = dir.path().join("logs/one.log");
    eventually("the end of the flood", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.trim_end().ends_with(" done"))
    })
    .await;
    let mut size = 0;
    for folder in ["logs", "run/spool"] {
        for entry in std::fs::read_dir(dir.path().join(folder)).expect("dir") {
            let meta = entry.expect("entry").metadata().expect("meta");
            size += std::os::unix::fs::MetadataExt::blocks(&meta) * 512;
        }
    }
    assert!(size < 8 << 20, "{size} bytes on disk");
    supervisor.remove(&app()).await.expect("remove");
}

#[tokio::test]
async fn a_printed_token_does_not_stay_on_disk() {
    let dir = tempfile::tempdir().expect("tempdir");
    let supervisor = open(dir.path());
    supervisor.start(script("one", dir.path(), scripts::FIRST_START)).await.expect("start");
    let spool = dir.path().join("run/spool/one.out");
    let log = dir.path().join("logs/one.log");
    eventually("the last line", || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("two red"))).await;
    for file in [&spool, &log] {
        let content = std::fs::read(file).expect("read");
        assert!(!String::from_utf8_lossy(&content).contains("eyJ"), "{}", file.display());
    }
    supervisor.remove(&app()).await.expect("remove");
}

#[tokio::test]
async fn the_process_of_an_unreadable_record_is_ended_and_others_go_on() {
    let dir = tempfile::tempdir().expect("tempdir");
    let first = open(dir.path());
    for name in ["one", "two"] {
        first.start(script(name, dir.path(), scripts::FOREVER)).await.expect("start");
    }
    let lost = pid(first.state(&app()).await.expect("state"));
    let two = "two".parse().expect("name");
    let kept = pid(first.state(&two).await.expect("state"));
    first.shutdown().await;
    std::fs::write(dir.path().join("run/one.json"), "{").expect("write");
    let second = open(dir.path());
    let stat = std::fs::read_to_string(format!("/proc/{lost}/stat")).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "it runs on: {stat}");
    assert_eq!(second.state(&app()).await.expect("state"), None);
    assert_eq!(pid(second.state(&two).await.expect("state")), kept);
    second.remove(&two).await.expect("remove");
}
