//! Mergeable values over random histories of four replicas: their joins are joins, they agree with plain models, and an
//! operation id counts once.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kvorum_protocol::mergeable::{
    FieldChange, Joined, JoinedField, Operation, OperationRefusal, State, remembering,
};
use kvorum_protocol::{Actor, Change, MintRefusal, OperationId, Replaces, VersionSet, limits};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

const REPLICAS: usize = 4;

/// Events of one actor within which ids are remembered for certain.
const EVENTS: usize = limits::REMEMBERED_EVENTS;

#[derive(Clone, Copy, Debug)]
struct Step {
    kind: u8,
    at: usize,
    other: usize,
    what: u8,
}

fn history() -> impl Strategy<Value = Vec<Step>> {
    let step = (any::<u8>(), 0..REPLICAS, 0..REPLICAS, any::<u8>());
    vec(step.prop_map(|(kind, at, other, what)| Step { kind, at, other, what }), 0..60)
}

fn bytes(byte: u8) -> Bytes {
    Bytes::copy_from_slice(&[byte])
}

/// One replica, with what a plain model says that it has seen: for each event its operation, and what it observed.
#[derive(Clone, Default)]
struct Replica {
    set: VersionSet,
    events: usize,
    /// Ids whose effects are here.
    seen: BTreeSet<u128>,
    /// Adds that some remove here has observed, as (element, id).
    removed: BTreeSet<(u8, u128)>,
    /// Adds, as (element, id).
    added: BTreeSet<(u8, u128)>,
}

impl Replica {
    fn merge(&mut self, other: &Replica) {
        self.set = self.set.merge(&other.set);
        self.seen.extend(&other.seen);
        self.removed.extend(&other.removed);
        self.added.extend(&other.added);
    }

    /// Applies an operation as a coordinator does: never one that it already knows.
    fn operate(&mut self, actor: usize, id: u128, operation: Operation) -> bool {
        let known = OperationId(id);
        if self.set.find_operation(known).is_some() || remembering(&self.set, known).is_some() {
            return false;
        }
        let minted = self.set.mint(
            Actor(actor as u64),
            Replaces::Latest,
            Change::Operation(Box::new(operation)),
            known,
        );
        self.set = minted.expect("a small operation").set;
        self.events += 1;
        self.seen.insert(id);
        true
    }

    fn state(&self) -> Option<State> {
        State::of(&self.set).expect("states of one kind")
    }

    fn number(&self) -> i128 {
        match self.state().map(|state| state.shown()) {
            None => 0,
            Some(Joined::Counter { negative, magnitude }) => {
                i128::from(magnitude) * if negative { -1 } else { 1 }
            }
            Some(other) => panic!("{other:?} is no counter"),
        }
    }

    fn elements(&self) -> BTreeSet<u8> {
        match self.state().map(|state| state.shown()) {
            None => BTreeSet::new(),
            Some(Joined::Set { elements }) => elements.iter().map(|element| element[0]).collect(),
            Some(other) => panic!("{other:?} is no set"),
        }
    }
}

/// How much the increment of an id adds.
fn amount(id: u128) -> i128 {
    1 + (id as i128 * 7919) % 1000 - 300
}

fn increment(id: u128) -> Operation {
    match amount(id) {
        by if by < 0 => Operation::Decrement { by: by.unsigned_abs() as u64 },
        by => Operation::Increment { by: by as u64 },
    }
}

/// The id of a step: with retries one of a few, which are used again and again at different replicas.
fn id_of(number: usize, step: Step, retries: bool) -> u128 {
    match retries {
        true => 1_000 + u128::from(step.what % 8),
        false => number as u128 + 1,
    }
}

fn counters(history: &[Step], retries: bool) -> [Replica; REPLICAS] {
    let mut replicas: [Replica; REPLICAS] = Default::default();
    for (number, step) in history.iter().enumerate() {
        if step.kind % 3 == 0 {
            let other = replicas[step.other].clone();
            replicas[step.at].merge(&other);
        } else {
            let id = id_of(number, *step, retries);
            replicas[step.at].operate(step.at, id, increment(id));
        }
    }
    replicas
}

