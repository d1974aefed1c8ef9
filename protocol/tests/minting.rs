//! What a write replaces, what it remembers, and when it is refused.

use bytes::Bytes;
use kvorum_protocol::limits::{SIBLING_BYTES, SIBLINGS, SUPERSEDED_IDS};
use kvorum_protocol::{
    Actor, Change, Clock, Dot, Found, LiveDigest, MintRefusal, Minted, OperationId, Replaces,
    VersionSet,
};

const A: Actor = Actor(1);
const B: Actor = Actor(2);

fn value(text: &str) -> Change {
    Change::Value { bytes: Bytes::copy_from_slice(text.as_bytes()), expires_at_ms: None }
}

fn operation(number: usize) -> OperationId {
    OperationId(number as u128)
}

fn put(set: &VersionSet, actor: Actor, replaces: Replaces, number: usize) -> Minted {
    set.mint(actor, replaces, value("value"), operation(number)).expect("minted")
}

fn delete(set: &VersionSet, actor: Actor, replaces: Replaces, number: usize) -> Minted {
    set.mint(actor, replaces, Change::Delete, operation(number)).expect("minted")
}

#[test]
fn two_puts_with_one_old_context_are_siblings_and_a_put_with_both_resolves_them() {
    let first = put(&VersionSet::empty(), A, Replaces::Nothing, 1);
    let context = first.set.clock().clone();
    let left = put(&first.set, A, Replaces::Context(context.clone()), 2);
    let right = put(&left.set, A, Replaces::Context(context), 3);
    assert_eq!(left.replaced, [first.dot]);
    assert_eq!(right.replaced, []);
    assert_eq!(right.set.versions().len(), 2);
    let resolved = put(&right.set, A, Replaces::Context(right.set.clock().clone()), 4);
    assert_eq!(resolved.replaced, [left.dot, right.dot]);
    assert_eq!(resolved.set.versions().len(), 1);
    assert_eq!(resolved.dot, Dot::new(A, 4));
}

#[test]
fn a_context_that_knows_more_than_the_coordinator_raises_its_clock() {
    let elsewhere =
        put(&put(&VersionSet::empty(), B, Replaces::Nothing, 1).set, B, Replaces::Latest, 2);
    let minted = put(&VersionSet::empty(), A, Replaces::Context(elsewhere.set.clock().clone()), 3);
    assert_eq!(minted.set.clock(), &Clock::of([(A, 1), (B, 2)]));
    // What it replaced, without ever having held it, does not stand beside it when it arrives.
    assert_eq!(minted.set.merge(&elsewhere.set).versions().len(), 1);
}

#[test]
fn a_delete_leaves_a_tombstone_that_knows_what_it_deleted() {
    let written = put(&VersionSet::empty(), A, Replaces::Nothing, 1);
    let deleted = delete(&written.set, A, Replaces::Latest, 2);
    assert!(deleted.set.is_tombstone() && !deleted.set.is_empty());
    assert_eq!(deleted.set.live_digest(), LiveDigest::NOTHING);
    assert_eq!(deleted.set.find_operation(operation(2)), Some(Found::Deleted(deleted.dot)));
    assert_eq!(
        deleted.set.find_operation(operation(1)),
        Some(Found::Superseded { by: deleted.dot })
    );
    // A retried put that was deleted meanwhile is recognised, wherever the delete has arrived.
    let merged = written.set.merge(&deleted.set);
    assert_eq!(merged, deleted.set);
}

#[test]
fn a_delete_of_nothing_is_refused() {
    let refused =
        |set: &VersionSet, replaces| set.mint(A, replaces, Change::Delete, operation(1)).err();
    let empty = VersionSet::empty();
    let written = put(&empty, A, Replaces::Nothing, 1).set;
    assert_eq!(refused(&empty, Replaces::Latest), Some(MintRefusal::NothingToDelete));
    assert_eq!(refused(&written, Replaces::Nothing), Some(MintRefusal::NothingToDelete));
    assert_eq!(
        refused(&written, Replaces::Context(Clock::EMPTY)),
        Some(MintRefusal::NothingToDelete)
    );
    assert_eq!(refused(&written, Replaces::Latest), None);
}

