//! Hash trees over what the shard holds as an owner, kept in step with every change.
//!
//! What an entry of the table last told its tree stands in the entry. A change only notes the entry; its tree is told
//! later, with many others, and of a key that changed often meanwhile once: the term of what was told is taken back, that
//! of what is there now is added. So a write pays a push into a list for it, and what follows comes when nobody waits: a
//! digest of the value, which the index takes over instead of making its own, and three hashes of one block. Whoever asks for a
//! tree has all of that done first.
//!
//! An entry leaves the table only when its tree was told and the index names its newest version. So the index, whose
//! entries carry the digest, always says of a key that is not in the table what its tree was told, and a key that is read
//! back through the index knows what to take back.
//!
//! Nothing is replayed into a tree. What a start finds beyond the saved trees makes the partitions concerned *unknown*, and
//! a partition is counted, from the index and what the index does not name yet, when somebody asks for it. Sums make
//! that simple: what changes while a partition is counted is added to a tree of changes, and both are added in the end.
//!
//! A record that turns out to be damaged stays in its tree: it is missing to whoever reads it, and the read heals it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kvorum_antientropy::{Digest, LeafKey, Tree};
use kvorum_protocol::{RecordKey, Space};
use kvorum_ring::{ClassId, PartitionId};

use super::backlog::Region;
use super::rebuild::Rebuilding;
use super::table::{Body, Slot, Table};
use super::{Life, Shard};
use crate::clock::NS_PER_MS;
use crate::event::StoreEvent;
use crate::index::{IndexError, IndexKey};
use crate::job::{ContentsOverlay, CountedTree, Indexing};
use crate::limits;
use crate::log::manifest::StoreId;
use crate::options::ShardOptions;
use crate::request::{ContentsRange, Token};
use crate::saved_trees::{Counted, SavedTree, SavedTrees};

/// What is known of a partition.
#[derive(Clone, Debug)]
enum Knowledge {
    /// Nothing.
    Unknown,
    /// It is being counted; this is what has changed since that began, and what the index does not name.
    Counting(Tree),
    /// Everything.
    Known(Tree),
}

/// The trees of all partitions that the shard holds anything of.
#[derive(Clone, Debug)]
pub(crate) struct Trees {
    key: LeafKey,
    partitions: BTreeMap<Counted, Knowledge>,
    /// A partition that is not listed is known, and empty.
    others_are_empty: bool,
    /// Entries that changed since they told their trees.
    changed: VecDeque<Slot>,
    /// When trees were last told of some of them without being asked.
    told_at_ns: u64,
    /// Partitions to be counted.
    wanted: BTreeSet<Counted>,
    /// Partitions that the indexer counts.
    counting: Vec<Counted>,
    /// Whether a count goes before the feed, so that neither starves the other.
    is_next: bool,
    /// How often trees were saved.
    version: u64,
    /// Partitions counted since the opening.
    counted: u64,
    #[cfg(feature = "planted")]
    planted: Option<crate::Planted>,
}

/// Whose tree a key belongs to; none if it is held for others.
fn tree_of(key: &RecordKey) -> Option<Counted> {
    let RecordKey { space, class, partition, .. } = *key;
    (space == Space::Owned).then_some(Counted { class, partition })
}

impl Trees {
    /// The trees of a store in which there is nothing.
    pub(crate) fn empty(options: &ShardOptions) -> Trees {
        Trees {
            key: options.leaf_key,
            #[cfg(feature = "planted")]
            planted: options.planted,
            partitions: BTreeMap::new(),
            others_are_empty: true,
            changed: VecDeque::new(),
            told_at_ns: 0,
            wanted: BTreeSet::new(),
            counting: Vec::new(),
            is_next: false,
            version: 0,
            counted: 0,
        }
    }

    /// Trees of which nothing is known.
    pub(crate) fn unknown(options: &ShardOptions) -> Trees {
        Trees { others_are_empty: false, ..Trees::empty(options) }
    }

