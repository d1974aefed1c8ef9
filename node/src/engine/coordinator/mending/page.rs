//! A page of a partition's keys as its owners hold them.

use std::collections::BTreeMap;

use kvorum_antientropy::message::pack_keys;
use kvorum_antientropy::{Answer, Listed, Question, Refusal};
use kvorum_protocol::message::OwnerCause;
use kvorum_protocol::{BucketName, Key};
use kvorum_ring::{ClassId, KeyHash, PartitionCount, PartitionId};
use kvorum_store::{ContentsKey, ContentsPage};

/// Every leaf of a partition's tree.
pub(super) const ALL_LEAVES: u16 = u16::MAX;

/// A key by its bucket and name.
pub(super) type Named = (BucketName, Key);

/// What an owner's answer to a question about the page means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    /// It was compared.
    Compared,
    /// It is to be asked again a moment later.
    Later,
    /// It cannot be compared.
    Failed(OwnerCause),
}

/// The own keys of the page, and how other owners hold them.
#[derive(Clone, Debug)]
pub(super) struct Page {
    from: KeyHash,
    /// The last hash of the list.
    listed_through: KeyHash,
    listed: Vec<Listed>,
    /// The last hash at which everybody who was compared looked.
    through: KeyHash,
    /// What somebody holds otherwise.
    differing: BTreeMap<KeyHash, Named>,
    /// Keys that only others hold.
    extra: usize,
}

impl Page {
    /// What the own store holds from a hash on.
    pub(super) fn new(from: KeyHash, page: ContentsPage) -> Page {
        let ContentsPage { keys, more } = page;
        let last = keys.last().map(|last| last.hash);
        let through = last.filter(|_| more).unwrap_or(KeyHash(u128::MAX));
        let live = keys
            .into_iter()
            .filter_map(|ContentsKey { hash, key, tag }| Some(Listed { hash, tag: tag?, key }));
        let (differing, listed) = (BTreeMap::new(), live.collect());
        Page { from, listed_through: through, listed, through, differing, extra: 0 }
    }

    /// Asks another owner about it. `scope` is that of exchanges.
    pub(super) fn question(&self, class: ClassId, partition: PartitionId, scope: u64) -> Question {
        let keys = pack_keys(self.listed.iter().map(|listed| (listed.hash, listed.tag)));
        let (from, through, leaves) = (self.from, self.listed_through, ALL_LEAVES);
        Question::Contents { class, partition, scope, leaves, from, through, keys }
    }

    /// Takes an owner's answer. Keys that do not belong here by their hash are not looked at.
    pub(super) fn take(
        &mut self,
        answer: Answer,
        partition: PartitionId,
        partitions: PartitionCount,
    ) -> Heard {
        let (lacking, differing, extra, through) = match answer {
            Answer::Contents { lacking, differing, extra, through } => {
                (lacking, differing, extra, through)
            }
            Answer::Refused { reason } => return refused(reason),
            _ => return Heard::Failed(OwnerCause::Damaged),
        };
        if through < self.from {
            return Heard::Failed(OwnerCause::Damaged);
        }
        self.through = self.through.min(through);
        let places = lacking.into_iter().chain(differing);
        for listed in places.filter_map(|place| self.listed.get(place as usize)) {
            let name = (listed.key.bucket.clone(), listed.key.key.clone());
            self.differing.insert(listed.hash, name);
        }
        for (bucket, key) in extra {
            let hash = KeyHash::of(bucket.as_bytes(), key.as_bytes());
            let is_here = partitions.partition_of(hash) == partition;
            if is_here && (self.from..=through).contains(&hash) {
                self.extra += usize::from(self.differing.insert(hash, (bucket, key)).is_none());
            }
        }
        Heard::Compared
    }

    /// Ends the comparing: how many keys were compared, those that differ by their hashes, and the hash behind the page.
    pub(super) fn end(&mut self) -> (u64, BTreeMap<KeyHash, Named>, Option<KeyHash>) {
        let listed = self.listed.partition_point(|listed| listed.hash <= self.through);
        let mut differing = std::mem::take(&mut self.differing);
        differing.retain(|hash, _| *hash <= self.through);
        let next = self.through.0.checked_add(1).map(KeyHash);
        ((listed + self.extra) as u64, differing, next)
    }
}

fn refused(reason: Refusal) -> Heard {
    match reason {
        Refusal::Busy | Refusal::Unknown | Refusal::Overloaded => Heard::Later,
        Refusal::OtherScope | Refusal::NotShared => Heard::Failed(OwnerCause::WrongLayout),
        Refusal::Stopping => Heard::Failed(OwnerCause::Stopping),
        Refusal::Damaged => Heard::Failed(OwnerCause::Damaged),
        Refusal::Other(reason) => Heard::Failed(OwnerCause::Other(reason)),
    }
}
