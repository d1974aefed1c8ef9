//! Hash trees on disk: what spares a start counting every key.
//!
//! They are written with each checkpoint, just before the manifest that names the same batch, and hold for what that
//! checkpoint covers: trees into which anything went that was not synced are left out, and of what the log holds behind the
//! checkpoint a start counts the partitions anew. So nothing is ever counted twice, and nothing that a crash took is in a
//! sum. Like everything derived they may be lost: a file that is damaged, of another checkpoint or made under another key
//! counts as absent, and never keeps a store from opening. Two slots are written in turn, so that a torn write leaves
//! the trees of the manifest that still counts. A start that lost records removes both before anything else: what was saved
//! would hide the loss from every other owner.

use bytes::Bytes;
use kvorum_antientropy::{LEAVES, Sum, Tree};
use kvorum_protocol::wire_struct;
use kvorum_ring::{ClassId, PartitionId};

use crate::files::{FileError, Files};
use crate::log::manifest::{Manifest, StoreId};
use crate::sealed::Seal;

const SEAL: Seal = Seal { magic: b"kvorumht", slots: ["trees-a", "trees-b"] };

wire_struct! {
    /// The trees of a shard at one checkpoint.
    pub(crate) struct SavedTrees {
        /// Counts the savings; of two valid files the higher counts.
        pub(crate) version: u64,
        /// The store that they belong to.
        pub(crate) store_id: StoreId,
        /// The name of the key that made their terms.
        pub(crate) key: u64,
        /// The batch of the checkpoint.
        pub(crate) batch: u64,
        /// A partition that is not listed has no live key. Otherwise nothing is known of it.
        pub(crate) others_are_empty: bool,
        /// What is known.
        pub(crate) trees: Vec<SavedTree>,
        /// Partitions that are to be counted anew although others are empty.
        pub(crate) unknown: Vec<Counted>,
    }
}

wire_struct! {
    /// A partition of a class.
    #[derive(Copy, PartialOrd, Ord)]
    pub(crate) struct Counted {
        /// The class.
        pub(crate) class: ClassId,
        /// The partition.
        pub(crate) partition: PartitionId,
    }
}

wire_struct! {
    /// One partition's tree.
    pub(crate) struct SavedTree {
        /// Whose.
        pub(crate) of: Counted,
        /// Its leaves, sixteen bytes each, big-endian.
        pub(crate) leaves: Bytes,
    }
}

impl SavedTree {
    /// The tree as it is saved.
    pub(crate) fn new(of: Counted, tree: &Tree) -> SavedTree {
        let leaves: Vec<u8> = tree.leaves().iter().flat_map(|sum| sum.0.to_be_bytes()).collect();
        SavedTree { of, leaves: leaves.into() }
    }

    /// The tree again; `None` when there are not sixteen leaves.
    pub(crate) fn tree(&self) -> Option<Tree> {
        let (leaves, rest) = self.leaves.as_chunks::<16>();
        let leaves: [[u8; 16]; LEAVES] = leaves.try_into().ok()?;
        rest.is_empty().then(|| Tree::of(leaves.map(|bytes| Sum(u128::from_be_bytes(bytes)))))
    }
}

/// The trees that belong to what the manifest says, made under the key of this name. Whatever is wrong with a file, it
/// counts as absent.
pub(crate) fn read<F: Files>(files: &F, manifest: &Manifest, key: u64) -> Option<SavedTrees> {
    let fits = |saved: &SavedTrees| {
        (saved.store_id, saved.key, saved.batch)
            == (manifest.store_id, key, manifest.checkpoint_batch)
    };
    all(files).filter(fits).max_by_key(|saved| saved.version)
}

/// The highest version of any trees that are there; 0 for none.
pub(crate) fn highest_version<F: Files>(files: &F) -> u64 {
    all(files).map(|saved| saved.version).max().unwrap_or(0)
}

fn all<F: Files>(files: &F) -> impl Iterator<Item = SavedTrees> {
    SEAL.slots.into_iter().filter_map(|slot| SEAL.read(files, slot).ok().flatten())
}

/// Writes trees into their slot and makes them durable.
///
/// # Errors
/// What the disk says. The other slot still stands.
pub(crate) fn write<F: Files>(files: &F, saved: &SavedTrees) -> Result<(), FileError> {
    SEAL.write(files, saved.version, saved)
}

/// Removes all trees, durably: of a store that lost records they would say that it has them.
///
/// # Errors
/// What the disk says. Some may be left then.
pub(crate) fn remove<F: Files>(files: &F) -> Result<(), FileError> {
    SEAL.remove(files)
}

#[cfg(test)]
mod tests {
    use kvorum_antientropy::{LEAVES, Sum, Tree};
    use kvorum_ring::{ClassId, PartitionId};

    use super::{Counted, SEAL, SavedTree, SavedTrees};
    use crate::log::manifest::StoreId;

    fn saved() -> SavedTrees {
        let of = |partition| Counted { class: ClassId(1), partition: PartitionId(partition) };
        let tree = Tree::of(std::array::from_fn(|leaf| Sum(leaf as u128 + 1)));
        SavedTrees {
            version: 3,
            store_id: StoreId(9),
            key: 7,
            batch: 12,
            others_are_empty: true,
            trees: vec![SavedTree::new(of(5), &tree)],
            unknown: vec![of(6)],
        }
    }

    #[test]
    fn trees_read_back_as_version_1_wrote_them() {
        let mut bytes = b"kvorumht\x01\x00\x23\x01\x00\x00".to_vec();
        bytes.extend_from_slice(&[151, 3, 196, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
        bytes.extend_from_slice(&[7, 12, 195, 145, 146, 146, 1, 5, 197, 1, 0]);
        for leaf in 1..=16 {
            bytes.extend_from_slice(&[0; 15]);
            bytes.push(leaf);
        }
        bytes.extend_from_slice(&[145, 146, 1, 6]);
        let checksum = blake3::hash(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        assert_eq!(SEAL.encode(&saved()), bytes);
        let read: Option<SavedTrees> = SEAL.decode(bytes.into());
        assert_eq!(read, Some(saved()));
        assert_eq!(read.unwrap().trees[0].tree().unwrap().leaves()[LEAVES - 1], Sum(16));
    }

    #[test]
    fn a_tree_of_another_shape_is_none() {
        let [SavedTree { of, leaves }] = &saved().trees[..] else { panic!("one tree") };
        let fewer = SavedTree { of: *of, leaves: leaves.slice(16..) };
        assert_eq!(fewer.tree(), None);
    }
}