#[test]
fn the_last_eight_operations_are_remembered_and_a_full_memory_says_so() {
    let mut set = VersionSet::empty();
    for number in 1..=SUPERSEDED_IDS + 1 {
        assert!(!set.operation_ids_full(), "full before {number}");
        set = put(&set, A, Replaces::Latest, number).set;
    }
    assert!(set.operation_ids_full());
    for number in 1..=SUPERSEDED_IDS {
        assert!(
            matches!(set.find_operation(operation(number)), Some(Found::Superseded { .. })),
            "{number}"
        );
    }
    let set = put(&set, A, Replaces::Latest, 100).set;
    assert_eq!(set.find_operation(operation(1)), None);
    assert!(matches!(set.find_operation(operation(2)), Some(Found::Superseded { .. })));
    assert!(matches!(set.find_operation(operation(100)), Some(Found::Live(_))));
}

#[test]
fn a_resolving_put_remembers_the_newest_operation_of_each_sibling_first() {
    let chain = |actor, numbers: std::ops::RangeInclusive<usize>| {
        numbers
            .fold(VersionSet::empty(), |set, number| put(&set, actor, Replaces::Latest, number).set)
    };
    let siblings = chain(A, 1..=6).merge(&chain(B, 11..=13));
    let resolved = put(&siblings, A, Replaces::Latest, 20);
    let (_, version) = &resolved.set.versions()[0];
    let remembered: Vec<u128> = version.superseded.iter().map(|id| id.0).collect();
    assert_eq!(
        remembered,
        [6, 13, 5, 12, 4, 11, 3, 2],
        "what was live first, then what those remembered, in turn"
    );
}

#[test]
fn unreplaced_deletes_stay_few_and_the_newest_stays() {
    let mut set = put(&VersionSet::empty(), A, Replaces::Nothing, 1).set;
    let context = Clock::of([(B, 1)]);
    for number in 10..40 {
        let minted = delete(&set, A, Replaces::Context(context.clone()), number);
        assert_eq!(minted.set.find_operation(operation(number)), Some(Found::Deleted(minted.dot)));
        set = minted.set;
        assert!(set.deletions().len() <= SUPERSEDED_IDS);
    }
    assert!(set.operation_ids_full());
    assert_eq!(set.find_operation(operation(1)), Some(Found::Live(Dot::new(A, 1))));
}

#[test]
fn a_crowded_key_refuses_only_what_adds_a_sibling() {
    let mut set = VersionSet::empty();
    for number in 0..SIBLINGS {
        set = put(&set, A, Replaces::Nothing, number).set;
    }
    let refused =
        |set: &VersionSet, replaces| set.mint(A, replaces, value("more"), operation(999)).err();
    assert_eq!(refused(&set, Replaces::Nothing), Some(MintRefusal::TooManySiblings));
    let unrelated = Clock::of([(B, 1)]);
    assert_eq!(refused(&set, Replaces::Context(unrelated)), Some(MintRefusal::TooManySiblings));
    assert_eq!(refused(&set, Replaces::Latest), None);
    assert!(set.mint(A, Replaces::Latest, Change::Delete, operation(999)).is_ok());
    // Merging never refuses.
    let more = put(&VersionSet::empty(), B, Replaces::Nothing, 1_000).set;
    assert_eq!(set.merge(&more).versions().len(), SIBLINGS + 1);
}

