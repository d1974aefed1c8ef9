//! Exchanges between two owners that are maps: what they cost, and that what differs, and nothing else, is repaired.
//!
//! Random cases print the smallest failure found and how proptest repeats it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kvorum_antientropy::answer::{self, Held};
use kvorum_antientropy::{
    Answer, Digest, End, Exchange, LeafKey, Leaves, Listed, Question, Refusal, Repair, Session,
    Step, Sum, Tree, limits,
};
use kvorum_protocol::codec::{decode, encode};
use kvorum_protocol::{
    Actor, BucketName, Change, Clock, EncodedSet, Key, OperationId, RecordKey, Replaces, VersionSet,
};
use kvorum_ring::{ClassId, KeyHash, PartitionCount, PartitionId};
use proptest::collection::vec;
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

const CLASS: ClassId = ClassId(0);
const SCOPE: u64 = 7;

fn secret() -> LeafKey {
    LeafKey::new([3; 32])
}

/// One owner: what each partition holds, and its trees.
#[derive(Clone)]
struct Owner {
    partitions: PartitionCount,
    records: BTreeMap<(PartitionId, KeyHash), (RecordKey, Arc<VersionSet>)>,
    trees: Vec<Tree>,
}

impl Owner {
    fn new(partitions: u32) -> Owner {
        let trees = vec![Tree::default(); partitions as usize];
        let partitions = PartitionCount::new(partitions).unwrap();
        Owner { partitions, records: BTreeMap::new(), trees }
    }

    fn key(&self, number: u32) -> RecordKey {
        let bucket: BucketName = "bucket".parse().unwrap();
        let key = Key::new(Bytes::from(format!("key{number}"))).unwrap();
        RecordKey::new(CLASS, self.partitions, bucket, key)
    }

    fn held(&self, key: &RecordKey) -> Option<&VersionSet> {
        self.records.get(&(key.partition, key.key_hash())).map(|(_, set)| &**set)
    }

    /// Merges, and says whether anything changed.
    fn merge(&mut self, key: &RecordKey, incoming: &VersionSet) -> bool {
        let before = self.held(key).cloned().unwrap_or_default();
        let after = before.merge(incoming);
        let digest = |set: &VersionSet| Digest::new(set.live_digest().0);
        let change = (digest(&before), digest(&after));
        let tree = &mut self.trees[key.partition.0 as usize];
        tree.change(&secret(), CLASS, key.key_hash(), change);
        let changed = before != after;
        self.records.insert((key.partition, key.key_hash()), (key.clone(), after.into()));
        changed
    }

    fn write(&mut self, number: u32, actor: u64, change: Change) {
        let key = self.key(number);
        let operation = OperationId(u128::from(actor) << 32 | u128::from(number));
        let set = self.held(&key).cloned().unwrap_or_default();
        if let Ok(minted) = set.mint(Actor(actor), Replaces::Latest, change, operation) {
            self.merge(&key, &minted.set);
        }
    }

    fn forget(&mut self, number: u32) {
        let key = self.key(number);
        if let Some((key, set)) = self.records.remove(&(key.partition, key.key_hash())) {
            let tree = &mut self.trees[key.partition.0 as usize];
            let old = Digest::new(set.live_digest().0);
            tree.change(&secret(), CLASS, key.key_hash(), (old, None));
        }
    }

    fn contents(&self, partition: PartitionId, leaves: Leaves, from: KeyHash) -> Vec<Held> {
        let of_partition = (partition, from)..=(partition, KeyHash(u128::MAX));
        let records =
            self.records.range(of_partition).filter(|((_, hash), _)| leaves.contain(*hash));
        let held = records.map(|((_, hash), (key, set))| {
            let digest = Digest::new(set.live_digest().0);
            let tag = digest.map(|digest| secret().term(*hash, digest, CLASS).tag());
            (*hash, tag, key.clone())
        });
        held.collect()
    }

    fn answer(&self, question: Question, page: usize) -> Answer {
        match question {
            Question::Range { first, count, sum, .. } => {
                let trees = &self.trees[first as usize..][..count as usize];
                let roots: Vec<Sum> = trees.iter().map(Tree::root).collect();
                answer::to_range(Some(&roots), sum)
            }
            Question::Leaves { partition, leaves, .. } => {
                let ours = *self.trees[partition.0 as usize].leaves();
                answer::to_leaves(Some(ours), &leaves)
            }
            Question::Contents { partition, leaves, from, through, keys, .. } => {
                let mut held = self.contents(partition, Leaves(leaves), from);
                held.retain(|held| held.0 <= through);
                let more = held.len() > page;
                held.truncate(page);
                answer::to_contents(&held, more, &keys, through)
            }
            Question::Offer { key, clock, digest } => {
                let held = self.held(&key);
                let Exchange { gives, wants } = Exchange::of(held, &clock, digest);
                let set = held.filter(|_| gives).map(EncodedSet::new);
                Answer::Offered { set, wants }
            }
        }
    }

