//! Hash trees on disk: what spares a start counting every key.
//!
//! They are written with each checkpoint, just before the manifest that names the same batch, and hold for what that
//! checkpoint covers: trees into which anything went that was not synced are left out, and of what the log holds behind the
//! checkpoint a start counts the partitions anew. So nothing is ever counted twice, and nothing that a crash took is in a
//! sum. Like everything derived they may be lost: a file that is damaged, of another checkpoint or made under another key
//! counts as absent, and never keeps a store from opening. Two slots are written in turn, so that a torn write leaves
//! the trees of the manifest that still counts.

use bytes::Bytes;
use kvorum_antientropy::{LEAVES, Sum, Tree};
use kvorum_protocol::codec::{Wire, Writer, decode};
use kvorum_protocol::wire_struct;
use kvorum_ring::{ClassId, PartitionId};

use crate::files::{File, FileError, Files};
use crate::log::manifest::{Manifest, StoreId};

/// The file names of the slots; version `v` is in slot `v % 2`.
const SLOTS: [&str; 2] = ["trees-a", "trees-b"];
const MAGIC: &[u8; 8] = b"kvorumht";
/// The version of the envelope; the body inside evolves by appended fields.
const FORMAT: u16 = 1;
const HEAD_BYTES: usize = 8 + 2 + 4;
const CHECKSUM_BYTES: usize = 32;

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

impl SavedTrees {
    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        self.write(&mut Writer::new(&mut body));
        let mut out = Vec::with_capacity(HEAD_BYTES + body.len() + CHECKSUM_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
        out.extend_from_slice(&body);
        let checksum = blake3::hash(&out);
        out.extend_from_slice(checksum.as_bytes());
        out
    }

    fn decode(bytes: Bytes) -> Option<SavedTrees> {
        let head = bytes.get(..HEAD_BYTES)?;
        if &head[..8] != MAGIC || head[8..10] != FORMAT.to_le_bytes() {
            return None;
        }
        let length = u32::from_le_bytes(*head[10..].first_chunk()?) as usize;
        let end = HEAD_BYTES.checked_add(length)?;
        let checksum = bytes.get(end..end.checked_add(CHECKSUM_BYTES)?)?;
        if checksum != blake3::hash(&bytes[..end]).as_bytes() {
            return None;
        }
        decode(bytes.slice(HEAD_BYTES..end)).ok()
    }
}

/// The trees that belong to what the manifest says, made under the key of this name. Whatever is wrong with a file, it
/// counts as absent.
pub(crate) fn read<F: Files>(files: &F, manifest: &Manifest, key: u64) -> Option<SavedTrees> {
    let fits = |saved: &SavedTrees| {
        (saved.store_id, saved.key, saved.batch)
            == (manifest.store_id, key, manifest.checkpoint_batch)
    };
    let found = SLOTS.into_iter().filter_map(|slot| read_slot(files, slot)).filter(fits);
    found.max_by_key(|saved| saved.version)
}

fn read_slot<F: Files>(files: &F, slot: &str) -> Option<SavedTrees> {
    let file = files.open(slot).ok()?;
    let mut bytes = vec![0; file.len().ok()? as usize];
    let read = file.read_at(0, &mut bytes).ok()?;
    bytes.truncate(read);
    SavedTrees::decode(bytes.into())
}

/// Writes trees into their slot and makes them durable.
///
/// # Errors
/// What the disk says. The other slot still stands.
pub(crate) fn write<F: Files>(files: &F, saved: &SavedTrees) -> Result<(), FileError> {
    let slot = SLOTS[(saved.version % 2) as usize];
    let (file, is_new) = match files.open(slot) {
        Ok(file) => (file, false),
        Err(error) if error.is_not_found() => (files.create(slot)?, true),
        Err(error) => return Err(error),
    };
    // What is left behind a shorter one of an earlier file is not covered by the length in front.
    file.write_at(0, &saved.encode())?;
    file.sync_data()?;
    if is_new {
        files.sync_dir()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kvorum_antientropy::{LEAVES, Sum, Tree};
    use kvorum_ring::{ClassId, PartitionId};

    use super::{Counted, SavedTree, SavedTrees};
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
    fn trees_read_back_and_every_flipped_bit_and_cut_is_seen() {
        let bytes = saved().encode();
        let read = SavedTrees::decode(bytes.clone().into());
        assert_eq!(read, Some(saved()));
        assert_eq!(read.unwrap().trees[0].tree().unwrap().leaves()[LEAVES - 1], Sum(16));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SavedTrees::decode(flipped.into()), None, "bit {bit}");
        }
        for end in 0..bytes.len() {
            let cut = Bytes::copy_from_slice(&bytes[..end]);
            assert_eq!(SavedTrees::decode(cut), None, "cut at {end}");
        }
    }

    #[test]
    fn a_tree_of_another_shape_is_none() {
        let [SavedTree { of, leaves }] = &saved().trees[..] else { panic!("one tree") };
        let fewer = SavedTree { of: *of, leaves: leaves.slice(16..) };
        assert_eq!(fewer.tree(), None);
    }
}
