//! Read-modify-write: minting under the actor rule, merging, removing.

use std::sync::Arc;

use kvorum_protocol::actor_rule::{choose_actor, mark_after_merge};
use kvorum_protocol::codec::Surplus;
use kvorum_protocol::{
    Actor, Change, EncodedSet, Mark, MintRefusal, OperationId, Record, RecordKey, Replaces,
    VersionSet,
};

use super::Shard;
use super::table::{Body, Entry, Slot};
use crate::event::{MintedDot, StoreEvent, StoreRefusal};
use crate::log::entry::{Copies, EntryBody, LogEntry};
use crate::request::{Apply, Token};

/// Bytes that a change adds to what waits for the disk, about.
pub(super) fn change_bytes(change: &Apply) -> usize {
    match change {
        Apply::Merge { set } => set.encoded().len(),
        Apply::Update { change: Change::Value { bytes, .. }, .. } => bytes.len(),
        Apply::Update { change: Change::Delete, .. } => 0,
    }
}

impl Shard {
    pub(super) fn apply(
        &mut self,
        token: Token,
        slot: Option<Slot>,
        key: RecordKey,
        change: Apply,
    ) {
        match change {
            Apply::Update { replaces, change, operation } => {
                self.update(token, slot, key, replaces, change, operation);
            }
            Apply::Merge { set } => self.merge(token, slot, key, &set),
        }
    }

    fn current(&self, slot: Option<Slot>) -> Option<Arc<Record>> {
        self.table.entry(slot?).body.record().cloned()
    }

    fn update(
        &mut self,
        token: Token,
        slot: Option<Slot>,
        key: RecordKey,
        replaces: Replaces,
        change: Change,
        operation: OperationId,
    ) {
        let current = self.current(slot);
        if let Some(record) = &current
            && record.set.find_operation(operation).is_some()
        {
            // The request came twice: what it did is here, and doing it again would add a second effect.
            return self.unchanged(token, slot, record.set.clone());
        }
        let empty = VersionSet::empty();
        let set = current.as_ref().map_or(&empty, |record| record.set.set());
        let mark = current.as_ref().and_then(|record| record.mark);
        // A context is news of other clocks, as a merge is.
        let mark = match &replaces {
            Replaces::Context(clock) => mark_after_merge(mark, set.clock(), clock),
            Replaces::Latest | Replaces::Nothing => mark,
        };
        let (actors, run) = (&mut self.actors, self.run);
        #[cfg(feature = "planted")]
        let mark = match self.options.planted {
            Some(crate::Planted::ActorContinued) => mark.map(|mark| Mark { run, ..mark }),
            _ => mark,
        };
        let actor = choose_actor(mark, run, || Actor(actors.next_u64()));
        #[cfg(feature = "planted")]
        let actor = match self.options.planted {
            Some(crate::Planted::ActorReused) => Actor(self.store_id as u64),
            _ => actor,
        };
        let minted = match set.mint(actor, replaces, change, operation) {
            Ok(minted) => minted,
            Err(refusal) => return self.refuse(token, refusal_of(refusal)),
        };
        let Ok(set) = EncodedSet::bounded(&minted.set) else {
            return self.refuse(token, StoreRefusal::Oversized);
        };
        let mark = Some(Mark { actor, run });
        self.put(slot, key, current.as_deref(), set.clone(), mark);
        let minted = Some(MintedDot { dot: minted.dot, replaced: minted.replaced });
        self.events.push_back(StoreEvent::Applied { token, set, minted, changed: true });
        self.commits.await_newest(token);
    }

