//! Who counts towards a quorum, when fallbacks stand in.

use kvorum_protocol::message::OwnerCause;
use kvorum_ring::NodeId;

use super::Copies;
use crate::engine::quorum::{Owners, Quorum};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);
const D: NodeId = NodeId(4);
const E: NodeId = NodeId(5);

fn fallbacks() -> Owners {
    Owners::from_slice(&[D, E])
}

fn copies(up: &[NodeId], sloppy: bool) -> Copies {
    Copies::new(Quorum::new(2, &[&[A, B, C]], |node| up.contains(&node)), sloppy)
}

#[test]
fn each_missed_owner_has_a_fallback_of_its_own_as_far_as_there_are_any() {
    let mut copies = copies(&[A], true);
    assert!(!copies.owners_suffice() && copies.could_reach(2) && !copies.could_reach(0));
    let calls = copies.call_in(&[B, C], fallbacks, |_| true);
    assert_eq!(calls, [(D, vec![B]), (E, vec![C])]);
    assert_eq!(copies.call_in(&[B, C], fallbacks, |_| true), [], "nobody is called twice");
    copies.count_own(A);
    assert!(!copies.is_reached());
    copies.count(E, 1);
    copies.count(E, 1);
    assert!(copies.is_reached() && !copies.is_settled());
    assert_eq!((copies.at_owners(), copies.at_fallbacks()), (1, 1));

    let mut few = self::copies(&[A], true);
    let calls = few.call_in(&[B, C], || Owners::from_slice(&[D]), |_| true);
    assert_eq!(calls, [(D, vec![B, C])], "it holds it for both, and counts once");
    few.count(D, 2);
    assert_eq!(few.got(), 1);
}

#[test]
fn a_fallback_that_does_not_take_it_is_replaced_by_the_next() {
    let mut copies = copies(&[A, B], true);
    assert_eq!(copies.call_in(&[C], fallbacks, |node| node != D), [(E, vec![C])]);
    copies.fail(E, 1, OwnerCause::Overloaded);
    assert_eq!(copies.call_in(&[C], fallbacks, |_| true), [(D, vec![C])]);
    copies.fail(D, 0, OwnerCause::Unreachable);
    assert_eq!(copies.call_in(&[C], fallbacks, |_| true), []);
    let causes: Vec<_> = copies.failures().iter().map(|failure| failure.node).collect();
    assert_eq!(causes, [C, E, D]);
    copies.count(D, 1);
    assert_eq!(copies.at_fallbacks(), 1, "an answer is an answer");
}

#[test]
fn a_fallback_and_the_owner_it_stood_in_for_are_one_copy() {
    let mut copies = copies(&[A, B, C], true);
    assert_eq!(copies.call_in(&[B], fallbacks, |_| true), [(D, vec![B])]);
    copies.count(D, 1);
    assert_eq!(copies.got(), 1);
    copies.count(B, 0);
    assert_eq!((copies.got(), copies.at_fallbacks()), (1, 0));
    copies.count_own(A);
    assert!(copies.is_reached());

    let mut both = self::copies(&[A], true);
    both.call_in(&[B, C], || Owners::from_slice(&[D]), |_| true);
    both.count(D, 2);
    both.count(B, 0);
    assert_eq!(both.got(), 2, "it is left for the other one");
}

#[test]
fn a_strict_write_counts_owners_only() {
    let mut copies = copies(&[A], false);
    assert!(!copies.could_reach(2));
    copies.call_in(&[B, C], fallbacks, |_| true);
    for node in [A, D, E] {
        copies.count(node, 1);
    }
    assert_eq!((copies.got(), copies.at_fallbacks()), (1, 2));
}

#[test]
fn a_fallback_that_coordinates_holds_it_for_all_and_calls_the_others() {
    let owners = Quorum::new(2, &[&[A, B, C]], |_| false);
    let mut copies = Copies::at_fallback(owners, D, fallbacks());
    assert!(copies.could_reach(1) && !copies.could_reach(0));
    let calls = copies.call_in(&[A, B, C], || unreachable!("known"), |_| true);
    assert_eq!(calls, [(E, vec![A])]);
    copies.count_own(D);
    copies.count(E, 1);
    assert!(copies.is_reached() && copies.is_settled());
}

#[test]
fn what_a_fallback_said_before_it_was_asked_to_hold_for_one_more_says_nothing_of_that_one() {
    let one = || Owners::from_slice(&[D]);
    let mut copies = Copies::new(Quorum::new(3, &[&[A, B, C]], |_| true), true);
    assert_eq!(copies.call_in(&[B], one, |_| true), [(D, vec![B])]);
    copies.count(D, 1);
    copies.count(B, 0);
    copies.fail(C, 0, OwnerCause::Unreachable);
    assert_eq!(copies.call_in(&[C], one, |_| true), [(D, vec![B, C])], "for all of them");
    assert_eq!((copies.at_fallbacks(), copies.is_settled()), (0, false), "it has B's only");
    copies.count(D, 1);
    assert_eq!(copies.at_fallbacks(), 0, "the answer came twice");
    copies.fail(D, 1, OwnerCause::Overloaded);
    assert!(!copies.is_settled(), "a late refusal of what it was asked at first");
    copies.count(D, 2);
    copies.count_own(A);
    assert_eq!((copies.at_fallbacks(), copies.got()), (1, 3));
    assert!(copies.is_settled());
}

#[test]
fn a_fallback_that_refuses_one_more_is_a_copy_for_the_first_all_the_same() {
    let one = || Owners::from_slice(&[D]);
    let mut copies = copies(&[A], true);
    copies.call_in(&[B], one, |_| true);
    copies.count(D, 1);
    copies.call_in(&[B, C], one, |_| true);
    copies.fail(D, 2, OwnerCause::Overloaded);
    assert_eq!((copies.at_fallbacks(), copies.is_settled()), (1, false), "A is awaited");
    copies.count(C, 0);
    assert_eq!(copies.at_fallbacks(), 1);
}

#[test]
fn a_fallback_that_does_not_answer_for_long_is_replaced_and_counts_when_it_does() {
    let mut copies = copies(&[A], true);
    assert_eq!(copies.call_in(&[B], fallbacks, |_| true), [(D, vec![B])]);
    assert_eq!(copies.call_in(&[B], fallbacks, |_| true), []);
    copies.lose_patience();
    assert_eq!(copies.call_in(&[B], fallbacks, |_| true), [(E, vec![B])]);
    copies.lose_patience();
    assert_eq!(copies.call_in(&[B], fallbacks, |_| true), [], "nobody is left");
    copies.count(D, 1);
    copies.count(E, 1);
    assert_eq!(copies.at_fallbacks(), 1, "two for one owner are one copy");
    copies.call_in(&[B, C], fallbacks, |_| true);
    copies.count(D, 2);
    assert_eq!(copies.at_fallbacks(), 2);
}
