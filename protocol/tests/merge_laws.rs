//! What holds of every merge, over random histories of four replicas.

use bytes::Bytes;
use kvorum_protocol::codec::{decode, encode};
use kvorum_protocol::{Actor, Change, OperationId, Replaces, VersionSet};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

const REPLICAS: usize = 4;

#[derive(Clone, Copy, Debug)]
struct Step {
    kind: u8,
    at: usize,
    other: usize,
    operation: u8,
}

fn history() -> impl Strategy<Value = Vec<Step>> {
    let step = (any::<u8>(), 0..REPLICAS, 0..REPLICAS, 0..6u8);
    vec(step.prop_map(|(kind, at, other, operation)| Step { kind, at, other, operation }), 0..40)
}

/// Four replicas after a history. With `retries` a few operation ids are used again and again at different replicas, as by
/// clients that retry elsewhere; without, each write has its own.
fn replicas(history: &[Step], retries: bool) -> [VersionSet; REPLICAS] {
    let mut sets: [VersionSet; REPLICAS] = Default::default();
    for (number, step) in history.iter().enumerate() {
        let read = sets[step.other].clock().clone();
        let operation =
            OperationId(if retries { u128::from(step.operation) } else { number as u128 });
        let value =
            Change::Value { bytes: Bytes::from(vec![operation.0 as u8; 3]), expires_at_ms: None };
        let (replaces, change) = match step.kind % 8 {
            0 | 1 => (Replaces::Latest, value),
            2 | 3 => (Replaces::Nothing, value),
            4 => (Replaces::Context(read), value),
            5 => (Replaces::Context(read), Change::Delete),
            _ => {
                sets[step.at] = sets[step.at].merge(&sets[step.other]);
                continue;
            }
        };
        // A coordinator mints no operation that it already knows.
        if sets[step.at].find_operation(operation).is_none()
            && let Ok(minted) =
                sets[step.at].mint(Actor(step.at as u64), replaces, change, operation)
        {
            sets[step.at] = minted.set;
        }
    }
    sets
}

/// All replicas after everybody exchanged with everybody, in the order that the seed gives.
fn converge(mut sets: [VersionSet; REPLICAS], seed: u64) -> [VersionSet; REPLICAS] {
    for round in 0..2 * REPLICAS {
        for step in 0..REPLICAS {
            let from = (seed as usize + step * (1 + round % 3)) % REPLICAS;
            let into = (from + 1 + (seed >> (round % 8)) as usize % (REPLICAS - 1)) % REPLICAS;
            sets[into] = sets[into].merge(&sets[from]);
            sets[from] = sets[from].merge(&sets[into]);
        }
    }
    let all = sets.iter().fold(VersionSet::empty(), |all, set| all.merge(set));
    sets.map(|set| set.merge(&all))
}

