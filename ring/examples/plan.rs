//! Plans a large layout and one change of each kind, and prints how long it took and how good it is:
//! `cargo run --release -p kvorum-ring --example plan [nodes] [partitions]`.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::hint::black_box;

use kvorum_ring::{ClassId, Layout, LayoutInput, Member, NodeId, PartitionCount, ReplicationClass};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let nodes: u16 = arguments.next().map_or(Ok(300), |text| text.parse())?;
    let partitions: u32 = arguments.next().map_or(Ok(4_096), |text| text.parse())?;
    let weights = [100u16, 100, 50, 200, 75];
    let member = |number: u16| -> Result<Member, Box<dyn Error>> {
        let id =
            NodeId(u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        let weight = weights[usize::from(number) % weights.len()].try_into()?;
        Ok(Member { id, zone: format!("zone-{}", number % 4).parse()?, weight })
    };
    let members = (0..nodes).map(member).collect::<Result<Vec<Member>, _>>()?;

    println!("{nodes} nodes of mixed weight in 4 zones, {partitions} partitions, n = 3");
    let first = timed("first layout", partitions, &members, None)?;
    let mut grown = members.clone();
    grown.push(member(nodes)?);
    timed("a node comes", partitions, &grown, Some(&first))?;
    timed("a node goes", partitions, &members[1..], Some(&first))?;
    let mut heavier = members.clone();
    heavier[0].weight = 1_000.try_into()?;
    timed("a node grows", partitions, &heavier, Some(&first))?;
    let half = Layout::plan(input(partitions, &members[..members.len() / 2])?, None)?;
    timed("the cluster doubles", partitions, &members, Some(&half))?;
    timed("the cluster halves", partitions, &members[..members.len() / 2], Some(&first))?;
    Ok(())
}

fn input(partitions: u32, members: &[Member]) -> Result<LayoutInput, Box<dyn Error>> {
    let partitions = PartitionCount::new(partitions)?;
    let classes = vec![ReplicationClass::default()];
    Ok(LayoutInput { lineage: 1, version: 1, partitions, classes, members: members.to_vec() })
}

// An example may read a clock; the crate may not.
#[allow(clippy::disallowed_methods)]
fn timed(
    what: &str,
    partitions: u32,
    members: &[Member],
    previous: Option<&Layout>,
) -> Result<Layout, Box<dyn Error>> {
    let input = input(partitions, members)?;
    let start = std::time::Instant::now();
    let layout = black_box(Layout::plan(black_box(input), previous)?);
    let elapsed = start.elapsed();
    print!("{what:>20}: {:>6.1} ms", elapsed.as_secs_f64() * 1e3);
    print!(", {:.1} neighbours a node", neighbours(&layout));
    match previous {
        Some(previous) => {
            let (made, least) = moves(previous, &layout);
            println!(", {made} moves where {least} is the least possible");
        }
        None => println!(),
    }
    Ok(layout)
}

fn owners(layout: &Layout) -> impl Iterator<Item = BTreeSet<NodeId>> + '_ {
    let lists = layout
        .partitions()
        .partitions()
        .filter_map(|partition| layout.preference(ClassId(0), partition));
    lists.map(|list| list.owners().collect())
}

fn neighbours(layout: &Layout) -> f64 {
    let mut pairs = BTreeSet::new();
    for row in owners(layout) {
        pairs.extend(row.iter().flat_map(|left| row.iter().map(move |right| (*left, *right))));
    }
    pairs.len() as f64 / layout.members().len() as f64 - 1.0
}

/// Copies made, and what the nodes gained, which no plan with these numbers could undercut.
fn moves(previous: &Layout, next: &Layout) -> (usize, usize) {
    let made = owners(previous)
        .zip(owners(next))
        .map(|(before, after)| after.difference(&before).count())
        .sum();
    let count = |layout: &Layout| {
        let mut owned: BTreeMap<NodeId, usize> = BTreeMap::new();
        owners(layout).flatten().for_each(|node| *owned.entry(node).or_default() += 1);
        owned
    };
    let before = count(previous);
    let gained =
        |(node, now): (&NodeId, &usize)| now.saturating_sub(before.get(node).copied().unwrap_or(0));
    (made, count(next).iter().map(gained).sum())
}
