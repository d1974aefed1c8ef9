//! The hash tree of one partition and class.
//!
//! A complete tree of fan-out 16: the root is level 0, and level d, the leaves, has 16^d nodes. A key's leaf is the
//! low bits of its hash. (The top bits name the partition: they are the same for all its keys.) So when a partition
//! is split in two, each leaf is the sum of its two successors.
//!
//! A node above the leaves is the hash of its sixteen children, or zero when all of them are zero: a subtree without
//! keys looks the same whether it never had one or lost its last, and an empty tree needs no memory.
//!
//! Updates touch one leaf and mark the node above it. Hashes are brought up to date when somebody asks, each marked
//! node once: many updates between two questions cost one walk to the root, not many.

use kvorum_ring::{ClassId, KeyHash};

use crate::digest::{Digest, Kind, LeafKey, LeafSum};
use crate::limits;

/// Bits of a key's hash that choose among the children of one node.
const FAN_OUT_BITS: u8 = 4;

/// Children of each inner node. At sixteen, a difference in one of 65,536 leaves is found in four questions with
/// answers of 256 bytes.
pub const FAN_OUT: usize = 1 << FAN_OUT_BITS;

/// How many leaves a tree has. Part of what co-owners must agree on: trees of different shapes do not compare.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Shape {
    depth: u8,
}

/// A depth out of range; nothing was built.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a tree is 1 to {max} levels deep, not {0}", max = limits::MAX_DEPTH)]
pub struct ShapeError(pub u8);

impl Shape {
    /// A tree with this many levels below its root and therefore 16^depth leaves.
    ///
    /// # Errors
    /// [`ShapeError`] when the depth is not from 1 to [`limits::MAX_DEPTH`].
    pub fn new(depth: u8) -> Result<Shape, ShapeError> {
        if (1..=limits::MAX_DEPTH).contains(&depth) {
            Ok(Shape { depth })
        } else {
            Err(ShapeError(depth))
        }
    }

    /// The level of the leaves.
    pub fn depth(self) -> u8 {
        self.depth
    }

    /// Nodes in a level: 16 to the power of the level.
    pub fn width(self, level: u8) -> usize {
        1 << (FAN_OUT_BITS * level)
    }

    /// The leaf of a key, from 0 to `width(depth())`, exclusive.
    pub fn leaf_of(self, key: KeyHash) -> usize {
        key.0 as usize & (self.width(self.depth) - 1)
    }
}

/// What stands for everything below a node: of an inner node the hash of its children, of a leaf its sum, of both
/// zero when nothing is below.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct NodeHash(pub u128);

/// The hash tree of one partition and class. See the module's page.
#[derive(Clone, Debug)]
pub struct Tree {
    shape: Shape,
    class: ClassId,
    key: LeafKey,
    /// Empty until the first update.
    leaves: Vec<LeafSum>,
    /// Inner levels from the root down, current except for the marked nodes and those above them. Empty until the
    /// first update.
    inner: Vec<Vec<NodeHash>>,
    /// For each node of the lowest inner level, whether a leaf below it changed since its hash was computed.
    marked: Vec<bool>,
}

impl Tree {
    /// The tree of a partition without keys.
    pub fn new(shape: Shape, class: ClassId, key: LeafKey) -> Tree {
        Tree { shape, class, key, leaves: Vec::new(), inner: Vec::new(), marked: Vec::new() }
    }

    /// The tree's shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Takes note that a key's live content changed from `old` to `new`; `None` is no live content. `old` must be
    /// what the previous update of this key called `new`, or the leaf is off by a term until the tree is rebuilt.
    pub fn apply(&mut self, key: KeyHash, old: Option<Digest>, new: Option<Digest>) {
        if old == new {
            return;
        }
        self.allocate();
        let leaf = self.shape.leaf_of(key);
        if let Some(old) = old {
            self.leaves[leaf].subtract(&self.key, key, old, self.class);
        }
        if let Some(new) = new {
            self.leaves[leaf].add(&self.key, key, new, self.class);
        }
        self.marked[leaf / FAN_OUT] = true;
    }

    /// The hash of everything: equal for two trees of one shape, class and key when their contents are equal.
    pub fn root(&mut self) -> NodeHash {
        self.bring_up_to_date();
        self.inner.first().map_or(NodeHash::default(), |root| root[0])
    }

    /// The sixteen children of an inner node; `None` for a node that does not exist or has no children.
    pub fn children(&mut self, level: u8, index: usize) -> Option<[NodeHash; FAN_OUT]> {
        if level >= self.shape.depth || index >= self.shape.width(level) {
            return None;
        }
        self.bring_up_to_date();
        Some(self.current_children(level, index))
    }

    fn allocate(&mut self) {
        if self.leaves.is_empty() {
            let level = |level| vec![NodeHash::default(); self.shape.width(level)];
            self.inner = (0..self.shape.depth).map(level).collect();
            self.leaves = vec![LeafSum::default(); self.shape.width(self.shape.depth)];
            self.marked = vec![false; self.shape.width(self.shape.depth - 1)];
        }
    }

    /// The children as they are stored: right once the level below is.
    fn current_children(&self, level: u8, index: usize) -> [NodeHash; FAN_OUT] {
        let mut children = [NodeHash::default(); FAN_OUT];
        let range = index * FAN_OUT..(index + 1) * FAN_OUT;
        if self.leaves.is_empty() {
            return children;
        }
        if level + 1 == self.shape.depth {
            let sums = self.leaves[range].iter().map(|sum| NodeHash(sum.0));
            children.iter_mut().zip(sums).for_each(|(child, sum)| *child = sum);
        } else {
            children.copy_from_slice(&self.inner[usize::from(level) + 1][range]);
        }
        children
    }

    /// Computes the marked nodes anew, level by level upward.
    fn bring_up_to_date(&mut self) {
        let marks = self.marked.iter().enumerate();
        let mut stale: Vec<usize> =
            marks.filter(|(_, marked)| **marked).map(|(at, _)| at).collect();
        stale.iter().for_each(|node| self.marked[*node] = false);
        for level in (0..self.shape.depth).rev() {
            for node in &stale {
                self.inner[usize::from(level)][*node] = self.hash_of(level, *node);
            }
            stale.iter_mut().for_each(|node| *node /= FAN_OUT);
            stale.dedup();
        }
    }

    fn hash_of(&self, level: u8, index: usize) -> NodeHash {
        let children = self.current_children(level, index);
        if children.iter().all(|child| child.0 == 0) {
            return NodeHash::default();
        }
        let bytes = children.map(|child| child.0.to_be_bytes());
        NodeHash(self.key.hash(Kind::Node, &[&[level], bytes.as_flattened()]))
    }
}