    /// The trees that were saved, but for partitions of which the log holds something that may not be in them.
    pub(crate) fn saved(
        options: &ShardOptions,
        saved: &SavedTrees,
        touched: &BTreeSet<Counted>,
    ) -> Trees {
        #[cfg(feature = "planted")]
        let touched = match options.planted {
            Some(crate::Planted::TreeMissesCrash) => &BTreeSet::new(),
            _ => touched,
        };
        let SavedTrees { version, others_are_empty, .. } = *saved;
        let mut trees = Trees { version, others_are_empty, ..Trees::empty(options) };
        for saved in &saved.trees {
            let knowledge = saved.tree().map_or(Knowledge::Unknown, Knowledge::Known);
            trees.partitions.insert(saved.of, knowledge);
        }
        for of in saved.unknown.iter().chain(touched) {
            trees.partitions.insert(*of, Knowledge::Unknown);
        }
        trees
    }

    /// What is not known any more: the index was made anew, and the table begins anew.
    fn forget(&mut self, options: &ShardOptions) {
        let Trees { version, counted, .. } = *self;
        *self = Trees { version, counted, ..Trees::unknown(options) };
    }

    /// Partitions counted since the opening.
    pub(super) fn counted(&self) -> u64 {
        self.counted
    }

    /// What is wanted of the tree of a partition; `None` while it is not known.
    fn of_tree<T: Default>(&self, of: Counted, wanted: impl FnOnce(&Tree) -> T) -> Option<T> {
        match self.partitions.get(&of) {
            Some(Knowledge::Known(tree)) => Some(wanted(tree)),
            Some(Knowledge::Unknown | Knowledge::Counting(_)) => None,
            // Of an empty tree everything is nothing.
            None => self.others_are_empty.then(T::default),
        }
    }

    fn is_known(&self, of: Counted) -> bool {
        self.of_tree(of, |_| ()).is_some()
    }

    /// A key's content changed.
    fn change(&mut self, key: &RecordKey, old: Option<Digest>, new: Option<Digest>) {
        let Some(of) = tree_of(key).filter(|_| old != new) else { return };
        if self.others_are_empty {
            self.partitions.entry(of).or_insert_with(|| Knowledge::Known(Tree::default()));
        }
        if let Some(Knowledge::Known(tree) | Knowledge::Counting(tree)) =
            self.partitions.get_mut(&of)
        {
            tree.change(&self.key, of.class, key.key_hash(), (old, new));
        }
    }

    /// Notes that an entry has something to tell.
    pub(crate) fn note(&mut self, table: &mut Table, slot: Slot) {
        let entry = table.entry_mut(slot);
        if entry.key.space == Space::Owned && !std::mem::replace(&mut entry.has_news, true) {
            self.changed.push_back(slot);
        }
    }

    /// Has an entry tell its tree what it holds now.
    fn hear(&mut self, table: &mut Table, slot: Slot) {
        let Some(entry) = table.get_mut(slot).filter(|entry| entry.has_news) else { return };
        entry.has_news = false;
        let old = Digest::new(entry.told);
        let new = match &entry.body {
            Body::Record(record) => Digest::new(record.set.live_digest().0),
            Body::Removed { .. } | Body::Gone => None,
            Body::Damaged => old,
        };
        #[cfg(feature = "planted")]
        let new = match (self.planted, &entry.body) {
            (Some(crate::Planted::TreeNotCanonical), Body::Record(record)) => {
                new.and(Digest::new(u128::from_be_bytes(record.set.digest().0)))
            }
            (Some(crate::Planted::TreeKeepsDeleted), _) => new.or(old),
            _ => new,
        };
        entry.told = new.map_or(0, Digest::get);
        let key = entry.key.clone();
        self.change(&key, old, new);
    }

    /// Has so many entries tell their trees.
    fn hear_some(&mut self, table: &mut Table, most: usize) {
        for _ in 0..most.min(self.changed.len()) {
            if let Some(slot) = self.changed.pop_front() {
                self.hear(table, slot);
            }
        }
    }

