//! The merge is a CRDT's, and exchanges make nodes alike.

use std::collections::{BTreeMap, VecDeque};

use kvorum_gossip::facts::{FactKind, FileError, Merged, decode_file, encode_file};
use kvorum_gossip::{
    Fact, FactKey, FactSet, FactVersion, Facts, FactsMessage, FactsOutput, limits,
};
use kvorum_ring::NodeId;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert_eq};
use proptest::proptest;

/// Few names, versions and bodies, so that most runs have conflicts, equal versions included.
fn fact() -> impl Strategy<Value = Fact> {
    (0u16..7, 0u8..3, 0u64..4, 0u128..3, 0u8..3).prop_map(|(kind, name, lamport, node, body)| {
        let key = FactKey { kind: FactKind(kind), name: vec![name].into() };
        Fact::new(key, FactVersion { lamport, node: NodeId(node) }, vec![body])
    })
}

fn merged<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> FactSet {
    let mut set = FactSet::default();
    for fact in facts {
        set.merge(fact.clone());
    }
    set
}

proptest! {
    #[test]
    fn merging_is_commutative_associative_and_idempotent(facts in vec(fact(), 0..24), cut in any::<u8>(), turn in any::<u8>()) {
        let whole = merged(&facts);
        let mut turned = facts.clone();
        turned.reverse();
        if !turned.is_empty() {
            let by = usize::from(turn) % turned.len();
            turned.rotate_left(by);
        }
        prop_assert_eq!(&merged(&turned), &whole);
        prop_assert_eq!(&merged(facts.iter().chain(&facts)), &whole);
        let (left, right) = facts.split_at(usize::from(cut) % (facts.len() + 1));
        prop_assert_eq!(&merged(merged(left).iter().chain(merged(right).iter())), &whole);
        prop_assert_eq!(merged(&turned).digest(), whole.digest());
    }

    #[test]
    fn one_exchange_leaves_both_sides_alike(left in vec(fact(), 0..16), right in vec(fact(), 0..16)) {
        let expected = merged(left.iter().chain(&right));
        let mut nodes = Nodes::new([(1, merged(&left)), (2, merged(&right))]);
        nodes.get(1).peer_up(NodeId(2));
        nodes.settle();
        prop_assert_eq!(nodes.get(1).set(), &expected);
        prop_assert_eq!(nodes.get(2).set(), &expected);
    }

    #[test]
    fn the_file_reads_back_and_no_damage_passes(facts in vec(fact(), 0..16), at in any::<usize>(), bit in 0u8..8) {
        let set = merged(&facts);
        let mut file = encode_file(&set);
        prop_assert_eq!(decode_file(&file), Ok(set));
        let at = at % file.len();
        file[at] ^= 1 << bit;
        assert!(decode_file(&file).is_err());
        assert!(decode_file(&file[..at]).is_err());
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = FactsMessage::decode(&bytes);
    }
}

/// Machines and the messages between them, each encoded and decoded on its way.
struct Nodes {
    machines: BTreeMap<NodeId, Facts>,
    /// Messages of each kind that were carried: digests, summaries, pulls, bodies.
    carried: [usize; 4],
}

impl Nodes {
    fn new(sets: impl IntoIterator<Item = (u128, FactSet)>) -> Nodes {
        let machine = |(node, set)| (NodeId(node), Facts::new(NodeId(node), set));
        Nodes { machines: sets.into_iter().map(machine).collect(), carried: [0; 4] }
    }

    fn get(&mut self, node: u128) -> &mut Facts {
        self.machines.get_mut(&NodeId(node)).unwrap()
    }

    fn settle(&mut self) {
        let mut under_way = VecDeque::new();
        loop {
            for (from, machine) in &mut self.machines {
                while let Some(output) = machine.poll_output() {
                    if let FactsOutput::Send { to, message } = output {
                        let mut bytes = Vec::new();
                        message.encode(&mut bytes);
                        under_way.push_back((*from, to, bytes));
                    }
                }
            }
            let Some((from, to, bytes)) = under_way.pop_front() else {
                return;
            };
            let message = FactsMessage::decode(&bytes).unwrap();
            let kind = match &message {
                FactsMessage::Digest(_) => 0,
                FactsMessage::Summaries(_) => 1,
                FactsMessage::Pull(_) => 2,
                FactsMessage::Bodies(_) => 3,
            };
            self.carried[kind] += 1;
            self.machines.get_mut(&to).unwrap().handle(from, message);
        }
    }
}

#[test]
fn nodes_that_agree_exchange_one_digest_and_nothing_else() {
    let set = merged(&[Fact::new(
        FactKey::bucket("a"),
        FactVersion { lamport: 1, node: NodeId(1) },
        "x",
    )]);
    let mut nodes = Nodes::new([(1, set.clone()), (2, set)]);
    nodes.get(1).peer_up(NodeId(2));
    nodes.settle();
    assert_eq!(nodes.carried, [1, 0, 0, 0]);
}

#[test]
fn a_write_is_pulled_by_whoever_hears_of_it() {
    let mut nodes = Nodes::new([(1, FactSet::default()), (2, FactSet::default())]);
    nodes.get(2).peer_up(NodeId(1));
    nodes.settle();
    let key = FactKey::bucket("photos");
    let version = nodes.get(1).write(key.clone(), "settings").unwrap();
    let summary = nodes.get(1).set().summary(&key).unwrap();
    nodes.settle();
    nodes.get(2).heard(NodeId(1), &summary);
    nodes.get(2).heard(NodeId(1), &summary);
    nodes.settle();
    assert_eq!(nodes.get(2).set().get(&key).map(|fact| fact.version), Some(version));
    // A later write of the other node is newer, whatever its id.
    assert!(nodes.get(2).write(key, "others").unwrap() > version);
}

