//! Clusters from 1 to 300 nodes, with mixed weights and zones, grown, shrunk and reweighted.

use std::collections::{BTreeMap, BTreeSet};

use kvorum_ring::{Layout, Member, NodeId, PartitionId};

use crate::model::{CLASS, check, input, mean_neighbours, member, moves, owned};

const WEIGHTS: [u16; 5] = [100, 100, 50, 200, 75];

/// `count` members over `zones` zones, the weights mixed or all the same.
fn cluster(count: u128, zones: u128, mixed: bool) -> Vec<Member> {
    let weight = |number: u128| if mixed { WEIGHTS[(number * 7 % 5) as usize] } else { 100 };
    (0..count)
        .map(|number| member(number, &format!("z{}", number % zones), weight(number)))
        .collect()
}

#[test]
fn every_promise_holds_from_1_to_300_nodes() {
    for count in [1, 2, 3, 4, 5, 6, 7, 10, 17, 30, 100, 300] {
        for (zones, mixed) in [(1, true), (2, true), (3, false), (4, true), (12, true)] {
            for n in [1, 3, 5] {
                let layout =
                    Layout::plan(input(512, n, cluster(count, zones, mixed)), None).unwrap();
                check(&layout, n);
            }
        }
    }
}

#[test]
fn equal_nodes_with_fifty_partitions_each_are_balanced_to_98_percent() {
    for (count, zones) in [(3u128, 3), (10, 1), (99, 3), (100, 1), (240, 3), (240, 12)] {
        let layout = Layout::plan(input(4_096, 3, cluster(count, zones, false)), None).unwrap();
        let owned = owned(&layout);
        let mean = 3.0 * 4_096.0 / count as f64;
        let most = *owned.values().max().unwrap() as f64;
        assert!(mean / most >= 0.98, "{count} nodes: {mean} / {most}");
    }
}

/// Plans a change, checks the result, and returns the moves made and the fewest possible.
fn change(before: &[Member], after: &[Member]) -> (usize, usize) {
    let previous = Layout::plan(input(1_024, 3, before.to_vec()), None).unwrap();
    let next = Layout::plan(input(1_024, 3, after.to_vec()), Some(&previous)).unwrap();
    check(&next, 3);
    moves(&previous, &next)
}

#[test]
fn a_node_that_comes_goes_or_changes_weight_moves_hardly_more_than_it_must() {
    let (mut all_made, mut all_least) = (0, 0);
    for count in [4u128, 5, 9, 40, 100] {
        for (zones, mixed) in [(1, false), (1, true), (3, true), (4, false), (4, true), (7, true)] {
            let before = cluster(count, zones, mixed);
            let mut added = before.clone();
            added.push(member(1_000, "z0", 100));
            let mut removed = before.clone();
            removed.remove(count as usize / 2);
            let mut reweighted = before.clone();
            reweighted[0].weight = 300.try_into().unwrap();
            for (what, after) in [("comes", added), ("goes", removed), ("grows", reweighted)] {
                let (made, least) = change(&before, &after);
                let case =
                    format!("one of {count} nodes in {zones} zones {what}, mixed weights: {mixed}");
                assert!(
                    made * 10 <= least * 12,
                    "{case}: {made} moves, {least} would be the least"
                );
                (all_made, all_least) = (all_made + made, all_least + least);
            }
        }
    }
    assert!(
        all_made * 1_000 <= all_least * 1_005,
        "{all_made} moves altogether, {all_least} would be the least"
    );
}

#[test]
fn rounding_spares_moves() {
    // Shares of 30.87 and 30.57 become 30.72 for all: whoever was rounded up can stay so.
    let before: Vec<Member> =
        (0..100).map(|number| member(number, "z0", 100 + (number % 2) as u16)).collect();
    let after: Vec<Member> = (0..100).map(|number| member(number, "z0", 100)).collect();
    let previous = Layout::plan(input(1_024, 3, before), None).unwrap();
    let next = Layout::plan(input(1_024, 3, after), Some(&previous)).unwrap();
    assert_eq!(moves(&previous, &next), (0, 0));
}

