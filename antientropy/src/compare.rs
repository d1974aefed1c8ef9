//! Comparing what two owners hold: sums of ranges of partitions, lists of keys, and one key's clocks.

use std::cmp::Ordering;

use kvorum_protocol::{Clock, VersionSet};
use kvorum_ring::KeyHash;

use crate::limits;
use crate::tree::Sum;

/// The parts into which a range of partitions is cut: at most [`limits::PARTS`], all of one length but the last.
pub fn parts(first: u32, count: u32) -> impl Iterator<Item = (u32, u32)> {
    let length = count.div_ceil(limits::PARTS as u32).max(1);
    let starts = (0..count).step_by(length as usize);
    starts.map(move |start| (first + start, length.min(count - start)))
}

/// The sum of each part of a range whose partitions' roots these are.
pub fn sums_of_parts(roots: &[Sum]) -> Vec<Sum> {
    let part = |(first, count): (u32, u32)| {
        roots[first as usize..][..count as usize].iter().copied().sum()
    };
    parts(0, roots.len() as u32).map(part).collect()
}

/// How a list of keys differs from what is held here.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Differences {
    /// Places in the list of keys of which there is no record here.
    pub lacking: Vec<u32>,
    /// Places in the list of keys of which there is another record here.
    pub differing: Vec<u32>,
    /// Places in what is held here of live keys that are not listed.
    pub extra: Vec<usize>,
}

/// Compares what is held here, with a tag where it is live, with a list of live keys of the other owner. Both ascend by
/// hash.
pub fn compare(held: &[(KeyHash, Option<u64>)], listed: &[(KeyHash, u64)]) -> Differences {
    let mut differences = Differences::default();
    let (mut here, mut there) = (0, 0);
    loop {
        let order = match (held.get(here), listed.get(there)) {
            (Some(held), Some(listed)) => held.0.cmp(&listed.0),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return differences,
        };
        match order {
            Ordering::Less => {
                if held[here].1.is_some() {
                    differences.extra.push(here);
                }
                here += 1;
            }
            Ordering::Greater => {
                differences.lacking.push(there as u32);
                there += 1;
            }
            Ordering::Equal => {
                if held[here].1 != Some(listed[there].1) {
                    differences.differing.push(there as u32);
                }
                (here, there) = (here + 1, there + 1);
            }
        }
    }
}

/// What is to travel of one key, seen from the owner to whom it was offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exchange {
    /// The asker lacks something that is held here.
    pub gives: bool,
    /// Something is lacking here that the asker holds.
    pub wants: bool,
}

impl Exchange {
    /// Nothing.
    pub const NOTHING: Exchange = Exchange { gives: false, wants: false };

    /// Compares a record with the clock and digest of the asker's.
    ///
    /// Who has seen everything that the other has lacks nothing: what it does not hold of that, it has seen replaced. A bare
    /// tombstone goes only to who holds a record. One that has none may have reclaimed the very same tombstone a moment ago,
    /// and would get it back in every exchange for ever.
    pub fn of(held: Option<&VersionSet>, clock: &Clock, digest: Sum) -> Exchange {
        let is_live = digest != Sum::default();
        let Some(set) = held.filter(|set| !set.is_empty()) else {
            return Exchange { gives: false, wants: is_live };
        };
        if clock.is_empty() {
            return Exchange { gives: !set.is_tombstone(), wants: false };
        }
        if set.live_digest().0 == digest.0 {
            return Exchange::NOTHING;
        }
        let (wants, gives) = (!set.clock().descends(clock), !clock.descends(set.clock()));
        match wants || gives {
            true => Exchange { gives, wants },
            // Equal clocks and different versions: neither can be trusted more, and merging both ways makes them equal.
            false => Exchange { gives: true, wants: true },
        }
    }

    /// As [`Exchange::of`], where the record here cannot be read: it counts as missing, but there was one.
    pub fn of_damaged(clock: &Clock) -> Exchange {
        Exchange { gives: false, wants: !clock.is_empty() }
    }
}