/// Sets of a few elements. What a retried id does is fixed by the id, as in a retry of one request.
fn sets(history: &[Step], retries: bool) -> [Replica; REPLICAS] {
    let mut replicas: [Replica; REPLICAS] = Default::default();
    for (number, step) in history.iter().enumerate() {
        let other = replicas[step.other].clone();
        let replica = &mut replicas[step.at];
        if step.kind % 3 == 0 {
            replica.merge(&other);
            continue;
        }
        if retries && replica.events == EVENTS {
            continue;
        }
        let id = id_of(number, *step, retries);
        let (element, adds) = match retries {
            true => ((id % 3) as u8, id % 8 < 5),
            false => (step.what % 3, step.kind % 3 == 1),
        };
        let elements = vec![bytes(element)];
        match adds {
            true => {
                if replica.operate(step.at, id, Operation::Add { elements }) {
                    replica.added.insert((element, id));
                }
            }
            false => {
                if replica.operate(step.at, id, Operation::Remove { elements }) {
                    let adds = replica.added.iter().filter(|add| add.0 == element);
                    replica.removed.extend(adds.copied().collect::<Vec<_>>());
                }
            }
        }
    }
    replicas
}

/// States of every kind, a map with all of them among its fields.
fn states(history: &[Step], kind: u8, retries: bool) -> Vec<State> {
    let mut replicas: [Replica; REPLICAS] = Default::default();
    for (number, step) in history.iter().enumerate() {
        if step.kind % 4 == 0 {
            let other = replicas[step.other].clone();
            replicas[step.at].merge(&other);
            continue;
        }
        let id = id_of(number, *step, retries);
        let what = if retries { id as u8 } else { step.what };
        let elements = vec![bytes(what % 3), bytes(what % 5)];
        let changes = vec![
            FieldChange { name: bytes(b'a' + what % 2), change: field_change(what) },
            FieldChange { name: bytes(b'k' + what % 2), change: Operation::Increment { by: 3 } },
        ];
        let operation = match kind % 4 {
            0 => increment(id),
            1 if what % 3 == 0 => Operation::Remove { elements },
            1 => Operation::Add { elements },
            2 => Operation::Assign { value: bytes(what) },
            _ => Operation::Fields { changes },
        };
        replicas[step.at].operate(step.at, id, operation);
    }
    replicas.iter().filter_map(Replica::state).collect()
}

/// Even fields are sets, odd ones registers; some are cleared.
fn field_change(what: u8) -> Operation {
    match (what % 7, what % 2) {
        (0, _) => Operation::Clear,
        (_, 0) => Operation::Add { elements: vec![bytes(what % 3)] },
        _ => Operation::Assign { value: bytes(what) },
    }
}

