use std::{fs, path::PathBuf};

use super::*;

/// A data directory, on the paused clock of a test.
struct World {
    data: DataDir,
    _dir: tempfile::TempDir,
}

const BOOT: Uuid = Uuid::from_u128(1);
const OTHER_BOOT: Uuid = Uuid::from_u128(2);

fn machine(id: &str, boot: Uuid) -> ThisMachine {
    ThisMachine { id: id.parse().expect("an id"), boot, pid: 7 }
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("tempdir");
        Self { data: DataDir::new(dir.path()), _dir: dir }
    }

    fn path(&self) -> PathBuf {
        self.data.machine()
    }

    async fn take(&self, id: &str, boot: Uuid) -> Result<Claim, MachineError> {
        Claim::take(&self.data, machine(id, boot)).await
    }

    fn record(&self) -> Record {
        file::parse(&fs::read(self.path()).expect("machine.json")).expect("a claim")
    }

    /// The time by which a claim is there, and the claim.
    async fn timed(&self, id: &str, boot: Uuid) -> (Duration, Claim) {
        let begun = Instant::now();
        let claim = self.take(id, boot).await.expect("claimed");
        (begun.elapsed(), claim)
    }
}

#[tokio::test(start_paused = true)]
async fn an_unclaimed_directory_is_claimed_at_once() {
    let world = World::new();
    let (waited, _claim) = world.timed("a", BOOT).await;
    assert!(waited < LOOK_EVERY, "{waited:?}");
    assert_eq!(world.record().machine.to_string(), "a");
    assert_eq!(fs::read_dir(world.data.path()).expect("dir").count(), 1, "no temporary file is left");
}

#[tokio::test(start_paused = true)]
async fn a_machine_whose_claim_is_renewed_keeps_the_other_out_and_is_named() {
    let world = World::new();
    let mut first = world.take("1857705c2e1308", BOOT).await.expect("claimed");
    let stop = CancellationToken::new();
    let keeping = tokio::spawn({
        let stop = stop.clone();
        async move { first.keep(&stop).await }
    });
    let begun = Instant::now();
    let error = world.take("b", OTHER_BOOT).await.expect_err("refused");
    assert!(begun.elapsed() <= RENEW_EVERY + LOOK_EVERY * 2, "{:?}", begun.elapsed());
    assert!(matches!(error, MachineError::InUse { .. }), "{error:?}");
    let message = error.to_string();
    for part in ["`1857705c2e1308` (process 7)", "stop that machine", "fly scale count 1", "on two machines"] {
        assert!(message.contains(part), "{message}");
    }
    stop.cancel();
    keeping.await.expect("ended").expect("kept");
    assert_eq!(world.record().machine.to_string(), "1857705c2e1308");
}

#[tokio::test(start_paused = true)]
async fn a_silent_machines_claim_is_taken_over_after_the_limit_and_not_before() {
    let world = World::new();
    drop(world.take("a", BOOT).await);
    let (waited, _claim) = world.timed("b", OTHER_BOOT).await;
    assert!(waited >= STALE_AFTER, "{waited:?}");
    assert!(waited <= STALE_AFTER + SETTLE + LOOK_EVERY * 2, "{waited:?}");
    assert_eq!(world.record().machine.to_string(), "b");
}

