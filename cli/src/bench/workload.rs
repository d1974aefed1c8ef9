//! What a workload does: shares of operations, how keys are drawn, how large values are.
//!
//! `ycsb-a` to `ycsb-f` are the core workloads of the Yahoo! Cloud Serving Benchmark (Cooper et al., SoCC 2010): the same
//! shares and distributions, values of ten times 100 bytes as one.

use clap::ValueEnum;
use rand::RngExt;
use rand::rngs::SmallRng;
use serde::Serialize;

use crate::bench::distribution::Distribution;

/// A workload by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Workload {
    /// Overwrites
    Put,
    /// Reads
    Get,
    /// Half reads, half overwrites
    Mixed,
    /// Writes of keys that are not there yet
    NewKeys,
    /// Half reads, half overwrites; some keys much hotter than others
    YcsbA,
    /// 95 % reads, 5 % overwrites
    YcsbB,
    /// Reads
    YcsbC,
    /// 95 % reads of what was written last, 5 % new keys
    YcsbD,
    /// 95 % scans of up to 100 keys with their values, 5 % new keys
    YcsbE,
    /// Half reads, half reads followed by an overwrite of what was read
    YcsbF,
}

/// One kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    /// Get a key.
    Read,
    /// Overwrite a key under the context of the last reply for it.
    Update,
    /// Put a key that is not there yet.
    Insert,
    /// List keys from a key on, and get their values.
    Scan,
    /// Get a key, then overwrite it under the context that came with it.
    Modify,
}

impl Operation {
    /// Every operation, in the order of reports.
    pub(crate) const ALL: [Operation; 5] =
        [Operation::Read, Operation::Update, Operation::Insert, Operation::Scan, Operation::Modify];

    /// Whether it succeeds only when something was written.
    pub(crate) fn writes(self) -> bool {
        matches!(self, Operation::Update | Operation::Insert | Operation::Modify)
    }

    /// Its name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::Read => "get",
            Operation::Update => "put (overwrite)",
            Operation::Insert => "put (new key)",
            Operation::Scan => "scan",
            Operation::Modify => "get, then put",
        }
    }
}

/// Shares of operations, in percent, in the order of [`Operation::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mix([u8; 5]);

impl Mix {
    /// Whether keys that exist are written.
    pub(crate) fn overwrites(self) -> bool {
        self.0[1] + self.0[4] > 0
    }

    /// Draws the next operation.
    pub(crate) fn draw(self, random: &mut SmallRng) -> Operation {
        let mut left = random.random_range(0..100_u8);
        for (operation, share) in Operation::ALL.into_iter().zip(self.0) {
            if left < share {
                return operation;
            }
            left -= share;
        }
        unreachable!("shares add up to 100")
    }
}

impl Workload {
    /// What it does.
    pub(crate) fn mix(self) -> Mix {
        Mix(match self {
            Workload::Put => [0, 100, 0, 0, 0],
            Workload::Get | Workload::YcsbC => [100, 0, 0, 0, 0],
            Workload::Mixed | Workload::YcsbA => [50, 50, 0, 0, 0],
            Workload::NewKeys => [0, 0, 100, 0, 0],
            Workload::YcsbB => [95, 5, 0, 0, 0],
            Workload::YcsbD => [95, 0, 5, 0, 0],
            Workload::YcsbE => [0, 0, 5, 95, 0],
            Workload::YcsbF => [50, 0, 0, 0, 50],
        })
    }

    fn is_ycsb(self) -> bool {
        !matches!(self, Workload::Put | Workload::Get | Workload::Mixed | Workload::NewKeys)
    }

    /// How it draws keys when nobody says otherwise.
    pub(crate) fn distribution(self) -> Distribution {
        match self {
            Workload::YcsbD => Distribution::Latest,
            workload if workload.is_ycsb() => Distribution::Zipfian,
            _ => Distribution::Uniform,
        }
    }

    /// Bytes of a value when nobody says otherwise.
    pub(crate) fn value_bytes(self) -> usize {
        if self.is_ycsb() { 1_000 } else { 256 }
    }

    /// Its name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::{Mix, Operation, Workload};

    #[test]
    fn the_shares_of_every_workload_add_up() {
        for workload in Workload::value_variants() {
            let Mix(shares) = workload.mix();
            assert_eq!(shares.iter().map(|share| u32::from(*share)).sum::<u32>(), 100);
        }
    }

    #[test]
    fn operations_are_drawn_by_their_shares() {
        let mut random = SmallRng::seed_from_u64(7);
        let draws = 100_000;
        let mix = Workload::YcsbB.mix();
        let updates =
            (0..draws).filter(|_| mix.draw(&mut random) == Operation::Update).count() as f64;
        let share = updates / f64::from(draws);
        assert!((0.045..0.055).contains(&share), "{share}");
    }
}
