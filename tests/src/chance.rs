//! Chance that can be had again.

use std::time::SystemTime;

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// One that begins with the variable `SEED`, or else differently each time; it is printed, so that a failure can be seen
/// again.
pub fn runner() -> TestRunner {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    let seed = std::env::var("SEED").map_or(now, |text| text.parse().unwrap());
    eprintln!("SEED={seed}");
    let bytes = seed.to_le_bytes().repeat(8);
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}
