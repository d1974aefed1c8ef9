//! What this node can say of a key: three looks into the store, and what the engine remembers.

use kvorum_antientropy::leaf_of;
use kvorum_protocol::message::{
    KeptCopy, KeptDeletion, KeptRecord, KeptVersion, LayoutLabel, LeafSum, LogPlace, OwnerCause,
    Testimony, topology::LayoutHash,
};
use kvorum_protocol::{Record, RecordKey, Space, limits};
use kvorum_ring::{KeyHash, NodeId};
use kvorum_store::{Inspected, Inspection, StoreEvent, StoreRequest};

use crate::engine::causes::cause_of;
use crate::engine::events::Remembered;
use crate::engine::replica::refusal_of;
use crate::engine::turn::Turn;

/// A testimony in the making.
#[derive(Clone)]
pub(super) struct Witness {
    /// The record's key as an owner has it.
    key: RecordKey,
    hash: KeyHash,
    owned: KeptCopy,
    hinted: KeptCopy,
    leaf: Option<LeafSum>,
    refilling: bool,
    /// Answers of the store that are awaited.
    awaited: u8,
}

impl Witness {
    /// Of a key of which nothing is known yet.
    pub(super) fn new(key: RecordKey, hash: KeyHash) -> Witness {
        let unread = KeptCopy::Unread { cause: OwnerCause::Stopping };
        let (owned, hinted) = (unread.clone(), unread);
        Witness { key, hash, owned, hinted, leaf: None, refilling: false, awaited: 0 }
    }

    /// Asks the store.
    pub(super) fn start(&mut self, turn: &mut Turn<'_>) {
        let token = turn.token;
        for space in [Space::Owned, Space::Hinted] {
            self.awaited += 1;
            turn.store(StoreRequest::Inspect { token, key: self.key.clone().in_space(space) });
        }
        let RecordKey { class, partition, .. } = self.key;
        if turn.view.owns(turn.me, class, partition) {
            self.awaited += 1;
            turn.store(StoreRequest::Leaves { token, class, partition });
        }
    }

    /// Takes an answer of the store. Whether it was the last one.
    pub(super) fn hear(&mut self, event: StoreEvent) -> bool {
        match event {
            StoreEvent::Inspected { inspection, refilling, .. } => {
                self.refilling = refilling;
                match inspection.space {
                    Space::Owned => self.owned = kept(*inspection),
                    Space::Hinted => self.hinted = kept(*inspection),
                }
            }
            StoreEvent::Leaves { leaves, .. } => {
                self.leaf = leaves.map(|leaves| LeafSum(leaves[leaf_of(self.hash)].0));
            }
            StoreEvent::Refused { reason, .. } => {
                let refused = KeptCopy::Unread { cause: cause_of(refusal_of(reason)) };
                for copy in [&mut self.owned, &mut self.hinted] {
                    if matches!(copy, KeptCopy::Unread { .. }) {
                        *copy = refused.clone();
                    }
                }
            }
            _ => return false,
        }
        self.awaited = self.awaited.saturating_sub(1);
        self.awaited == 0
    }

    /// What is known by now. `others` are the nodes whose sight is told.
    pub(super) fn testimony(&self, turn: &Turn<'_>, others: &[NodeId]) -> Testimony {
        let Remembered { events, remembers_ms, up_ms } = turn.remembered(self.hash);
        let others = others.iter().filter(|node| **node != turn.me);
        let name = turn.view.layout.name();
        Testimony {
            node: turn.me,
            now_ms: turn.now.wall_ms,
            up_ms,
            remembers_ms,
            layout: LayoutLabel {
                lineage: name.lineage,
                version: name.version,
                hash: LayoutHash(name.hash),
            },
            refilling: self.refilling,
            owned: self.owned.clone(),
            hinted: self.hinted.clone(),
            leaf: self.leaf,
            peers: others.map(|node| turn.sight(*node)).collect(),
            events,
        }
    }
}

/// What a store knows of a key, in the words of the question.
fn kept(inspection: Inspection) -> KeptCopy {
    let sequence = inspection.sequence.unwrap_or(0);
    let place = inspection.location.map(|location| LogPlace {
        segment: location.segment.0,
        offset: location.offset,
        length: location.length,
    });
    match &inspection.found {
        Inspected::Absent => KeptCopy::Absent,
        Inspected::Removed => KeptCopy::Removed { sequence },
        Inspected::Damaged => KeptCopy::Damaged { sequence, place },
        Inspected::Record(record) => KeptCopy::Record(record_of(record, &inspection, place)),
    }
}

fn record_of(record: &Record, inspection: &Inspection, place: Option<LogPlace>) -> KeptRecord {
    let set = &record.set;
    let version = |(dot, version): &(kvorum_protocol::Dot, kvorum_protocol::Version)| KeptVersion {
        dot: *dot,
        operation: version.operation,
        bytes: version.value.len() as u64,
        expires_at_ms: version.expires_at_ms,
    };
    let deletions = set.deletions().iter();
    KeptRecord {
        clock: set.clock().clone(),
        versions: set.versions().iter().take(limits::WHY_VERSIONS).map(version).collect(),
        live: u32::try_from(set.versions().len()).unwrap_or(u32::MAX),
        deletions: deletions
            .map(|(dot, deletion)| KeptDeletion { dot: *dot, operation: deletion.operation })
            .collect(),
        digest: LeafSum(set.live_digest().0),
        sequence: inspection.sequence.unwrap_or(0),
        synced: inspection.is_synced,
        in_memory: inspection.was_in_memory,
        place,
        indexed: inspection.is_indexed,
        actor: record.mark.map(|mark| mark.actor),
        held_for: record.hinted_for.clone(),
        spare: record.spare,
        held_ms: inspection.held_ms,
    }
}
