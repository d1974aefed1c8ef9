//! The list itself: hinted keys by owner, by age, by what is known of them, and the sums that others ask for.
//!
//! A key is in one of three states. *Listed*: its record was read or written in this run, so it is known whom it is for, and
//! couriers get it. *Unread*: a start or a rebuild found it, and its turn to be read has not come. *Unreadable*: its record could
//! not be read when it was wanted. Such a key is set aside, so that it holds up no other, and is tried again after a rest that
//! doubles; it is held all the same, because what cannot be read now is not gone.
//!
//! All sums are kept while the list changes: figures are asked for while requests wait, and the list may be long.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use kvorum_protocol::{BucketName, Key, Record, RecordKey, Space};
use kvorum_ring::{ClassId, NodeId, PartitionId};

use super::{HintStats, TargetHints};
use crate::clock::NS_PER_MS;
use crate::job::HintedKey;
use crate::limits;
use crate::log::entry::record_bytes;

/// What is known of one hinted key.
#[derive(Clone, Debug)]
struct Held {
    targets: Box<[NodeId]>,
    spare: bool,
    bytes: usize,
    /// Since when this process knows of it.
    since_ns: u64,
}

/// A key whose record could not be read.
#[derive(Clone, Debug)]
struct Unreadable {
    /// What was known of it before; none of a key that was never read in this run.
    held: Option<Held>,
    /// What it takes, if that is not known from before.
    bytes: usize,
    /// When it is tried again, and how long the next rest is.
    due_ns: u64,
    rest_ms: u64,
}

/// What is listed for one owner.
#[derive(Clone, Debug, Default)]
struct ForTarget {
    keys: BTreeSet<RecordKey>,
    bytes: usize,
    bearing: usize,
    /// How many keys have been here since when.
    ages: BTreeMap<u64, usize>,
}

/// The hinted keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hints {
    held: BTreeMap<RecordKey, Held>,
    by_target: BTreeMap<NodeId, ForTarget>,
    /// Spare ones by age.
    spares: BTreeSet<(u64, RecordKey)>,
    /// What each takes, about.
    unread: BTreeMap<RecordKey, usize>,
    unreadable: BTreeMap<RecordKey, Unreadable>,
    /// Unreadable ones by when they are due.
    due: BTreeSet<(u64, RecordKey)>,
    /// Where among the unread the next one is asked for.
    cursor: Option<RecordKey>,
    /// Keys that are being read without anybody's asking.
    reading: usize,
    bearing_bytes: usize,
    spare_bytes: usize,
    /// Bytes of keys of which it is not known which of the two they belong to.
    unknown_bytes: usize,
    pub(super) dropped: u64,
    pub(super) damaged: u64,
    pub(super) refused: u64,
    pub(super) spare_refused: u64,
}

impl Hints {
    /// Keys that a start or a rebuild found, whose records say later whom they are for.
    pub(crate) fn find(&mut self, keys: impl IntoIterator<Item = HintedKey>) {
        for HintedKey { key, bytes } in keys {
            if !self.lists(&key) {
                let bytes = bytes + limits::HINT_LISTING_BYTES;
                self.unknown_bytes += bytes;
                self.unread.insert(key, bytes);
            }
        }
    }

    /// Lets go of every key that is not among these, which are all that the log holds. Returns how many there were.
    pub(super) fn retain_only(&mut self, found: &[HintedKey]) -> usize {
        let found: BTreeSet<&RecordKey> = found.iter().map(|found| &found.key).collect();
        let here = self.held.keys().chain(self.unread.keys()).chain(self.unreadable.keys());
        let lost: Vec<RecordKey> = here.filter(|key| !found.contains(key)).cloned().collect();
        lost.iter().for_each(|key| self.forget(key));
        lost.len()
    }

    /// A hinted record is now this one.
    pub(super) fn note(&mut self, record: &Record, now_ns: u64) {
        let key = &record.key;
        let since_ns = self.since_ns(key).unwrap_or(now_ns);
        self.forget(key);
        let targets: Box<[NodeId]> = record.hinted_for.as_slice().into();
        let held = Held { targets, spare: record.spare, bytes: cost(record), since_ns };
        *self.bytes_mut(Some(held.spare)) += held.bytes;
        self.list(key, &held);
        self.held.insert(key.clone(), held);
    }

    /// A hinted record is gone.
    pub(super) fn forget(&mut self, key: &RecordKey) {
        if let Some(bytes) = self.unread.remove(key) {
            self.unknown_bytes -= bytes;
        }
        if let Some(unreadable) = self.unreadable.remove(key) {
            self.due.remove(&(unreadable.due_ns, key.clone()));
            let (kind, bytes) = unreadable.takes();
            *self.bytes_mut(kind) -= bytes;
        }
        if let Some(held) = self.held.remove(key) {
            self.unlist(key, &held);
            *self.bytes_mut(Some(held.spare)) -= held.bytes;
        }
    }

