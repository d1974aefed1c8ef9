//! Trees against the plainest model there is: a map from keys to digests.
//!
//! Random cases print the smallest failure found and how proptest repeats it.

use std::collections::{BTreeMap, BTreeSet};

use kvorum_antientropy::{Digest, LEAVES, LeafKey, Tree, leaf_of};
use kvorum_ring::{ClassId, KeyHash};
use proptest::collection::vec;
use proptest::prelude::{Strategy, prop_assert_eq, prop_assert_ne, proptest};

const CLASS: ClassId = ClassId(0);

/// What a partition holds.
type Contents = BTreeMap<KeyHash, Digest>;

fn secret() -> LeafKey {
    LeafKey::new([7; 32])
}

fn key(number: u32) -> KeyHash {
    KeyHash::of(b"bucket", &number.to_be_bytes())
}

fn built(contents: &Contents) -> Tree {
    let mut tree = Tree::default();
    contents
        .iter()
        .for_each(|(key, digest)| tree.change(&secret(), CLASS, *key, (None, Some(*digest))));
    tree
}

/// Changes of live contents: (key, new digest), where zero deletes. Few keys, so that updates and deletes hit.
fn changes() -> impl Strategy<Value = Vec<(u32, u128)>> {
    vec((0u32..60, 0u128..4), 0..200)
}

/// Applies changes to a tree and to the model.
fn change(tree: &mut Tree, contents: &mut Contents, changes: &[(u32, u128)]) {
    for (number, digest) in changes {
        let new = Digest::new(*digest);
        let old = match new {
            Some(new) => contents.insert(key(*number), new),
            None => contents.remove(&key(*number)),
        };
        tree.change(&secret(), CLASS, key(*number), (old, new));
    }
}

proptest! {
    #[test]
    fn a_tree_kept_up_to_date_equals_the_tree_rebuilt(changes in changes()) {
        let (mut tree, mut contents) = (Tree::default(), Contents::new());
        change(&mut tree, &mut contents, &changes);
        prop_assert_eq!(tree, built(&contents));
    }

    #[test]
    fn the_order_of_updates_to_different_keys_does_not_matter(
        numbers in proptest::collection::btree_map(0u32..1_000, 1u128..9, 1..60), rotation in 0usize..60,
    ) {
        let mut order: Vec<(u32, u128)> = numbers.into_iter().collect();
        let (mut forward, mut rotated) = (Tree::default(), Tree::default());
        change(&mut forward, &mut Contents::new(), &order);
        let by = rotation % order.len();
        order.rotate_left(by);
        order.reverse();
        change(&mut rotated, &mut Contents::new(), &order);
        prop_assert_eq!(forward, rotated);
    }

    #[test]
    fn roots_are_equal_exactly_when_contents_are(left in changes(), right in changes(), same in 0u8..2) {
        let (mut one, mut other) = (Contents::new(), Contents::new());
        let (mut left_tree, mut right_tree) = (Tree::default(), Tree::default());
        change(&mut left_tree, &mut one, &left);
        change(&mut right_tree, &mut other, if same == 1 { &left } else { &right });
        if one == other {
            prop_assert_eq!(left_tree.root(), right_tree.root());
        } else {
            prop_assert_ne!(left_tree.root(), right_tree.root());
        }
    }

    #[test]
    fn exactly_the_leaves_of_differing_keys_differ(common in changes(), ours in vec((0u32..60, 0u128..4), 0..12)) {
        let (mut our_tree, mut our_contents) = (Tree::default(), Contents::new());
        change(&mut our_tree, &mut our_contents, &common);
        let (their_tree, their_contents) = (our_tree.clone(), our_contents.clone());
        change(&mut our_tree, &mut our_contents, &ours);

        let keys = (0..60).map(key).filter(|key| our_contents.get(key) != their_contents.get(key));
        let expected: BTreeSet<usize> = keys.map(leaf_of).collect();
        let found = our_tree.differing(their_tree.leaves());
        prop_assert_eq!((0..LEAVES).filter(|leaf| found.0 & (1 << leaf) != 0).collect::<BTreeSet<_>>(), expected);
    }

    #[test]
    fn a_tree_is_the_sum_of_trees_of_its_parts(left in changes(), cut in 0u32..60) {
        let mut contents = Contents::new();
        change(&mut Tree::default(), &mut contents, &left);
        let (low, high) = contents.iter().partition(|(held, _)| **held < key(cut));
        let mut sum = built(&low);
        sum.add(&built(&high));
        prop_assert_eq!(sum, built(&contents));
    }
}

#[test]
fn bug_12_the_order_in_which_contents_came_about_leaves_no_difference() {
    // Two replicas saw the same writes in opposite order, one of them through versions that the other never had.
    let (mut ours, mut theirs) = (Tree::default(), Tree::default());
    change(&mut ours, &mut Contents::new(), &[(1, 5), (2, 6), (1, 7), (3, 1), (3, 0)]);
    change(&mut theirs, &mut Contents::new(), &[(2, 6), (1, 7)]);
    assert_eq!(ours.root(), theirs.root());
    assert!(ours.differing(theirs.leaves()).is_empty());
}

#[test]
fn bug_14_deleting_the_last_key_of_the_last_leaf_leaves_no_trace() {
    let last_leaf = LEAVES - 1;
    let in_last_leaf = (0..).map(key).find(|key| leaf_of(*key) == last_leaf).unwrap();
    let digest = Digest::new(9);
    let others: Contents = (0..30)
        .map(key)
        .filter(|key| leaf_of(*key) != last_leaf)
        .map(|key| (key, Digest::new(3).unwrap()))
        .collect();
    for before in [Contents::new(), others] {
        let mut tree = built(&before);
        tree.change(&secret(), CLASS, in_last_leaf, (None, digest));
        assert_ne!(tree.root(), built(&before).root());
        tree.change(&secret(), CLASS, in_last_leaf, (digest, None));
        assert_eq!(tree, built(&before));
    }
}

#[test]
fn the_same_contents_in_another_class_or_under_another_secret_have_another_root() {
    let root = |class, secret| {
        let mut tree = Tree::default();
        tree.change(&LeafKey::new([secret; 32]), ClassId(class), key(1), (None, Digest::new(1)));
        tree.root()
    };
    assert_ne!(root(0, 1), root(1, 1));
    assert_ne!(root(0, 1), root(0, 2));
    assert_ne!(LeafKey::new([1; 32]).id(), LeafKey::new([2; 32]).id());
    assert_ne!(LeafKey::derived_from(&[1; 32]), LeafKey::new([1; 32]));
}

#[test]
fn the_root_of_given_contents_never_changes_from_release_to_release() {
    // Pinned: owners of different releases compare their trees, and a node reads those that an older one saved.
    let contents =
        (0..100).map(|number| (key(number), Digest::new(u128::from(number) + 1).unwrap()));
    assert_eq!(
        format!("{:032x}", built(&contents.collect()).root().0),
        "66f8ea9a2ef6e42e138d9cf4d892f07d"
    );
    assert_eq!(format!("{:016x}", LeafKey::derived_from(&[7; 32]).id()), "7b1ed3fabe3aa8fe");
}
