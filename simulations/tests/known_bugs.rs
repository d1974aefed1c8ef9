//! Bugs that happened to systems like this one, as scripts without randomness in what happens.
//!
//! The numbers are those of the list of known bugs. Every script runs on the honest code and must pass; those whose bug
//! can be planted must fail in a build that has it, by the property that they name.

use kvorum_simulations::plan::{
    Action, ClockPlan, ContextChoice, DetectorPlan, DiskErrorKind, DiskPlan, Fault, GossipPlan,
    IndexDamage, NetworkPlan, Operation, OperationKind, PLAN_FORMAT, Plan, PlanEvent, Rule,
    Topology,
};
use kvorum_simulations::planted;
use kvorum_simulations::run::{RunOptions, RunReport, Source, run};
use kvorum_simulations::violation::Property;

/// Three quiet nodes that own every key.
fn quiet(keys: u16, clients: u16) -> Plan {
    Plan {
        format: PLAN_FORMAT,
        seed: 7,
        planted: None,
        note: None,
        expect: None,
        rule: Rule::Siblings,
        topology: Topology { nodes: 3, replicas: 3, partitions: 1, keys, clients },
        network: NetworkPlan {
            minimum_us: 100,
            mean_us: 100,
            loss_ppm: 0,
            duplicate_ppm: 0,
            reorder_ppm: 0,
        },
        disk: DiskPlan { commit_us: 20_000, load_us: 500, index_us: 2_000, compact_us: 2_000 },
        detector: DetectorPlan { minimum_us: 1_000, mean_us: 1_000 },
        gossip: None,
        clocks: Vec::new(),
        through_codec: true,
        buggify: 0,
        heal_at_us: 0,
        final_cut: None,
        index_loss: false,
        exchange_every_ms: 0,
        explain_at_us: Vec::new(),
        over_budget: false,
        reach: Vec::new(),
        events: Vec::new(),
    }
}

/// Adds events, in order, and lets the cluster heal a second after the last one.
fn script(mut plan: Plan, events: impl IntoIterator<Item = (u64, Action)>) -> Plan {
    plan.events = events
        .into_iter()
        .map(|(at_ms, action)| PlanEvent { at_us: at_ms * 1_000, action })
        .collect();
    plan.heal_at_us = plan.events.last().map_or(0, |event| event.at_us) + 1_000_000;
    plan
}

fn operation(id: u32, client: u16, node: u16, kind: OperationKind) -> Action {
    let (quorum, strict, timeout_us, retries) = (2, false, 500_000, 0);
    Action::Operation(Operation { id, client, node, kind, quorum, strict, timeout_us, retries })
}

fn put(id: u32, client: u16, node: u16, replaces: ContextChoice) -> Action {
    operation(id, client, node, OperationKind::Put { key: 0, replaces, size: 64, ttl_ms: None })
}

fn get(id: u32, client: u16, node: u16) -> Action {
    operation(id, client, node, OperationKind::Get { key: 0 })
}

fn play(plan: &Plan, planted: Option<&str>) -> RunReport {
    let source = Source::Plan(Box::new(plan.clone()));
    let planted = planted.map(str::to_owned);
    run(&RunOptions { source, planted, trace: false }).unwrap()
}

/// Plays a script on the honest code, and with the bug where this build has it.
fn check(plan: &Plan, bugs: &[(&str, Property)]) -> RunReport {
    let honest = play(plan, None);
    assert_eq!(honest.violation, None, "{}", honest.last_events.join("\n"));
    for (bug, property) in bugs.iter().filter(|(bug, _)| planted::names().contains(bug)) {
        let report = play(plan, Some(bug));
        let found = report.violation.map(|violation| violation.property);
        assert_eq!(found, Some(*property), "{bug}");
    }
    honest
}

fn reached(report: &RunReport, state: &str) -> bool {
    report.reached.iter().any(|visits| visits.state == state)
}

/// A node mints, sends the dot to its peers, dies before its own sync, and mints again.
fn dot_that_outlives_its_minter() -> Plan {
    let crash = Fault::CrashAfterMint {
        node: 0,
        mints: 1,
        delay_us: 2_000,
        down_us: 50_000,
        within_io: false,
    };
    script(
        quiet(1, 1),
        [
            (10, put(1, 0, 0, ContextChoice::Latest)),
            (500, Action::Fault(crash)),
            (510, put(2, 0, 0, ContextChoice::Nothing)),
            (900, put(3, 0, 0, ContextChoice::Nothing)),
            (1_500, get(4, 0, 1)),
        ],
    )
}