proptest! {
    #[test]
    fn joining_is_commutative_associative_and_idempotent(
        history in history(),
        kind in 0..4u8,
        retries in any::<bool>(),
    ) {
        let states = states(&history, kind, retries);
        let join = |left: &State, right: &State| left.join(right).expect("one kind");
        for a in &states {
            prop_assert_eq!(&join(a, a), a);
            for b in &states {
                prop_assert_eq!(join(a, b), join(b, a));
                prop_assert_eq!(join(&join(a, b), b), join(a, b));
                for c in &states {
                    prop_assert_eq!(join(&join(a, b), c), join(a, &join(b, c)));
                }
            }
        }
    }

    #[test]
    fn a_state_reads_back_as_it_was_written_and_equal_states_have_equal_bytes(
        history in history(),
        kind in 0..4u8,
        retries in any::<bool>(),
    ) {
        let states = states(&history, kind, retries);
        for state in &states {
            let encoded = state.encode();
            prop_assert_eq!(&State::decode(encoded.clone()).expect("decodes"), state);
            for other in &states {
                let (left, right) = (state.join(other).unwrap(), other.join(state).unwrap());
                prop_assert_eq!(left.encode(), right.encode());
            }
        }
    }

    #[test]
    fn a_damaged_state_is_an_error_or_a_state_and_never_a_panic(
        history in history(),
        kind in 0..4u8,
        retries in any::<bool>(),
        place in any::<proptest::sample::Index>(),
        flip in 1..=255u8,
    ) {
        let mut damaged: Vec<State> = Vec::new();
        for state in states(&history, kind, retries) {
            let mut encoded = state.encode().to_vec();
            let at = place.index(encoded.len());
            encoded[at] ^= flip;
            if let Ok(read) = State::decode(encoded.clone().into()) {
                // What peers send may be joined with anything, applied to, and written.
                let _ = read.join(&state).map(|joined| joined.shown());
                let event = kvorum_protocol::mergeable::Event {
                    dot: kvorum_protocol::Dot::new(Actor(1), 1_000),
                    operation: OperationId(9),
                };
                let again = match kind % 4 {
                    0 => Operation::Increment { by: 1 },
                    1 => Operation::Add { elements: vec![bytes(1)] },
                    2 => Operation::Assign { value: bytes(1) },
                    _ => Operation::Fields {
                        changes: vec![FieldChange { name: bytes(b'a'), change: Operation::Clear }],
                    },
                };
                if let Ok(applied) = read.applied(event, &again) {
                    prop_assert!(State::decode(applied.encode()).is_ok());
                }
                damaged.push(read);
            }
            encoded.truncate(at);
            prop_assert!(State::decode(encoded.into()).is_err());
        }
        // What one of them hides another can show.
        for left in &damaged {
            for right in &damaged {
                let _ = left.join(right).map(|joined| joined.shown());
            }
        }
    }

    #[test]
    fn a_counter_is_the_sum_of_the_ids_it_has_seen_each_once(
        history in history(),
        retries in any::<bool>(),
    ) {
        for replica in counters(&history, retries) {
            let sum: i128 = replica.seen.iter().map(|id| amount(*id)).sum();
            prop_assert_eq!(replica.number(), sum);
        }
    }

    #[test]
    fn a_set_holds_what_was_added_and_not_observed_by_a_remove(
        history in history(),
        retries in any::<bool>(),
    ) {
        for replica in sets(&history, retries) {
            let left = replica.added.difference(&replica.removed);
            let expected: BTreeSet<u8> = left.map(|add| add.0).collect();
            prop_assert_eq!(replica.elements(), expected);
        }
    }

    #[test]
    fn replicas_that_exchanged_show_the_same(history in history(), kind in 0..4u8) {
        let states = states(&history, kind, true);
        let forth = states.iter().cloned().reduce(|left, right| left.join(&right).unwrap());
        let back = states.iter().rev().cloned().reduce(|left, right| left.join(&right).unwrap());
        prop_assert_eq!(forth.map(|state| state.shown()), back.map(|state| state.shown()));
    }
}

fn counted(replica: &mut Replica, actor: usize, ids: impl Iterator<Item = u128>) {
    ids.for_each(|id| assert!(replica.operate(actor, id, Operation::Increment { by: 1 })));
}

#[test]
fn bug_61_an_increment_retried_on_another_branch_counts_once_and_loses_nothing() {
    let (mut a, mut b) = (Replica::default(), Replica::default());
    counted(&mut b, 2, 10..13);
    // The first attempt reaches only one owner, the retry another, which holds other increments.
    counted(&mut a, 1, 1..2);
    counted(&mut b, 2, 1..2);
    a.merge(&b);
    assert_eq!(a.number(), 4);
    b.merge(&a);
    counted(&mut b, 2, 20..21);
    assert_eq!(b.number(), 5);
    assert!(!b.operate(2, 1, Operation::Increment { by: 1 }), "both know it by now");
}

#[test]
fn an_id_counts_once_when_both_of_its_increments_are_folded_in_whatever_order() {
    let fold = limits::UNFOLDED_INCREMENTS as u128 + 2;
    for first in [1, 2] {
        let mut both: BTreeMap<usize, Replica> =
            [(1, Replica::default()), (2, Replica::default())].into();
        for (actor, replica) in &mut both {
            counted(replica, *actor, 7..8);
        }
        let mut met = both[&1].clone();
        met.merge(&both[&2]);
        assert_eq!(met.number(), 1);
        // One folds, then the other, once knowing of the first's fold and once not.
        for knows in [true, false] {
            let (mut one, mut other) = (met.clone(), met.clone());
            let second = 3 - first;
            counted(&mut one, first, 1_000_000..1_000_000 + fold);
            assert_eq!(one.number(), 1 + fold as i128, "{first} folds first");
            if knows {
                other.merge(&one);
            }
            counted(&mut other, second, 2_000_000..2_000_000 + fold);
            one.merge(&other);
            assert_eq!(one.number(), 1 + 2 * fold as i128, "{first} folds first, {knows}");
            let State::Counter(counter) = one.state().unwrap() else { panic!("a counter") };
            assert_eq!(counter.unfolded(), limits::UNFOLDED_INCREMENTS, "both have their share");
        }
    }
}

