//! Every message reads back, and no bytes make a reader panic.

use bytes::Bytes;
use kvorum_antientropy::{Answer, Question, Sum};
use kvorum_protocol::codec::{decode, encode};
use kvorum_protocol::message::response::Response;
use kvorum_protocol::message::topology::LayoutHash;
use kvorum_protocol::message::{
    Get, Happened, KeptCopy, KeyEvent, LayoutLabel, LeafSum, Nothing, Request, RequestOptions,
    Testimony, Way, WriteMode,
};
use kvorum_protocol::{
    Actor, Change, Dot, EncodedSet, Key, OperationId, RecordKey, Replaces, Space, VersionSet,
};
use kvorum_ring::{ClassId, NodeId, PartitionId};

use super::{
    FetchOutcome, PeerEntry, PeerHold, PeerMessage, PeerPage, PeerScan, ReplicaRefusal,
    ReplicateOutcome, ScanOutcome,
};

fn record_key() -> RecordKey {
    RecordKey {
        space: Space::Owned,
        class: ClassId(0),
        partition: PartitionId(5),
        bucket: "b".parse().unwrap(),
        key: Key::new("k").unwrap(),
    }
}

fn set() -> EncodedSet {
    let change = Change::Value { bytes: Bytes::from_static(b"v"), expires_at_ms: None };
    let minted = VersionSet::empty().mint(Actor(7), Replaces::Nothing, change, OperationId(9));
    EncodedSet::new(&minted.unwrap().set)
}

fn testimony() -> Testimony {
    let minted = Happened::Minted {
        dot: Dot::new(Actor(7), 1),
        operation: OperationId(9),
        mode: WriteMode::Latest,
        replaced: 0,
        live: 1,
        within_ms: 10_000,
        stands_in: false,
    };
    Testimony {
        node: NodeId(3),
        now_ms: 1_800_000_000_000,
        up_ms: 5_000,
        remembers_ms: 5_000,
        layout: LayoutLabel { lineage: 1, version: 2, hash: LayoutHash([7; 32]) },
        refilling: false,
        owned: KeptCopy::Damaged { sequence: 6, place: None },
        hinted: KeptCopy::Absent,
        leaf: Some(LeafSum(1 << 100)),
        peers: Vec::new(),
        events: vec![KeyEvent { ago_ms: 70, what: minted }],
    }
}

fn held() -> PeerHold {
    PeerHold {
        key: record_key().in_space(Space::Hinted),
        set: set(),
        targets: vec![NodeId(7)],
        spare: true,
    }
}

/// What is said about why a key holds what it holds.
fn explaining() -> Vec<PeerMessage> {
    let reason = ReplicaRefusal::Late;
    vec![
        PeerMessage::Explain { token: 11, key: record_key(), deadline_ms: 5 },
        PeerMessage::Explained { token: 11, testimony: Box::new(testimony()) },
        PeerMessage::NotExplained { token: 11, reason },
    ]
}

fn replicated(token: u64, outcome: ReplicateOutcome, held_for: u8) -> PeerMessage {
    PeerMessage::Replicated { token, outcome, held_for }
}

fn fetched(outcome: FetchOutcome, refilling: bool, handovers: u64) -> PeerMessage {
    PeerMessage::Fetched { token: 4, outcome, refilling, handovers }
}