#[test]
fn bug_01_a_node_that_lost_its_record_does_not_reuse_its_actor() {
    let report = check(&dot_that_outlives_its_minter(), &[("1-actor-reused", Property::P5)]);
    assert!(reached(&report, "crash between mint and sync"));
    assert!(reached(&report, "fresh actor for old key"));
}

#[test]
fn bug_02_a_node_does_not_continue_an_actor_that_a_clock_names() {
    check(&dot_that_outlives_its_minter(), &[("2-actor-from-clock", Property::P5)]);
}

#[test]
fn bug_07_two_clients_that_take_turns_leave_at_most_two_siblings() {
    let turns = (0..100).flat_map(|turn: u32| {
        let (client, at_ms) = ((turn % 2) as u16, u64::from(turn) * 200);
        [
            (at_ms + 10, get(2 * turn + 1, client, 0)),
            // The other client has written meanwhile: this context is one write behind.
            (at_ms + 250, put(2 * turn + 2, client, 0, ContextChoice::Held)),
        ]
    });
    let mut turns: Vec<(u64, Action)> = turns.collect();
    turns.sort_by_key(|(at_ms, _)| *at_ms);
    let report = check(&script(quiet(1, 2), turns), &[("7-sibling-explosion", Property::P3)]);
    assert!(reached(&report, "siblings"));
    assert!(!reached(&report, "three siblings"));
}

#[test]
fn bug_08_concurrent_writes_under_skewed_clocks_all_survive() {
    let skew = |offset_ms| ClockPlan { offset_ms, drift_ppm: 0 };
    let plan = Plan { clocks: vec![skew(-10_000), skew(10_000), skew(0)], ..quiet(1, 2) };
    let events = [
        (10, put(1, 0, 0, ContextChoice::Nothing)),
        (10, put(2, 1, 1, ContextChoice::Nothing)),
        (500, get(3, 0, 2)),
    ];
    assert!(reached(&check(&script(plan, events), &[]), "siblings"));
}

/// Six quiet nodes: three own every key, the other three stand in for them.
fn with_fallbacks(keys: u16) -> Plan {
    let topology = Topology { nodes: 6, replicas: 3, partitions: 1, keys, clients: 1 };
    Plan { topology, ..quiet(keys, 1) }
}

/// The first owners of key 0 are down for a while.
fn away(owners: u8, for_ms: u64) -> Action {
    Action::Fault(Fault::OwnersAway { key: 0, owners, down_us: for_ms * 1_000 })
}

/// A put that finds its way round nodes that are down.
fn stubborn_put(id: u32, key: u16, size: u32) -> Action {
    let kind = OperationKind::Put { key, replaces: ContextChoice::Latest, size, ttl_ms: None };
    let Action::Operation(put) = operation(id, 0, 0, kind) else { unreachable!("just made") };
    Action::Operation(Operation { retries: 5, timeout_us: 900_000, ..put })
}

#[test]
fn bug_18_hints_are_delivered_though_the_owner_was_back_before_its_fallback() {
    let cut = Fault::PowerCut { down_us: 900_000, within_io: false, index: IndexDamage::Whole };
    let events = [
        (10, away(2, 600)),
        (100, stubborn_put(1, 0, 64)),
        // Everybody else goes, and comes back long after the owner.
        (400, Action::Fault(cut)),
        (1_500, get(2, 0, 1)),
    ];
    let plan = script(with_fallbacks(1), events);
    let report = check(&plan, &[("18-not-resumed", Property::P19)]);
    assert!(reached(&report, "hint found at start") && reached(&report, "hint delivered"));
}

