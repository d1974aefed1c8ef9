//! The replica's side: merging, reading and scanning for a coordinator elsewhere.
//!
//! A replica decides nothing. It merges what it is sent and says "durable" once its store says so; it says what it holds;
//! it lists its keys. What it will not do it refuses at once, with nothing applied, so that the coordinator need not wait
//! for a deadline to learn it.
//!
//! Records of partitions that it neither owns nor stands in for are refused: by this node's layout nobody would look for them
//! here. So is a key under a partition that it does not hash to: nobody would look for it anywhere.
//!
//! What it takes in an owner's place it keeps apart, and calls a courier for whoever of the owners can be reached.

mod asked;
pub(crate) mod noting;

use kvorum_protocol::message::Way;
use kvorum_protocol::{RecordKey, Space};
use kvorum_ring::{KeyHash, NodeId, PartitionId};
use kvorum_store::{
    Apply, Hint, Now, ReadError, ScanPage, ScanRange, StoreEvent, StoreRefusal, StoreRequest, Token,
};

use crate::engine::effect::Effect;
use crate::engine::machine::{Machine, Progress};
use crate::engine::replica::asked::Asked;
use crate::engine::turn::Turn;
use crate::engine::view::ClusterView;
use crate::peer_message::{
    FetchOutcome, PeerEntry, PeerHold, PeerMessage, PeerPage, PeerScan, ReplicaRefusal,
    ReplicateOutcome, ScanOutcome,
};

/// One request of a coordinator at one of its replicas.
#[derive(Clone)]
pub(crate) struct Replica {
    from: NodeId,
    /// The coordinator's token.
    token: u64,
    asked: Asked,
    /// What the store is asked; gone once it is.
    request: Option<StoreRequest>,
    /// The owners that it is held for, of what is held for others.
    targets: Vec<NodeId>,
    /// Of one key's request: its hash, and on which way it came.
    noted: Option<(KeyHash, Way)>,
}

/// The machine for a coordinator's request, or what refuses it.
pub(crate) fn task(
    me: NodeId,
    view: &ClusterView,
    from: NodeId,
    message: PeerMessage,
    (reserve, credit): (Result<(), ReplicaRefusal>, u32),
) -> Result<Box<dyn Machine>, Box<noting::Refused>> {
    // The store's request gets its token when the machine starts.
    let unnamed = Token(0);
    let mut targets = Vec::new();
    let noted = noting::of(&message);
    let hash = noted.map(|(hash, _)| hash);
    let (token, asked, deadline_ms, wrong_place, request) = match message {
        PeerMessage::Replicate { token, key, set, deadline_ms, .. } => {
            let wrong_place = misplaced(me, view, (&key, hash), &[Space::Owned]);
            let request = StoreRequest::Apply { token: unnamed, key, change: Apply::Merge { set } };
            (token, Asked::Replicate, deadline_ms, wrong_place, request)
        }
        PeerMessage::Deliver { token, key, set, deadline_ms } => {
            let wrong_place = misplaced(me, view, (&key, hash), &[Space::Owned]);
            let request = StoreRequest::Apply { token: unnamed, key, change: Apply::Merge { set } };
            (token, Asked::Deliver { credit }, deadline_ms, wrong_place, request)
        }
        PeerMessage::Hold { token, held, deadline_ms } => {
            let PeerHold { key, set, targets: owners, spare } = *held;
            let wrong_place = misplaced(me, view, (&key, hash), &[Space::Hinted])
                .or_else(|| wrong_targets(view, &key, &owners));
            targets.clone_from(&owners);
            let (hint, change) = (Hint { targets: owners, spare }, Apply::Merge { set });
            let request = StoreRequest::Hold { token: unnamed, key, hint, change };
            let asked = Asked::Hold { targets: u8::try_from(targets.len()).unwrap_or(u8::MAX) };
            (token, asked, deadline_ms, wrong_place, request)
        }
        PeerMessage::Fetch { token, key, digest_only, deadline_ms } => {
            let wrong_place = misplaced(me, view, (&key, hash), &[Space::Owned, Space::Hinted]);
            let hinted = key.space == Space::Hinted;
            let request = StoreRequest::Read { token: unnamed, key };
            (token, Asked::Fetch { digest_only, hinted }, deadline_ms, wrong_place, request)
        }
        PeerMessage::Scan { token, scan, range, deadline_ms } => {
            let wrong_place = wrong_range(me, view, &range);
            let request = StoreRequest::Scan { token: unnamed, range: store_range(*range) };
            (token, Asked::Scan { scan }, deadline_ms, wrong_place, request)
        }
        _ => unreachable!("only requests are replicas' tasks"),
    };
    let refusal = match reserve {
        Err(refusal) => Some(refusal),
        Ok(()) if deadline_ms == 0 => Some(ReplicaRefusal::Late),
        Ok(()) => wrong_place,
    };
    match refusal {
        Some(reason) => {
            let noted = noting::refused(from, asked, noted, reason);
            Err(Box::new(noting::Refused { message: asked.refuse(token, reason), noted }))
        }
        None => {
            let request = Some(request);
            Ok(Box::new(Replica { from, token, asked, request, targets, noted }))
        }
    }
}

