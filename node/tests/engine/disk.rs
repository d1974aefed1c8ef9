//! A node's store under test control: nothing becomes durable until the test says so.

use std::collections::{BTreeMap, VecDeque};

use kvorum_node::engine::Now;
use kvorum_protocol::actor_rule::{choose_actor, mark_after_merge};
use kvorum_protocol::{Actor, EncodedSet, Mark, MintRefusal, RecordKey, Run, VersionSet};
use kvorum_store::{
    Apply, MintedDot, ReadError, ScanPage, ScanRange, ScannedKey, StoreEvent, StoreRefusal,
    StoreRequest, Token,
};

#[derive(Clone)]
struct Held {
    set: VersionSet,
    mark: Option<Mark>,
}

/// One node's store.
#[derive(Clone)]
pub(crate) struct Disk {
    node: u64,
    run: u64,
    drawn: u64,
    visible: BTreeMap<RecordKey, Held>,
    durable: BTreeMap<RecordKey, Held>,
    waiting: Vec<Token>,
    events: VecDeque<StoreEvent>,
    pub(crate) damaged: bool,
    pub(crate) refilling: bool,
    pub(crate) refuses: Option<StoreRefusal>,
    pub(crate) refuses_scans: bool,
}

impl Disk {
    pub(crate) fn new(node: u64) -> Disk {
        Disk {
            node,
            run: 1,
            drawn: 0,
            visible: BTreeMap::new(),
            durable: BTreeMap::new(),
            waiting: Vec::new(),
            events: VecDeque::new(),
            damaged: false,
            refilling: false,
            refuses: None,
            refuses_scans: false,
        }
    }

    pub(crate) fn submit(&mut self, _now: Now, request: StoreRequest) {
        if let (Some(reason), StoreRequest::Apply { token, .. }) = (self.refuses, &request) {
            self.events.push_back(StoreEvent::Refused { token: *token, reason });
            return;
        }
        match request {
            StoreRequest::Apply { token, key, change } => self.apply(token, key, change),
            StoreRequest::Read { token, key } => {
                let result = if self.damaged {
                    Err(ReadError::Damaged)
                } else {
                    Ok(self.visible.get(&key).map(|held| EncodedSet::new(&held.set)))
                };
                self.events.push_back(StoreEvent::Read {
                    token,
                    result,
                    refilling: self.refilling,
                });
            }
            StoreRequest::Scan { token, range } => {
                let result = if self.refuses_scans {
                    Err(ReadError::IndexDamaged)
                } else {
                    Ok(self.scan(&range))
                };
                self.events.push_back(StoreEvent::Scanned { token, result });
            }
            StoreRequest::Remove { token, key } => {
                self.visible.remove(&key);
                self.waiting.push(token);
            }
        }
    }

    fn apply(&mut self, token: Token, key: RecordKey, change: Apply) {
        let held = self.visible.get(&key).cloned();
        let held = held.unwrap_or(Held { set: VersionSet::empty(), mark: None });
        let (set, mark, minted) = match change {
            Apply::Update { operation, .. } if held.set.find_operation(operation).is_some() => {
                (held.set.clone(), held.mark, None)
            }
            Apply::Update { replaces, change, operation } => {
                let run = Run(self.run);
                let actor = choose_actor(held.mark, run, || {
                    self.drawn += 1;
                    Actor(self.node << 32 | self.run << 16 | self.drawn)
                });
                match held.set.mint(actor, replaces, change, operation) {
                    Ok(minted) => {
                        let mark = Some(Mark { actor, run });
                        (
                            minted.set,
                            mark,
                            Some(MintedDot { dot: minted.dot, replaced: minted.replaced }),
                        )
                    }
                    Err(refusal) => {
                        let reason = match refusal {
                            MintRefusal::TooManySiblings => StoreRefusal::TooManySiblings,
                            MintRefusal::NothingToDelete => StoreRefusal::NothingToDelete,
                        };
                        self.events.push_back(StoreEvent::Refused { token, reason });
                        return;
                    }
                }
            }
            Apply::Merge { set } => {
                let mark = mark_after_merge(held.mark, held.set.clock(), set.clock());
                (held.set.merge(&set), mark, None)
            }
        };
        let changed = set != held.set;
        self.events.push_back(StoreEvent::Applied {
            token,
            set: EncodedSet::new(&set),
            minted,
            changed,
        });
        self.visible.insert(key, Held { set, mark });
        self.waiting.push(token);
    }

    fn scan(&self, range: &ScanRange) -> ScanPage {
        let mut keys: Vec<ScannedKey> = Vec::new();
        let inside = |key: &RecordKey| {
            key.bucket == range.bucket
                && range.partitions.contains(&key.partition)
                && key.key.as_bytes().starts_with(&range.prefix)
                && range.after.as_ref().is_none_or(|after| key.key > *after)
        };
        for (key, held) in self.visible.iter().filter(|(key, _)| inside(key)) {
            let values = held.set.versions().len() as u16;
            let value_bytes = held.set.value_bytes() as u32;
            keys.push(ScannedKey { key: key.key.clone(), values, value_bytes });
        }
        keys.sort_by(|left, right| left.key.cmp(&right.key));
        let more = keys.len() > range.limit as usize;
        keys.truncate(range.limit as usize);
        ScanPage { keys, more }
    }

    /// Makes everything durable.
    pub(crate) fn sync(&mut self) {
        self.durable = self.visible.clone();
        for token in std::mem::take(&mut self.waiting) {
            self.events.push_back(StoreEvent::Durable { token });
        }
    }

    /// The process dies and starts again: what was not durable is gone, and a new run begins.
    pub(crate) fn crash(&mut self) {
        self.visible = self.durable.clone();
        self.waiting.clear();
        self.events.clear();
        self.run += 1;
        self.drawn = 0;
    }

    pub(crate) fn poll_event(&mut self) -> Option<StoreEvent> {
        self.events.pop_front()
    }

    /// Loses one record as if it had never been written.
    pub(crate) fn forget(&mut self, key: &RecordKey) {
        self.visible.remove(key);
        self.durable.remove(key);
    }

    /// What a reader sees here.
    pub(crate) fn peek(&self, key: &RecordKey) -> Option<VersionSet> {
        self.visible.get(key).map(|held| held.set.clone())
    }

    /// Everything that is stored, as text.
    pub(crate) fn describe(&self) -> String {
        let held = self.visible.iter().map(|(key, held)| format!("{key:?} {:?}\n", held.set));
        held.chain(self.durable.iter().map(|(key, held)| format!("{key:?} {:?}\n", held.set)))
            .collect()
    }

    /// Whether a crash would lose anything.
    pub(crate) fn has_unsynced(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Feeds a hash with everything about one record that the future depends on.
    pub(crate) fn fingerprint(&self, key: &RecordKey, hasher: &mut blake3::Hasher) {
        for held in [self.visible.get(key), self.durable.get(key)].into_iter().flatten() {
            hasher.update(EncodedSet::new(&held.set).encoded());
            hasher.update(format!("{:?}", held.mark).as_bytes());
        }
        let counts = [
            self.visible.len(),
            self.durable.len(),
            self.waiting.len(),
            self.run as usize,
            self.drawn as usize,
        ];
        hasher.update(format!("{counts:?}").as_bytes());
    }

    /// What a crash would leave.
    pub(crate) fn peek_durable(&self, key: &RecordKey) -> Option<VersionSet> {
        self.durable.get(key).map(|held| held.set.clone())
    }
}
