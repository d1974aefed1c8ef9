//! From members to a layout: shares, whole numbers, owners, their order, fallbacks; class by class.

use super::shares::fair_shares;
use super::spread::{HOLE, Spread};
use super::{
    Layout, LayoutInput, Table, body, fallbacks, fresh, leaders, moves, rounding, row_shape,
};
use crate::class::ReplicationClass;
use crate::error::LayoutError;
use crate::hash::PartitionCount;
use crate::member::Member;

/// See [`Layout::plan`].
pub(super) fn plan(input: LayoutInput, previous: Option<&Layout>) -> Result<Layout, LayoutError> {
    let LayoutInput { lineage, version, partitions, mut classes, mut members } = input;
    body::check_sizes(members.len(), classes.len())?;
    members.sort_by_key(|member| member.id);
    classes.sort_by_key(ReplicationClass::id);
    if let Some(twice) = members.windows(2).find(|pair| pair[0].id == pair[1].id) {
        return Err(LayoutError::DuplicateMember(twice[0].id));
    }
    if let Some(twice) = classes.windows(2).find(|pair| pair[0].id() == pair[1].id()) {
        return Err(LayoutError::DuplicateClass(twice[0].id()));
    }
    if let Some(previous) = previous.filter(|previous| previous.partitions != partitions) {
        return Err(LayoutError::PartitionsChanged {
            previous: previous.partitions.get(),
            planned: partitions.get(),
        });
    }
    let table = |class: &ReplicationClass| plan_table(*class, &members, partitions, previous);
    let tables: Vec<Table> = classes.iter().map(table).collect();
    let name = body::name_of((lineage, version), partitions, &members, &tables);
    Ok(Layout { name, partitions, members, tables })
}

fn plan_table(
    class: ReplicationClass,
    members: &[Member],
    partitions: PartitionCount,
    previous: Option<&Layout>,
) -> Table {
    let (owners, width) = row_shape(class, members.len());
    let spread = Spread::new(members, owners);
    let slots = u64::from(partitions.get()) * owners as u64;
    let shares = fair_shares(members, &spread, u64::from(partitions.get()), owners);
    let kept = previous.and_then(|previous| kept_owners(previous, class, members));
    let rows = match &kept {
        None => {
            let targets = rounding::targets(&shares, &spread, slots, &vec![0; members.len()]);
            fresh::rows(&targets, &spread, partitions.get() as usize, owners)
        }
        Some(kept) => {
            let mut held = vec![0; members.len()];
            kept.iter().flatten().for_each(|member| held[usize::from(*member)] += 1);
            let targets = rounding::targets(&shares, &spread, slots, &held);
            moves::rebalance(kept, targets, &spread, owners)
        }
    };
    let leaders: Vec<u16> =
        kept.iter().flatten().map(|row| row.first().copied().unwrap_or(HOLE)).collect();
    let rows = leaders::order(rows, owners, members, &leaders);

    let mut cells = vec![HOLE; partitions.get() as usize * width];
    for (cells, row) in cells.chunks_exact_mut(width).zip(rows.chunks_exact(owners)) {
        cells[..owners].copy_from_slice(row);
    }
    let mut table = Table { class, owners, width, cells };
    fallbacks::fill(&mut table, members, &spread, partitions);
    table
}

/// The previous owners of each partition that are members still, as indexes into `members`; a first owner that left
/// leaves its place to the second. `None` when the class is new.
fn kept_owners(
    previous: &Layout,
    class: ReplicationClass,
    members: &[Member],
) -> Option<Vec<Vec<u16>>> {
    let table = previous.table(class.id())?;
    let now = |member: &Member| members.binary_search_by_key(&member.id, |member| member.id).ok();
    let now: Vec<Option<usize>> = previous.members.iter().map(now).collect();
    let renamed = |cell: &u16| now[usize::from(*cell)].map(|index| index as u16);
    let row = |partition| table.row(partition)[..table.owners].iter().filter_map(renamed).collect();
    Some(previous.partitions.partitions().map(row).collect())
}