/// The answer to who asks for the time.
pub(crate) fn time(now: Now, to: NodeId, token: u64) -> Effect {
    Effect::Send { to, message: PeerMessage::Clock { token, wall_ms: now.wall_ms } }
}

/// Why a record does not belong here, if it does not.
pub(crate) fn wrong_place(
    me: NodeId,
    view: &ClusterView,
    key: &RecordKey,
    spaces: &[Space],
) -> Option<ReplicaRefusal> {
    misplaced(me, view, (key, None), spaces)
}

/// The same of a key whose hash may be known.
fn misplaced(
    me: NodeId,
    view: &ClusterView,
    (key, hash): (&RecordKey, Option<KeyHash>),
    spaces: &[Space],
) -> Option<ReplicaRefusal> {
    let belongs = match key.space {
        Space::Owned => view.owns(me, key.class, key.partition),
        Space::Hinted => view.stands_in(me, key.class, key.partition),
    };
    if !belongs || !spaces.contains(&key.space) {
        return Some(ReplicaRefusal::NotAnOwner);
    }
    let hash = hash.unwrap_or_else(|| key.key_hash());
    let is_at_home = view.layout.partitions().partition_of(hash) == key.partition;
    (!is_at_home).then_some(ReplicaRefusal::Misplaced)
}

/// Why nothing is held here for these nodes, if so: they are to be owners.
fn wrong_targets(
    view: &ClusterView,
    key: &RecordKey,
    targets: &[NodeId],
) -> Option<ReplicaRefusal> {
    let is_owner = |target: &NodeId| view.owns(*target, key.class, key.partition);
    let are_owners = !targets.is_empty() && targets.iter().all(is_owner);
    (!are_owners).then_some(ReplicaRefusal::NotAnOwner)
}

/// Why a range is not scanned here, if it is not. A list of partitions in order is no longer than there are partitions.
fn wrong_range(me: NodeId, view: &ClusterView, range: &PeerScan) -> Option<ReplicaRefusal> {
    if !range.partitions.is_sorted_by(|left, right| left < right) {
        return Some(ReplicaRefusal::Unordered);
    }
    let not_owned = |partition: &PartitionId| !view.owns(me, range.class, *partition);
    range.partitions.iter().any(not_owned).then_some(ReplicaRefusal::NotAnOwner)
}

/// What a peer scans, in the store's words.
pub(crate) fn store_range(range: PeerScan) -> ScanRange {
    let PeerScan { class, partitions, bucket, prefix, after, limit, siblings_only } = range;
    let space = Space::Owned;
    ScanRange { space, class, partitions, bucket, prefix, after, limit, siblings_only }
}

/// What the store scanned, in the words of peers.
pub(crate) fn scan_outcome(result: Result<ScanPage, ReadError>, refilling: bool) -> ScanOutcome {
    match result {
        Ok(_) if refilling => ScanOutcome::Refused { reason: ReplicaRefusal::Refilling },
        Ok(page) => {
            let entry = |scanned: kvorum_store::ScannedKey| PeerEntry {
                key: scanned.key,
                siblings: scanned.values.into(),
                value_bytes: scanned.value_bytes.into(),
            };
            let entries = page.keys.into_iter().map(entry).collect();
            ScanOutcome::Page(PeerPage { entries, more: page.more, through: page.through })
        }
        Err(ReadError::Damaged | ReadError::IndexDamaged | ReadError::Unreadable) => {
            ScanOutcome::Damaged
        }
    }
}

