//! Trees against the plainest model there is: a map from keys to digests.
//!
//! Random cases print the smallest failure found and how proptest repeats it.

use std::collections::{BTreeMap, BTreeSet};

use kvorum_antientropy::{Digest, LeafKey, Shape, Tree, Walk};
use kvorum_ring::{ClassId, KeyHash};
use proptest::collection::vec;
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, prop_assert_ne, proptest};

const CLASS: ClassId = ClassId(0);

/// What a partition holds.
type Contents = BTreeMap<KeyHash, Digest>;

fn key(number: u32) -> KeyHash {
    KeyHash::of(b"bucket", &number.to_be_bytes())
}

fn empty(depth: u8) -> Tree {
    Tree::new(Shape::new(depth).unwrap(), CLASS, LeafKey::new([7; 32]))
}

fn built(depth: u8, contents: &Contents) -> Tree {
    let mut tree = empty(depth);
    contents.iter().for_each(|(key, digest)| tree.apply(*key, None, Some(*digest)));
    tree
}

/// Every node of the tree, level by level.
fn all_nodes(tree: &mut Tree) -> Vec<u128> {
    let shape = tree.shape();
    let mut nodes = vec![tree.root().0];
    for level in 0..shape.depth() {
        for index in 0..shape.width(level) {
            nodes.extend(tree.children(level, index).unwrap().map(|child| child.0));
        }
    }
    nodes
}

/// Changes of live contents: (key, new digest), where zero deletes. Few keys, so that updates and deletes hit.
fn changes() -> impl Strategy<Value = Vec<(u32, u128)>> {
    vec((0u32..60, 0u128..4), 0..200)
}

/// Applies changes to a tree and to the model, asking for the root every `ask_every` changes.
fn change(tree: &mut Tree, contents: &mut Contents, changes: &[(u32, u128)], ask_every: usize) {
    for (count, (number, digest)) in changes.iter().enumerate() {
        let new = Digest::new(*digest);
        let old = match new {
            Some(new) => contents.insert(key(*number), new),
            None => contents.remove(&key(*number)),
        };
        tree.apply(key(*number), old, new);
        if count % ask_every == 0 {
            tree.root();
        }
    }
}

/// Lets a walk on `ours` ask `theirs`, up to `at_once` questions at a time, answered last in, first out. Returns the
/// leaves found and the questions asked.
fn walk(ours: &mut Tree, theirs: &mut Tree, at_once: usize) -> (BTreeSet<usize>, usize) {
    let mut walk = Walk::new(ours.shape(), ours.root(), theirs.root());
    let mut asked = 0;
    while !walk.is_finished() {
        let batch: Vec<_> = std::iter::from_fn(|| walk.next_question()).take(at_once).collect();
        assert!(!batch.is_empty(), "a walk that is not finished has a question");
        for question in batch.into_iter().rev() {
            let answer = theirs.children(question.level, question.index).unwrap();
            walk.answer(ours, question, &answer);
            walk.answer(ours, question, &answer);
            asked += 1;
        }
    }
    let leaves: BTreeSet<usize> = walk.differing_leaves().iter().copied().collect();
    assert_eq!(leaves.len(), walk.differing_leaves().len(), "no leaf is named twice");
    (leaves, asked)
}

