//! How long to wait before dialling again.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::runtime::limits;

/// Doubles from [`limits::RECONNECT_MIN`] to [`limits::RECONNECT_MAX`]; each wait is drawn from its upper half, so that
/// nodes that lost each other at once do not return at once.
pub(crate) struct Backoff {
    ceiling: Duration,
    jitter: StdRng,
}

impl Backoff {
    pub(crate) fn new(jitter: StdRng) -> Backoff {
        Backoff { ceiling: limits::RECONNECT_MIN, jitter }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.ceiling.mul_f64(self.jitter.random_range(0.5..=1.0));
        self.ceiling = (self.ceiling * 2).min(limits::RECONNECT_MAX);
        wait
    }

    /// A connection worked: begin again with short waits.
    pub(crate) fn reset(&mut self) {
        self.ceiling = limits::RECONNECT_MIN;
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;
    use crate::runtime::limits;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn waits_grow_to_their_bound_and_begin_again_after_a_success() {
        let mut backoff = Backoff::new(StdRng::seed_from_u64(1));
        let waits: Vec<_> = (0..10).map(|_| backoff.next()).collect();
        assert!(waits[0] <= limits::RECONNECT_MIN);
        assert!(waits.iter().all(|wait| *wait <= limits::RECONNECT_MAX));
        assert!(waits[9] >= limits::RECONNECT_MAX / 2);
        backoff.reset();
        assert!(backoff.next() <= limits::RECONNECT_MIN);
    }
}