proptest! {
    #[test]
    fn merging_is_commutative_associative_and_idempotent(history in history(), retries in any::<bool>()) {
        let [a, b, c, _] = replicas(&history, retries);
        prop_assert_eq!(a.merge(&b), b.merge(&a));
        prop_assert_eq!(a.merge(&b).merge(&c), a.merge(&b.merge(&c)));
        prop_assert_eq!(a.merge(&a), a.clone());
        prop_assert_eq!(a.merge(&b).merge(&b), a.merge(&b));
        prop_assert_eq!(a.merge(&VersionSet::empty()), a);
    }

    #[test]
    fn with_retries_elsewhere_replicas_agree_in_the_end_and_show_one_value_for_each_operation(
        history in history(),
        seed in any::<u64>(),
    ) {
        let sets = replicas(&history, true);
        let [first, rest @ ..] = converge(sets, seed);
        for other in rest {
            prop_assert_eq!(&other, &first);
        }
        let mut shown: Vec<OperationId> = first.values().map(|(_, version)| version.operation).collect();
        shown.sort();
        prop_assert!(shown.is_sorted_by(|left, right| left < right), "one value per operation id");
        for (_, version) in first.versions() {
            let operation = version.operation;
            let is_replaced = first.versions().iter().any(|(_, other)| other.superseded.contains(operation))
                || first.deletions().iter().any(|(_, other)| other.superseded.contains(operation));
            prop_assert!(shown.contains(&operation) || is_replaced);
        }
    }

    #[test]
    fn a_set_that_overtakes_another_is_their_merge(history in history(), retries in any::<bool>()) {
        let sets = replicas(&history, retries);
        for (newer, older) in sets.iter().flat_map(|newer| sets.iter().map(move |older| (newer, older))) {
            if newer.overtakes(older) {
                // The other way round nothing is known beforehand.
                prop_assert!(!older.overtakes(newer));
                prop_assert_eq!(&newer.merge(older), newer);
            }
        }
    }

    #[test]
    fn merging_in_says_whether_anything_changed(history in history()) {
        let [a, b, ..] = replicas(&history, false);
        let mut merged = a.clone();
        prop_assert_eq!(merged.merge_into(&b), a.merge(&b) != a);
        prop_assert!(!merged.merge_into(&b));
        prop_assert!(merged.clock().descends(a.clock()) && merged.clock().descends(b.clock()));
    }

    #[test]
    fn every_set_of_every_history_is_valid_and_reads_back(history in history()) {
        for set in replicas(&history, true) {
            prop_assert_eq!(decode::<VersionSet>(encode(&set)), Ok(set));
        }
    }

    #[test]
    fn sets_with_the_same_live_versions_have_the_same_digest(history in history()) {
        let [a, b, ..] = replicas(&history, false);
        let live = |set: &VersionSet| set.versions().iter().map(|(dot, version)| (*dot, version.value.clone())).collect::<Vec<_>>();
        prop_assert_eq!(live(&a) == live(&b), a.live_digest() == b.live_digest());
    }
}

/// Found by the simulator: each of two retried operations replaced the other somewhere, and all of the key was lost.
#[test]
fn retries_that_replaced_each_other_on_two_branches_lose_nothing() {
    let mint = |set: &VersionSet, actor, operation| {
        let bytes = Bytes::from(vec![operation as u8]);
        let change = Change::Value { bytes, expires_at_ms: None };
        set.mint(Actor(actor), Replaces::Latest, change, OperationId(operation)).unwrap().set
    };
    let one = mint(&VersionSet::empty(), 1, 1);
    let two = mint(&VersionSet::empty(), 2, 2);
    let two_over_one = mint(&one, 3, 2);
    let one_over_two = mint(&two, 4, 1);
    let here = two.merge(&two_over_one).merge(&one_over_two);
    let there = one.merge(&one_over_two).merge(&two_over_one);
    let shown = |set: &VersionSet| -> Vec<u128> {
        set.values().map(|(_, version)| version.operation.0).collect()
    };
    assert_eq!(shown(&here.merge(&there)), [2, 1]);
    assert_eq!(shown(&one.merge(&one_over_two)), [1], "one operation, one value");
}

/// One operation minted at two replicas, and a write that read and replaced just one of the two versions.
#[test]
fn the_second_dot_of_an_operation_is_not_shown_beside_what_replaced_the_first() {
    let value = || Change::Value { bytes: Bytes::from_static(b"v"), expires_at_ms: None };
    let minted = |actor| {
        VersionSet::empty().mint(Actor(actor), Replaces::Nothing, value(), OperationId(7)).unwrap()
    };
    for (read, late) in [(1, 2), (2, 1)] {
        for change in [value(), Change::Delete] {
            let (read, late) = (minted(read).set, minted(late).set);
            let next = read.mint(Actor(3), Replaces::Latest, change, OperationId(8)).unwrap();
            let merged = next.set.merge(&late);
            assert!(merged.values().eq(next.set.versions()), "no sibling that its writer has read");
            assert!(merged.clock().descends(late.clock()), "and a context covers it");
            let resolved =
                merged.mint(Actor(4), Replaces::Latest, value(), OperationId(9)).unwrap();
            assert_eq!(resolved.set.versions().len(), 1, "so that the next write replaces it, too");
        }
    }
}
