//! Answers, from the question and what the own store says.

use kvorum_protocol::{BucketName, Key, RecordKey};
use kvorum_ring::KeyHash;

use crate::compare::{Differences, compare, sums_of_parts};
use crate::limits;
use crate::message::{Answer, Refusal, unpack_keys, unpack_leaves};
use crate::tree::{LEAVES, Sum, Tree};

/// A record that is held here: the hash of its key, the tag of what is live, and the key.
pub type Held = (KeyHash, Option<u64>, RecordKey);

fn refused(reason: Refusal) -> Answer {
    Answer::Refused { reason }
}

/// To a question about a range whose partitions' roots these are here; none while they are not known.
pub fn to_range(roots: Option<&[Sum]>, theirs: Sum) -> Answer {
    match roots {
        None => refused(Refusal::Unknown),
        Some(roots) if roots.iter().copied().sum::<Sum>() == theirs => Answer::Equal,
        Some(roots) => Answer::Parts { sums: sums_of_parts(roots) },
    }
}

/// To a question about a partition's leaves, which are these here.
pub fn to_leaves(leaves: Option<[Sum; LEAVES]>, theirs: &[u8]) -> Answer {
    match (leaves, unpack_leaves(theirs)) {
        (Some(leaves), Some(theirs)) => {
            Answer::Leaves { leaves: Tree::of(leaves).differing(&theirs).0 }
        }
        _ => refused(Refusal::Unknown),
    }
}

/// To a list of keys, with what is held here between the same hashes; `more` says that this is not all.
pub fn to_contents(held: &[Held], more: bool, theirs: &[u8], through: KeyHash) -> Answer {
    let Some(listed) = unpack_keys(theirs) else { return refused(Refusal::Damaged) };
    // What is not all is all up to its last key.
    let last = held.last().map_or(through, |held| held.0);
    let mut through = if more { last } else { through };
    let tags: Vec<(KeyHash, Option<u64>)> = held.iter().map(|held| (held.0, held.1)).collect();
    let Differences { mut lacking, mut differing, extra } = compare(&tags, &listed);
    if let Some(cut) = extra.get(limits::EXTRA_KEYS) {
        through = through.min(KeyHash(held[*cut].0.0.saturating_sub(1)));
    }
    let is_within = |place: &u32| listed[*place as usize].0 <= through;
    lacking.retain(is_within);
    differing.retain(is_within);
    let named = extra.into_iter().map(|place| &held[place]).filter(|held| held.0 <= through);
    let names = named.map(|(_, _, key)| (key.bucket.clone(), key.key.clone()));
    let extra: Vec<(BucketName, Key)> = names.collect();
    Answer::Contents { lacking, differing, extra, through }
}