#[test]
fn a_small_write_is_sent_to_every_peer_at_once_and_a_large_one_is_not() {
    let mut nodes = Nodes::new((1..=3).map(|node| (node, FactSet::default())));
    nodes.get(1).peer_up(NodeId(2));
    nodes.get(1).peer_up(NodeId(3));
    nodes.settle();
    let (small, large) = (FactKey::bucket("small"), FactKey::bucket("large"));
    nodes.get(1).write(small.clone(), "settings").unwrap();
    nodes.get(1).write(large.clone(), vec![0; limits::PUSHED_FACT_BYTES + 1]).unwrap();
    nodes.settle();
    for node in [2, 3] {
        assert!(nodes.get(node).set().get(&small).is_some());
        assert!(nodes.get(node).set().get(&large).is_none());
    }
}

#[test]
fn the_periodic_exchange_visits_every_peer_in_turn() {
    let mut facts = Facts::new(NodeId(2), FactSet::default());
    for peer in [1, 3, 4] {
        facts.peer_up(NodeId(peer));
    }
    while facts.poll_output().is_some() {}
    let mut asked = Vec::new();
    for _ in 0..4 {
        facts.tick(facts.next_deadline());
        while let Some(FactsOutput::Send { to, message: FactsMessage::Digest(_) }) =
            facts.poll_output()
        {
            asked.push(to.0);
        }
    }
    assert_eq!(asked, [3, 4, 1, 3]);
}

#[test]
fn many_bodies_travel_in_several_messages() {
    let body = vec![0u8; limits::BODIES_BATCH_BYTES / 3];
    let version = FactVersion { lamport: 1, node: NodeId(1) };
    let facts: Vec<Fact> = (0..10)
        .map(|number| Fact::new(FactKey::bucket(&format!("b{number}")), version, body.clone()))
        .collect();
    let mut nodes = Nodes::new([(1, merged(&facts)), (2, FactSet::default())]);
    nodes.get(2).peer_up(NodeId(1));
    nodes.settle();
    assert_eq!(nodes.get(2).set().len(), 10);
    assert_eq!(nodes.carried[3], 5, "two bodies fit into each message");
}

#[test]
fn what_is_derived_never_wins_over_what_was_written_and_is_no_news() {
    let mut facts = Facts::new(NodeId(1), FactSet::default());
    let key = FactKey::member(NodeId(9));
    facts.write(key.clone(), "moved").unwrap();
    facts.derive(key.clone(), "from the file");
    facts.derive(FactKey::member(NodeId(8)), "from the file");
    assert_eq!(facts.set().body(&key).map(|body| &body[..]), Some(&b"moved"[..]));
    let mut announced = 0;
    while let Some(output) = facts.poll_output() {
        announced += usize::from(matches!(output, FactsOutput::Announce(_)));
    }
    assert_eq!(announced, 1);
}

#[test]
fn a_lamport_number_that_leaves_no_room_is_refused() {
    let version = FactVersion { lamport: limits::MAX_LAMPORT + 1, node: NodeId(1) };
    let mut bytes = Vec::new();
    FactsMessage::Bodies(vec![Fact::new(FactKey::bucket("a"), version, "x")]).encode(&mut bytes);
    assert!(FactsMessage::decode(&bytes).is_err());
}

#[test]
fn facts_beyond_the_limit_are_refused_and_known_ones_still_change() {
    let mut set = FactSet::default();
    let fact = |number: usize, lamport| {
        let version = FactVersion { lamport, node: NodeId(1) };
        Fact::new(FactKey::bucket(&number.to_string()), version, "x")
    };
    for number in 0..limits::MAX_FACTS {
        assert_eq!(set.merge(fact(number, 1)), Merged::Changed);
    }
    assert_eq!(set.merge(fact(limits::MAX_FACTS, 1)), Merged::Full);
    assert_eq!(set.merge(fact(0, 2)), Merged::Changed);
}

#[test]
fn a_file_of_a_later_format_says_so() {
    let mut file = encode_file(&FactSet::default());
    file[11] = 2;
    assert_eq!(decode_file(&file), Err(FileError::Format(2)));
    assert_eq!(decode_file(b"something else"), Err(FileError::Magic));
}

#[test]
fn fields_of_a_later_version_survive_merging_saving_and_sending() {
    // A fact with six fields, as a later version writes it: the array's length byte is the first one.
    let mut bytes = Vec::new();
    let fact = Fact::new(FactKey::bucket("a"), FactVersion { lamport: 1, node: NodeId(1) }, "x");
    FactsMessage::Bodies(vec![fact]).encode(&mut bytes);
    let begins = bytes.iter().position(|byte| *byte == 0x95).unwrap();
    bytes[begins] = 0x96;
    bytes.extend_from_slice(&[0xa3, b'n', b'e', b'w']);

    let FactsMessage::Bodies(facts) = FactsMessage::decode(&bytes).unwrap() else {
        panic!("bodies")
    };
    let set = decode_file(&encode_file(&merged(&facts))).unwrap();
    let mut again = Vec::new();
    FactsMessage::Bodies(set.iter().cloned().collect()).encode(&mut again);
    assert_eq!(again, bytes);
}