#[test]
fn a_counter_holds_no_more_ids_than_it_promises_however_often_it_is_added_to() {
    let mut replica = Replica::default();
    counted(&mut replica, 1, 0..3 * limits::UNFOLDED_INCREMENTS as u128);
    assert_eq!(replica.number(), 3 * limits::UNFOLDED_INCREMENTS as i128);
    assert!(replica.set.value_bytes() < 24 * limits::UNFOLDED_INCREMENTS);
    let newest = 3 * limits::UNFOLDED_INCREMENTS as u128 - 1;
    let knows = |id| remembering(&replica.set, OperationId(id)).is_some();
    assert!(knows(newest - limits::UNFOLDED_INCREMENTS as u128 + 1));
    assert!(!knows(newest - limits::UNFOLDED_INCREMENTS as u128));
}

#[test]
fn bug_56_a_late_retry_of_an_add_does_not_revive_what_was_removed_meanwhile() {
    let (mut a, mut b) = (Replica::default(), Replica::default());
    let add = || Operation::Add { elements: vec![bytes(7)] };
    a.operate(1, 1, add());
    a.operate(1, 2, Operation::Remove { elements: vec![bytes(7)] });
    b.operate(2, 1, add());
    assert_eq!(b.elements(), BTreeSet::from([7]));
    a.merge(&b);
    assert_eq!(a.elements(), BTreeSet::new(), "the remove has seen the operation");
    a.operate(1, 3, Operation::Add { elements: vec![bytes(8)] });
    b.merge(&a);
    assert_eq!(b.elements(), BTreeSet::from([8]));
}

#[test]
fn two_adds_that_were_both_retried_in_the_other_order_leave_the_element_there() {
    let (mut a, mut b) = (Replica::default(), Replica::default());
    let add = || Operation::Add { elements: vec![bytes(7)] };
    a.operate(1, 1, add());
    a.operate(1, 2, add());
    b.operate(2, 2, add());
    b.operate(2, 1, add());
    a.merge(&b);
    assert_eq!(a.elements(), BTreeSet::from([7]));
}

#[test]
fn a_register_shows_what_was_assigned_last_and_every_concurrent_assignment() {
    let (mut a, mut b) = (Replica::default(), Replica::default());
    let assign = |byte| Operation::Assign { value: bytes(byte) };
    a.operate(1, 1, assign(1));
    b.merge(&a);
    a.operate(1, 2, assign(2));
    b.operate(2, 3, assign(3));
    a.merge(&b);
    let shown = |replica: &Replica| replica.state().unwrap().shown();
    assert_eq!(shown(&a), Joined::Register { values: vec![bytes(2), bytes(3)] });
    a.operate(1, 4, assign(4));
    assert_eq!(shown(&a), Joined::Register { values: vec![bytes(4)] });
    b.operate(2, 1, assign(1));
    a.merge(&b);
    assert_eq!(shown(&a), Joined::Register { values: vec![bytes(4)] }, "a retry revives nothing");
}

fn change(name: u8, change: Operation) -> FieldChange {
    FieldChange { name: bytes(name), change }
}

fn shown_fields(replica: &Replica) -> Vec<JoinedField> {
    match replica.state().expect("a map").shown() {
        Joined::Map { fields } => fields,
        other => panic!("{other:?} is no map"),
    }
}

#[test]
fn a_field_that_is_cleared_keeps_just_what_was_changed_concurrently() {
    let (mut a, mut b) = (Replica::default(), Replica::default());
    let add = |element| Operation::Add { elements: vec![bytes(element)] };
    let changes = vec![change(b's', add(1)), change(b'n', Operation::Increment { by: 5 })];
    a.operate(1, 1, Operation::Fields { changes });
    b.merge(&a);
    let changes = vec![change(b's', Operation::Clear), change(b'n', Operation::Clear)];
    a.operate(1, 2, Operation::Fields { changes });
    assert_eq!(shown_fields(&a), []);
    let changes = vec![change(b's', add(2)), change(b'n', Operation::Increment { by: 2 })];
    b.operate(2, 3, Operation::Fields { changes });
    a.merge(&b);
    let expected = [
        JoinedField { name: bytes(b'n'), value: Joined::Counter { negative: false, magnitude: 2 } },
        JoinedField { name: bytes(b's'), value: Joined::Set { elements: vec![bytes(2)] } },
    ];
    assert_eq!(shown_fields(&a), expected);
}