#[test]
fn a_key_heavy_with_siblings_refuses_another() {
    let heavy = Change::Value { bytes: Bytes::from(vec![0; SIBLING_BYTES]), expires_at_ms: None };
    let set =
        VersionSet::empty().mint(A, Replaces::Nothing, heavy, operation(1)).expect("minted").set;
    assert_eq!(set.value_bytes(), SIBLING_BYTES);
    let another = set.mint(A, Replaces::Nothing, value("more"), operation(2));
    assert_eq!(another.err(), Some(MintRefusal::TooManySiblings));
}

#[test]
fn of_two_versions_of_one_operation_a_reader_sees_the_lower_dots_and_replaces_both() {
    let here = put(&VersionSet::empty(), A, Replaces::Nothing, 7);
    let there = put(&VersionSet::empty(), B, Replaces::Nothing, 7);
    let merged = here.set.merge(&there.set);
    assert_eq!(merged.values().map(|(dot, _)| *dot).collect::<Vec<_>>(), [here.dot]);
    assert_eq!(merged.versions().len(), 2);
    let next = put(&merged, A, Replaces::Context(merged.clock().clone()), 8);
    assert_eq!(next.replaced, [here.dot, there.dot]);
}

#[test]
fn a_retry_met_after_its_first_version_was_replaced_stays_live_unseen_whatever_the_order() {
    let first = put(&VersionSet::empty(), A, Replaces::Nothing, 7);
    let retried = put(&VersionSet::empty(), B, Replaces::Nothing, 7);
    let replaced = put(&first.set, A, Replaces::Latest, 8);
    let pair_first = first.set.merge(&retried.set).merge(&replaced.set);
    let replacement_first = first.set.merge(&retried.set.merge(&replaced.set));
    assert_eq!(pair_first, replacement_first);
    assert_eq!(pair_first.versions().len(), 2);
    assert_eq!(pair_first.values().count(), 1);
}

#[test]
fn the_digest_sees_dots_values_and_expiries_and_nothing_else() {
    let base = put(&VersionSet::empty(), A, Replaces::Nothing, 1).set;
    let digest = base.live_digest();
    assert_eq!(
        put(&VersionSet::empty(), A, Replaces::Nothing, 2).set.live_digest(),
        digest,
        "not the operation"
    );
    assert_ne!(
        put(&VersionSet::empty(), B, Replaces::Nothing, 1).set.live_digest(),
        digest,
        "the dot"
    );
    let other = VersionSet::empty()
        .mint(A, Replaces::Nothing, value("other"), operation(1))
        .expect("minted");
    assert_ne!(other.set.live_digest(), digest, "the value");
    let expiring = Change::Value { bytes: Bytes::from_static(b"value"), expires_at_ms: Some(0) };
    let expiring =
        VersionSet::empty().mint(A, Replaces::Nothing, expiring, operation(1)).expect("minted");
    assert_ne!(expiring.set.live_digest(), digest, "the expiry");
    let wider = VersionSet::from_parts(
        Clock::of([(A, 1), (B, 9)]),
        base.versions().to_vec(),
        Vec::new(),
        base.surplus().clone(),
    );
    assert_eq!(wider.map(|set| set.live_digest()), Ok(digest), "not the clock");
}

#[test]
fn what_replaces_a_write_that_its_coordinator_does_not_hold_admits_to_forgotten_operations() {
    let unseen = put(&VersionSet::empty(), A, Replaces::Nothing, 1).set;
    let context = Replaces::Context(unseen.clock().clone());
    let second = put(&VersionSet::empty(), B, context.clone(), 2).set;
    let merged = unseen.merge(&second);
    assert_eq!(merged.find_operation(operation(1)), None);
    assert!(merged.operation_ids_full());
    let third = put(&merged, B, Replaces::Latest, 3).set;
    assert!(third.operation_ids_full(), "whoever replaces it inherits the doubt");
    assert_eq!(third.find_operation(operation(0)), None, "the doubt is no operation");

    let held = put(&unseen, B, context, 2).set;
    assert!(!held.operation_ids_full(), "what is held has a name");
}
