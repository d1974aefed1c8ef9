//! From the previous owners to the new numbers with as few moves as possible.
//!
//! 1. Keep every previous owner that is sound under the new zones.
//! 2. Give the places that are empty (of nodes that left) to nodes that shall own more.
//! 3. Let nodes that own too much pass partitions directly to nodes that shall own more.
//! 4. Where zones or distinctness forbid a direct step, go through others along the cheapest chain: the place goes to a
//!    node that passes on one of its own, and so on.
//!
//! Steps 2 and 3 move each surplus copy once, which no plan can undercut; only chains of step 4 that take from a
//! previous owner cost more. A chain is an augmenting path in the flow network from nodes through zones to partitions:
//! since the targets can be met, one always exists, and the cheapest with the fewest steps leaves every row sound.
//!
//! Among equal steps the one that makes the fewest new neighbours is taken.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::spread::{HOLE, Spread};

/// A place in the table: partition and position within its row.
type Place = (usize, usize);

/// How many possible places a giver compares before it passes on the best: more would hardly find a better one, and make
/// the doubling of a cluster slow.
const ENOUGH_PLACES: usize = 8;

/// Owner rows in which each member owns exactly its target. `kept` holds each partition's previous owners that are
/// members still; `targets` sum up to `owners` for each partition.
pub(super) fn rebalance(
    kept: &[Vec<u16>],
    targets: Vec<u32>,
    spread: &Spread,
    owners: usize,
) -> Vec<u16> {
    let mut table = Rebalance::keep(kept, targets, spread, owners);
    table.fill_holes();
    table.pass_directly();
    table.pass_through_others();
    table.rows
}

struct Rebalance<'a> {
    spread: &'a Spread,
    owners: usize,
    rows: Vec<u16>,
    targets: Vec<u32>,
    owned: Vec<u32>,
    /// Cells that hold the same member as in the previous layout.
    kept: Vec<bool>,
    /// For each pair of members the number of partitions they share.
    shared: Vec<u32>,
}