/// What a state's counter of this name shows.
fn number_of(state: &State, name: u8) -> u64 {
    let Joined::Map { fields } = state.shown() else { panic!("{state:?} is no map") };
    let field = fields.into_iter().find(|field| field.name == bytes(name));
    match field.map(|field| field.value) {
        Some(Joined::Counter { negative: false, magnitude }) => magnitude,
        other => panic!("{other:?} is no number above zero"),
    }
}

#[test]
fn an_id_counts_once_in_a_field_whose_increments_were_folded_while_others_changed() {
    let fold = limits::REMEMBERED_EVENTS as u128 + 2;
    let increment = |name| {
        let changes = vec![change(name, Operation::Increment { by: 1 })];
        Operation::Fields { changes }
    };
    for first in [1, 2] {
        let mut met = Replica::default();
        for actor in [1, 2] {
            let mut replica = Replica::default();
            // The id that both have, and an own one after it: the newest of a slot is never folded.
            assert!(replica.operate(actor, 7, increment(b'n')));
            assert!(replica.operate(actor, 7 + actor as u128, increment(b'n')));
            met.merge(&replica);
        }
        let before = met.state().unwrap();
        assert_eq!(number_of(&before, b'n'), 3);
        for knows in [true, false] {
            let (mut one, mut other) = (met.clone(), met.clone());
            for id in 0..fold {
                assert!(one.operate(first, 1_000 + id, increment(b'o')));
            }
            if knows {
                other.merge(&one);
            }
            for id in 0..fold {
                assert!(other.operate(3 - first, 2_000 + id, increment(b'o')));
            }
            let (one, other) = (one.state().unwrap(), other.state().unwrap());
            // An older copy, whose slots have the same newest increments, brings back nothing.
            for [x, y, z] in
                [[&one, &other, &before], [&before, &one, &other], [&other, &before, &one]]
            {
                let joined = x.join(y).unwrap().join(z).unwrap();
                assert_eq!(number_of(&joined, b'n'), 3, "{first} folds first, {knows}");
                assert_eq!(number_of(&joined, b'o'), 2 * fold as u64);
            }
        }
    }
}

#[test]
fn a_retry_of_an_increment_that_was_cleared_meanwhile_does_not_count_again() {
    let (mut a, mut b) = (Replica::default(), Replica::default());
    let field = |operation| Operation::Fields { changes: vec![change(b'n', operation)] };
    assert!(a.operate(1, 1, field(Operation::Increment { by: 5 })));
    assert!(a.operate(1, 2, field(Operation::Clear)));
    assert!(b.operate(2, 1, field(Operation::Increment { by: 5 })));
    assert!(b.operate(2, 3, field(Operation::Increment { by: 2 })));
    a.merge(&b);
    assert_eq!(number_of(&a.state().unwrap(), b'n'), 2, "so a clear must not forget ids");
}

#[test]
fn a_map_with_a_field_that_has_no_name_is_refused_even_where_it_is_hidden() {
    for (name, is_state) in [("", false), ("c", false), ("xa", false), ("ca", true)] {
        let (mut a, mut b) = (Replica::default(), Replica::default());
        let names = || vec![Bytes::from_static(name.as_bytes())];
        a.operate(1, 1, Operation::Add { elements: names() });
        a.operate(1, 2, Operation::Remove { elements: names() });
        b.operate(2, 1, Operation::Add { elements: names() });
        a.merge(&b);
        let set = a.state().unwrap();
        assert_eq!(set.shown(), Joined::Set { elements: Vec::new() }, "the retry is hidden");
        // Format, an array of two, the tag, and then the set, which here becomes the names of a map without values.
        let (set, map) = (set.encode(), State::empty_for(&Operation::Clear).encode());
        let state = [&map[..4], &set[3..], &map[map.len() - 3..]].concat();
        assert_eq!(State::decode(state.into()).is_ok(), is_state, "{name:?}");
    }
}