    fn live(&self) -> BTreeMap<RecordKey, u128> {
        let live = self.records.values().filter(|(_, set)| !set.versions().is_empty());
        live.map(|(key, set)| (key.clone(), set.live_digest().0)).collect()
    }
}

/// What an exchange came to.
#[derive(Debug, Default)]
struct Cost {
    bytes: usize,
    questions: usize,
    repaired: Vec<RecordKey>,
    /// Records that travelled and changed nothing where they came to.
    in_vain: usize,
}

struct Pair<'a> {
    asker: &'a mut Owner,
    other: &'a mut Owner,
    page: usize,
    cost: Cost,
}

impl Pair<'_> {
    fn ask(&mut self, question: Question) -> Answer {
        let sent = encode(&question);
        let answer = self.other.answer(decode(sent.clone()).unwrap(), self.page);
        let answered = encode(&answer);
        self.cost.bytes += sent.len() + answered.len();
        self.cost.questions += 1;
        decode(answered).unwrap()
    }

    fn give(&mut self, to_other: bool, key: &RecordKey, set: &VersionSet) {
        self.cost.bytes += encode(&EncodedSet::new(set)).len() + key.to_index_bytes().len();
        let receiver = if to_other { &mut *self.other } else { &mut *self.asker };
        if !receiver.merge(key, set) {
            self.cost.in_vain += 1;
        }
    }

    fn repair(&mut self, repair: Repair) {
        let Repair { key, is_lacking } = repair;
        let ours = self.asker.held(&key).cloned();
        self.cost.repaired.push(key.clone());
        if is_lacking {
            let set = ours.expect("it was listed");
            return self.give(true, &key, &set);
        }
        let clock = ours.as_ref().map_or(Clock::EMPTY, |set| set.clock().clone());
        let digest = Sum(ours.as_ref().map_or(0, |set| set.live_digest().0));
        let offer = Question::Offer { key: key.clone(), clock, digest };
        let Answer::Offered { set, wants } = self.ask(offer) else { panic!("an offer's answer") };
        if let Some(set) = set {
            self.give(false, &key, set.set());
        }
        if wants {
            let set = self.asker.held(&key).cloned().expect("something is wanted");
            self.give(true, &key, &set);
        }
    }
}

fn exchange(asker: &mut Owner, other: &mut Owner, page: usize) -> Cost {
    let shared: Vec<PartitionId> = asker.partitions.partitions().collect();
    let mut session = Session::new(CLASS, SCOPE, shared);
    let mut pair = Pair { asker, other, page, cost: Cost::default() };
    let mut step = session.start();
    loop {
        step = match step {
            Step::OwnRoots(partitions) => {
                let root = |partition: &PartitionId| pair.asker.trees[partition.0 as usize].root();
                session.on_roots(Some(partitions.iter().map(root).collect()))
            }
            Step::Ask(question) => {
                let answer = pair.ask(question);
                session.on_answer(answer)
            }
            Step::Settle => session.settled(),
            Step::OwnLeaves(partition) => {
                session.on_leaves(Some(*pair.asker.trees[partition.0 as usize].leaves()))
            }
            Step::OwnContents(partition, leaves, from) => {
                let mut held = pair.asker.contents(partition, leaves, from);
                let more = held.len() > page;
                held.truncate(page);
                let through =
                    held.last().filter(|_| more).map_or(KeyHash(u128::MAX), |last| last.0);
                let live = held
                    .into_iter()
                    .filter_map(|(hash, tag, key)| Some(Listed { hash, tag: tag?, key }));
                session.on_contents(live.collect(), through)
            }
            Step::Repair(repairs) => {
                repairs.into_iter().for_each(|repair| pair.repair(repair));
                session.repaired()
            }
            Step::End(end) => {
                assert_eq!((end, session.passed_over()), (End::Compared, 0));
                return pair.cost;
            }
        };
    }
}

fn value(text: &'static str) -> Change {
    Change::Value { bytes: Bytes::from_static(text.as_bytes()), expires_at_ms: None }
}

