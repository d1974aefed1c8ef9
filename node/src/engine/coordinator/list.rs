//! Listing a bucket's keys in order, over one owner of each partition.
//!
//! Keys are spread over partitions by their hash, so a page needs every partition. One owner of each is asked: this node
//! where it can be, else an owner that can be reached, taken in turn. Their pages are merged by key.
//!
//! The pages end at different keys. A key may be given out only if no scan that is unfinished could still bring a smaller
//! one, that is, up to the smallest of their last keys (see [`Pages`]). A scan whose page ends at that bound is continued
//! until there is enough, or everything.
//!
//! One owner's word is not a quorum's: a key written a moment ago may be missing, and one deleted a moment ago present, on
//! an owner that is behind. Tombstones are not listed. An owner that lost records and is being refilled does not list: one
//! of the others does.

use bytes::Bytes;
use kvorum_protocol::message::{ListDone, MergeRule, RequestError, Response};
use kvorum_protocol::{BucketName, Key};
use kvorum_ring::{ClassId, NodeId, PartitionId};
use kvorum_store::{StoreEvent, StoreRequest};

use crate::engine::coordinator::pages::{Page, Pages};
use crate::engine::machine::{Machine, Progress};
use crate::engine::replica::{scan_outcome, store_range};
use crate::engine::turn::{Turn, remaining_ms};
use crate::limits;
use crate::peer_message::{PeerMessage, PeerPage, PeerScan, ScanOutcome};

/// What a client wants listed, checked.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) class: ClassId,
    pub(crate) rule: MergeRule,
    pub(crate) bucket: BucketName,
    pub(crate) prefix: Bytes,
    pub(crate) after: Option<Key>,
    /// Keys on the page, at least 1.
    pub(crate) limit: usize,
    /// Whether a page with gaps will do.
    pub(crate) partial: bool,
    /// Only keys that hold siblings.
    pub(crate) siblings_only: bool,
}

/// One node's share of the partitions. Its number is its place in the list of scans.
#[derive(Clone)]
struct Scan {
    node: NodeId,
    partitions: Vec<PartitionId>,
}

/// A listing under way.
#[derive(Clone)]
pub(crate) struct List {
    listing: Listing,
    deadline_ns: u64,
    scans: Vec<Scan>,
    pages: Pages,
    /// Nodes that failed a scan; they are not asked again.
    failed: Vec<NodeId>,
    /// Partitions that nobody can be asked for.
    uncovered: Vec<PartitionId>,
    asked: usize,
}

impl List {
    /// A listing that has not begun.
    pub(crate) fn new(listing: Listing, deadline_ns: u64) -> List {
        let pages = match listing.siblings_only {
            true => Pages::of_conflicts(listing.limit),
            false => Pages::new(listing.limit, listing.rule == MergeRule::Siblings),
        };
        let (scans, failed, uncovered) = (Vec::new(), Vec::new(), Vec::new());
        List { listing, deadline_ns, scans, pages, failed, uncovered, asked: 0 }
    }

    /// Divides partitions among nodes and asks each for its keys behind `after`.
    fn cover(&mut self, turn: &mut Turn<'_>, partitions: Vec<PartitionId>, after: Option<Key>) {
        let first = self.scans.len();
        for partition in partitions {
            match self.choose(turn, partition) {
                None => self.uncovered.push(partition),
                Some(node) => match self.scans[first..].iter_mut().find(|scan| scan.node == node) {
                    Some(scan) => scan.partitions.push(partition),
                    None => self.scans.push(Scan { node, partitions: vec![partition] }),
                },
            }
        }
        for scan in first..self.scans.len() {
            self.pages.add(after.clone());
            self.ask(turn, scan);
        }
    }

    fn choose(&self, turn: &Turn<'_>, partition: PartitionId) -> Option<NodeId> {
        let mut owners = turn.view.owners(self.listing.class, partition);
        owners.retain(|node| turn.reaches(*node) && !self.failed.contains(node));
        if owners.contains(&turn.me) {
            return Some(turn.me);
        }
        let turns = owners.len().max(1);
        owners.get(partition.0 as usize % turns).copied()
    }

    fn ask(&mut self, turn: &mut Turn<'_>, scan: usize) {
        self.asked += 1;
        let Scan { node, partitions } = &self.scans[scan];
        let range = PeerScan {
            class: self.listing.class,
            partitions: partitions.clone(),
            bucket: self.listing.bucket.clone(),
            prefix: self.listing.prefix.clone(),
            after: self.pages.position(scan).cloned(),
            limit: self.listing.limit as u32,
            siblings_only: self.listing.siblings_only,
        };
        if *node == turn.me {
            turn.store(StoreRequest::Scan { token: turn.token, range: store_range(range) });
        } else {
            let deadline_ms = remaining_ms(turn.now, self.deadline_ns);
            let (token, scan) = (turn.token.0, scan as u32);
            turn.send(
                *node,
                PeerMessage::Scan { token, scan, range: Box::new(range), deadline_ms },
            );
        }
    }

