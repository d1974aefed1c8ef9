//! Every planted bug is found by plain seeds, soon, and shrinks to a plan that a person can read.
#![cfg(feature = "planted")]

use kvorum_simulations::planted;
use kvorum_simulations::run::{RunOptions, Source, shrink};
use kvorum_simulations::swarm::{SwarmOptions, swarm};

/// Seeds after which a planted bug that was not found is a defect of the simulator.
const BUDGET: u64 = 2_000;

#[test]
fn each_planted_bug_is_found_and_shrunk() {
    let bugs = planted::names();
    assert!(bugs.len() >= 7, "{bugs:?}");
    for bug in bugs {
        let planted = Some(bug.to_owned());
        let options = SwarmOptions {
            seeds: Some(BUDGET),
            planted: planted.clone(),
            ..SwarmOptions::default()
        };
        let report = swarm(options, |_| true).unwrap();
        let Some((seed, violation)) = report.violations.first() else {
            panic!("{bug} was not found within {BUDGET} seeds");
        };
        let options = RunOptions { source: Source::Seed(*seed), planted, trace: false };
        let shrunk = shrink(&options).unwrap().expect("the seed violates something");
        println!(
            "{bug}: {} seeds, {:?}, {} events",
            report.seeds,
            violation,
            shrunk.plan.events.len()
        );
        assert!(shrunk.plan.events.len() <= 30, "{bug}: {}", shrunk.plan.to_json());
    }
}