#[test]
fn the_same_members_move_nothing() {
    let previous = Layout::plan(input(1_024, 3, cluster(50, 3, true)), None).unwrap();
    let next = Layout::plan(input(1_024, 3, cluster(50, 3, true)), Some(&previous)).unwrap();
    assert_eq!(previous, next, "not even the order of a list or a fallback changes");
}

#[test]
fn a_cluster_changed_many_times_keeps_every_promise() {
    let mut members = cluster(3, 3, true);
    let mut layout = Layout::plan(input(512, 3, members.clone()), None).unwrap();
    for step in 0..60u128 {
        match step % 6 {
            5 => drop(members.remove(step as usize * 13 % members.len())),
            4 => {
                members[step as usize * 11 % 4].weight = (50 + step as u16 * 3).try_into().unwrap()
            }
            _ => members.push(member(
                100 + step,
                &format!("z{}", step % 5),
                WEIGHTS[(step % 5) as usize],
            )),
        }
        layout = Layout::plan(input(512, 3, members.clone()), Some(&layout)).unwrap();
        check(&layout, 3);
    }
}

#[test]
fn a_changed_number_of_owners_keeps_the_owners_there_are() {
    let members = cluster(20, 4, true);
    let three = Layout::plan(input(512, 3, members.clone()), None).unwrap();
    let five = Layout::plan(input(512, 5, members.clone()), Some(&three)).unwrap();
    check(&five, 5);
    let (made, least) = moves(&three, &five);
    assert!(made * 100 <= least * 105, "{made} moves, {least} would be the least");
    check(&Layout::plan(input(512, 3, members), Some(&five)).unwrap(), 3);
}

#[test]
fn a_node_shares_partitions_with_few_others() {
    let layout = Layout::plan(input(4_096, 3, cluster(300, 3, false)), None).unwrap();
    let neighbours = mean_neighbours(&layout);
    assert!(neighbours <= 16.0, "{neighbours} neighbours on average");
}

#[test]
fn a_failed_node_s_load_spreads_over_many_fallbacks() {
    for (count, zones) in [(300u128, 3u128), (300, 10), (40, 1), (40, 4)] {
        let layout = Layout::plan(input(4_096, 3, cluster(count, zones, false)), None).unwrap();
        for failed in layout.members().iter().step_by(17) {
            let mut load: BTreeMap<NodeId, usize> = BTreeMap::new();
            let rows: Vec<_> = layout.owned_by(failed.id, CLASS).collect();
            for partition in &rows {
                let first =
                    layout.preference(CLASS, *partition).unwrap().fallbacks().next().unwrap();
                *load.entry(first).or_default() += 1;
            }
            let most = *load.values().max().unwrap();
            assert!(
                most <= 5.max(rows.len() / 5),
                "one fallback takes {most} of {} partitions",
                rows.len()
            );
        }
    }
}

#[test]
fn fallbacks_stand_in_zones_without_a_copy_as_far_as_there_are() {
    for (zones, distinct) in [(10, 6), (4, 4), (2, 2)] {
        let layout = Layout::plan(input(1_024, 3, cluster(40, zones, false)), None).unwrap();
        let is_spread = |partition: &PartitionId| {
            let nodes = layout.preference(CLASS, *partition).unwrap().nodes().take(2 * 3);
            nodes.map(|node| &layout.member(node).unwrap().zone).collect::<BTreeSet<_>>().len()
                >= distinct
        };
        let spread = layout.partitions().partitions().filter(is_spread).count();
        assert!(
            spread >= 1_000,
            "{zones} zones: {spread} of 1,024 lists stand in {distinct} zones"
        );
    }
}

#[test]
fn a_small_node_in_a_zone_of_its_own_does_not_stand_in_for_the_whole_cluster() {
    let mut members = cluster(30, 3, false);
    members.push(member(1_000, "alone", 10));
    let layout = Layout::plan(input(1_024, 3, members), None).unwrap();
    let alone = member(1_000, "alone", 10).id;
    let first =
        |partition| layout.preference(CLASS, partition).unwrap().fallbacks().next() == Some(alone);
    let times = layout.partitions().partitions().filter(|partition| first(*partition)).count();
    assert!(
        times <= 8,
        "first fallback of {times} of 1,024 partitions with a three-hundredth of the weight"
    );
}