proptest! {
    #[test]
    fn after_an_exchange_both_hold_the_same_and_the_next_repairs_nothing(
        common in vec((0u32..80, 1u64..3), 0..60),
        ours in vec((0u32..80, 3u64..5, 0u8..4), 0..30),
        theirs in vec((0u32..80, 5u64..7, 0u8..4), 0..30),
        page in 1usize..20,
    ) {
        let mut asker = Owner::new(8);
        common.iter().for_each(|(number, actor)| asker.write(*number, *actor, value("common")));
        let mut other = asker.clone();
        for (owner, changes) in [(&mut asker, &ours), (&mut other, &theirs)] {
            for (number, actor, kind) in changes {
                match kind {
                    0 => owner.write(*number, *actor, Change::Delete),
                    1 => owner.forget(*number),
                    _ => owner.write(*number, *actor, value("of one")),
                }
            }
        }
        let (before, theirs_before) = (asker.live(), other.live());
        let differing = before.iter().filter(|(key, digest)| theirs_before.get(*key) != Some(*digest)).count()
            + theirs_before.keys().filter(|key| !before.contains_key(*key)).count();
        let first = exchange(&mut asker, &mut other, page);
        prop_assert_eq!(asker.live(), other.live());
        prop_assert_eq!(first.repaired.len(), differing, "what differs, each once");
        prop_assert_eq!(first.in_vain, 0, "only what the other lacks travels");
        let second = exchange(&mut asker, &mut other, page);
        prop_assert_eq!((second.repaired.len(), second.questions), (0, 1));
        let trees = |owner: &Owner| owner.trees.clone();
        prop_assert_eq!(trees(&asker), trees(&other));
    }

    #[test]
    fn any_answer_at_any_time_is_survived(answers in vec((0u8..10, 0u32..40, 0u16..9), 0..60)) {
        let shared: Vec<PartitionId> = (0..100).map(PartitionId).collect();
        let mut session = Session::new(CLASS, SCOPE, shared);
        session.start();
        session.on_roots(Some((0..100).map(Sum).collect()));
        let mut steps = 0;
        for (kind, number, leaves) in answers {
            steps += 1;
            let step = match kind {
                0 => session.on_answer(Answer::Equal),
                1 => session.on_answer(Answer::Parts { sums: vec![Sum(u128::from(number)); number as usize] }),
                2 => session.on_answer(Answer::Leaves { leaves }),
                3 => session.on_answer(Answer::Contents {
                    lacking: vec![number], differing: vec![0, number], extra: Vec::new(), through: KeyHash(u128::MAX),
                }),
                4 => session.on_answer(Answer::Refused { reason: Refusal::Busy }),
                5 => session.settled(),
                6 => session.on_contents(Vec::new(), KeyHash(number.into())),
                7 => session.on_roots((number % 2 == 0).then(|| vec![Sum(1); number as usize])),
                8 => session.on_answer(Answer::Refused { reason: Refusal::Unknown }),
                _ => session.repaired(),
            };
            if matches!(step, Step::End(_)) {
                break;
            }
        }
        prop_assert!(steps <= 60);
    }
}

#[test]
fn two_equal_owners_exchange_one_question_and_one_answer() {
    let mut asker = Owner::new(4_096);
    (0..1_000).for_each(|number| asker.write(number, 1, value("v")));
    let mut other = asker.clone();
    let cost = exchange(&mut asker, &mut other, limits::PAGE_KEYS);
    assert_eq!((cost.questions, cost.repaired.len()), (1, 0));
    assert!(cost.bytes < 64, "{} bytes", cost.bytes);
}

#[test]
fn a_partition_that_is_written_to_between_two_questions_is_not_visited() {
    let shared: Vec<PartitionId> = (0..256).map(PartitionId).collect();
    let mut session = Session::new(CLASS, SCOPE, shared);
    // Both hold the same at any moment, and every partition changes from one question to the next.
    let roots = |moment: u128, partitions: &[PartitionId]| -> Vec<Sum> {
        partitions.iter().map(|partition| Sum(u128::from(partition.0) * 1_000 + moment)).collect()
    };
    let (mut step, mut moment) = (session.start(), 0);
    let mut visited = 0;
    loop {
        step = match step {
            Step::OwnRoots(partitions) => session.on_roots(Some(roots(moment, &partitions))),
            Step::Ask(Question::Range { first, count, sum, .. }) => {
                // The answer to the first question comes late.
                moment += u128::from(count == 256);
                let range: Vec<PartitionId> = (first..first + count).map(PartitionId).collect();
                let answer = answer::to_range(Some(&roots(moment, &range)), sum);
                moment += 1;
                session.on_answer(answer)
            }
            Step::Settle => session.settled(),
            Step::OwnLeaves(_) => {
                visited += 1;
                session.pass_over()
            }
            Step::End(end) => break assert_eq!(end, End::Compared),
            other => panic!("{other:?}"),
        };
    }
    assert_eq!(visited, 0);
}

