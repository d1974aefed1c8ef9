//! Which key is next.
//!
//! `zipfian` has YCSB's exponent of 0.99: of 100,000 keys the hottest one is drawn about every thirteenth time. Its ranks
//! are scattered over the keys by a fixed hash, so that hot keys are not neighbours. `latest` draws the youngest key
//! most often, without scattering.

use clap::ValueEnum;
use rand::distr::Distribution as Draw;
use rand::{RngExt, rngs::SmallRng};
use rand_distr::Zipf;
use serde::Serialize;

/// YCSB's exponent.
const EXPONENT: f64 = 0.99;

/// How keys are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Distribution {
    /// Every key as often as any other
    Uniform,
    /// A few keys most of the time
    Zipfian,
    /// The youngest keys most of the time
    Latest,
}

impl Distribution {
    /// Draws one of `keys` keys, which are numbered by age.
    pub(crate) fn draw(self, keys: u64, random: &mut SmallRng) -> u64 {
        assert!(keys > 0, "somebody loaded keys, or inserts them");
        match self {
            Distribution::Uniform => random.random_range(0..keys),
            Distribution::Zipfian => scattered(rank(keys, random), keys),
            Distribution::Latest => keys - 1 - rank(keys, random),
        }
    }
}

/// A rank from 0, the lower the likelier.
fn rank(keys: u64, random: &mut SmallRng) -> u64 {
    let zipf = Zipf::new(keys as f64, EXPONENT).expect("there are keys, and the exponent is fixed");
    (zipf.sample(random) as u64).clamp(1, keys) - 1
}

/// A prime above every possible number of keys.
const PRIME: u64 = 2_654_435_761;

/// A key far from its neighbour's, another one for each rank: multiplying by a number that shares no factor with `keys` goes
/// through all of them.
fn scattered(rank: u64, keys: u64) -> u64 {
    (u128::from(rank) * u128::from(PRIME) % u128::from(keys)) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::{Distribution, scattered};

    const DRAWS: u64 = 200_000;

    /// How often each key was drawn, most often first.
    fn counts(distribution: Distribution, keys: u64) -> Vec<(u64, u64)> {
        let mut random = SmallRng::seed_from_u64(1);
        let mut counts = BTreeMap::new();
        for _ in 0..DRAWS {
            *counts.entry(distribution.draw(keys, &mut random)).or_insert(0) += 1;
        }
        let mut counts: Vec<(u64, u64)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        assert!(counts.iter().all(|(key, _)| *key < keys));
        counts
    }

    #[test]
    fn uniform_draws_every_key_about_as_often() {
        let counts = counts(Distribution::Uniform, 100);
        assert_eq!(counts.len(), 100);
        assert!(counts[0].1 < DRAWS / 100 * 6 / 5, "{:?}", counts[0]);
    }

    #[test]
    fn zipfian_draws_the_first_rank_as_often_as_its_law_says() {
        let keys = 1_000;
        let norm: f64 = (1..=keys).map(|rank| f64::from(rank as u32).powf(-0.99)).sum();
        let counts = counts(Distribution::Zipfian, keys);
        let share = counts[0].1 as f64 / DRAWS as f64 * norm;
        assert!((0.95..1.15).contains(&share), "{share}");
        let neighbours = counts[0].0.abs_diff(counts[1].0);
        assert!(neighbours > 1, "hot keys are not neighbours: {counts:?}");
    }

    #[test]
    fn every_key_has_a_rank() {
        for keys in [1, 2, 8, 1_000, 65_537] {
            let scattered: BTreeSet<u64> = (0..keys).map(|rank| scattered(rank, keys)).collect();
            assert_eq!(scattered.len() as u64, keys);
        }
    }

    #[test]
    fn latest_draws_the_youngest_key_most_often() {
        let counts = counts(Distribution::Latest, 1_000);
        assert_eq!((counts[0].0, counts[1].0), (999, 998));
    }
}
