//! Random clusters and changes. A failure prints the smallest case found; run it again by pasting that case, or with
//! the seed that proptest writes beside this file.

use kvorum_ring::{Layout, Member};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, prop_assert_eq, proptest};

use crate::model::{check, input, member, moves};

/// (zone, weight) of each node.
type Shape = Vec<(u8, u16)>;

fn members(shape: &Shape, first: u128) -> Vec<Member> {
    let one = |(number, (zone, weight)): (usize, &(u8, u16))| {
        member(first + number as u128, &zone.to_string(), *weight)
    };
    shape.iter().enumerate().map(one).collect()
}

fn shape(most: usize) -> impl Strategy<Value = Shape> {
    let weight = proptest::prop_oneof![proptest::strategy::Just(100u16), 1..=1_000u16, 90..=110u16];
    (1u8..=9).prop_flat_map(move |zones| vec((0..zones, weight.clone()), 1..=most))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_promise_holds_for_any_cluster(shape in shape(40), n in 1u8..=7, bits in 0u32..=9) {
        check(&Layout::plan(input(1 << bits, n, members(&shape, 0)), None).unwrap(), n);
    }

    #[test]
    fn every_promise_holds_after_any_change(
        shape in shape(30), coming in shape(6), going in vec(0usize..30, 0..6), heavier in vec(0usize..30, 0..4),
        n in 1u8..=5, bits in 0u32..=8,
    ) {
        let before = members(&shape, 0);
        let mut after = before.clone();
        heavier.iter().filter(|at| **at < before.len()).for_each(|at| after[*at].weight = 555.try_into().unwrap());
        after.retain(|member| !going.iter().any(|at| before.get(*at).is_some_and(|gone| gone.id == member.id)));
        after.extend(members(&coming, 1_000));

        let previous = Layout::plan(input(1 << bits, n, before), None).unwrap();
        let next = Layout::plan(input(1 << bits, n, after), Some(&previous)).unwrap();
        check(&next, n);
        let (made, least) = moves(&previous, &next);
        // Zones that appear, vanish or are small can force chains of moves; the sweep shows the usual factor.
        assert!(made <= 2 * least + 4, "{made} moves, {least} would be the least");
    }

    #[test]
    fn the_order_of_the_members_does_not_matter(shape in shape(30), rotation in 0usize..30) {
        let ordered = members(&shape, 0);
        let mut rotated = ordered.clone();
        rotated.rotate_left(rotation % ordered.len());
        let layout = |members| Layout::plan(input(256, 3, members), None).unwrap();
        prop_assert_eq!(layout(ordered), layout(rotated));
    }
}
