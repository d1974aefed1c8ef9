//! How long a peer takes to answer, as a histogram that forgets.
//!
//! Four buckets to each doubling of microseconds, so that a percentile is known to a fifth. When enough has been counted all
//! counts are halved: old times fade, and the histogram stays as small as it is.

use crate::limits;

/// Buckets of the histogram: four to each doubling, up to 2^32 microseconds.
const BUCKETS: usize = 4 * 32;

/// The times that one peer took for one kind of question.
#[derive(Clone, Debug)]
pub(crate) struct Latency {
    counts: [u32; BUCKETS],
    total: u32,
}

impl Default for Latency {
    fn default() -> Latency {
        Latency { counts: [0; BUCKETS], total: 0 }
    }
}

impl Latency {
    /// Notes one answer's time, or how long was waited in vain.
    pub(crate) fn note(&mut self, took_ns: u64) {
        if self.total == limits::LATENCY_MEMORY {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().sum();
        }
        self.counts[bucket(took_ns / 1_000)] += 1;
        self.total += 1;
    }

    /// The time within which 95 of 100 answers came, in microseconds, rounded up by a fifth at most; none until enough have
    /// been counted.
    pub(crate) fn p95_us(&self) -> Option<u64> {
        if self.total < limits::LATENCY_SAMPLES {
            return None;
        }
        let slowest = self.total / 20;
        let mut slower = 0;
        for bucket in (0..BUCKETS).rev() {
            slower += self.counts[bucket];
            if slower > slowest {
                return Some(upper_us(bucket));
            }
        }
        None
    }
}

/// The bucket of a time: below four microseconds one for each, above by the two bits behind the leading one.
fn bucket(us: u64) -> usize {
    let us = us.min(u64::from(u32::MAX));
    match us.checked_ilog2() {
        None | Some(0 | 1) => us as usize,
        Some(octave) => 4 * (octave as usize - 1) + ((us >> (octave - 2)) & 3) as usize,
    }
}

/// The longest time in a bucket.
fn upper_us(bucket: usize) -> u64 {
    if bucket < 4 {
        return bucket as u64;
    }
    let octave = bucket / 4 + 1;
    ((5 + (bucket as u64 & 3)) << (octave - 2)) - 1
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, Latency, bucket, upper_us};
    use crate::limits::{LATENCY_MEMORY, LATENCY_SAMPLES};

    #[test]
    fn every_time_has_a_bucket_that_tells_it_to_a_quarter() {
        let mut before = 0;
        for us in (0..100_000).chain((17..32).map(|octave| 1 << octave)).chain([u64::MAX]) {
            let place = bucket(us);
            assert!(place < BUCKETS && place >= before, "{us}");
            let us = us.min(u64::from(u32::MAX));
            assert!(upper_us(place) >= us && upper_us(place) <= us + us / 4, "{us}");
            before = place;
        }
    }

    #[test]
    fn the_p95_is_that_of_the_last_times_and_is_not_guessed_from_few() {
        let mut latency = Latency::default();
        for number in 1..LATENCY_SAMPLES {
            latency.note(u64::from(number) * 1_000);
            assert_eq!(latency.p95_us(), None);
        }
        for number in 0..2_000 {
            latency.note(if number % 10 == 0 { 9_000_000 } else { 100_000 });
        }
        assert!((9_000..11_250).contains(&latency.p95_us().unwrap()), "one of ten is slow");
        for _ in 0..20 * LATENCY_MEMORY {
            latency.note(100_000);
        }
        assert!((100..125).contains(&latency.p95_us().unwrap()), "the slow times have faded");
    }
}
