//! Who stands in when owners are away.
//!
//! Fallbacks of a partition come from the zones that have the fewest copies of it so far, and among those by
//! rendezvous cost: when a node fails, its partitions' first fallbacks are spread over the cluster, and a change of
//! members changes few lists.
//!
//! Zones alone would let a small machine in a zone of its own stand in for the whole cluster. So at each place of the
//! list a node is passed over once it holds [`CROWD`] times its fair part of that place, unless nobody else is left.

use super::Table;
use super::score;
use super::spread::{HOLE, Spread};
use crate::hash::PartitionCount;
use crate::member::Member;

/// How many times its fair part of one place in the lists a node may hold.
const CROWD: u64 = 2;

/// Fills in the fallbacks of every row whose owners are set.
pub(super) fn fill(
    table: &mut Table,
    members: &[Member],
    spread: &Spread,
    partitions: PartitionCount,
) {
    let total: u64 = members.iter().map(|member| u64::from(member.weight.get())).sum();
    let part = |member: &Member| {
        let fair = u64::from(partitions.get()) * u64::from(member.weight.get());
        (CROWD * fair).div_ceil(total)
    };
    let most: Vec<u64> = members.iter().map(part).collect();
    let places = table.width - table.owners;
    let mut taken = vec![0u64; members.len() * places];
    for partition in partitions.partitions() {
        let start = partition.0 as usize * table.width;
        let row = &mut table.cells[start..start + table.width];
        let costs: Vec<u64> = members.iter().map(|member| score::cost(member, partition)).collect();
        for place in 0..places {
            let copies = copies_by_zone(row, spread);
            let taken = &mut taken[place * members.len()..(place + 1) * members.len()];
            let chosen = (0..members.len() as u16)
                .filter(|member| !row.contains(member))
                .min_by_key(|member| {
                    let index = usize::from(*member);
                    (
                        taken[index] >= most[index],
                        copies[spread.zone_of(*member)],
                        costs[index],
                        *member,
                    )
                });
            let chosen = chosen.expect("a row is no wider than there are members");
            taken[usize::from(chosen)] += 1;
            row[table.owners + place] = chosen;
        }
    }
}

fn copies_by_zone(row: &[u16], spread: &Spread) -> Vec<u8> {
    let mut copies = vec![0; spread.zones()];
    row.iter().filter(|cell| **cell != HOLE).for_each(|cell| copies[spread.zone_of(*cell)] += 1);
    copies
}
