//! The promises of a layout, each computed in the plainest way, independently of the planner.

use std::collections::{BTreeMap, BTreeSet};

use kvorum_ring::{
    ClassId, Layout, LayoutInput, Member, NodeId, PartitionCount, ReplicationClass, Zone,
};

pub(crate) const CLASS: ClassId = ClassId(0);

pub(crate) fn member(number: u128, zone: &str, weight: u16) -> Member {
    // Spread over the id space, as random ids are, so that neighbours in number are not neighbours in order.
    let id = NodeId((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
    Member { id, zone: zone.parse::<Zone>().unwrap(), weight: weight.try_into().unwrap() }
}

pub(crate) fn input(partitions: u32, n: u8, members: Vec<Member>) -> LayoutInput {
    LayoutInput {
        lineage: 1,
        version: 1,
        partitions: PartitionCount::new(partitions).unwrap(),
        classes: vec![ReplicationClass::new(CLASS, n).unwrap()],
        members,
    }
}

/// How many partitions each member owns.
pub(crate) fn owned(layout: &Layout) -> BTreeMap<NodeId, usize> {
    let mut owned: BTreeMap<NodeId, usize> =
        layout.members().iter().map(|member| (member.id, 0)).collect();
    for partition in layout.partitions().partitions() {
        for node in layout.preference(CLASS, partition).unwrap().owners() {
            *owned.get_mut(&node).unwrap() += 1;
        }
    }
    owned
}

/// Checks every promise about a single layout.
pub(crate) fn check(layout: &Layout, n: u8) {
    check_rows(layout, usize::from(n));
    check_balance(layout, usize::from(n));
    check_leaders(layout);
}

/// Distinct nodes, as many owners and fallbacks as there can be, copies spread over zones as evenly as can be.
fn check_rows(layout: &Layout, n: usize) {
    let members = layout.members();
    let mut sizes: BTreeMap<&Zone, usize> = BTreeMap::new();
    members.iter().for_each(|member| *sizes.entry(&member.zone).or_default() += 1);
    for partition in layout.partitions().partitions() {
        let preference = layout.preference(CLASS, partition).unwrap();
        assert_eq!(preference.owners().len(), n.min(members.len()));
        assert_eq!(preference.nodes().count(), (2 * n).min(members.len()));
        assert_eq!(
            preference.nodes().collect::<BTreeSet<_>>().len(),
            preference.nodes().count(),
            "{preference:?}"
        );

        let mut copies: BTreeMap<&Zone, usize> = sizes.keys().map(|zone| (*zone, 0)).collect();
        preference
            .owners()
            .for_each(|node| *copies.get_mut(&layout.member(node).unwrap().zone).unwrap() += 1);
        let fullest = *copies.values().max().unwrap();
        for (zone, held) in &copies {
            assert!(
                *held == sizes[zone] || *held + 1 >= fullest,
                "zone {zone} could hold a copy more: {preference:?}"
            );
        }
    }
}

/// Every node owns its fair share, rounded down or up.
fn check_balance(layout: &Layout, n: usize) {
    let fair = fair_shares(layout, n);
    for (member, owned) in owned(layout) {
        let fair = fair[&member];
        let off = (owned as f64 - fair).abs();
        assert!(off < 1.0 + 1e-6, "{member:?} owns {owned}, its fair share is {fair}");
    }
}

/// A node leads one in n of the rows it owns, rounded up at most.
fn check_leaders(layout: &Layout) {
    let owned = owned(layout);
    let mut leads: BTreeMap<NodeId, usize> = BTreeMap::new();
    for partition in layout.partitions().partitions() {
        let preference = layout.preference(CLASS, partition).unwrap();
        let leader = preference.owners().next().unwrap();
        *leads.entry(leader).or_default() += 1;
        let most = owned[&leader].div_ceil(preference.owners().len());
        assert!(
            leads[&leader] <= most,
            "{leader:?} leads more than {most} of its {} rows",
            owned[&leader]
        );
    }
}

/// The fair shares as real numbers: the weights' proportion under a common level, with each zone's level raised or
/// lowered to its bounds, found by bisection. Slow and plain.
fn fair_shares(layout: &Layout, n: usize) -> BTreeMap<NodeId, f64> {
    let cap = f64::from(layout.partitions().get());
    let mut zones: BTreeMap<&Zone, Vec<&Member>> = BTreeMap::new();
    layout.members().iter().for_each(|member| zones.entry(&member.zone).or_default().push(member));
    let owners = n.min(layout.members().len());
    let poured = |level: usize| zones.values().map(|zone| zone.len().min(level)).sum::<usize>();
    let level = (0..=owners).rev().find(|level| poured(*level) < owners).unwrap_or(0);

    let share = |member: &Member, level: f64| cap.min(level * f64::from(member.weight.get()));
    let filled =
        |zone: &[&Member], at: f64| zone.iter().map(|member| share(member, at)).sum::<f64>();
    let bounded = |zone: &[&Member], at: f64| {
        let least = zone.len().min(level) as f64 * cap;
        filled(zone, at).clamp(least, zone.len().min(level + 1) as f64 * cap)
    };
    let common =
        bisect(cap * owners as f64, |at| zones.values().map(|zone| bounded(zone, at)).sum());
    let mut fair = BTreeMap::new();
    for zone in zones.values() {
        let own = bisect(bounded(zone, common), |at| filled(zone, at));
        fair.extend(zone.iter().map(|member| (member.id, share(member, own))));
    }
    fair
}

/// Where a rising function reaches a value.
fn bisect(value: f64, rising: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 1e6);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if rising(middle) < value { low = middle } else { high = middle }
    }
    high
}

/// Copies that a change makes, and the fewest that any plan with the same numbers per node could make: what each node
/// holds beyond its new number, and everything that nodes held which left.
pub(crate) fn moves(previous: &Layout, next: &Layout) -> (usize, usize) {
    let mut made = 0;
    for partition in next.partitions().partitions() {
        let before: BTreeSet<NodeId> =
            previous.preference(CLASS, partition).unwrap().owners().collect();
        made += next
            .preference(CLASS, partition)
            .unwrap()
            .owners()
            .filter(|node| !before.contains(node))
            .count();
    }
    let (before, after) = (owned(previous), owned(next));
    let gained =
        |(node, now): (&NodeId, &usize)| now.saturating_sub(before.get(node).copied().unwrap_or(0));
    (made, after.iter().map(gained).sum())
}

/// The mean number of other nodes that a node shares a partition with.
pub(crate) fn mean_neighbours(layout: &Layout) -> f64 {
    let mut neighbours: BTreeSet<(NodeId, NodeId)> = BTreeSet::new();
    for partition in layout.partitions().partitions() {
        let preference = layout.preference(CLASS, partition).unwrap();
        for node in preference.owners() {
            neighbours.extend(
                preference.owners().filter(|other| *other != node).map(|other| (node, other)),
            );
        }
    }
    neighbours.len() as f64 / layout.members().len() as f64
}
