//! How long to wait before the next attempt: doubling, with full jitter.
//!
//! Full jitter (a uniform draw from zero to the bound) spreads a crowd of clients that failed in the same moment best;
//! see "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.

use std::time::Duration;

use crate::limits::{BACKOFF_FIRST, BACKOFF_LONGEST};

/// The pause before attempt `attempt` (the second attempt is 1). `draw` is uniform in 0..1; `at_least` is what the
/// server asked for, which jitter never shortens.
pub(crate) fn pause(attempt: u32, draw: f64, at_least: Option<Duration>) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    let bound = BACKOFF_FIRST.saturating_mul(1 << doublings).min(BACKOFF_LONGEST);
    at_least.unwrap_or(Duration::ZERO) + bound.mul_f64(draw.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::pause;
    use crate::limits::{BACKOFF_FIRST, BACKOFF_LONGEST};

    #[test]
    fn the_bound_doubles_up_to_the_longest_pause_and_jitter_stays_below_it() {
        assert_eq!(pause(1, 1.0, None), BACKOFF_FIRST);
        assert_eq!(pause(2, 1.0, None), BACKOFF_FIRST * 2);
        assert_eq!(pause(3, 0.5, None), BACKOFF_FIRST * 2);
        assert_eq!(pause(1_000, 1.0, None), BACKOFF_LONGEST);
        assert_eq!(pause(1, 0.0, None), Duration::ZERO);
    }

    #[test]
    fn what_the_server_asked_for_is_never_shortened() {
        let asked = Duration::from_millis(300);
        assert!(pause(1, 0.0, Some(asked)) >= asked);
    }
}