    fn merge(&mut self, token: Token, slot: Option<Slot>, key: RecordKey, incoming: &EncodedSet) {
        let current = self.current(slot);
        let (set, mark) = match &current {
            // The frame that it came in is not kept in memory for it.
            None => (incoming.detached(), None),
            // What nearly every merge is: a newer write of what is here.
            Some(record) if incoming.overtakes(&record.set) => {
                let mark = mark_after_merge(record.mark, record.set.clock(), incoming.clock());
                (incoming.detached(), mark)
            }
            Some(record) => {
                let merged = record.set.merge(incoming);
                if merged == *record.set.set() {
                    return self.unchanged(token, slot, record.set.clone());
                }
                let mark = mark_after_merge(record.mark, record.set.clock(), incoming.clock());
                let set = if merged == *incoming.set() {
                    Ok(incoming.detached())
                } else {
                    EncodedSet::bounded(&merged)
                };
                let Ok(set) = set else { return self.refuse(token, StoreRefusal::Oversized) };
                (set, mark)
            }
        };
        if current.is_none() && incoming.is_empty() {
            return self.unchanged(token, slot, set);
        }
        if self.lacks_room_for_set(set.encoded().len()) {
            return self.refuse(token, StoreRefusal::DiskFull);
        }
        self.put(slot, key, current.as_deref(), set.clone(), mark);
        self.events.push_back(StoreEvent::Applied { token, set, minted: None, changed: true });
        self.commits.await_newest(token);
    }

    /// Nothing changed; but what was found may itself still wait for its sync.
    fn unchanged(&mut self, token: Token, slot: Option<Slot>, set: EncodedSet) {
        self.events.push_back(StoreEvent::Applied { token, set, minted: None, changed: false });
        self.durable_when_found_is(token, slot);
    }

    fn durable_when_found_is(&mut self, token: Token, slot: Option<Slot>) {
        let found = slot.map(|slot| self.table.entry(slot));
        let unsynced = found.filter(|entry| !entry.is_synced());
        match unsynced.map(|entry| entry.sequence) {
            Some(sequence) => self.commits.await_sequence(token, sequence),
            None => self.events.push_back(StoreEvent::Durable { token }),
        }
    }

    /// Makes a new version the newest of its key and lines it up for the next batch.
    fn put(
        &mut self,
        slot: Option<Slot>,
        key: RecordKey,
        before: Option<&Record>,
        set: EncodedSet,
        mark: Option<Mark>,
    ) {
        let key = match slot {
            Some(slot) => self.table.entry(slot).key.clone(),
            None => key.detached(),
        };
        let (hinted_for, surplus) = match before {
            Some(before) => (before.hinted_for.clone(), before.surplus.clone()),
            None => (Vec::new(), Surplus::NONE),
        };
        let record = Arc::new(Record { key, set, mark, hinted_for, surplus });
        self.log(slot, record.key.clone(), Body::Record(record.clone()), EntryBody::Record(record));
    }

    fn log(&mut self, slot: Option<Slot>, key: RecordKey, body: Body, logged: EntryBody) -> Slot {
        let sequence = self.commits.next_sequence();
        let slot = match slot {
            Some(slot) => {
                self.table.set_body(slot, body, sequence);
                slot
            }
            None => self.table.insert(Entry::fresh(key, body, sequence)),
        };
        self.commits.push(slot, LogEntry { sequence, body: logged });
        self.note_unindexed(slot);
        slot
    }

    pub(super) fn remove(&mut self, token: Token, slot: Option<Slot>, key: &RecordKey) {
        let holds = slot.is_some_and(|slot| {
            matches!(self.table.entry(slot).body, Body::Record(_) | Body::Damaged)
        });
        if !holds {
            return self.durable_when_found_is(token, slot);
        }
        if self.lacks_room_for_marker() {
            return self.refuse(token, StoreRefusal::DiskFull);
        }
        let marker =
            EntryBody::Removal { key: key.detached(), copies: Copies::Both, covers_through: None };
        self.log(slot, key.detached(), Body::Removed { covers_through: None }, marker);
        self.commits.await_newest(token);
    }
}

fn refusal_of(refusal: MintRefusal) -> StoreRefusal {
    match refusal {
        MintRefusal::TooManySiblings => StoreRefusal::TooManySiblings,
        MintRefusal::NothingToDelete => StoreRefusal::NothingToDelete,
    }
}
