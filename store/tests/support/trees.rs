//! Hash trees against what the records say.

use kvorum_antientropy::{Digest, LeafKey, Leaves, Tree};
use kvorum_protocol::RecordKey;
use kvorum_ring::{ClassId, KeyHash, PartitionId};
use kvorum_store::memory_index::{IndexDamage, MemoryDisk};
use kvorum_store::sim_files::SimFiles;
use kvorum_store::{ContentsKey, ContentsRange, Files, ShardOptions, StoreRequest};

use super::Store;
use super::history::{History, Mix, Rng};

/// Partitions of [`super::key`].
pub(crate) const PARTITIONS: u32 = 4;

const CLASS: ClassId = ClassId(0);

/// The key that a store is opened with unless it says otherwise.
pub(crate) fn leaf_key() -> LeafKey {
    LeafKey::new([0; 32])
}

/// All that a partition holds.
pub(crate) fn whole(partition: u32) -> ContentsRange {
    ContentsRange {
        class: CLASS,
        partition: PartitionId(partition),
        leaves: Leaves::ALL,
        from: KeyHash(0),
        through: KeyHash(u128::MAX),
        limit: kvorum_store::limits::CONTENTS_KEYS,
    }
}

impl Store {
    /// The tree of a partition, counted first if it is not known.
    pub(crate) fn tree(&mut self, partition: u32) -> Tree {
        for _ in 0..100 {
            let partition = PartitionId(partition);
            let token =
                self.submit(|token| StoreRequest::Leaves { token, class: CLASS, partition });
            self.settle();
            if let Some(leaves) = self.outcome(token).leaves.expect("an answer") {
                return Tree::of(*leaves);
            }
            self.pass_ms(1);
        }
        panic!("partition {partition} is never counted");
    }

    /// A page of what a partition holds.
    pub(crate) fn held(&mut self, range: ContentsRange) -> (Vec<ContentsKey>, bool) {
        let token = self.submit(|token| StoreRequest::Contents { token, range });
        self.settle();
        let page = self.outcome(token).held.expect("a page").expect("a readable index");
        (page.keys, page.more)
    }

    fn read_key(&mut self, key: RecordKey) -> Option<kvorum_protocol::EncodedSet> {
        let token = self.submit(|token| StoreRequest::Read { token, key });
        self.settle();
        self.outcome(token).read.expect("read").expect("readable")
    }

    /// The tree of a partition as its records have it.
    pub(crate) fn tree_of_records(&mut self, partition: u32) -> Tree {
        let mut tree = Tree::default();
        for ContentsKey { hash, key, .. } in self.held(whole(partition)).0 {
            let set = self.read_key(key);
            let digest = set.and_then(|set| Digest::new(set.live_digest().0));
            tree.change(&leaf_key(), CLASS, hash, (None, digest));
        }
        tree
    }

    /// What is wrong with the trees, if anything is.
    pub(crate) fn check_trees(&mut self) -> Result<(), String> {
        self.settle();
        for partition in 0..PARTITIONS {
            let (kept, counted) = (self.tree(partition), self.tree_of_records(partition));
            if kept != counted {
                let differing = kept.differing(counted.leaves());
                return Err(format!("the tree of partition {partition} is off in {differing:?}"));
            }
        }
        Ok(())
    }
}

/// Some lives of a store with a random history, ended in all the ways there are, whose trees are checked in each.
pub(crate) fn live_and_die(options: &ShardOptions, seed: u64) -> Result<(), String> {
    let (mut files, disk, mut rng) = (SimFiles::new(), MemoryDisk::new(), Rng(seed));
    let mut history = History::new();
    for life in 0..4 {
        let opened = Store::open(&files, &disk, options.clone(), seed * 10 + life);
        let mut store = opened.map_err(|error| format!("seed {seed}: {error}"))?;
        history.forget_lost(&mut store);
        let check = |store: &mut Store| {
            store.check_trees().map_err(|what| format!("seed {seed}, life {life}: {what}"))
        };
        if rng.below(2) == 0 {
            // Known from the beginning, so that what follows is told to known trees and not counted at the end.
            check(&mut store)?;
        }
        let mix = Mix { keys: 12, steps: 80, removals: 6, bulk: 20 };
        history.run(&mut store, None, &disk, &mut rng, mix);
        check(&mut store)?;
        match rng.below(4) {
            0 => store.close(),
            1 => files = files.kill(),
            _ => files = files.crash(rng.next()),
        }
        let damage = match rng.below(3) {
            0 => IndexDamage::ALL[rng.below(6) as usize],
            1 => IndexDamage::Unflushed,
            _ => IndexDamage::None,
        };
        // A closed store's index is what it was.
        disk.crash(if store.closed { IndexDamage::None } else { damage }, rng.next());
    }
    Ok(())
}

/// A closed store whose log is lost, a start that notices, and one that cannot notice any more.
pub(crate) fn lose_the_log(options: &ShardOptions) -> Result<(), String> {
    let (files, disk) = (SimFiles::new(), MemoryDisk::new());
    let open = |files: &SimFiles, seed| {
        Store::open(files, &disk, options.clone(), seed).map_err(|error| error.to_string())
    };
    let mut store = open(&files, 1)?;
    for number in 0..24 {
        store.put(&format!("key{number}"), &format!("value {number}"));
    }
    store.settle();
    store.close();
    disk.crash(IndexDamage::None, 1);
    let files = files.crash(1);
    let names = files.list().map_err(|error| error.to_string())?;
    for segment in names.iter().filter(|name| name.ends_with(".main")) {
        files.remove(segment).map_err(|error| error.to_string())?;
    }
    let poorer = open(&files, 2)?;
    assert!(poorer.opened.report.refilling && poorer.opened.report.missing_segments > 0);
    // It dies before its first checkpoint.
    drop(poorer);
    disk.crash(IndexDamage::None, 2);
    let mut again = open(&files.crash(2), 3)?;
    assert_eq!(again.opened.report.missing_segments, 0);
    again.check_trees()
}