#[test]
fn bug_21_what_cannot_be_read_is_kept_and_delivered_when_it_can_be() {
    let puts = (0..6).map(|number: u32| {
        let at_ms = 100 + u64::from(number) * 100;
        (at_ms, stubborn_put(number + 1, number as u16, 600))
    });
    // No file can be read when the owners are back, and what is held does not fit into memory.
    let unreadable = (0..6).map(|node| {
        let fault = Fault::Unreadable { node, for_us: 600_000 };
        (1_900, Action::Fault(fault))
    });
    let events: Vec<(u64, Action)> =
        std::iter::once((10, away(2, 2_000))).chain(puts).chain(unreadable).collect();
    let plan = script(Plan { buggify: 1, ..with_fallbacks(6) }, events);
    let report = check(&plan, &[("21-unreadable-given-up", Property::P9)]);
    assert!(reached(&report, "unreadable") && reached(&report, "hint readable"));
    assert!(reached(&report, "hint delivered"));
}

#[test]
fn bug_20_a_hint_is_forgotten_only_when_its_owner_has_it_durably() {
    let events = [(10, away(1, 300)), (100, stubborn_put(1, 0, 64)), (900, get(2, 0, 1))];
    let plan = script(with_fallbacks(1), events);
    let report = check(&plan, &[("20-hint-forgotten-early", Property::P9)]);
    assert!(reached(&report, "hint delivered"));
}

#[test]
fn bug_47_fallbacks_that_are_full_refuse_and_keep_the_only_copies() {
    let puts = (0..12).map(|number: u32| {
        let at_ms = 100 + u64::from(number) * 100;
        (at_ms, stubborn_put(number + 1, (number % 6) as u16, 2_000))
    });
    let events: Vec<(u64, Action)> = std::iter::once((10, away(3, 2_000))).chain(puts).collect();
    let plan = script(Plan { buggify: 2, ..with_fallbacks(6) }, events);
    let report = check(&plan, &[("47-bearing-dropped", Property::P9)]);
    assert!(reached(&report, "fallback minted") && reached(&report, "fallback counted"));
    assert!(reached(&report, "hint refused"));
}

#[test]
fn with_all_owners_away_what_fallbacks_took_is_read_and_reaches_the_owners() {
    let events = [
        (10, away(3, 900)),
        (100, stubborn_put(1, 0, 64)),
        (300, get(2, 0, 4)),
        (310, get(3, 0, 5)),
        (320, get(4, 0, 3)),
        (2_000, get(5, 0, 0)),
    ];
    let report = check(&script(with_fallbacks(1), events), &[]);
    for state in ["fallback minted", "fallback counted", "fallback read", "hint delivered"] {
        assert!(reached(&report, state), "{state}: {:?}", report.reached);
    }
}

/// One owner is cut off while keys are written and deleted, and nobody reads them afterwards.
fn missed_by_one_owner() -> Plan {
    let isolate = Fault::Isolate { node: 2, inbound: true, outbound: true, for_us: 900_000 };
    let delete = OperationKind::Delete { key: 1, replaces: ContextChoice::Latest };
    let two = |number: u32| (number % 2) as u16;
    let before =
        (0..4).map(|id| (10 + u64::from(id), put(id + 1, 0, two(id), ContextChoice::Latest)));
    let meanwhile =
        (0..4).map(|id| (600 + u64::from(id), put(id + 5, 0, two(id), ContextChoice::Latest)));
    let cut = [(500, Action::Fault(isolate)), (700, operation(9, 0, 0, delete))];
    let mut events: Vec<(u64, Action)> = before.chain(meanwhile).chain(cut).collect();
    events.sort_by_key(|(at_ms, _)| *at_ms);
    script(quiet(2, 1), events)
}

#[test]
fn bug_12_equal_records_have_equal_digests_and_what_was_missed_is_repaired_once() {
    let report = check(&missed_by_one_owner(), &[("12-tree-not-canonical", Property::P12)]);
    assert!(reached(&report, "exchange repaired"));
}

#[test]
fn bug_13_trees_that_were_saved_before_a_crash_are_not_taken_for_what_came_after() {
    let crash =
        Fault::Crash { node: 0, down_us: 5_000, within_io: false, index: IndexDamage::Whole };
    let events = [
        (10, put(1, 0, 0, ContextChoice::Latest)),
        // A checkpoint lies between the two writes, and none between the second one and the crash.
        (2_000, put(2, 0, 0, ContextChoice::Latest)),
        (2_200, Action::Fault(crash)),
    ];
    let report = check(&script(quiet(1, 1), events), &[("13-tree-misses-crash", Property::P12)]);
    assert!(reached(&report, "tree counted"));
}

