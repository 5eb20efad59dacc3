//! How long to wait before a restart.

use std::time::Duration;

use crate::supervisor::RestartPolicy;

/// The wait before the restart that follows `restarts` earlier ones. The first is at once: an app that crashed after days
/// should be back before anybody notices. `jitter` is from 0 to 1 and takes off up to a quarter, so that apps that crashed
/// together do not start together.
pub(super) fn delay(policy: &RestartPolicy, restarts: u32, jitter: f64) -> Duration {
    let Some(doublings) = restarts.checked_sub(1) else { return Duration::ZERO };
    let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
    let full = policy.first_delay.saturating_mul(factor).min(policy.max_delay);
    full.mul_f64(1.0 - 0.25 * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_restart_is_at_once_and_the_wait_doubles_to_the_limit() {
        let policy = RestartPolicy::default();
        let waits: Vec<u128> = (0..12).map(|n| delay(&policy, n, 0.0).as_millis()).collect();
        assert_eq!(waits, [0, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]);
    }

    proptest! {
        #[test]
        fn jitter_takes_off_at_most_a_quarter(restarts in 1..u32::MAX, jitter in 0.0..=1.0) {
            let policy = RestartPolicy::default();
            let (full, with) = (delay(&policy, restarts, 0.0), delay(&policy, restarts, jitter));
            prop_assert!(with <= full && with >= full.mul_f64(0.749), "{with:?} of {full:?}");
        }
    }
}
