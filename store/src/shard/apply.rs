//! Read-modify-write: minting under the actor rule, merging, removing.

use std::sync::Arc;

use kvorum_protocol::actor_rule::{choose_actor, mark_after_merge};
use kvorum_protocol::codec::Surplus;
use kvorum_protocol::limits as bounds;
use kvorum_protocol::mergeable;
use kvorum_protocol::{
    Actor, Change, EncodedSet, Mark, MintRefusal, OperationId, Record, RecordKey, Replaces,
    VersionSet,
};
use kvorum_ring::NodeId;

use super::Shard;
use super::table::{Body, Entry, Slot};
use crate::event::{MintedDot, StoreEvent, StoreRefusal};
use crate::log::entry::{Copies, EntryBody, LogEntry};
use crate::request::{Apply, Hint, Token};

/// Bytes that a change adds to what waits for the disk, about.
pub(super) fn change_bytes(change: &Apply) -> usize {
    match change {
        Apply::Merge { set } => set.encoded().len(),
        Apply::Update { change: Change::Value { bytes, .. }, .. } => bytes.len(),
        Apply::Update { change: Change::Stamped(stamping), .. } => stamping.bytes.len(),
        Apply::Update { change: Change::Operation(operation), .. } => operation.bytes(),
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
        hint: Option<&Hint>,
    ) {
        if let Some(hint) = hint
            && targets_after(self.current(slot).as_deref(), hint) > bounds::HINTED_FOR
        {
            // A longer list could not be read back.
            return self.refuse(token, StoreRefusal::Oversized);
        }
        match change {
            Apply::Update { replaces, change, operation } => {
                let write = Write { replaces, change, operation };
                self.update(token, slot, key, write, hint);
            }
            Apply::Merge { set } => self.merge(token, slot, key, &set, hint),
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
        write: Write,
        hint: Option<&Hint>,
    ) {
        let Write { replaces, change, operation } = write;
        let current = self.current(slot);
        if let Some(record) = &current
            && knows(&record.set, operation, &change)
        {
            // The request came twice: what it did is here, and doing it again would add a second effect.
            return self.unchanged(token, slot, record, hint);
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
            Some(crate::Planted::ActorFromClock) => own_actor_in(set, self.store_id, actor),
            _ => actor,
        };
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
        self.put(slot, key, current.as_deref(), hint, (set.clone(), mark));
        let minted = Some(MintedDot { dot: minted.dot, replaced: minted.replaced });
        self.events.push_back(StoreEvent::Applied { token, set, minted, changed: true });
        self.commits.await_newest(token);
    }

    fn merge(
        &mut self,
        token: Token,
        slot: Option<Slot>,
        key: RecordKey,
        incoming: &EncodedSet,
        hint: Option<&Hint>,
    ) {
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
                    return self.unchanged(token, slot, record, hint);
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
            let changed = false;
            self.events.push_back(StoreEvent::Applied { token, set, minted: None, changed });
            return self.durable_when_found_is(token, slot);
        }
        if self.lacks_room_for_set(set.encoded().len()) {
            return self.refuse(token, StoreRefusal::DiskFull);
        }
        self.put(slot, key, current.as_deref(), hint, (set.clone(), mark));
        self.events.push_back(StoreEvent::Applied { token, set, minted: None, changed: true });
        self.commits.await_newest(token);
    }

    /// The set stays as it is; but it may be held for one more owner now, and what was found may itself still wait for its
    /// sync.
    fn unchanged(
        &mut self,
        token: Token,
        slot: Option<Slot>,
        record: &Record,
        hint: Option<&Hint>,
    ) {
        let set = record.set.clone();
        let is_widened = hint.is_some_and(|hint| is_widened_by(record, hint));
        if is_widened {
            self.put(slot, record.key.clone(), Some(record), hint, (set.clone(), record.mark));
        }
        self.events.push_back(StoreEvent::Applied { token, set, minted: None, changed: false });
        match is_widened {
            true => self.commits.await_newest(token),
            false => self.durable_when_found_is(token, slot),
        }
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
        hint: Option<&Hint>,
        (set, mark): (EncodedSet, Option<Mark>),
    ) {
        let key = match slot {
            Some(slot) => self.table.entry(slot).key.clone(),
            None => key.detached(),
        };
        let (mut hinted_for, mut spare, surplus) = match before {
            Some(before) => (before.hinted_for.clone(), before.spare, before.surplus.clone()),
            None => (Vec::new(), hint.is_some(), Surplus::NONE),
        };
        if let Some(hint) = hint {
            spare &= hint.spare;
            let is_new = |target: &&NodeId| !hinted_for.contains(*target);
            let added: Vec<NodeId> = hint.targets.iter().filter(is_new).copied().collect();
            hinted_for.extend(added);
        }
        self.log_record(slot, Record { key, set, mark, hinted_for, spare, surplus });
    }

    fn log_record(&mut self, slot: Option<Slot>, record: Record) {
        let record = Arc::new(record);
        self.note_hint(&record);
        self.log(slot, record.key.clone(), Body::Record(record.clone()), EntryBody::Record(record));
    }

    /// An owner has what was held for it. What has changed since it was given stays: the owner has not got that.
    pub(super) fn release(
        &mut self,
        token: Token,
        slot: Option<Slot>,
        key: &RecordKey,
        target: NodeId,
        set: &EncodedSet,
    ) {
        match self.current(slot) {
            Some(record) if record.set == *set => {
                let mut record = Record::clone(&record);
                record.hinted_for.retain(|other| *other != target);
                if record.hinted_for.is_empty() {
                    return self.remove(Some(token), slot, key);
                }
                if self.lacks_room_for_set(record.set.encoded().len()) {
                    return self.refuse(token, StoreRefusal::DiskFull);
                }
                self.log_record(slot, record);
                self.commits.await_newest(token);
            }
            _ => self.durable_when_found_is(token, slot),
        }
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
        self.note_change(slot);
        slot
    }

    /// Leaves a marker where there is a record. Nobody waits for it without a token.
    pub(super) fn remove(&mut self, token: Option<Token>, slot: Option<Slot>, key: &RecordKey) {
        let holds = slot.is_some_and(|slot| {
            matches!(self.table.entry(slot).body, Body::Record(_) | Body::Damaged)
        });
        if !holds {
            if let Some(token) = token {
                self.durable_when_found_is(token, slot);
            }
            return;
        }
        if self.lacks_room_for_marker() {
            if let Some(token) = token {
                self.refuse(token, StoreRefusal::DiskFull);
            }
            return;
        }
        self.hint_removed(key);
        let marker =
            EntryBody::Removal { key: key.detached(), copies: Copies::Both, covers_through: None };
        self.log(slot, key.detached(), Body::Removed { covers_through: None }, marker);
        if let Some(token) = token {
            self.commits.await_newest(token);
        }
    }
}