    /// A scan brought a page, or failed.
    fn hear(&mut self, turn: &mut Turn<'_>, scan: usize, outcome: ScanOutcome) -> Progress {
        if !self.pages.awaits(scan) {
            return Progress::Waiting;
        }
        match outcome {
            ScanOutcome::Page(page) if self.is_sound(scan, &page) => self.pages.take(scan, page),
            _ => self.lose(turn, self.scans[scan].node),
        }
        self.judge(turn)
    }

    /// Whether a page is what was asked for: no longer, in order, behind what came before, and with the prefix. Out of order it
    /// would hide keys of other nodes.
    fn is_sound(&self, scan: usize, page: &PeerPage) -> bool {
        let keys = || page.entries.iter().map(|entry| &entry.key);
        let starts_behind =
            keys().next().is_none_or(|first| Some(first) > self.pages.position(scan));
        let end = page.through.as_ref();
        let goes_on = end.is_none_or(|end| {
            Some(end) > self.pages.position(scan) && keys().last().is_none_or(|last| last <= end)
        });
        page.entries.len() <= self.listing.limit
            && starts_behind
            && goes_on
            && keys().is_sorted_by(|left, right| left < right)
            && keys().all(|key| key.as_bytes().starts_with(&self.listing.prefix))
    }

    /// A node will not answer: other owners take over what its scans have not brought.
    fn lose(&mut self, turn: &mut Turn<'_>, node: NodeId) {
        self.failed.push(node);
        for scan in 0..self.scans.len() {
            if self.scans[scan].node == node && self.pages.is_open(scan) {
                let (partitions, after) =
                    (self.scans[scan].partitions.clone(), self.pages.close(scan));
                self.cover(turn, partitions, after);
            }
        }
    }

    fn judge(&mut self, turn: &mut Turn<'_>) -> Progress {
        if !self.uncovered.is_empty() && !self.listing.partial {
            return self.fail(turn);
        }
        if let Some(page) = self.pages.finished() {
            return self.answer(turn, page);
        }
        let scans = self.pages.held_up_by();
        if !scans.is_empty() && self.asked >= self.most_scans() {
            let page = self.pages.cut_short();
            return self.answer(turn, page);
        }
        for scan in scans {
            self.pages.go_on(scan);
            self.ask(turn, scan);
        }
        Progress::Waiting
    }

    fn most_scans(&self) -> usize {
        match self.listing.siblings_only {
            true => limits::MAX_CONFLICT_SCANS,
            false => limits::MAX_LIST_SCANS,
        }
    }

    fn answer(&mut self, turn: &mut Turn<'_>, page: Page) -> Progress {
        let mut uncovered = std::mem::take(&mut self.uncovered);
        uncovered.sort_unstable();
        let done = ListDone { items: page.items, next: page.next, uncovered };
        turn.answer(match self.listing.siblings_only {
            true => Response::Conflicts(done),
            false => Response::List(done),
        });
        Progress::Done
    }

    fn fail(&mut self, turn: &mut Turn<'_>) -> Progress {
        let partitions =
            u32::try_from(self.uncovered.len()).expect("a layout has at most 65,536 partitions");
        turn.answer(Response::Error { error: RequestError::Uncovered { partitions } });
        Progress::Done
    }
}

impl Machine for List {
    fn start(&mut self, turn: &mut Turn<'_>) -> Progress {
        turn.wake_at(self.deadline_ns);
        let partitions =
            match self.listing.siblings_only && self.listing.rule != MergeRule::Siblings {
                // Versions that live side by side there are one value to whoever reads it.
                true => Vec::new(),
                false => turn.view.layout.partitions().partitions().collect(),
            };
        self.cover(turn, partitions, self.listing.after.clone());
        self.judge(turn)
    }

    fn on_store(&mut self, turn: &mut Turn<'_>, event: StoreEvent) -> Progress {
        // This node is asked for all that it owns at once, so it has one scan.
        let Some(scan) = self.scans.iter().position(|scan| scan.node == turn.me) else {
            return Progress::Waiting;
        };
        match event {
            StoreEvent::Scanned { result, refilling, .. } => {
                self.hear(turn, scan, scan_outcome(result, refilling))
            }
            StoreEvent::Refused { .. } | StoreEvent::Poisoned { .. } => {
                self.hear(turn, scan, ScanOutcome::Damaged)
            }
            _ => Progress::Waiting,
        }
    }

    fn on_reply(&mut self, turn: &mut Turn<'_>, from: NodeId, message: PeerMessage) -> Progress {
        match message {
            PeerMessage::Scanned { scan, outcome, .. } => {
                let scan = scan as usize;
                match self.scans.get(scan).is_some_and(|asked| asked.node == from) {
                    true => self.hear(turn, scan, outcome),
                    false => Progress::Waiting,
                }
            }
            _ => Progress::Waiting,
        }
    }

    fn on_peer_down(&mut self, turn: &mut Turn<'_>, node: NodeId) -> Progress {
        self.lose(turn, node);
        self.judge(turn)
    }

    fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Progress {
        for scan in 0..self.scans.len() {
            if self.pages.awaits(scan) {
                self.uncovered.extend(&self.scans[scan].partitions);
                self.pages.close(scan);
            }
        }
        if self.listing.partial {
            let page = self.pages.cut_short();
            return self.answer(turn, page);
        }
        self.fail(turn)
    }
}