fn every_kind() -> Vec<PeerMessage> {
    let reason = ReplicaRefusal::Overloaded { retry_after_ms: 20 };
    let get = Get {
        bucket: "b".parse().unwrap(),
        key: Key::new("k").unwrap(),
        options: RequestOptions::new(OperationId(1)),
    };
    let range = PeerScan {
        class: ClassId(1),
        partitions: vec![PartitionId(0), PartitionId(4_095)],
        bucket: "b".parse().unwrap(),
        prefix: Bytes::from_static(b"p"),
        after: Some(Key::new("pa").unwrap()),
        limit: 100,
        siblings_only: false,
    };
    let entries = vec![PeerEntry { key: Key::new("pb").unwrap(), siblings: 2, value_bytes: 64 }];
    let response = Response::Done(Nothing {});
    let clock = set().clock().clone();
    let question = Question::Offer { key: record_key(), clock, digest: Sum(1 << 100) };
    let answer = Answer::Offered { set: Some(set()), wants: true };
    let mut kinds = vec![
        PeerMessage::Replicate {
            token: 1,
            key: record_key(),
            set: set(),
            deadline_ms: 5,
            way: Way::Exchange,
        },
        replicated(u64::MAX, ReplicateOutcome::Durable, 2),
        replicated(2, ReplicateOutcome::Refused { reason }, 0),
        PeerMessage::Fetch { token: 3, key: record_key(), digest_only: false, deadline_ms: 5 },
        fetched(FetchOutcome::Held { set: set() }, false, 0),
        fetched(FetchOutcome::Digest { digest: set().digest() }, false, 0),
        fetched(FetchOutcome::Absent, true, u64::MAX),
        fetched(FetchOutcome::Damaged, true, 0),
        PeerMessage::Forward {
            token: 5,
            hops: 1,
            request: Box::new(Request::Get(get)),
            deadline_ms: 9,
        },
        PeerMessage::Forwarded { token: 6, response: Box::new(response) },
        PeerMessage::Scan { token: 7, scan: 3, range: Box::new(range), deadline_ms: 9 },
        PeerMessage::Scanned {
            token: 8,
            scan: 3,
            outcome: ScanOutcome::Page(PeerPage { entries, more: true, through: None }),
        },
        PeerMessage::Scanned { token: 8, scan: 3, outcome: ScanOutcome::Damaged },
        PeerMessage::Hold { token: 9, held: Box::new(held()), deadline_ms: 5 },
        PeerMessage::Deliver { token: 10, key: record_key(), set: set(), deadline_ms: 5 },
        PeerMessage::Delivered { token: 10, outcome: ReplicateOutcome::Durable, credit: 64 },
        PeerMessage::Ask { token: 9, number: 2, question: Box::new(question) },
        PeerMessage::Answered { token: 9, number: 2, answer: Box::new(answer) },
        PeerMessage::AskClock { token: 9 },
        PeerMessage::Clock { token: 9, wall_ms: 1_800_000_000_000 },
    ];
    kinds.extend(explaining());
    kinds
}

#[test]
fn the_messages_of_every_put_and_get_set_the_size_of_all() {
    assert!(
        size_of::<PeerMessage>() <= 112,
        "a rare large kind makes every move of every message dearer"
    );
}

#[test]
fn every_message_reads_back_as_it_was_written() {
    for message in every_kind() {
        assert_eq!(decode::<PeerMessage>(encode(&message)), Ok(message));
    }
}

#[test]
fn a_message_cut_anywhere_is_an_error_and_never_a_panic() {
    for message in every_kind() {
        let bytes = encode(&message);
        for end in 0..bytes.len() {
            assert!(decode::<PeerMessage>(bytes.slice(..end)).is_err(), "{message:?} cut at {end}");
        }
    }
}

#[test]
fn a_message_with_a_flipped_bit_never_panics() {
    for message in every_kind() {
        let bytes = encode(&message);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = decode::<PeerMessage>(Bytes::from(flipped));
        }
    }
}

#[test]
fn fields_of_a_later_version_are_skipped() {
    // [2, token 9, [1], an array that this version does not know]
    let later = Bytes::from_static(&[0x95, 2, 9, 0x91, 1, 3, 0x92, 1, 2]);
    let outcome = ReplicateOutcome::Durable;
    let message = PeerMessage::Replicated { token: 9, outcome: outcome.clone(), held_for: 3 };
    assert_eq!(decode::<PeerMessage>(later), Ok(message));
    // What earlier versions wrote lacks what was appended.
    let earlier = Bytes::from_static(&[0x93, 2, 9, 0x91, 1]);
    let message = PeerMessage::Replicated { token: 9, outcome, held_for: 0 };
    assert_eq!(decode::<PeerMessage>(earlier), Ok(message));
    let earlier = Bytes::from_static(&[0x94, 4, 9, 0x91, 2, 0xc2]);
    let (outcome, refilling) = (FetchOutcome::Absent, false);
    let message = PeerMessage::Fetched { token: 9, outcome, refilling, handovers: 0 };
    assert_eq!(decode::<PeerMessage>(earlier), Ok(message));
    let reason = Bytes::from_static(&[0x93, 2, 9, 0x92, 2, 0x92, 99, 1]);
    let message = PeerMessage::Replicated {
        token: 9,
        outcome: ReplicateOutcome::Refused { reason: ReplicaRefusal::Other(99) },
        held_for: 0,
    };
    assert_eq!(decode::<PeerMessage>(reason), Ok(message));
}

#[test]
fn tags_are_pinned() {
    let tags: Vec<u8> = every_kind().iter().map(|message| encode(message)[1]).collect();
    assert_eq!(
        tags,
        [1, 2, 2, 3, 4, 4, 4, 4, 5, 6, 7, 8, 8, 12, 13, 14, 20, 21, 30, 31, 40, 41, 42]
    );
    let fetch =
        PeerMessage::Fetch { token: 3, key: record_key(), digest_only: false, deadline_ms: 5 };
    assert_eq!(
        encode(&fetch)[..],
        [0x95, 3, 3, 0x95, 0, 0, 5, 0xc4, 1, b'b', 0xc4, 1, b'k', 0xc2, 5]
    );
}
