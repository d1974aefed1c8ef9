//! The hash tree of one partition and class: sixteen leaves, and their sum.
//!
//! A key's leaf is the low four bits of its hash. (The top bits name the partition: they are the same for all its keys.)
//! The root, and whatever stands above the roots, is a *sum* again, not a hash of its children. That is as safe as the
//! leaves are: what two replicas differ by is a sum of terms that nobody without the key can predict, so it is zero with
//! a probability of 2^-128 or they do not differ. And it costs nothing: no hash is computed above a term, no node is
//! marked and brought up to date, any range of partitions is compared by adding up, and two trees can be added.
//!
//! **Why sixteen.** A tree must cost an idle partition nothing and a full one little, and a difference must be found
//! without reading or sending much. 4,096 partitions, the default, have 65,536 leaves of 16 bytes: 1 MiB on a node that
//! owns them all, and none for a partition without keys. With 1,000,000 keys a leaf has 15 keys, whose hashes and tags
//! are 366 bytes; with 20,000,000, more than the index of one node holds, 305 keys and 7 KiB. So one key that differs
//! among a million is found with about 1.5 KiB: three steps of 256 bytes over the partitions' roots, 256 bytes of leaves,
//! and the keys of one leaf. At 256 leaves the last of these would be 24 bytes and the memory 16 MiB.

use kvorum_ring::{ClassId, KeyHash};

use crate::digest::{Digest, LeafKey, Term};

/// Leaves of a tree. Part of what co-owners must agree on, and of the format of saved trees.
pub const LEAVES: usize = 16;

/// A sum of terms mod 2^128. Zero where there is no key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Sum(pub u128);

impl Sum {
    /// With what another sum holds as well.
    #[must_use]
    pub fn plus(self, other: Sum) -> Sum {
        Sum(self.0.wrapping_add(other.0))
    }

    fn add(&mut self, term: Term) {
        self.0 = self.0.wrapping_add(term.0);
    }

    fn subtract(&mut self, term: Term) {
        self.0 = self.0.wrapping_sub(term.0);
    }
}

impl std::iter::Sum for Sum {
    fn sum<I: Iterator<Item = Sum>>(sums: I) -> Sum {
        sums.fold(Sum::default(), Sum::plus)
    }
}

/// Some leaves of a tree: bit `n` stands for leaf `n`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Leaves(pub u16);

impl Leaves {
    /// All of them.
    pub const ALL: Leaves = Leaves(u16::MAX);

    /// Whether the key's leaf is among them.
    pub fn contain(self, key: KeyHash) -> bool {
        self.0 & (1 << leaf_of(key)) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The leaf of a key, below [`LEAVES`].
pub fn leaf_of(key: KeyHash) -> usize {
    key.0 as usize % LEAVES
}

/// The tree of one partition and class. See the module's page.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tree {
    leaves: [Sum; LEAVES],
}

impl Tree {
    /// A tree of these leaves.
    pub fn of(leaves: [Sum; LEAVES]) -> Tree {
        Tree { leaves }
    }

    /// The leaves.
    pub fn leaves(&self) -> &[Sum; LEAVES] {
        &self.leaves
    }

    /// Takes note that a key's live content changed from `old` to `new`; `None` is no live content. `old` must be
    /// what the previous change of this key called `new`, or the leaf is off by a term until the tree is counted anew.
    pub fn change(
        &mut self,
        by: &LeafKey,
        class: ClassId,
        key: KeyHash,
        (old, new): (Option<Digest>, Option<Digest>),
    ) {
        if old == new {
            return;
        }
        let leaf = &mut self.leaves[leaf_of(key)];
        if let Some(old) = old {
            leaf.subtract(by.term(key, old, class));
        }
        if let Some(new) = new {
            leaf.add(by.term(key, new, class));
        }
    }

    /// Adds what another tree holds: of keys that this one does not hold, or of changes that it does not know.
    pub fn add(&mut self, other: &Tree) {
        for (leaf, more) in self.leaves.iter_mut().zip(&other.leaves) {
            *leaf = leaf.plus(*more);
        }
    }

    /// The sum of everything: equal for two trees of one class and key when their contents are equal, and only then.
    pub fn root(&self) -> Sum {
        self.leaves.iter().copied().sum()
    }

    /// The leaves in which two trees differ.
    pub fn differing(&self, other: &[Sum; LEAVES]) -> Leaves {
        let pairs = self.leaves.iter().zip(other).enumerate();
        let bits = pairs.filter(|(_, (ours, theirs))| ours != theirs).map(|(leaf, _)| 1 << leaf);
        Leaves(bits.sum())
    }
}
