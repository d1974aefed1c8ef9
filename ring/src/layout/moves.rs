//! From the previous owners to the new numbers with as few moves as possible.
//!
//! 1. Keep every previous owner that is sound under the new zones.
//! 2. Give the places that are empty (of nodes that left) to nodes that shall own more.
//! 3. Let nodes that own too much pass partitions directly to nodes that shall own more.
//! 4. Where zones or distinctness forbid a direct step, go through others along the cheapest chain: the place goes to
//!    a node that passes on one of its own, and so on.
//!
//! Steps 2 and 3 move each surplus copy once, which no plan can undercut; only chains of step 4 that take from a
//! previous owner cost more. A chain is an augmenting path in the flow network from nodes through zones to
//! partitions: since the targets can be met, one always exists, and the cheapest with the fewest steps leaves every
//! row sound.
//!
//! Over the changes of the sweep in `tests/layout` the moves are 0.3 % above the least possible, in the worst single
//! change (of a few dozen moves) 17 %.
//!
//! Among equal steps the one that makes the fewest new neighbours is taken.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::rows::{Place, Rows};
use super::spread::{HOLE, Spread};

/// How many possible places a giver compares before it passes on the best: more would hardly find a better one, and
/// make the doubling of a cluster slow.
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
    table.rows.into_cells()
}

struct Rebalance<'a> {
    spread: &'a Spread,
    rows: Rows,
    targets: Vec<u32>,
    /// Cells that hold the same member as in the previous layout.
    kept: Vec<bool>,
}

impl<'a> Rebalance<'a> {
    /// Where the new zones forbid a row as it was, the owner with the largest surplus gives way.
    fn keep(
        kept: &[Vec<u16>],
        targets: Vec<u32>,
        spread: &'a Spread,
        owners: usize,
    ) -> Rebalance<'a> {
        let mut surplus: Vec<i64> = targets.iter().map(|target| -i64::from(*target)).collect();
        kept.iter().flatten().for_each(|member| surplus[usize::from(*member)] += 1);
        let rows = Rows::empty(kept.len(), owners, targets.len());
        let mut table = Rebalance { spread, rows, targets, kept: vec![false; kept.len() * owners] };
        for (partition, previous) in kept.iter().enumerate() {
            let mut previous = previous.clone();
            previous.sort_by_key(|member| surplus[usize::from(*member)]);
            let mut place = Place { partition, position: 0 };
            for member in previous {
                if place.position < owners && table.fits(place, member) {
                    table.rows.put(place, member);
                    table.kept[table.rows.cell(place)] = true;
                    place.position += 1;
                }
            }
        }
        table
    }

    fn fits(&self, place: Place, coming: u16) -> bool {
        self.spread.admits(self.rows.row(place.partition), place.position, coming)
    }

    fn put(&mut self, place: Place, coming: u16) {
        self.rows.put(place, coming);
        self.kept[self.rows.cell(place)] = false;
    }

    /// Members in need of more partitions, and members that own too many.
    fn wants_more(&self, member: u16) -> bool {
        self.rows.owned(member) < self.targets[usize::from(member)]
    }

    fn has_surplus(&self, member: u16) -> bool {
        self.rows.owned(member) > self.targets[usize::from(member)]
    }

    fn members(&self) -> impl Iterator<Item = u16> + use<> {
        0..self.targets.len() as u16
    }

    /// The node in need that fits best in a place: fewest new neighbours, then the greatest need.
    fn best_taker(&self, place: Place, takers: &[u16]) -> Option<(usize, u16)> {
        let fits = |taker: &u16| self.wants_more(*taker) && self.fits(place, *taker);
        let need = |taker: u16| self.targets[usize::from(taker)] - self.rows.owned(taker);
        let fitting = takers.iter().copied().filter(fits);
        let rank =
            |taker: u16| (self.rows.new_neighbours(place, taker), Reverse(need(taker)), taker);
        fitting.map(rank).min().map(|(strangers, _, taker)| (strangers, taker))
    }

    fn takers(&self) -> Vec<u16> {
        self.members().filter(|member| self.wants_more(*member)).collect()
    }

    fn fill_holes(&mut self) {
        let takers = self.takers();
        for place in self.rows.holes() {
            if let Some((_, taker)) = self.best_taker(place, &takers) {
                self.put(place, taker);
            }
        }
    }

    fn pass_directly(&mut self) {
        let mut takers = self.takers();
        for giver in self.members().filter(|member| self.has_surplus(*member)).collect::<Vec<u16>>()
        {
            let mut places = self.rows.places_of(giver);
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
        for place in self.rows.holes() {
            self.chain(vec![place]);
        }
        for giver in self.members() {
            while self.has_surplus(giver) {
                self.chain(self.rows.places_of(giver));
            }
        }
    }

    /// Fills one of the places (which are holes, or all of one giver) along the cheapest chain of members, each of
    /// which takes a place and leaves one of its own to the next; the last one was in need. A step costs a move when
    /// it takes a place away from a previous owner, and nothing when the place changed hands anyway.
    fn chain(&mut self, places: Vec<Place>) {
        let mut takes: Vec<Option<Place>> = vec![None; self.targets.len()];
        let mut cost = vec![(usize::MAX, usize::MAX); self.targets.len()];
        let giver = places.first().map_or(HOLE, |place| self.rows.at(*place));
        let mut cheapest_end = (usize::MAX, usize::MAX);
        let mut queue = BinaryHeap::from([Reverse(((0, 0), true, giver))]);
        while let Some(Reverse(((moves, steps), is_content, member))) = queue.pop() {
            if !is_content {
                return self.shift(member, giver, &takes);
            }
            let leaves = if member == giver { places.clone() } else { self.rows.places_of(member) };
            for place in leaves {
                let reached = (moves + usize::from(self.kept[self.rows.cell(place)]), steps + 1);
                if reached >= cheapest_end {
                    continue;
                }
                for taker in self.members().filter(|taker| *taker != giver) {
                    if reached < cost[usize::from(taker)] && self.fits(place, taker) {
                        cost[usize::from(taker)] = reached;
                        takes[usize::from(taker)] = Some(place);
                        let is_content = !self.wants_more(taker);
                        cheapest_end =
                            if is_content { cheapest_end } else { cheapest_end.min(reached) };
                        queue.push(Reverse((reached, is_content, taker)));
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
            let leaving = self.rows.at(place);
            self.put(place, taker);
            taker = leaving;
        }
    }
}