impl<'a> Rebalance<'a> {
    /// Where the new zones forbid a row as it was, the owner with the largest surplus gives way.
    fn keep(
        kept: &[Vec<u16>],
        targets: Vec<u32>,
        spread: &'a Spread,
        owners: usize,
    ) -> Rebalance<'a> {
        let members = targets.len();
        let mut held = vec![0i64; members];
        kept.iter().flatten().for_each(|member| held[usize::from(*member)] += 1);
        let mut table = Rebalance {
            spread,
            owners,
            rows: vec![HOLE; kept.len() * owners],
            owned: vec![0; members],
            kept: vec![false; kept.len() * owners],
            shared: vec![0; members * members],
            targets,
        };
        for (partition, previous) in kept.iter().enumerate() {
            let mut previous = previous.clone();
            previous.sort_by_key(|member| {
                held[usize::from(*member)] - i64::from(table.targets[usize::from(*member)])
            });
            let mut position = 0;
            for member in previous {
                if position < owners && spread.admits(table.row(partition), position, member) {
                    table.put((partition, position), member);
                    table.kept[partition * owners + position] = true;
                    position += 1;
                }
            }
        }
        table
    }

    fn row(&self, partition: usize) -> &[u16] {
        &self.rows[partition * self.owners..(partition + 1) * self.owners]
    }

    /// Members in need of more partitions, and members that own too many.
    fn wants_more(&self, member: u16) -> bool {
        self.owned[usize::from(member)] < self.targets[usize::from(member)]
    }

    fn has_surplus(&self, member: u16) -> bool {
        self.owned[usize::from(member)] > self.targets[usize::from(member)]
    }

    fn members(&self) -> impl Iterator<Item = u16> + use<> {
        0..self.targets.len() as u16
    }

    /// Whether a place still has its previous owner.
    fn is_kept(&self, (partition, position): Place) -> bool {
        self.kept[partition * self.owners + position]
    }

    /// Where a member, or a hole, stands.
    fn places_of(&self, member: u16) -> Vec<Place> {
        let standing = self.rows.iter().enumerate().filter(|(_, cell)| **cell == member);
        standing.map(|(at, _)| (at / self.owners, at % self.owners)).collect()
    }

    /// Puts a member in a place and keeps the counts.
    fn put(&mut self, (partition, position): Place, coming: u16) {
        let at = partition * self.owners + position;
        let leaving = std::mem::replace(&mut self.rows[at], coming);
        self.kept[at] = false;
        if leaving != HOLE {
            self.owned[usize::from(leaving)] -= 1;
        }
        self.owned[usize::from(coming)] += 1;
        let members = self.targets.len();
        for other in 0..self.owners {
            let beside = self.rows[partition * self.owners + other];
            if other == position || beside == HOLE {
                continue;
            }
            let mut count = |left: u16, by: i32| {
                for (left, right) in [(left, beside), (beside, left)] {
                    let pair = &mut self.shared[usize::from(left) * members + usize::from(right)];
                    *pair = pair.wrapping_add_signed(by);
                }
            };
            count(coming, 1);
            if leaving != HOLE {
                count(leaving, -1);
            }
        }
    }

    /// How many members of the row `coming` does not share a partition with so far.
    fn new_neighbours(&self, (partition, position): Place, coming: u16) -> usize {
        let strange = |(other, cell): (usize, &u16)| {
            let pair = usize::from(coming) * self.targets.len();
            other != position && *cell != HOLE && self.shared[pair + usize::from(*cell)] == 0
        };
        self.row(partition)
            .iter()
            .enumerate()
            .filter(|(other, cell)| strange((*other, cell)))
            .count()
    }

    /// The node in need that fits best in a place: fewest new neighbours, then the greatest need.
    fn best_taker(&self, place: Place, takers: &[u16]) -> Option<(usize, u16)> {
        let fits = |taker: &u16| {
            self.wants_more(*taker) && self.spread.admits(self.row(place.0), place.1, *taker)
        };
        let need = |taker: u16| self.targets[usize::from(taker)] - self.owned[usize::from(taker)];
        let fitting = takers.iter().copied().filter(fits);
        let rank = |taker: u16| (self.new_neighbours(place, taker), Reverse(need(taker)), taker);
        fitting.map(rank).min().map(|(strangers, _, taker)| (strangers, taker))
    }

    fn takers(&self) -> Vec<u16> {
        self.members().filter(|member| self.wants_more(*member)).collect()
    }

    fn fill_holes(&mut self) {
        let takers = self.takers();
        for place in self.places_of(HOLE) {
            if let Some((_, taker)) = self.best_taker(place, &takers) {
                self.put(place, taker);
            }
        }
    }

    fn pass_directly(&mut self) {
        let mut takers = self.takers();
        for giver in self.members().filter(|member| self.has_surplus(*member)).collect::<Vec<u16>>()
        {
            let mut places = self.places_of(giver);
            while self.has_surplus(giver) {
                takers.retain(|taker| self.wants_more(*taker));
                let mut best: Option<(usize, usize, u16)> = None;
                let mut looked_at = 0;
                for (at, place) in places.iter().enumerate() {
                    let Some((strangers, taker)) = self.best_taker(*place, &takers) else {
                        continue;
                    };
                    if best.is_none_or(|best| strangers < best.0) {
                        best = Some((strangers, at, taker));
                    }
                    looked_at += 1;
                    if strangers == 0 || looked_at == ENOUGH_PLACES {
                        break;
                    }
                }
                let Some((_, at, taker)) = best else { break };
                self.put(places.swap_remove(at), taker);
            }
        }
    }

    fn pass_through_others(&mut self) {
        for place in self.places_of(HOLE) {
            self.chain(vec![place]);
        }
        for giver in self.members() {
            while self.has_surplus(giver) {
                self.chain(self.places_of(giver));
            }
        }
        debug_assert_eq!(self.owned, self.targets);
    }

    /// Fills one of the places (which are holes, or all of one giver) along the cheapest chain of members, each of
    /// which takes a place and leaves one of its own to the next; the last one was in need. A step costs a move when it
    /// takes a place away from a previous owner, and nothing when the place changed hands anyway.
    fn chain(&mut self, places: Vec<Place>) {
        let mut takes: Vec<Option<Place>> = vec![None; self.targets.len()];
        let mut cost = vec![(usize::MAX, usize::MAX); self.targets.len()];
        let giver =
            places.first().map_or(HOLE, |(partition, position)| self.row(*partition)[*position]);
        let mut queue = BinaryHeap::from([Reverse(((0, 0), true, giver))]);
        while let Some(Reverse(((moves, steps), is_content, member))) = queue.pop() {
            if !is_content {
                return self.shift(member, giver, &takes);
            }
            let leaves = if member == giver { places.clone() } else { self.places_of(member) };
            for place in leaves {
                let reached = (moves + usize::from(self.is_kept(place)), steps + 1);
                for taker in self.members().filter(|taker| *taker != giver) {
                    if reached < cost[usize::from(taker)]
                        && self.spread.admits(self.row(place.0), place.1, taker)
                    {
                        cost[usize::from(taker)] = reached;
                        takes[usize::from(taker)] = Some(place);
                        queue.push(Reverse((reached, !self.wants_more(taker), taker)));
                    }
                }
            }
        }
        unreachable!("the targets can be met, so an augmenting path exists");
    }

    /// Walks the chain back from its end.
    fn shift(&mut self, end: u16, giver: u16, takes: &[Option<Place>]) {
        let mut taker = end;
        while taker != giver {
            let place = takes[usize::from(taker)].expect("every member on the chain was reached");
            let leaving = self.row(place.0)[place.1];
            self.put(place, taker);
            taker = leaving;
        }
    }
}