#[test]
fn a_range_that_one_side_does_not_know_is_cut_up_and_the_rest_of_it_is_compared() {
    for is_own in [true, false] {
        let unknown = PartitionId(77);
        let shared: Vec<PartitionId> = (0..256).map(PartitionId).collect();
        let mut session = Session::new(CLASS, SCOPE, shared);
        let (mut step, mut questions, mut visited) = (session.start(), 0, Vec::new());
        loop {
            step = match step {
                Step::OwnRoots(partitions) => {
                    let is_known = !(is_own && partitions.contains(&unknown));
                    session.on_roots(is_known.then(|| vec![Sum(1); partitions.len()]))
                }
                Step::Ask(Question::Range { first, count, sum, .. }) => {
                    questions += 1;
                    let mut roots = vec![Sum(1); count as usize];
                    // One partition differs, far from the one that is not known.
                    (first..first + count)
                        .position(|at| at == 200)
                        .iter()
                        .for_each(|at| roots[*at] = Sum(2));
                    let is_known = is_own || !(first..first + count).contains(&unknown.0);
                    session.on_answer(answer::to_range(is_known.then_some(&roots[..]), sum))
                }
                Step::Settle => session.settled(),
                Step::OwnLeaves(partition) => {
                    visited.push(partition);
                    session.pass_over()
                }
                Step::End(end) => break assert_eq!(end, End::Compared),
                other => panic!("{other:?}"),
            };
        }
        assert_eq!((visited, session.passed_over()), (vec![PartitionId(200)], 2));
        assert!(questions < 64, "{questions} questions");
    }
}

#[test]
fn where_nothing_is_known_an_exchange_ends_soon() {
    let mut session = Session::new(CLASS, SCOPE, (0..4_096).map(PartitionId).collect());
    let (mut step, mut asked) = (session.start(), 0);
    while let Step::OwnRoots(_) = step {
        asked += 1;
        step = session.on_roots(None);
    }
    assert_eq!(step, Step::End(End::Refused(Refusal::Unknown)));
    assert!(asked < 2 * limits::UNKNOWN, "{asked}");
}

#[test]
fn one_key_in_a_million_that_differs_is_found_and_repaired_within_64_kib() {
    let mut asker = Owner::new(4_096);
    let set = VersionSet::empty();
    let minted = set.mint(Actor(1), Replaces::Latest, value("old"), OperationId(1)).unwrap().set;
    let (digest, minted) = (Digest::new(minted.live_digest().0), Arc::new(minted));
    for number in 0..1_000_000 {
        let key = asker.key(number);
        let place = (key.partition, key.key_hash());
        asker.trees[place.0.0 as usize].change(&secret(), CLASS, place.1, (None, digest));
        asker.records.insert(place, (key, minted.clone()));
    }
    let mut other = asker.clone();
    other.write(777_777, 2, Change::Value { bytes: vec![7; 256].into(), expires_at_ms: None });
    let cost = exchange(&mut asker, &mut other, limits::PAGE_KEYS);
    let key = asker.key(777_777);
    assert_eq!(asker.held(&key), other.held(&key));
    assert_eq!(asker.trees, other.trees);
    assert_eq!(cost.repaired, [key]);
    assert!(cost.bytes < 4 * 1024, "{} bytes", cost.bytes);
}

#[test]
fn what_many_differing_keys_cost_is_in_proportion_to_them() {
    let mut asker = Owner::new(256);
    (0..20_000).for_each(|number| asker.write(number, 1, value("old")));
    let bytes = |differing: u32| {
        let (mut asker, mut other) = (asker.clone(), asker.clone());
        (0..differing).for_each(|number| other.write(number * 7, 2, value("new")));
        let cost = exchange(&mut asker, &mut other, limits::PAGE_KEYS);
        assert_eq!((cost.repaired.len() as u32, cost.in_vain), (differing, 0));
        cost.bytes
    };
    let (few, many) = (bytes(10), bytes(1_000));
    assert!(many < few * 100 && many > few * 20, "{few} bytes for 10 keys, {many} for 1,000");
}

#[test]
fn a_bare_tombstone_goes_only_to_who_holds_a_record_of_the_key() {
    let (mut asker, mut other) = (Owner::new(4), Owner::new(4));
    asker.write(1, 1, value("v"));
    let key = asker.key(1);
    let set = asker.held(&key).cloned().unwrap();
    asker.write(1, 1, Change::Delete);
    let cost = exchange(&mut asker, &mut other, 100);
    assert_eq!((cost.questions, other.held(&key)), (1, None), "nothing live differs");
    other.merge(&key, &set);
    exchange(&mut asker, &mut other, 100);
    assert!(other.held(&key).unwrap().is_tombstone());
    // And the other way round.
    let mut third = Owner::new(4);
    third.merge(&key, &set);
    exchange(&mut third, &mut other, 100);
    assert!(third.held(&key).unwrap().is_tombstone());
}

#[test]
fn a_damaged_record_wants_whatever_the_asker_has() {
    assert_eq!(Exchange::of_damaged(&Clock::EMPTY), Exchange::NOTHING);
    let clock = Clock::of([(Actor(1), 1)]);
    assert_eq!(Exchange::of_damaged(&clock), Exchange { gives: false, wants: true });
}