    /// Has all entries tell their trees, unless they are too many for one moment. Whether they did.
    fn hear_all(&mut self, table: &mut Table) -> bool {
        if self.changed.len() > limits::TOLD_FOR_AN_ANSWER {
            return false;
        }
        self.hear_some(table, usize::MAX);
        true
    }
}

impl Shard {
    /// An entry's content changed.
    pub(super) fn note_change(&mut self, slot: Slot) {
        self.trees.note(&mut self.table, slot);
    }

    /// Has an entry tell its tree at once.
    pub(super) fn tell_tree(&mut self, slot: Slot) {
        self.trees.hear(&mut self.table, slot);
    }

    /// Has trees told of some changes when many wait.
    pub(super) fn advance_trees(&mut self) {
        let waiting = self.trees.changed.len();
        if waiting > self.options.untold_records {
            self.trees.told_at_ns = self.now.mono_ns;
            // The more wait, the more are told, so that they do not become too many whatever the load.
            let most = limits::TOLD_AT_ONCE + (waiting - self.options.untold_records) / 8;
            self.trees.hear_some(&mut self.table, most);
        }
    }

    /// When more of them can be told.
    pub(super) fn trees_deadline(&self) -> Option<u64> {
        let many = self.trees.changed.len() > self.options.untold_records;
        many.then_some(self.trees.told_at_ns + NS_PER_MS)
    }

    /// Answers with the roots of partitions; what is not known yet is counted in the meantime.
    pub(super) fn answer_roots(
        &mut self,
        token: Token,
        class: ClassId,
        partitions: &[PartitionId],
    ) {
        let mut roots = Some(Vec::with_capacity(partitions.len()));
        if !self.trees.hear_all(&mut self.table) {
            roots = None;
        }
        for partition in partitions {
            let of = Counted { class, partition: *partition };
            match (self.trees.of_tree(of, Tree::root), &mut roots) {
                (Some(root), Some(roots)) => roots.push(root),
                (Some(_), None) => {}
                (None, _) => {
                    roots = None;
                    self.trees.wanted.insert(of);
                }
            }
        }
        self.events.push_back(StoreEvent::Roots { token, roots });
    }

    /// Answers with the leaves of a partition.
    pub(super) fn answer_leaves(&mut self, token: Token, class: ClassId, partition: PartitionId) {
        let of = Counted { class, partition };
        let known = self.trees.hear_all(&mut self.table);
        let leaves = self.trees.of_tree(of, |tree| Box::new(*tree.leaves())).filter(|_| known);
        if leaves.is_none() {
            self.trees.wanted.insert(of);
        }
        self.events.push_back(StoreEvent::Leaves { token, leaves });
    }

    /// What the table knows better than the index of what a partition holds.
    pub(super) fn contents_overlays(&self, range: &ContentsRange) -> Vec<ContentsOverlay> {
        let region = Region::new(Space::Owned, range.class, range.partition);
        let entries = self.unindexed.region(region).iter().map(|slot| self.table.entry(*slot));
        let known = entries.map(|entry| ContentsOverlay {
            key: entry.key.to_index_bytes().into(),
            record: entry.body.record().cloned(),
        });
        let mut overlay: Vec<ContentsOverlay> = known.collect();
        overlay.sort_unstable_by(|left, right| left.key.cmp(&right.key));
        overlay
    }

