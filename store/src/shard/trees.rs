//! Hash trees over what the shard holds as an owner.
//!
//! What an entry of the table last told its tree stands in the entry, so the tree is always the sum of what all keys told it:
//! it may lag behind the table, and is never wrong. A change only marks its entry. The tree is told when the index is, by the
//! digest that the indexer made for the index anyway, and of a key that changed often meanwhile once: a put pays nothing for it
//! but the mark. Whoever asks for a tree has all marked entries of those partitions told first (`questions.rs`).
//! No value is ever hashed on the shard's own thread.
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

mod questions;

use std::collections::{BTreeMap, BTreeSet};

use kvorum_antientropy::{Digest, LeafKey, Tree};
use kvorum_protocol::{RecordKey, Space};

use super::backlog::Region;
use super::rebuild::Rebuilding;
#[cfg(feature = "planted")]
use super::table::Body;
use super::table::{Entry, Slot};
use super::{Life, Shard};
use crate::index::{IndexError, IndexKey};
use crate::job::{ContentsOverlay, CountedTree, Indexing};
use crate::limits;
use crate::log::manifest::StoreId;
use crate::options::ShardOptions;
use crate::request::ContentsRange;
use crate::saved_trees::{Counted, SavedTree, SavedTrees};
use questions::Questions;

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
    /// What is asked of them.
    questions: Questions,
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
            questions: Questions::default(),
            wanted: BTreeSet::new(),
            counting: Vec::new(),
            is_next: false,
            version: 0,
            counted: 0,
        }
    }

    /// Trees of which nothing is known. The next that are saved get a higher version than this.
    pub(crate) fn unknown(options: &ShardOptions, version: u64) -> Trees {
        Trees { version, others_are_empty: false, ..Trees::empty(options) }
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
        let questions = std::mem::take(&mut self.questions);
        *self = Trees { counted, questions, ..Trees::unknown(options, version) };
    }

    /// Records whose values were hashed because somebody asked for trees, since the opening.
    pub(super) fn digested(&self) -> u64 {
        self.questions.digested()
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

    /// Has an entry tell its tree that its live versions had this digest, 0 for none, at one of its versions. It goes on
    /// being marked unless that is its newest.
    fn tell(&mut self, entry: &mut Entry, sequence: u64, digest: u128) {
        if !entry.has_news {
            // It told of this version or a newer one meanwhile.
            return;
        }
        entry.has_news = entry.sequence != sequence;
        let old = Digest::new(entry.told);
        let new = Digest::new(digest);
        #[cfg(feature = "planted")]
        let new = match (self.planted, &entry.body) {
            (Some(crate::Planted::TreeNotCanonical), Body::Record(record)) => {
                new.and(Digest::new(u128::from_be_bytes(record.set.digest().0)))
            }
            (Some(crate::Planted::TreeKeepsDeleted), _) => new.or(old),
            _ => new,
        };
        entry.told = new.map_or(0, Digest::get);
        self.change(&entry.key, old, new);
    }
}

impl Shard {
    /// An entry's content changed.
    pub(super) fn note_change(&mut self, slot: Slot) {
        self.table.entry_mut(slot).change();
    }

    /// The index was told of a version of an entry, whose live versions have this digest.
    pub(super) fn tell_tree(&mut self, slot: Slot, sequence: u64, digest: u128) {
        self.trees.tell(self.table.entry_mut(slot), sequence, digest);
    }

    /// What the table knows better than the index of what a partition holds.
    pub(super) fn contents_overlays(&self, range: &ContentsRange) -> Vec<ContentsOverlay> {
        let region = Region::new(Space::Owned, range.class, range.partition);
        let entries = self.unindexed.region(region).iter().map(|slot| self.table.entry(*slot));
        let known = entries.map(|entry| ContentsOverlay {
            key: entry.key.to_index_bytes().into(),
            record: entry.body.record().cloned(),
            digest: entry.told(),
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

    /// What is saved with the checkpoint of a batch. What has not been told to its tree changed behind that batch: a start finds it
    /// in the log, and counts its partition anew.
    pub(super) fn trees_to_save(&mut self, batch: u64) -> Box<SavedTrees> {
        debug_assert!(self.rebuilding == Rebuilding::No, "a rebuild comes before a checkpoint");
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
        Box::new(saved)
    }

    /// Partitions that are known to hold something, and of whose trees nothing is known.
    pub(super) fn trees_unknown(&self) -> usize {
        let is_unknown = |knowledge: &&Knowledge| !matches!(knowledge, Knowledge::Known(_));
        self.trees.partitions.values().filter(is_unknown).count()
    }
}
