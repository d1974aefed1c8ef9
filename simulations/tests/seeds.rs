//! A part of every swarm in the ordinary tests: seeds violate nothing, repeat exactly, and go where bugs are.
//!
//! `kv sim run --seed S` plays one of these seeds again with its text; `kv sim swarm` plays as many as there is time for.

use kvorum_simulations::plan::Plan;
use kvorum_simulations::run::{RunOptions, Source, run, twins};
use kvorum_simulations::swarm::{SwarmOptions, swarm};

fn options(source: Source) -> RunOptions {
    RunOptions { source, planted: None, trace: false }
}

#[test]
fn seeds_violate_nothing_and_reach_the_rare_states() {
    let seeds = SwarmOptions { seeds: Some(160), ..SwarmOptions::default() };
    let report = swarm(seeds, |_| true).unwrap();
    if let Some(first) = &report.first {
        panic!("{:?}\n{}\n{}", first.violation, first.last_events.join("\n"), first.replay);
    }
    assert_eq!(report.seeds, 160);
    assert!(report.missed.is_empty(), "{:?} were missed by so many seeds", report.missed);
}

#[test]
fn the_same_seed_takes_the_same_course() {
    for seed in 1_000..1_008 {
        let report = twins(&options(Source::Seed(seed))).unwrap();
        assert_eq!(report.violation, None, "{}", report.replay);
    }
}

#[test]
fn another_seed_takes_another_course() {
    let hash = |seed| run(&options(Source::Seed(seed))).unwrap().trace_hash;
    assert_ne!(hash(1), hash(2));
}

#[test]
fn a_printed_plan_replays_its_seed() {
    let from_seed = run(&options(Source::Seed(11))).unwrap();
    let printed = Plan::from_json(&from_seed.plan.to_json()).unwrap();
    let from_plan = run(&options(Source::Plan(Box::new(printed)))).unwrap();
    assert_eq!(from_plan.trace_hash, from_seed.trace_hash);
    assert_eq!(from_plan.events, from_seed.events);
}

#[test]
fn a_whole_trace_says_what_happened_and_why() {
    let report = run(&RunOptions { trace: true, ..options(Source::Seed(3)) }).unwrap();
    assert!(report.last_events.iter().any(|line| line.contains("mints")));
    assert!(report.last_events.iter().all(|line| line.contains(" from #")));
}
