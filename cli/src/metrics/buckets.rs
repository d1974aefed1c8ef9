//! A histogram in cumulative buckets, as Prometheus has them, and percentiles read off it.

/// Cumulative counts by upper bound in seconds, ascending; the last bound is infinite.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Buckets {
    bounds: Vec<(f64, f64)>,
}

impl Buckets {
    /// Adds a cumulative count. Bounds that are there already take it on top.
    pub(crate) fn add(&mut self, bound: f64, count: f64) {
        match self.bounds.iter_mut().find(|(held, _)| *held == bound) {
            Some((_, sum)) => *sum += count,
            None => {
                let place = self.bounds.partition_point(|(held, _)| *held < bound);
                self.bounds.insert(place, (bound, count));
            }
        }
    }

    /// What was counted since an earlier moment. A process that was started again meanwhile counts from its start.
    pub(crate) fn since(&self, earlier: &Buckets) -> Buckets {
        if self.count() < earlier.count() {
            return self.clone();
        }
        let before = |bound| earlier.bounds.iter().find(|(held, _)| *held == bound);
        let difference = |(bound, count): &(f64, f64)| {
            (*bound, count - before(*bound).map_or(0.0, |(_, before)| *before))
        };
        Buckets { bounds: self.bounds.iter().map(difference).collect() }
    }

    /// Both together.
    pub(crate) fn and(mut self, other: &Buckets) -> Buckets {
        other.bounds.iter().for_each(|(bound, count)| self.add(*bound, *count));
        self
    }

    /// How many were counted.
    pub(crate) fn count(&self) -> f64 {
        self.bounds.last().map_or(0.0, |(_, count)| *count)
    }

    /// The duration in seconds below which this share (0 to 1) lies, interpolated within its bucket; `None` when nothing was
    /// counted. What lies above the last finite bound is given as that bound.
    pub(crate) fn percentile(&self, share: f64) -> Option<f64> {
        let wanted = self.count() * share;
        if self.count() <= 0.0 {
            return None;
        }
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in &self.bounds {
            if *count >= wanted && *count > below {
                let part = ((wanted - below) / (count - below)).clamp(0.0, 1.0);
                return Some(if bound.is_finite() { low + (bound - low) * part } else { low });
            }
            if bound.is_finite() {
                low = *bound;
            }
            below = *count;
        }
        Some(low)
    }
}

#[cfg(test)]
mod tests {
    use super::Buckets;

    fn buckets(counts: [f64; 3]) -> Buckets {
        let mut buckets = Buckets::default();
        for (bound, count) in [f64::INFINITY, 1.0, 2.0].into_iter().zip(counts) {
            buckets.add(bound, count);
        }
        buckets
    }

    #[test]
    fn percentiles_lie_in_their_bucket() {
        let buckets = buckets([12.0, 5.0, 10.0]);
        assert_eq!(buckets.percentile(0.25), Some(0.6));
        assert_eq!(buckets.percentile(7.5 / 12.0), Some(1.5));
        assert_eq!(buckets.percentile(1.0), Some(2.0));
        assert_eq!(Buckets::default().percentile(0.5), None);
    }

    #[test]
    fn a_difference_counts_what_came_between_and_forgives_a_restart() {
        let (early, late) = (buckets([4.0, 1.0, 3.0]), buckets([12.0, 5.0, 10.0]));
        assert_eq!(late.since(&early), buckets([8.0, 4.0, 7.0]));
        assert_eq!(early.since(&late), early);
        assert_eq!(late.since(&early).and(&early), late);
    }
}