    /// A hinted record cannot be read now. Returns whether that is news.
    pub(super) fn set_aside(&mut self, key: &RecordKey, now_ns: u64) -> bool {
        let before = self.unreadable.remove(key);
        let is_news = before.is_none();
        let unreadable = match before {
            Some(before) => {
                self.due.remove(&(before.due_ns, key.clone()));
                before
            }
            None => {
                let (held, rest_ms) = (self.held.remove(key), limits::UNREADABLE_REST_MS);
                if let Some(held) = &held {
                    self.unlist(key, held);
                }
                let bytes = self.unread.remove(key).unwrap_or(0);
                Unreadable { held, bytes, due_ns: 0, rest_ms }
            }
        };
        let due_ns = now_ns.saturating_add(unreadable.rest_ms * NS_PER_MS);
        let rest_ms = (unreadable.rest_ms * 2).min(limits::UNREADABLE_REST_LONGEST_MS);
        self.due.insert((due_ns, key.clone()));
        self.unreadable.insert(key.clone(), Unreadable { due_ns, rest_ms, ..unreadable });
        is_news
    }

    fn list(&mut self, key: &RecordKey, held: &Held) {
        for target in &held.targets {
            let listed = self.by_target.entry(*target).or_default();
            listed.keys.insert(key.clone());
            listed.bytes += held.bytes;
            listed.bearing += usize::from(!held.spare);
            *listed.ages.entry(held.since_ns).or_default() += 1;
        }
        if held.spare {
            self.spares.insert((held.since_ns, key.clone()));
        }
    }

    fn unlist(&mut self, key: &RecordKey, held: &Held) {
        for target in &held.targets {
            let Some(listed) = self.by_target.get_mut(target) else { continue };
            listed.keys.remove(key);
            listed.bytes -= held.bytes;
            listed.bearing -= usize::from(!held.spare);
            if let Some(count) = listed.ages.get_mut(&held.since_ns) {
                *count -= 1;
                if *count == 0 {
                    listed.ages.remove(&held.since_ns);
                }
            }
            if listed.keys.is_empty() {
                self.by_target.remove(target);
            }
        }
        if held.spare {
            self.spares.remove(&(held.since_ns, key.clone()));
        }
    }

    fn bytes_mut(&mut self, spare: Option<bool>) -> &mut usize {
        match spare {
            Some(true) => &mut self.spare_bytes,
            Some(false) => &mut self.bearing_bytes,
            None => &mut self.unknown_bytes,
        }
    }

    /// What hints that may be dropped take, or those that may not. What is not known of belongs to either.
    pub(super) fn taken(&self, spare: bool) -> usize {
        self.unknown_bytes + if spare { self.spare_bytes } else { self.bearing_bytes }
    }

