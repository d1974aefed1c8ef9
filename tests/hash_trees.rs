//! Hash trees over real version sets: replicas that hold the same versions must not differ, however they came by them.
//!
//! Trees know only digests and version sets know nothing of trees; that the two fit together shows only here.

use kvorum_antientropy::{Digest, LeafKey, Tree};
use kvorum_protocol::{Actor, Change, OperationId, Replaces, VersionSet};
use kvorum_ring::{ClassId, KeyHash};

/// One key on one replica, and the tree that its changes feed.
struct Replica {
    set: VersionSet,
    tree: Tree,
}

impl Replica {
    fn new() -> Replica {
        Replica { set: VersionSet::empty(), tree: Tree::default() }
    }

    fn merge(&mut self, incoming: &VersionSet) {
        let old = Digest::new(self.set.live_digest().0);
        self.set.merge_into(incoming);
        let new = Digest::new(self.set.live_digest().0);
        let (secret, key) = (LeafKey::new([3; 32]), KeyHash::of(b"bucket", b"key"));
        self.tree.change(&secret, ClassId(0), key, (old, new));
    }
}

fn write(over: &VersionSet, actor: u64, replaces: Replaces, value: &'static [u8]) -> VersionSet {
    let change = Change::Value { bytes: value.into(), expires_at_ms: None };
    let operation = OperationId(u128::from(actor));
    over.mint(Actor(actor), replaces, change, operation).unwrap().set
}

#[test]
fn bug_12_siblings_merged_in_any_order_leave_nothing_to_repair() {
    let nothing = VersionSet::empty();
    let siblings =
        [1, 2, 3].map(|actor| write(&nothing, actor, Replaces::Nothing, b"the same bytes"));
    let (mut forward, mut backward) = (Replica::new(), Replica::new());
    siblings.iter().for_each(|sibling| forward.merge(sibling));
    siblings.iter().rev().for_each(|sibling| backward.merge(sibling));
    assert_eq!(forward.set.versions().len(), 3);
    assert_eq!(forward.tree, backward.tree, "equal replicas have nothing to ask each other");
}

#[test]
fn a_sibling_that_one_replica_lacks_shows_until_it_is_merged() {
    let nothing = VersionSet::empty();
    let siblings = [1, 2].map(|actor| write(&nothing, actor, Replaces::Nothing, b"value"));
    let (mut both, mut one) = (Replica::new(), Replica::new());
    siblings.iter().for_each(|sibling| both.merge(sibling));
    one.merge(&siblings[0]);
    assert_ne!(both.tree.root(), one.tree.root());
    one.merge(&siblings[1]);
    assert_eq!(both.tree.root(), one.tree.root());
}

#[test]
fn a_deleted_key_looks_like_one_that_never_was() {
    let written = write(&VersionSet::empty(), 1, Replaces::Nothing, b"value");
    let deleted = written.mint(Actor(1), Replaces::Latest, Change::Delete, OperationId(9)).unwrap();
    let mut replica = Replica::new();
    replica.merge(&written);
    replica.merge(&deleted.set);
    assert!(replica.set.is_tombstone());
    assert_eq!(replica.tree.root(), Replica::new().tree.root());
}