#[test]
fn bug_14_a_delete_leaves_the_tree_as_if_the_key_had_never_been() {
    let delete = OperationKind::Delete { key: 0, replaces: ContextChoice::Latest };
    let events = [(10, put(1, 0, 0, ContextChoice::Latest)), (500, operation(2, 0, 0, delete))];
    // Asked in between, the tree is told of the put before the delete comes.
    let plan = Plan { exchange_every_ms: 100, ..quiet(1, 1) };
    check(&script(plan, events), &[("14-tree-keeps-deleted", Property::P12)]);
}

/// The production detectors say who is up, and in the end node 0 is cut off from all others until it sees nobody.
fn detected() -> Plan {
    Plan { gossip: Some(GossipPlan { node: 0, dies: false }), ..quiet(1, 1) }
}

#[test]
fn bug_29_a_node_that_was_cut_off_until_it_saw_nobody_returns_by_itself() {
    let plan = script(detected(), [(10, put(1, 0, 0, ContextChoice::Latest))]);
    let report = check(&plan, &[("29-never-rejoins", Property::P19)]);
    assert!(reached(&report, "falsely down") && reached(&report, "renewed"), "{report:?}");
}

#[test]
fn bug_30_a_node_whose_first_datagrams_were_lost_joins_all_the_same() {
    let isolate = Fault::Isolate { node: 0, inbound: true, outbound: true, for_us: 900_000 };
    let events = [(0, Action::Fault(isolate)), (1_000, get(1, 0, 1))];
    check(&script(detected(), events), &[("30-announces-once", Property::P19)]);
}

#[test]
fn a_node_that_was_paused_declares_nobody_down() {
    let events = (0..8).map(|number| {
        let pause = Fault::Pause { node: 0, for_us: 1_500_000 + number * 700_000 };
        (5_000 + number * 10_000, Action::Fault(pause))
    });
    let plan = Plan { gossip: Some(GossipPlan { node: 1, dies: true }), ..quiet(1, 1) };
    let report = check(&script(plan, events), &[]);
    assert!(reached(&report, "declared down"), "a pause is noticed: {report:?}");
    assert!(!reached(&report, "falsely down"), "{report:?}");
}

#[test]
fn bug_31_a_coordinator_that_dies_after_its_mint_leaves_no_definite_failure() {
    let crash = Fault::CrashAfterMint {
        node: 0,
        mints: 1,
        delay_us: 50,
        down_us: 50_000,
        within_io: false,
    };
    let events = [
        (10, Action::Fault(crash)),
        (20, put(1, 0, 0, ContextChoice::Latest)),
        (900, get(2, 0, 1)),
    ];
    let report = check(&script(quiet(1, 1), events), &[]);
    assert!(reached(&report, "crash between mint and sync"));
    assert!(!reached(&report, "definite failure"));
}

#[test]
fn bug_39_a_node_whose_sync_fails_stops() {
    let error = DiskErrorKind::Io;
    let events = (1..12).map(|after| {
        let fault = Fault::DiskError { node: 0, after, error, down_us: 20_000 };
        (u64::from(after) * 1_000, Action::Fault(fault))
    });
    let puts = (1..12).map(|id| (u64::from(id) * 1_000 + 10, put(id, 0, 0, ContextChoice::Latest)));
    let mut events: Vec<(u64, Action)> = events.chain(puts).collect();
    events.sort_by_key(|(at_ms, _)| *at_ms);
    assert!(reached(&check(&script(quiet(1, 1), events), &[]), "poisoned"));
}

#[test]
fn bug_40_what_was_acknowledged_survives_a_power_cut() {
    let cut = Fault::PowerCut { down_us: 50_000, within_io: false, index: IndexDamage::Whole };
    let write = (10, put(1, 0, 0, ContextChoice::Latest));
    let early = [write.clone(), (13, Action::Fault(cut.clone())), (500, get(2, 0, 1))];
    let report = check(&script(quiet(1, 1), early), &[("40-ack-before-sync", Property::P1)]);
    assert!(reached(&report, "all down"));
    // Here the coordinator's own disk is the last to have the write.
    let slow = Fault::SlowDisk { node: 0, factor: 100, for_us: 400_000 };
    let late = [(5, Action::Fault(slow)), write, (150, Action::Fault(cut)), (500, get(2, 0, 1))];
    check(&script(quiet(1, 1), late), &[("40-engine-counts-unsynced", Property::P1)]);
}