    /// Counts some of the partitions that are wanted, if there are any. What waits for the index is counted here, and the
    /// indexer, which counts the rest, leaves it out; it also is the one that changes the index, so nothing is seen twice.
    pub(super) fn count_job(&mut self) -> Option<Indexing> {
        self.trees.is_next = false;
        if self.life != Life::Open || self.trees.wanted.is_empty() {
            return None;
        }
        if !self.trees.hear_all(&mut self.table) {
            return None;
        }
        let mut waiting: Vec<IndexKey> = Vec::new();
        let mut partitions = Vec::new();
        while partitions.len() < limits::COUNTED_AT_ONCE {
            let Some(of) = self.trees.wanted.pop_first() else { break };
            if self.trees.is_known(of) {
                continue;
            }
            let region = Region::new(Space::Owned, of.class, of.partition);
            let mut tree = Tree::default();
            for slot in self.unindexed.region(region) {
                let entry = self.table.entry(*slot);
                let hash = entry.key.key_hash();
                tree.change(&self.trees.key, of.class, hash, (None, Digest::new(entry.told)));
                waiting.push(entry.key.to_index_bytes().into());
            }
            self.trees.partitions.insert(of, Knowledge::Counting(tree));
            partitions.push(of);
        }
        if partitions.is_empty() {
            return None;
        }
        waiting.sort_unstable();
        self.trees.counting = partitions.clone();
        Some(Indexing::Count { by: self.trees.key, partitions, waiting })
    }

    /// Whether the partitions that are wanted are to be counted before more is fed.
    pub(super) fn counts_next(&self) -> bool {
        self.trees.is_next
    }

    /// The feed had its turn.
    pub(super) fn count_may_follow(&mut self) {
        self.trees.is_next = true;
    }

    pub(super) fn trees_counted(&mut self, result: Result<Vec<CountedTree>, IndexError>) {
        self.feed.busy = false;
        let counting = std::mem::take(&mut self.trees.counting);
        match result {
            Ok(trees) => {
                self.trees.counted += counting.len() as u64;
                for CountedTree { of, tree } in trees {
                    if let Some(Knowledge::Counting(changes)) = self.trees.partitions.get(&of) {
                        let mut whole = tree;
                        whole.add(changes);
                        self.trees.partitions.insert(of, Knowledge::Known(whole));
                    }
                }
            }
            Err(_) => {
                for of in counting {
                    self.trees.partitions.insert(of, Knowledge::Unknown);
                }
                self.index_is_damaged();
            }
        }
    }

    /// The index was made anew.
    pub(super) fn forget_trees(&mut self) {
        self.trees.forget(&self.options);
    }

    /// What is saved with the checkpoint of a batch; nothing while too much is still to be told.
    pub(super) fn trees_to_save(&mut self, batch: u64) -> Option<Box<SavedTrees>> {
        debug_assert!(self.rebuilding == Rebuilding::No, "a rebuild comes before a checkpoint");
        if self.life == Life::Closing {
            self.trees.hear_some(&mut self.table, usize::MAX);
        }
        if !self.trees.hear_all(&mut self.table) {
            return None;
        }
        let unsynced = self.commits.unsynced().map(|slot| &self.table.entry(slot).key);
        let unsynced: BTreeSet<Counted> = unsynced.filter_map(tree_of).collect();
        let mut unknown = unsynced.clone();
        let mut trees = Vec::with_capacity(self.trees.partitions.len());
        for (of, knowledge) in &self.trees.partitions {
            match knowledge {
                Knowledge::Known(tree) if !unsynced.contains(of) => {
                    // Known to be empty goes without saying where others are.
                    if !self.trees.others_are_empty || *tree != Tree::default() {
                        trees.push(SavedTree::new(*of, tree));
                    }
                }
                _ => drop(unknown.insert(*of)),
            }
        }
        self.trees.version += 1;
        let version = self.trees.version;
        let (store_id, key) = (StoreId(self.store_id), self.trees.key.id());
        let others_are_empty = self.trees.others_are_empty;
        let unknown = if others_are_empty { unknown.into_iter().collect() } else { Vec::new() };
        let saved = SavedTrees { version, store_id, key, batch, others_are_empty, trees, unknown };
        Some(Box::new(saved))
    }

    /// Partitions that are known to hold something, and of whose trees nothing is known.
    pub(super) fn trees_unknown(&self) -> usize {
        let is_unknown = |knowledge: &&Knowledge| !matches!(knowledge, Knowledge::Known(_));
        self.trees.partitions.values().filter(is_unknown).count()
    }
}