#[tokio::test(start_paused = true)]
async fn the_other_machines_clock_counts_for_nothing() {
    for renewed in ["1970-01-01T00:00:00Z", "2999-01-01T00:00:00Z"] {
        let renewed: Timestamp = renewed.parse().expect("a time");
        let world = World::new();
        drop(world.take("a", BOOT).await);
        let mut record = world.record();
        record.renewed = renewed;
        file::write(&world.path(), &record).expect("write");
        // silent: taken over after the wait, though its clock is ahead by centuries
        let (waited, claim) = world.timed("b", OTHER_BOOT).await;
        assert!(waited >= STALE_AFTER, "{waited:?}");
        drop(claim);
        // renewed: refused, though its time stands still
        file::write(&world.path(), &record).expect("write");
        let (path, stop) = (world.path(), CancellationToken::new());
        let renewing = tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            loop {
                sleep(RENEW_EVERY).await;
                record.beat += 1;
                file::write(&path, &record).expect("write");
            }
        }));
        assert!(matches!(world.take("b", OTHER_BOOT).await, Err(MachineError::InUse { .. })));
        stop.cancel();
        renewing.await.expect("ended");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_machine_is_let_in_at_once_after_a_kill_or_a_reboot() {
    let world = World::new();
    drop(world.take("a", BOOT).await);
    let (after_kill, claim) = world.timed("a", BOOT).await;
    drop(claim);
    let (after_reboot, claim) = world.timed("a", OTHER_BOOT).await;
    drop(claim);
    // another container on the same kernel, where the lock file decides
    let (replaced, _claim) = world.timed("b", OTHER_BOOT).await;
    for waited in [after_kill, after_reboot, replaced] {
        assert!(waited < LOOK_EVERY, "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_process_of_the_same_machine_does_not_end_the_first_ones_claim() {
    let world = World::new();
    let mut first = world.take("a", BOOT).await.expect("claimed");
    drop(world.take("a", BOOT).await.expect("claimed as well: the lock file decides"));
    first.renew().await.expect("renewed");
    assert_eq!(world.record().claim, first.record.claim);
    let second = world.take("a", BOOT).await.expect("claimed");
    first.release().await.expect("nothing to do");
    assert_eq!(world.record().claim, second.record.claim, "only its own claim is given back");
}

#[tokio::test(start_paused = true)]
async fn of_two_machines_that_take_over_at_once_one_remains() {
    let world = World::new();
    drop(world.take("gone", Uuid::from_u128(3)).await);
    let (a, b) = tokio::join!(world.take("a", BOOT), world.take("b", OTHER_BOOT));
    assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
}

#[tokio::test(start_paused = true)]
async fn of_two_machines_that_begin_on_a_fresh_directory_one_gives_way() {
    let world = World::new();
    let mut a = world.take("a", BOOT).await.expect("claimed");
    // as when b had looked before a wrote
    fs::remove_file(world.path()).expect("removed");
    let mut b = world.take("b", OTHER_BOOT).await.expect("claimed");
    let stop = CancellationToken::new();
    let stopped_b = stop.clone();
    let kept_b = tokio::spawn(async move { b.keep(&stopped_b).await });
    let begun = Instant::now();
    let error = a.keep(&stop).await.expect_err("lost");
    assert!(begun.elapsed() <= RENEW_EVERY * 2);
    assert!(matches!(&error, MachineError::Lost { holder, .. } if holder.contains("`b`")), "{error:?}");
    stop.cancel();
    kept_b.await.expect("ended").expect("kept");
    // what lost gives nothing back that is not its own
    a.release().await.expect("nothing to do");
    assert_eq!(world.record().machine.to_string(), "b");
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_was_given_back_is_claimed_at_once() {
    let world = World::new();
    world.take("a", BOOT).await.expect("claimed").release().await.expect("released");
    assert!(!world.path().exists());
    let (waited, b) = world.timed("b", OTHER_BOOT).await;
    assert!(waited < LOOK_EVERY, "{waited:?}");
    // also while the next one waits
    let (path, begun) = (world.path(), Instant::now());
    drop(b);
    let released = tokio::spawn(async move {
        sleep(LOOK_EVERY * 3).await;
        fs::remove_file(path).expect("removed");
    });
    let (_, _claim) = world.timed("c", Uuid::from_u128(4)).await;
    released.await.expect("ended");
    assert!(begun.elapsed() < STALE_AFTER, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_cannot_be_read_counts_as_another_machines() {
    let world = World::new();
    for content in [&b"{\"machine\":"[..], b"\xff\xfe", b"", br#"{"machine":"a\u001b[2J","boot":"0"}"#] {
        fs::write(world.path(), content).expect("write");
        let (waited, _claim) = world.timed("b", BOOT).await;
        assert!(waited >= STALE_AFTER, "{waited:?}");
        fs::remove_file(world.path()).expect("removed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_is_tried_again() {
    let world = World::new();
    let mut claim = world.take("a", BOOT).await.expect("claimed");
    // no file can be renamed onto a folder
    fs::remove_file(world.path()).expect("removed");
    fs::create_dir(world.path()).expect("a folder in the way");
    assert!(matches!(claim.renew().await, Err(MachineError::Storage { .. })));
    let stop = CancellationToken::new();
    let (path, stopping) = (world.path(), stop.clone());
    let repaired = tokio::spawn(async move {
        sleep(RENEW_EVERY * 3).await;
        fs::remove_dir(path).expect("removed");
        sleep(RENEW_EVERY * 2).await;
        stopping.cancel();
    });
    claim.keep(&stop).await.expect("kept");
    repaired.await.expect("ended");
    assert_eq!(world.record().claim, claim.record.claim);
}

#[test]
fn an_id_is_plain_text_of_bounded_length() {
    for good in ["1857705c2e1308", "web-1.example", "4f1c2c1e8a9b4c1fa0d3a2b1c0d9e8f7"] {
        good.parse::<MachineId>().expect(good);
    }
    for bad in ["", "a b", "a\n", "\u{1b}[2J", "`x`", "ä", &"x".repeat(129)] {
        assert_eq!(bad.parse::<MachineId>(), Err(InvalidMachineId), "{bad:?}");
    }
}

#[test]
fn this_machine_is_told_by_what_the_platform_says_else_by_its_files() {
    let given = ThisMachine::read(Some("1857705c2e1308\n")).expect("read");
    assert_eq!(given.id().to_string(), "1857705c2e1308");
    assert_eq!(given.boot, ThisMachine::read(None).expect("read").boot);
    assert_eq!(ThisMachine::read(Some(" ")).expect("read").id(), ThisMachine::read(None).expect("read").id());
    assert!(matches!(ThisMachine::read(Some("a b")), Err(MachineError::Unidentified { .. })));
}
