//! The first table of a class, with no previous one to keep.
//!
//! Lay out all nodes on one line, zone after zone, each as long as the partitions it shall own, and cut the line into
//! n pieces of equal length, one below the other: what stands in column p owns partition p (McNaughton's wrap-around
//! rule). A node is no longer than a piece, so it never meets itself in a column; a zone as long as `base` pieces, or
//! up to one more, covers each column that often. So numbers, distinctness and zones come out exactly, and a node
//! meets only the few that lie above and below it, which keeps down the number of node sets whose joint loss costs
//! data (Cidon et al., "Copysets", 2013).
//!
//! So few neighbours would cost dearly later: a node whose every partition stands in the same zones can hand none of
//! them to a newcomer in one of these zones. Therefore each node is spread over the four quarters of the table by
//! exchanges that change no number and keep every row sound. That multiplies its neighbours by about four, still far
//! from all.

use super::spread::Spread;

/// Owner rows, one after the other. `targets` sum up to `partitions * owners` and obey the bounds of `spread`.
pub(super) fn rows(targets: &[u32], spread: &Spread, partitions: usize, owners: usize) -> Vec<u16> {
    let mut rows = wrap_around(targets, spread, partitions, owners);
    exchange(&mut rows, spread, owners, partitions / 2, 0);
    exchange(&mut rows, spread, owners, partitions / 4, owners);
    rows
}

fn wrap_around(targets: &[u32], spread: &Spread, partitions: usize, owners: usize) -> Vec<u16> {
    let mut order: Vec<u16> = (0..targets.len() as u16).collect();
    order.sort_by_key(|member| (spread.zone_of(*member), *member));
    let line = order
        .iter()
        .flat_map(|member| std::iter::repeat_n(*member, targets[usize::from(*member)] as usize));
    let mut rows = vec![0; partitions * owners];
    for (position, member) in line.enumerate() {
        rows[(position % partitions) * owners + position / partitions] = member;
    }
    rows
}

/// Exchanges about half of the owners between partitions that lie `stride` apart (a power of two; zero in a table too
/// small for it), where both rows stay sound. Which ones, the bits of the partition's number from `bit` on say, so
/// that each combination occurs along a node's stretch.
fn exchange(rows: &mut [u16], spread: &Spread, owners: usize, stride: usize, bit: usize) {
    let partitions = rows.len() / owners;
    for partition in (0..partitions).filter(|partition| partition & stride != 0) {
        let (front, back) = rows.split_at_mut(partition * owners);
        let near = &mut back[..owners];
        let far = &mut front[(partition - stride) * owners..][..owners];
        for position in (0..owners).filter(|position| partition >> (bit + position) & 1 == 1) {
            let member = near[position];
            if far.contains(&member) {
                continue;
            }
            let fits = |at: &usize| {
                spread.admits(near, position, far[*at]) && spread.admits(far, *at, member)
            };
            if let Some(partner) = (0..owners).find(fits) {
                near[position] = std::mem::replace(&mut far[partner], member);
            }
        }
    }
}
