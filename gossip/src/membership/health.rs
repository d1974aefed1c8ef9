//! How well this node keeps its own time: the local health of Lifeguard (Dadgar, Phillips and Currey, 2018).
//!
//! A node that comes late to its own timers, because it was paused or its processor is taken, comes late to the answers of its
//! peers as well, and takes those for dead. It is the only one that can know. So the later it was, the longer it waits for
//! a suspect to refute.

/// Later than this is no jitter: an answer that came in time may wait unread.
const LATE_NS: u64 = 300_000_000;

/// A period of probing. One without lateness makes up for one with it.
const PERIOD_NS: u64 = 1_000_000_000;

/// The worst score. Whoever is always late still finds out about the dead, four times as slowly as others.
const WORST: u64 = 3;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Health {
    /// 0 is well.
    score: u64,
    /// When the score changed.
    since_ns: u64,
}

impl Health {
    /// The oldest timer was due at `due_ns`, and it is `now_ns`. Says until when suspects are to be left alone, because what they
    /// may have said meanwhile was not read.
    pub(crate) fn ticked(&mut self, due_ns: u64, now_ns: u64) -> Option<u64> {
        let late_ns = now_ns.saturating_sub(due_ns);
        if late_ns >= LATE_NS {
            self.score = (self.score + 1 + late_ns / PERIOD_NS).min(WORST);
            self.since_ns = now_ns;
        } else if self.score > 0 && now_ns.saturating_sub(self.since_ns) >= PERIOD_NS {
            self.score -= 1;
            self.since_ns = now_ns;
        }
        (late_ns >= PERIOD_NS).then_some(now_ns.saturating_add(PERIOD_NS))
    }

    /// How late this node was of late: 0 is not at all.
    pub(crate) fn score(&self) -> u64 {
        self.score
    }

    /// For how long a suspect may refute, where a well node gives it `after_ns`.
    pub(crate) fn patience(&self, after_ns: u64) -> u64 {
        after_ns.saturating_mul(1 + self.score)
    }
}

#[cfg(test)]
mod tests {
    use super::Health;

    const MS: u64 = 1_000_000;

    #[test]
    fn whoever_is_late_is_patient_until_it_was_punctual_for_as_long() {
        let mut health = Health::default();
        assert_eq!(health.ticked(5_000 * MS, 5_200 * MS), None, "jitter");
        assert_eq!(health.patience(10), 10);
        assert_eq!(health.ticked(6_000 * MS, 6_400 * MS), None);
        assert_eq!(health.patience(10), 20);
        assert_eq!(health.ticked(7_000 * MS, 9_500 * MS), Some(10_500 * MS));
        assert_eq!(health.patience(10), 40, "never more than that");
        for (now, patience) in [(9_600, 40), (10_500, 30), (11_000, 30), (11_500, 20), (13_000, 10)]
        {
            health.ticked(now * MS, now * MS);
            assert_eq!(health.patience(10), patience, "{now}");
        }
    }
}
