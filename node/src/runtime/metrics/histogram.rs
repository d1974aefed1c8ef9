//! Durations counted in buckets: cheap enough for every request, fine enough for a percentile.
//!
//! The bounds grow by the square root of two from 16 µs to 16 s, so a percentile read off them is at most that factor too
//! high, and usually a fifth of that. Counting is one search in a table of 41 and two additions; there is no lock, because the
//! store's threads count here, too.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in nanoseconds, ascending. What is above the last one stands in a bucket of its own.
pub(crate) const BOUNDS: [u64; 41] = bounds();

const fn bounds() -> [u64; 41] {
    let mut bounds = [0; 41];
    let mut position = 0;
    while position < bounds.len() {
        let octave = 16_000 << (position / 2);
        // 1.414 is near enough: what matters is that everybody uses the same bounds.
        bounds[position] = if position % 2 == 0 { octave } else { octave / 1_000 * 1_414 };
        position += 1;
    }
    bounds
}

/// A histogram of durations since the process began.
#[derive(Debug)]
pub(crate) struct Histogram {
    counts: [AtomicU64; BOUNDS.len() + 1],
    sum_ns: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: [const { AtomicU64::new(0) }; _], sum_ns: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts one duration in nanoseconds.
    pub(crate) fn record_ns(&self, ns: u64) {
        let bucket = BOUNDS.partition_point(|bound| *bound < ns);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// Counts one duration.
    pub(crate) fn record(&self, time: Duration) {
        self.record_ns(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How many were counted in each bucket.
    pub(crate) fn counts(&self) -> [u64; BOUNDS.len() + 1] {
        std::array::from_fn(|bucket| self.counts[bucket].load(Ordering::Relaxed))
    }

    /// The sum of all durations in seconds.
    pub(crate) fn sum_seconds(&self) -> f64 {
        self.sum_ns.load(Ordering::Relaxed) as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::{BOUNDS, Histogram};

    #[test]
    fn bounds_ascend_by_less_than_half_as_much_again() {
        assert_eq!((BOUNDS[0], BOUNDS[40]), (16_000, 16_000 << 20));
        for pair in BOUNDS.windows(2) {
            assert!(pair[0] < pair[1] && pair[1] < pair[0] * 3 / 2, "{pair:?}");
        }
    }

    #[test]
    fn a_duration_is_counted_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for ns in [0, BOUNDS[0], BOUNDS[0] + 1, BOUNDS[40], u64::MAX / 2] {
            histogram.record_ns(ns);
        }
        let counts = histogram.counts();
        assert_eq!((counts[0], counts[1], counts[40], counts[41]), (2, 1, 1, 1));
        assert_eq!(counts.iter().sum::<u64>(), 5);
    }
}