fn refusal(replica: &Replica, operation: Operation) -> OperationRefusal {
    let change = Change::Operation(Box::new(operation));
    match replica.set.mint(Actor(1), Replaces::Latest, change, OperationId(99)) {
        Err(MintRefusal::Operation(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_operation_of_another_kind_is_refused_and_changes_nothing() {
    let mut map = Replica::default();
    map.operate(
        1,
        1,
        Operation::Fields { changes: vec![change(b'n', Operation::Increment { by: 1 })] },
    );
    let mut counter = Replica::default();
    counter.operate(1, 1, Operation::Increment { by: 1 });
    let add = Operation::Add { elements: vec![bytes(1)] };
    assert_eq!(refusal(&counter, add.clone()), OperationRefusal::WrongType);
    assert_eq!(refusal(&map, add.clone()), OperationRefusal::WrongType);
    let in_field = Operation::Fields {
        changes: vec![change(b'm', Operation::Increment { by: 1 }), change(b'n', add)],
    };
    assert_eq!(refusal(&map, in_field), OperationRefusal::WrongType);
    let twice = Operation::Fields {
        changes: vec![
            change(b'n', Operation::Increment { by: 1 }),
            change(b'n', Operation::Increment { by: 1 }),
        ],
    };
    assert_eq!(refusal(&map, twice), OperationRefusal::FieldTwice);
    let nested = Operation::Fields {
        changes: vec![change(b'x', Operation::Fields { changes: Vec::new() })],
    };
    assert_eq!(refusal(&map, nested), OperationRefusal::WrongType);
}

#[test]
fn a_counter_leaves_64_bits_in_no_direction() {
    let mut replica = Replica::default();
    let most = i64::MAX as u64;
    replica.operate(1, 1, Operation::Increment { by: most });
    assert_eq!(refusal(&replica, Operation::Increment { by: 1 }), OperationRefusal::OutOfRange);
    assert_eq!(
        refusal(&replica, Operation::Decrement { by: u64::MAX }),
        OperationRefusal::OutOfRange
    );
    // Concurrent increments can add up to more; the sum is exact as far as a client can be told it.
    let mut other = Replica::default();
    other.operate(2, 2, Operation::Increment { by: most });
    replica.merge(&other);
    assert_eq!(replica.number(), 2 * i128::from(most));
}

#[test]
fn a_value_over_its_limit_takes_only_what_makes_it_smaller() {
    let mut replica = Replica::default();
    let element = |number: u32| Bytes::from([&number.to_be_bytes()[..], &[0; 4_000]].concat());
    let (mut number, mut refused) = (0, None);
    while refused.is_none() {
        let operation = Operation::Add { elements: vec![element(number)] };
        let change = Change::Operation(Box::new(operation));
        let id = OperationId(u128::from(number) + 1);
        match replica.set.mint(Actor(1), Replaces::Latest, change, id) {
            Ok(minted) => replica.set = minted.set,
            Err(refusal) => refused = Some(refusal),
        }
        number += 1;
    }
    let is_too_large = |refusal| {
        matches!(refusal, MintRefusal::Operation(OperationRefusal::TooLarge { limit, .. })
            if limit == limits::INLINE_VALUE_BYTES as u64)
    };
    assert!(refused.is_some_and(is_too_large));
    assert!(replica.set.value_bytes() <= limits::INLINE_VALUE_BYTES);
    assert!(replica.operate(1, 9_999, Operation::Remove { elements: vec![element(0)] }));
    let long = Operation::Add { elements: vec![vec![0; limits::ELEMENT_BYTES + 1].into()] };
    let limit = limits::ELEMENT_BYTES as u64;
    assert_eq!(refusal(&replica, long), OperationRefusal::TooLarge { bytes: limit + 1, limit });
}

#[test]
fn after_a_delete_an_actor_begins_anew_and_brings_nothing_back() {
    let (mut a, mut b) = (Replica::default(), Replica::default());
    counted(&mut a, 1, 0..5);
    b.merge(&a);
    let deleted = a.set.mint(Actor(1), Replaces::Latest, Change::Delete, OperationId(50)).unwrap();
    a.set = deleted.set;
    assert_eq!(a.state(), None);
    counted(&mut a, 1, 60..61);
    assert_eq!(a.number(), 1);
    a.merge(&b);
    assert_eq!(a.number(), 1, "what the delete saw stays deleted");
}