proptest! {
    #[test]
    fn a_tree_kept_up_to_date_equals_the_tree_rebuilt(
        changes in changes(), depth in 1u8..=3, ask_every in 1usize..50,
    ) {
        let (mut tree, mut contents) = (empty(depth), Contents::new());
        change(&mut tree, &mut contents, &changes, ask_every);
        prop_assert_eq!(all_nodes(&mut tree), all_nodes(&mut built(depth, &contents)));
    }

    #[test]
    fn the_order_of_updates_to_different_keys_does_not_matter(
        numbers in proptest::collection::btree_map(0u32..1_000, 1u128..9, 1..60), rotation in 0usize..60,
    ) {
        let mut order: Vec<(u32, u128)> = numbers.into_iter().collect();
        let (mut forward, mut rotated) = (empty(2), empty(2));
        change(&mut forward, &mut Contents::new(), &order, 7);
        let by = rotation % order.len();
        order.rotate_left(by);
        order.reverse();
        change(&mut rotated, &mut Contents::new(), &order, 5);
        prop_assert_eq!(all_nodes(&mut forward), all_nodes(&mut rotated));
    }

    #[test]
    fn roots_are_equal_exactly_when_contents_are(left in changes(), right in changes(), same in 0u8..2) {
        let (mut one, mut other) = (Contents::new(), Contents::new());
        let (mut left_tree, mut right_tree) = (empty(2), empty(2));
        change(&mut left_tree, &mut one, &left, 200);
        change(&mut right_tree, &mut other, if same == 1 { &left } else { &right }, 200);
        if one == other {
            prop_assert_eq!(left_tree.root(), right_tree.root());
        } else {
            prop_assert_ne!(left_tree.root(), right_tree.root());
        }
    }

    #[test]
    fn a_walk_names_exactly_the_leaves_that_differ(
        common in changes(), ours in vec((0u32..60, 0u128..4), 0..12), depth in 1u8..=3, at_once in 1usize..40,
    ) {
        let (mut our_tree, mut our_contents) = (empty(depth), Contents::new());
        change(&mut our_tree, &mut our_contents, &common, 200);
        let (mut their_tree, their_contents) = (our_tree.clone(), our_contents.clone());
        change(&mut our_tree, &mut our_contents, &ours, 3);

        let keys = (0..60).map(key).filter(|key| our_contents.get(key) != their_contents.get(key));
        let expected: BTreeSet<usize> = keys.map(|key| our_tree.shape().leaf_of(key)).collect();
        let (found, asked) = walk(&mut our_tree, &mut their_tree, at_once);
        prop_assert!(asked <= expected.len() * usize::from(depth), "{} questions", asked);
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn bug_12_the_order_in_which_contents_came_about_leaves_no_difference() {
    // Two replicas saw the same writes in opposite order, one of them through versions that the other never had.
    let (mut ours, mut theirs) = (empty(3), empty(3));
    change(&mut ours, &mut Contents::new(), &[(1, 5), (2, 6), (1, 7), (3, 1), (3, 0)], 1);
    change(&mut theirs, &mut Contents::new(), &[(2, 6), (1, 7)], 100);
    assert_eq!(ours.root(), theirs.root());
    assert_eq!(walk(&mut ours, &mut theirs, 1), (BTreeSet::new(), 0));
}

#[test]
fn bug_14_deleting_the_last_key_of_the_last_leaf_leaves_no_trace() {
    let shape = Shape::new(2).unwrap();
    let last_leaf = shape.width(2) - 1;
    let in_last_leaf = (0..).map(key).find(|key| shape.leaf_of(*key) == last_leaf).unwrap();

    let (mut never_had_it, digest) = (empty(2), Digest::new(9));
    let mut deleted = empty(2);
    deleted.apply(in_last_leaf, None, digest);
    assert_ne!(deleted.root(), never_had_it.root());
    deleted.apply(in_last_leaf, digest, None);
    assert_eq!(all_nodes(&mut deleted), all_nodes(&mut never_had_it), "as the only key");

    let others: Contents = (0..30)
        .map(key)
        .filter(|key| shape.leaf_of(*key) != last_leaf)
        .map(|key| (key, Digest::new(3).unwrap()))
        .collect();
    let mut with_others = built(2, &others);
    with_others.apply(in_last_leaf, None, digest);
    with_others.root();
    with_others.apply(in_last_leaf, digest, None);
    assert_eq!(all_nodes(&mut with_others), all_nodes(&mut built(2, &others)), "among others");
}

#[test]
fn the_same_contents_in_another_class_or_under_another_secret_have_another_root() {
    let shape = Shape::new(1).unwrap();
    let root = |class, secret| {
        let mut tree = Tree::new(shape, ClassId(class), LeafKey::new([secret; 32]));
        tree.apply(key(1), None, Digest::new(1));
        tree.root()
    };
    assert_ne!(root(0, 1), root(1, 1));
    assert_ne!(root(0, 1), root(0, 2));
}

#[test]
fn the_root_of_given_contents_never_changes_from_release_to_release() {
    // Pinned: owners of different releases compare their trees.
    let contents =
        (0..100).map(|number| (key(number), Digest::new(u128::from(number) + 1).unwrap()));
    assert_eq!(built(3, &contents.collect()).root().0, 0x6b6171f4612f7f6ab97ddf4b4eb828da);
}

#[test]
fn trees_and_nodes_out_of_range_are_refused() {
    assert!(Shape::new(0).is_err() && Shape::new(5).is_err());
    let mut tree = empty(2);
    assert!(tree.children(2, 0).is_none(), "leaves have no children");
    assert!(tree.children(1, 16).is_none());
    assert_eq!(tree.children(1, 15).map(|children| children[0].0), Some(0));
}
