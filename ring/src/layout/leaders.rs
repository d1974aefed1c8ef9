//! Who stands first among the owners of each partition.
//!
//! The first reachable owner coordinates a key's requests, so that work must be spread as evenly as the partitions
//! themselves: of the rows that a node owns, it leads one in n, rounded up. That always works out, because giving
//! each owner the n-th part of every row would be exact and flows can be rounded. A previous leader stays where it
//! can: with another coordinator a key's clock grows by an entry.

use std::collections::VecDeque;

use super::score;
use super::spread::HOLE;
use crate::hash::PartitionId;
use crate::member::Member;

/// Reorders owner rows: the leader first, the others by rendezvous cost. `previous` names the former leader of each
/// partition, or nobody's where it is empty.
pub(super) fn order(
    mut rows: Vec<u16>,
    owners: usize,
    members: &[Member],
    previous: &[u16],
) -> Vec<u16> {
    let mut election = Election::new(&rows, owners, members.len());
    for (partition, leader) in previous.iter().enumerate() {
        election.keep(partition, *leader);
    }
    for partition in 0..election.leader.len() {
        if election.leader[partition] == HOLE {
            election.elect(partition);
        }
    }
    let leader = election.leader;
    for (partition, row) in rows.chunks_exact_mut(owners).enumerate() {
        let id = PartitionId(partition as u32);
        row.sort_by_key(|cell| {
            (*cell != leader[partition], score::cost(&members[usize::from(*cell)], id), *cell)
        });
    }
    rows
}

struct Election<'a> {
    rows: &'a [u16],
    owners: usize,
    /// How many rows a member owns, and which it leads.
    owned: Vec<u64>,
    led: Vec<Vec<usize>>,
    /// By partition; [`HOLE`] until elected.
    leader: Vec<u16>,
}

impl<'a> Election<'a> {
    fn new(rows: &'a [u16], owners: usize, members: usize) -> Election<'a> {
        let mut owned = vec![0; members];
        rows.iter().for_each(|cell| owned[usize::from(*cell)] += 1);
        Election {
            rows,
            owners,
            owned,
            led: vec![Vec::new(); members],
            leader: vec![HOLE; rows.len() / owners],
        }
    }

    fn row(&self, partition: usize) -> &'a [u16] {
        &self.rows[partition * self.owners..(partition + 1) * self.owners]
    }

    fn leads(&self, member: u16) -> u64 {
        self.led[usize::from(member)].len() as u64
    }

    fn has_room(&self, member: u16) -> bool {
        let index = usize::from(member);
        self.leads(member) < self.owned[index].div_ceil(self.owners as u64)
    }

    fn keep(&mut self, partition: usize, leader: u16) {
        if self.row(partition).contains(&leader) && self.has_room(leader) {
            self.appoint(partition, leader);
        }
    }

    fn appoint(&mut self, partition: usize, leader: u16) {
        let former = std::mem::replace(&mut self.leader[partition], leader);
        if former != HOLE {
            self.led[usize::from(former)].retain(|led| *led != partition);
        }
        self.led[usize::from(leader)].push(partition);
    }

    /// Appoints the owner who leads the smallest part of what it owns; where all of them lead enough, one of them
    /// passes another partition on, along the shortest chain that ends at a node with room.
    fn elect(&mut self, partition: usize) {
        let part = |member: u16| (self.leads(member), self.owned[usize::from(member)]);
        let eligible = self.row(partition).iter().copied().filter(|member| self.has_room(*member));
        let least = eligible.min_by(|left, right| {
            let ((left_leads, left_owned), (right_leads, right_owned)) =
                (part(*left), part(*right));
            (left_leads * right_owned).cmp(&(right_leads * left_owned)).then(left.cmp(right))
        });
        match least {
            Some(member) => self.appoint(partition, member),
            None => self.pass_on(partition),
        }
    }

    fn pass_on(&mut self, partition: usize) {
        let mut gains: Vec<Option<usize>> = vec![None; self.owned.len()];
        let mut queue = VecDeque::from([partition]);
        while let Some(offered) = queue.pop_front() {
            for member in self.row(offered).iter().copied() {
                if gains[usize::from(member)].is_some() {
                    continue;
                }
                gains[usize::from(member)] = Some(offered);
                if self.has_room(member) {
                    return self.shift(member, &gains);
                }
                queue.extend(self.led[usize::from(member)].iter().copied());
            }
        }
        unreachable!(
            "an even split of every row is a fractional solution, so a chain to a node with room exists"
        );
    }

    /// Walks the chain back from its end: each member gets the partition noted for it, and whoever led that partition
    /// is served next; the partition where the chain began was led by nobody.
    fn shift(&mut self, end: u16, gains: &[Option<usize>]) {
        let mut member = end;
        while member != HOLE {
            let partition =
                gains[usize::from(member)].expect("every member on the chain was reached");
            let former = self.leader[partition];
            self.appoint(partition, member);
            member = former;
        }
    }
}