    /// Keys that are listed for an owner behind `after`, in order, and whether there may be more.
    pub(super) fn page(
        &self,
        target: NodeId,
        after: Option<&RecordKey>,
        limit: usize,
    ) -> (Vec<RecordKey>, bool) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let listed = self.by_target.get(&target).into_iter();
        let mut behind = listed.flat_map(|listed| listed.keys.range((from, Bound::Unbounded)));
        let keys: Vec<RecordKey> = behind.by_ref().take(limit).cloned().collect();
        let more = behind.next().is_some();
        (keys, more)
    }

    /// Whether anything is held under this key.
    pub(super) fn lists(&self, key: &RecordKey) -> bool {
        self.held.contains_key(key)
            || self.unread.contains_key(key)
            || self.unreadable.contains_key(key)
    }

    /// Whether a key is known to be of a hint that may be dropped.
    pub(super) fn is_spare(&self, key: &RecordKey) -> bool {
        let held = self.held.get(key).or_else(|| self.unreadable.get(key)?.held.as_ref());
        held.is_some_and(|held| held.spare)
    }

    /// Since when a key is known to be held, if it was ever read in this run.
    pub(super) fn since_ns(&self, key: &RecordKey) -> Option<u64> {
        let held = self.held.get(key).or_else(|| self.unreadable.get(key)?.held.as_ref());
        held.map(|held| held.since_ns)
    }

    /// Whether a key is one that could not be read.
    pub(super) fn is_unreadable(&self, key: &RecordKey) -> bool {
        self.unreadable.contains_key(key)
    }

    /// Whether some keys have not been read yet.
    pub(super) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Whether a key is one of those.
    pub(super) fn is_unread(&self, key: &RecordKey) -> bool {
        self.unread.contains_key(key)
    }

    /// Whether anything is held for the owners of a partition.
    pub(super) fn holds(&self, class: ClassId, partition: PartitionId) -> bool {
        let first = first_key(class, partition);
        let is_here = |key: &RecordKey| (key.class, key.partition) == (class, partition);
        let held = self.held.range(&first..).next().map(|(key, _)| key);
        let unread = self.unread.range(&first..).next().map(|(key, _)| key);
        let unreadable = self.unreadable.range(&first..).next().map(|(key, _)| key);
        [held, unread, unreadable].into_iter().flatten().any(is_here)
    }

    /// The lowest key that is listed, for the planted bug.
    #[cfg(feature = "planted")]
    pub(super) fn first(&self) -> Option<RecordKey> {
        self.held.keys().next().cloned()
    }

    /// The next key to be read without anybody's asking: one that is unread, else one that is due to be tried again.
    pub(super) fn next_to_read(&mut self, now_ns: u64) -> Option<RecordKey> {
        if self.reading >= limits::HINTS_READING {
            return None;
        }
        let next = self.next_unread().or_else(|| self.next_due(now_ns));
        self.reading += usize::from(next.is_some());
        next
    }

    fn next_unread(&mut self) -> Option<RecordKey> {
        let from = self.cursor.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.unread.range((from, Bound::Unbounded)).next().map(|(key, _)| key.clone());
        if next.is_some() {
            self.cursor.clone_from(&next);
        } else if self.reading == 0 {
            // Some could not be read when it was their turn.
            self.cursor = None;
        }
        next
    }

    /// It rests anew already, so that it is not asked for twice.
    fn next_due(&mut self, now_ns: u64) -> Option<RecordKey> {
        let (_, key) = self.due.first().filter(|(due_ns, _)| *due_ns <= now_ns)?;
        let key = key.clone();
        self.set_aside(&key, now_ns);
        Some(key)
    }

    /// So many keys were read, or will not be.
    pub(super) fn end_reading(&mut self, count: usize) {
        self.reading = self.reading.saturating_sub(count);
    }

    /// When there is something to be read or dropped; `now_ns` for at once.
    pub(super) fn deadline(&self, now_ns: u64, spare_ms: u64) -> Option<u64> {
        if self.reading == 0 && !self.unread.is_empty() {
            return Some(now_ns);
        }
        let spare = self.spares.first();
        let old =
            spare.map(|(since_ns, _)| since_ns.saturating_add(spare_ms.saturating_mul(NS_PER_MS)));
        let due = self.due.first().map(|(due_ns, _)| *due_ns);
        [old, due].into_iter().flatten().min()
    }

    /// Some of the spare ones that came `age_ms` ago or earlier. Their age begins anew, so that one that cannot be dropped now
    /// is not tried again and again.
    pub(super) fn take_old(&mut self, now_ns: u64, age_ms: u64) -> Vec<RecordKey> {
        let Some(oldest_ns) = now_ns.checked_sub(age_ms.saturating_mul(NS_PER_MS)) else {
            return Vec::new();
        };
        let old = self.spares.iter().take_while(|(since_ns, _)| *since_ns <= oldest_ns);
        let old: Vec<RecordKey> =
            old.take(limits::HINTS_READING).map(|(_, key)| key.clone()).collect();
        for key in &old {
            let Some(held) = self.held.remove(key) else { continue };
            self.unlist(key, &held);
            let held = Held { since_ns: now_ns, ..held };
            self.list(key, &held);
            self.held.insert(key.clone(), held);
        }
        old
    }

    pub(super) fn stats(&self) -> HintStats {
        HintStats {
            keys: self.held.len() + self.unread.len() + self.unreadable.len(),
            unread: self.unread.len(),
            unreadable: self.unreadable.len(),
            bearing: self.held.len() - self.spares.len(),
            bearing_bytes: self.bearing_bytes,
            spare_bytes: self.spare_bytes,
            unread_bytes: self.unknown_bytes,
            dropped: self.dropped,
            damaged: self.damaged,
            refused: self.refused,
            spare_refused: self.spare_refused,
        }
    }

    /// What is listed for each owner, ascending by id.
    pub(super) fn targets(&self, now_ns: u64) -> Vec<TargetHints> {
        let figures = |(target, listed): (&NodeId, &ForTarget)| {
            let oldest_ns = listed.ages.keys().next().copied().unwrap_or(now_ns);
            TargetHints {
                target: *target,
                keys: listed.keys.len(),
                bytes: listed.bytes,
                bearing: listed.bearing,
                oldest_ms: now_ns.saturating_sub(oldest_ns) / NS_PER_MS,
            }
        };
        self.by_target.iter().map(figures).collect()
    }
}

impl Unreadable {
    /// Whether it may be dropped, if that is known, and what it takes.
    fn takes(&self) -> (Option<bool>, usize) {
        match &self.held {
            Some(held) => (Some(held.spare), held.bytes),
            None => (None, self.bytes),
        }
    }
}

/// The lowest key that a hinted record of a partition can have.
fn first_key(class: ClassId, partition: PartitionId) -> RecordKey {
    let bucket = BucketName::from_bytes(Bytes::from_static(b"0")).expect("the lowest name");
    let key = Key::new(Bytes::from_static(&[0])).expect("the lowest key");
    RecordKey { space: Space::Hinted, class, partition, bucket, key }
}

/// What a hinted record takes: in the log, and in this list.
fn cost(record: &Record) -> usize {
    record_bytes(record) + limits::HINT_LISTING_BYTES
}
