//! Whether a tree that is kept in step is still that of the records: a scrub counts it anew, and compares.
//!
//! What changes while the indexer counts is added to a tree of changes beside the kept one, as for a tree that is not known, so
//! both are of the same moment when they are compared.

use kvorum_antientropy::Tree;

use super::{Knowledge, Trees};
use crate::event::{DamageNotice, StoreEvent};
use crate::index::IndexError;
use crate::job::{CountedTree, Indexing};
use crate::saved_trees::Counted;
use crate::shard::Shard;

impl Trees {
    /// Partitions that hold something and whose trees are known.
    pub(in crate::shard) fn known(&self) -> Vec<Counted> {
        let is_known =
            |(_, knowledge): &(&Counted, &Knowledge)| matches!(knowledge, Knowledge::Known(_));
        self.partitions.iter().filter(is_known).map(|(of, _)| *of).collect()
    }
}

impl Shard {
    /// Counts a tree that is known; `None` when it is not any more.
    pub(in crate::shard) fn check_job(&mut self, of: Counted) -> Option<Indexing> {
        let is_known = matches!(self.trees.partitions.get(&of), Some(Knowledge::Known(_)));
        if !is_known {
            return None;
        }
        let mut waiting = Vec::new();
        let tree = self.count_waiting(of, &mut waiting);
        waiting.sort_unstable();
        self.trees.checking = Some((of, tree));
        Some(Indexing::Count { by: self.trees.key, partitions: vec![of], waiting })
    }

    pub(super) fn tree_checked(
        &mut self,
        of: Counted,
        changes: Tree,
        result: Result<Vec<CountedTree>, IndexError>,
    ) {
        let Ok(counted) = result else {
            self.tree_was_checked(false);
            return self.index_is_damaged();
        };
        let mut whole = changes;
        counted.iter().for_each(|counted| whole.add(&counted.tree));
        let kept = self.trees.partitions.get_mut(&of);
        let is_right = !matches!(&kept, Some(Knowledge::Known(kept)) if *kept != whole);
        if !is_right {
            self.trees.partitions.insert(of, Knowledge::Known(whole));
            let Counted { class, partition } = of;
            self.events.push_back(StoreEvent::Damage(DamageNotice::Tree { class, partition }));
        }
        self.tree_was_checked(is_right);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use kvorum_antientropy::{Digest, Tree};
    use kvorum_protocol::{Change, Key, OperationId, RecordKey, Replaces};
    use kvorum_ring::{ClassId, PartitionCount};

    use crate::clock::Now;
    use crate::event::{DamageNotice, StoreEvent};
    use crate::job::Job;
    use crate::memory_index::{MemoryDisk, MemoryIndex};
    use crate::options::ShardOptions;
    use crate::recovery::{Opened, open};
    use crate::request::{Apply, StoreRequest, Token};
    use crate::saved_trees::Counted;
    use crate::shard::trees::Knowledge;
    use crate::sim_files::SimFiles;

    struct Store {
        opened: Opened<SimFiles, MemoryIndex>,
        now: Now,
        operation: u128,
        notices: Vec<DamageNotice>,
    }

    impl Store {
        fn new() -> Store {
            let (options, now) = (ShardOptions::small(), Now::default());
            let opened = open(Arc::new(SimFiles::new()), MemoryDisk::new(), options, 1).unwrap();
            Store { opened, now, operation: 0, notices: Vec::new() }
        }

        fn put(&mut self, name: &str) {
            self.operation += 1;
            let key = Key::new(Bytes::copy_from_slice(name.as_bytes())).unwrap();
            let count = PartitionCount::new(4).unwrap();
            let key = RecordKey::new(ClassId(0), count, "b".parse().unwrap(), key);
            let bytes = Bytes::copy_from_slice(&self.operation.to_be_bytes());
            let change = Change::Value { bytes, expires_at_ms: None };
            let operation = OperationId(self.operation);
            let change = Apply::Update { replaces: Replaces::Latest, change, operation };
            let token = Token(self.operation as u64);
            self.opened.shard.submit(self.now, StoreRequest::Apply { token, key, change });
        }

        fn step(&mut self) -> bool {
            let Some(job) = self.opened.shard.poll_job() else { return false };
            let done = match job {
                Job::Commit(job) => self.opened.committer.run(job),
                Job::Read(job) => self.opened.reader.run(job),
                Job::Index(job) => self.opened.indexer.run(job),
                Job::Compact(job) => self.opened.compactor.run(job),
            };
            self.opened.shard.complete(self.now, done);
            true
        }

        /// Scrubs everything, and writes all the time if wanted.
        fn scrub(&mut self, writes: bool) {
            let passes = self.opened.shard.scrub_progress().passes;
            let token = Token(1 << 40);
            self.opened.shard.submit(self.now, StoreRequest::Scrub { token });
            for round in 0.. {
                assert!(round < 10_000, "{:?}", self.opened.shard.scrub_progress());
                if self.opened.shard.scrub_progress().passes > passes {
                    break;
                }
                if writes && round % 3 == 0 {
                    self.put(&format!("k{}", round % 50));
                }
                self.now = Now { mono_ns: self.now.after_ms(7), wall_ms: self.now.wall_ms + 7 };
                self.opened.shard.tick(self.now);
                while self.step() {}
            }
            while let Some(event) = self.opened.shard.poll_event() {
                if let StoreEvent::Damage(notice) = event {
                    self.notices.push(notice);
                }
            }
        }
    }

    #[test]
    fn a_damaged_leaf_is_found_and_replaced_and_right_ones_are_left_alone() {
        let mut store = Store::new();
        (0..50).for_each(|key| store.put(&format!("k{key}")));
        while store.step() {}
        store.scrub(true);
        assert_eq!(store.notices, [], "all are right, also while they change");
        let (of, kept) = store
            .opened
            .shard
            .trees
            .partitions
            .iter()
            .find_map(|(of, knowledge)| match knowledge {
                Knowledge::Known(tree) => Some((*of, tree.clone())),
                _ => None,
            })
            .expect("a partition holds something");
        let mut off = kept.clone();
        let key = store.opened.shard.trees.key;
        off.change(&key, of.class, kvorum_ring::KeyHash(77), (None, Digest::new(9)));
        assert_ne!(off, Tree::default());
        store.opened.shard.trees.partitions.insert(of, Knowledge::Known(off));
        store.scrub(false);
        let Counted { class, partition } = of;
        assert_eq!(store.notices, [DamageNotice::Tree { class, partition }]);
        let found = store.opened.shard.trees.partitions.get(&of);
        assert!(matches!(found, Some(Knowledge::Known(tree)) if *tree == kept), "mended");
        store.notices.clear();
        store.scrub(true);
        assert_eq!(store.notices, []);
        assert_eq!(store.opened.shard.scrub_progress().found, 1);
    }
}
