//! Chance that can be had again.

use std::time::SystemTime;

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// The variable `SEED`, or another one each time; it is printed, so that a failure can be seen again.
pub fn seed() -> u64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let seed = std::env::var("SEED").map_or(now, |text| text.parse().unwrap());
    eprintln!("SEED={seed}");
    seed
}

/// One that begins with `seed`.
pub fn runner(seed: u64, config: Config) -> TestRunner {
    let bytes = seed.to_le_bytes().repeat(4);
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}