/// What an update asks for.
struct Write {
    replaces: Replaces,
    change: Change,
    operation: OperationId,
}

/// How many owners a record will be held for with this hint.
fn targets_after(record: Option<&Record>, hint: &Hint) -> usize {
    let held: &[NodeId] = record.map_or(&[], |record| &record.hinted_for);
    held.len() + hint.targets.iter().filter(|target| !held.contains(*target)).count()
}

/// Whether a hint adds an owner to those that a record is held for, or makes it one that may not be dropped.
fn is_widened_by(record: &Record, hint: &Hint) -> bool {
    let is_new = |target: &NodeId| !record.hinted_for.contains(target);
    hint.targets.iter().any(is_new) || record.spare && !hint.spare
}

/// The planted bug's actor: one of this store's own that the set's clock names, be it from before something was lost; else the
/// drawn one, made recognisable.
#[cfg(feature = "planted")]
fn own_actor_in(set: &VersionSet, store_id: u128, drawn: Actor) -> Actor {
    let (own, half) = (store_id as u32, u64::from(u32::MAX));
    let mut known = set.clock().iter().map(|(actor, _)| actor);
    known
        .find(|actor| actor.0 & half == u64::from(own))
        .unwrap_or(Actor(drawn.0 & !half | u64::from(own)))
}

/// Whether the operation was applied here before. The state of a mergeable value remembers more of them than its version does.
fn knows(set: &VersionSet, operation: OperationId, change: &Change) -> bool {
    let is_mergeable = matches!(change, Change::Operation(_));
    set.find_operation(operation).is_some()
        || (is_mergeable && mergeable::remembering(set, operation).is_some())
}

fn refusal_of(refusal: MintRefusal) -> StoreRefusal {
    match refusal {
        MintRefusal::TooManySiblings => StoreRefusal::TooManySiblings,
        MintRefusal::NothingToDelete => StoreRefusal::NothingToDelete,
        MintRefusal::Operation(refusal) => StoreRefusal::Operation(refusal),
    }
}