/// Why the store refused, in the words of peers.
pub(crate) fn refusal_of(reason: StoreRefusal) -> ReplicaRefusal {
    match reason {
        StoreRefusal::Overloaded { retry_after_ms } => {
            ReplicaRefusal::Overloaded { retry_after_ms }
        }
        StoreRefusal::DiskFull => ReplicaRefusal::DiskFull,
        StoreRefusal::HintsFull => ReplicaRefusal::HintsFull,
        StoreRefusal::Closing => ReplicaRefusal::Stopping,
        StoreRefusal::Oversized => ReplicaRefusal::Oversized,
        StoreRefusal::TooManySiblings
        | StoreRefusal::NothingToDelete
        | StoreRefusal::Operation(_) => {
            unreachable!("merging, reading and scanning mint nothing")
        }
    }
}

impl Machine for Replica {
    fn start(&mut self, turn: &mut Turn<'_>) -> Progress {
        let mut request = self.request.take().expect("a machine starts once");
        match &mut request {
            StoreRequest::Apply { token, .. }
            | StoreRequest::Hold { token, .. }
            | StoreRequest::Release { token, .. }
            | StoreRequest::ListHints { token, .. }
            | StoreRequest::Read { token, .. }
            | StoreRequest::Inspect { token, .. }
            | StoreRequest::Scan { token, .. }
            | StoreRequest::Roots { token, .. }
            | StoreRequest::Leaves { token, .. }
            | StoreRequest::Contents { token, .. }
            | StoreRequest::Remove { token, .. } => *token = turn.token,
        }
        turn.store(request);
        Progress::Waiting
    }

    fn on_store(&mut self, turn: &mut Turn<'_>, event: StoreEvent) -> Progress {
        let token = self.token;
        self.note(turn, &event);
        let answer = match (self.asked, event) {
            (Asked::Deliver { credit }, StoreEvent::Durable { .. }) => {
                PeerMessage::Delivered { token, outcome: ReplicateOutcome::Durable, credit }
            }
            (Asked::Replicate | Asked::Hold { .. }, StoreEvent::Durable { .. }) => {
                turn.hinted(&self.targets);
                let (outcome, held_for) = (ReplicateOutcome::Durable, self.asked.targets());
                PeerMessage::Replicated { token, outcome, held_for }
            }
            (Asked::Fetch { digest_only, hinted }, StoreEvent::Read { result, refilling, .. }) => {
                let outcome = match fetch_outcome(result) {
                    FetchOutcome::Held { set } if digest_only => {
                        FetchOutcome::Digest { digest: set.digest() }
                    }
                    outcome => outcome,
                };
                let handovers = if hinted { turn.peers.own_handovers() } else { 0 };
                PeerMessage::Fetched { token, outcome, refilling, handovers }
            }
            (Asked::Scan { scan }, StoreEvent::Scanned { result, refilling, .. }) => {
                PeerMessage::Scanned { token, scan, outcome: scan_outcome(result, refilling) }
            }
            (asked, StoreEvent::Refused { reason, .. }) => asked.refuse(token, refusal_of(reason)),
            // The node stops; its connections will break, and nobody waits for an answer.
            (_, StoreEvent::Poisoned { .. }) => return Progress::Done,
            _ => return Progress::Waiting,
        };
        turn.send(self.from, answer);
        Progress::Done
    }

    fn on_deadline(&mut self, _turn: &mut Turn<'_>) -> Progress {
        // It sets no alarm: the store answers everything, and a merge that was begun is finished.
        Progress::Waiting
    }
}

/// What the store read, in the words of peers.
pub(crate) fn fetch_outcome(
    result: Result<Option<kvorum_protocol::EncodedSet>, ReadError>,
) -> FetchOutcome {
    match result {
        Ok(Some(set)) => FetchOutcome::Held { set },
        Ok(None) => FetchOutcome::Absent,
        Err(ReadError::Damaged | ReadError::IndexDamaged | ReadError::Unreadable) => {
            FetchOutcome::Damaged
        }
    }
}
