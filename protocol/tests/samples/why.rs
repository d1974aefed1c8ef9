//! Why a key holds what it holds: one of each kind of thing that a testimony can say.

use kvorum_protocol::message::topology::LayoutHash;
use kvorum_protocol::message::{
    Happened, KeptCopy, KeptDeletion, KeptRecord, KeptVersion, KeyEvent, LayoutLabel, LeafSum,
    LogPlace, OwnerCause, OwnerFailure, PeerSight, Testimony, Way, WhyDone, WriteMode,
};
use kvorum_protocol::{Actor, Clock, Dot};
use kvorum_ring::{NodeId, PartitionId};

use super::{NODE, OPERATION};

const OTHER: NodeId = NodeId(5);

fn record() -> KeptRecord {
    KeptRecord {
        clock: Clock::of([(Actor(7), 3), (Actor(9), 1)]),
        versions: vec![KeptVersion {
            dot: Dot::new(Actor(7), 3),
            operation: OPERATION,
            bytes: 5,
            expires_at_ms: Some(1_900_000_000_000),
        }],
        live: 1,
        deletions: vec![KeptDeletion { dot: Dot::new(Actor(9), 1), operation: OPERATION }],
        digest: LeafSum(0x55),
        sequence: 70_000,
        synced: true,
        in_memory: false,
        place: Some(LogPlace { segment: 3, offset: 4_096, length: 300 }),
        indexed: true,
        actor: Some(Actor(7)),
        held_for: vec![OTHER],
        spare: true,
        held_ms: Some(1_500),
    }
}

/// One of each kind that this version knows.
fn events() -> Vec<KeyEvent> {
    let cause = OwnerCause::Unreachable;
    let dot = Dot::new(Actor(7), 3);
    let kinds = [
        Happened::Minted {
            dot,
            operation: OPERATION,
            mode: WriteMode::Context,
            replaced: 1,
            live: 2,
            within_ms: 10_000,
            stands_in: false,
        },
        Happened::Merged { from: OTHER, way: Way::Exchange, live: 2 },
        Happened::LeftBehind { node: OTHER, cause, dot },
        Happened::Refused { from: OTHER, way: Way::Write, cause: OwnerCause::Overloaded },
        Happened::HintDelivered { to: OTHER },
        Happened::HintUndelivered { to: OTHER, cause },
        Happened::HintDropped,
        Happened::FoundDamaged,
        Happened::Reclaimed,
        Happened::Unanswered { operation: OPERATION },
    ];
    let event =
        |(number, what): (u64, Happened)| KeyEvent { ago_ms: 10_000 - 1_000 * number, what };
    (0..).zip(kinds).map(event).collect()
}

pub(crate) fn why_done() -> WhyDone {
    let sight = PeerSight {
        node: OTHER,
        up: true,
        fell_ms: Some(8_000),
        rose_ms: Some(2_000),
        compared_ms: None,
    };
    let layout = LayoutLabel { lineage: 1, version: 2, hash: LayoutHash([7; 32]) };
    let first = Testimony {
        node: NODE,
        now_ms: 1_800_000_000_000,
        up_ms: 100_000,
        remembers_ms: 60_000,
        layout,
        refilling: false,
        owned: KeptCopy::Record(record()),
        hinted: KeptCopy::Absent,
        leaf: Some(LeafSum(0x77)),
        peers: vec![sight],
        events: events(),
    };
    let second = Testimony {
        node: OTHER,
        refilling: true,
        owned: KeptCopy::Damaged { sequence: 9, place: None },
        hinted: KeptCopy::Removed { sequence: 11 },
        leaf: None,
        peers: Vec::new(),
        events: Vec::new(),
        ..first.clone()
    };
    let third = Testimony {
        node: NodeId(6),
        owned: KeptCopy::Unread { cause: OwnerCause::Overloaded },
        hinted: KeptCopy::Absent,
        ..second.clone()
    };
    WhyDone {
        partition: PartitionId(4_095),
        owners: vec![NODE, OTHER, NodeId(6)],
        fallbacks: vec![NodeId(8)],
        testimonies: vec![first, second, third],
        silent: vec![OwnerFailure { node: NodeId(8), cause: OwnerCause::TimedOut }],
    }
}