#[test]
fn bug_41_a_store_opens_after_every_crash() {
    let damages = [
        IndexDamage::Refuses,
        IndexDamage::Empty,
        IndexDamage::Subset,
        IndexDamage::Stale,
        IndexDamage::Unflushed,
        IndexDamage::Whole,
    ];
    let rounds = damages.into_iter().zip(0..).flat_map(|(index, round): (_, u32)| {
        let at_ms = 10 + u64::from(round) * 700;
        let crash = |within_io| Fault::Crash { node: 0, down_us: 5_000, within_io, index };
        [
            (at_ms, put(round + 1, 0, 0, ContextChoice::Nothing)),
            (at_ms + 4, Action::Fault(crash(true))),
            (at_ms + 12, Action::Fault(crash(false))),
        ]
    });
    let report = check(&script(quiet(1, 1), rounds), &[]);
    assert!(reached(&report, "crash loop") && reached(&report, "index rebuilt"));
}

#[test]
fn bug_46_an_actor_is_not_continued_after_a_crash() {
    let report = check(&dot_that_outlives_its_minter(), &[("46-actor-continued", Property::P5)]);
    assert!(reached(&report, "dot outlived its minter"));
}

#[test]
fn bug_49_compaction_drops_nothing_that_a_damaged_index_does_not_name() {
    let final_cut = Some(IndexDamage::Empty);
    let plan = Plan { buggify: 3, final_cut, index_loss: true, ..quiet(1, 1) };
    let events = [(10, put(1, 0, 0, ContextChoice::Latest))];
    check(&script(plan, events), &[("49-compaction-trusts-index", Property::P1)]);
}

#[test]
fn bug_50_a_removed_record_stays_away_when_the_index_is_rebuilt() {
    let delete = OperationKind::Delete { key: 0, replaces: ContextChoice::Latest };
    let events = [
        (10, put(1, 0, 0, ContextChoice::Latest)),
        (500, operation(2, 0, 0, delete)),
        (1_000, get(3, 0, 1)),
    ];
    let plan = Plan { final_cut: Some(IndexDamage::Empty), ..quiet(1, 1) };
    let report = check(&script(plan, events), &[("50-rebuild-resurrects", Property::P8)]);
    assert!(reached(&report, "removed"));
}

#[test]
fn bug_08_where_the_last_write_wins_a_wrong_clock_is_refused() {
    let skew = |offset_ms| ClockPlan { offset_ms, drift_ppm: 0 };
    let clocks = vec![skew(-10_000), skew(200), skew(0)];
    let plan = Plan { clocks, rule: Rule::LossyLww, ..quiet(1, 2) };
    let events = [
        (10, put(1, 0, 0, ContextChoice::Latest)),
        (10, put(2, 1, 1, ContextChoice::Latest)),
        (10, put(3, 0, 2, ContextChoice::Latest)),
        (500, get(4, 0, 2)),
    ];
    assert!(reached(&check(&script(plan, events), &[]), "clock refused"));
}

#[test]
fn bug_61_an_increment_retried_on_another_branch_counts_once() {
    let isolated = Fault::Isolate { node: 0, inbound: true, outbound: true, for_us: 2_000_000 };
    let kind =
        || OperationKind::Put { key: 0, replaces: ContextChoice::Latest, size: 4, ttl_ms: None };
    let retried = |id| match operation(id, 0, 0, kind()) {
        Action::Operation(operation) => Action::Operation(Operation { retries: 2, ..operation }),
        fault => fault,
    };
    let strict = |id, node| match get(id, 1, node) {
        Action::Operation(operation) => Action::Operation(Operation { strict: true, ..operation }),
        fault => fault,
    };
    let events = [
        (1, operation(1, 1, 1, kind())),
        // The links break before anybody notices: the first attempt stays where it is, and the second one goes elsewhere.
        (500, Action::Fault(isolated)),
        (500, retried(2)),
        (1_500, operation(3, 1, 2, kind())),
        (4_000, strict(4, 0)),
        (5_000, strict(5, 1)),
    ];
    let plan = Plan { rule: Rule::Counter, ..quiet(1, 2) };
    let report = check(&script(plan, events), &[("61-counts-twice", Property::P23)]);
    assert!(reached(&report, "twin mint") && reached(&report, "branches met"));
}
