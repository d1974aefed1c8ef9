//! What travels: names, bodies, and bodies that somebody damaged.

use kvorum_ring::{
    ClassId, Layout, LayoutError, LayoutInput, NodeId, PartitionId, ReplicationClass,
};

use crate::model::{CLASS, input, member, owned};

fn five_nodes() -> LayoutInput {
    let mut input = input(16, 3, (0..5).map(|number| member(number, "default", 100)).collect());
    input.classes.push(ReplicationClass::new(ClassId(1), 2).unwrap());
    input
}

#[test]
fn a_body_reads_back_to_the_same_layout_under_the_same_name() {
    let layout = Layout::plan(five_nodes(), None).unwrap();
    let bytes = rmp_serde::to_vec(&layout).unwrap();
    let read: Layout = rmp_serde::from_slice(&bytes).unwrap();
    assert_eq!(read, layout);
    assert_eq!(read.check_name(layout.name()), Ok(()));
}

#[test]
fn a_changed_body_has_another_name_or_is_refused() {
    let layout = Layout::plan(five_nodes(), None).unwrap();
    let bytes = rmp_serde::to_vec(&layout).unwrap();
    let mut refused = 0;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            match rmp_serde::from_slice::<Layout>(&damaged) {
                Ok(read) => {
                    assert_eq!(read.check_name(layout.name()), Err(LayoutError::NameMismatch))
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn the_name_of_a_layout_never_changes_from_release_to_release() {
    // Pinned: nodes of different releases must compute the same table and the same name. A planner that is meant to
    // differ changes this line, and rolls out between two layout commits.
    assert_eq!(Layout::plan(five_nodes(), None).unwrap().name().to_string(), "1.1-7ac85a6f");
}

#[test]
fn lineage_and_version_are_part_of_the_name_s_hash() {
    let name = |lineage, version| {
        Layout::plan(LayoutInput { lineage, version, ..five_nodes() }, None).unwrap().name()
    };
    assert_ne!(name(1, 1).hash, name(1, 2).hash);
    assert_ne!(name(1, 1).hash, name(2, 1).hash);
}

#[test]
fn a_wrong_input_is_refused_with_its_cause() {
    let plan = |change: fn(&mut LayoutInput)| {
        let mut input = five_nodes();
        change(&mut input);
        Layout::plan(input, None).unwrap_err()
    };
    let first = member(0, "default", 100).id;
    assert_eq!(plan(|input| input.members.clear()), LayoutError::NoMembers);
    assert_eq!(plan(|input| input.classes.clear()), LayoutError::NoClasses);
    assert_eq!(
        plan(|input| input.members.push(input.members[0].clone())),
        LayoutError::DuplicateMember(first)
    );
    assert_eq!(
        plan(|input| input.classes.push(input.classes[1])),
        LayoutError::DuplicateClass(ClassId(1))
    );
    let crowd = |input: &mut LayoutInput| {
        input.members = (0..1_025).map(|number| member(number, "z", 1)).collect()
    };
    assert_eq!(plan(crowd), LayoutError::TooManyMembers(1_025));

    let previous = Layout::plan(five_nodes(), None).unwrap();
    let doubled = LayoutInput { partitions: 32.try_into().unwrap(), ..five_nodes() };
    let error = Layout::plan(doubled, Some(&previous)).unwrap_err();
    assert_eq!(error, LayoutError::PartitionsChanged { previous: 16, planned: 32 });
}

#[test]
fn what_does_not_exist_has_no_preference_list() {
    let layout = Layout::plan(five_nodes(), None).unwrap();
    assert!(layout.preference(ClassId(7), PartitionId(0)).is_none());
    assert!(layout.preference(CLASS, PartitionId(16)).is_none());
    assert!(layout.preference(CLASS, PartitionId(15)).is_some());
    assert_eq!(layout.owned_by(NodeId(1), CLASS).count(), 0);
    assert_eq!(layout.owned_by(layout.members()[0].id, ClassId(7)).count(), 0);
}

#[test]
fn owned_by_lists_what_the_rows_say() {
    let layout = Layout::plan(five_nodes(), None).unwrap();
    for (node, owned) in owned(&layout) {
        assert_eq!(layout.owned_by(node, CLASS).count(), owned);
    }
}
