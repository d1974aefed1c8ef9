//! From fair shares to whole numbers of partitions.
//!
//! Every node and every zone gets its share rounded down or up, never more and never less. Zones are rounded first;
//! each then hands its surplus to some of its nodes. This always comes out even, because the nodes' shares rounded
//! down never exceed the zone's, and rounded up never fall short of it.
//!
//! Who is rounded up: first those who held more than the lower number before, for each of them spares a move; then
//! the largest fractions; then the smaller index.

use std::cmp::Reverse;

use super::shares::{Fraction, Shares};
use super::spread::Spread;

/// Partitions that each member shall own; together `slots`. `held` is what each owns now (all zero at first).
pub(super) fn targets(shares: &Shares, spread: &Spread, slots: u64, held: &[u32]) -> Vec<u32> {
    let mut held_by_zone = vec![0u64; spread.zones()];
    for (index, held) in held.iter().enumerate() {
        held_by_zone[spread.zone_of(index as u16)] += u64::from(*held);
    }
    let every_zone: Vec<usize> = (0..spread.zones()).collect();
    let zone_targets = round(&every_zone, &shares.zones, &held_by_zone, slots);

    let mut targets = vec![0; held.len()];
    let held: Vec<u64> = held.iter().map(|held| u64::from(*held)).collect();
    for (zone, total) in zone_targets.into_iter().enumerate() {
        let members: Vec<usize> =
            (0..held.len()).filter(|index| spread.zone_of(*index as u16) == zone).collect();
        for (member, target) in members.iter().zip(round(&members, &shares.nodes, &held, total)) {
            targets[*member] = target as u32;
        }
    }
    targets
}

/// Rounds the shares of `group` to whole numbers that sum up to `total`.
fn round(group: &[usize], shares: &[Fraction], held: &[u64], total: u64) -> Vec<u64> {
    let mut rounded: Vec<u64> = group.iter().map(|index| shares[*index].floor()).collect();
    let surplus = total - rounded.iter().sum::<u64>();
    let has_fraction = |at: &usize| shares[group[*at]].remainder().numerator > 0;
    let mut upward: Vec<usize> = (0..group.len()).filter(has_fraction).collect();
    upward.sort_by(|left, right| {
        let spares_a_move = |at: usize| held[group[at]] > shares[group[at]].floor();
        let fraction = |at: usize| shares[group[at]].remainder();
        let by_move = Reverse(spares_a_move(*left)).cmp(&Reverse(spares_a_move(*right)));
        by_move.then(fraction(*right).compare(fraction(*left))).then(left.cmp(right))
    });
    assert!(surplus as usize <= upward.len(), "shares rounded up cover the total");
    upward.iter().take(surplus as usize).for_each(|at| rounded[*at] += 1);
    rounded
}
