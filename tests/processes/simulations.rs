//! The simulator at the command line: one seed is one course of events, in whatever process it runs.

use crate::dev::directory;
use crate::kv;

#[test]
fn one_seed_has_one_trace_in_two_processes() {
    let home = directory();
    let traces: Vec<String> = (0..2)
        .map(|_| {
            let mut command = kv::command(home.path());
            command.args(["sim", "run", "--seed", "7", "--json"]);
            let report = kv::run(command, b"").expect(0).json();
            assert!(report["events"].as_u64() > Some(100), "{report}");
            report["trace_hash"].as_str().expect("a hash").to_owned()
        })
        .collect();
    assert_eq!(traces[0], traces[1]);
    let mut twins = kv::command(home.path());
    twins.args(["sim", "twins", "--seed", "0", "--count", "5"]);
    kv::run(twins, b"").expect(0);
}

#[test]
fn a_printed_plan_can_be_replayed() {
    let home = directory();
    let mut run = kv::command(home.path());
    run.args(["sim", "run", "--seed", "11", "--json"]);
    let drawn = kv::run(run, b"").expect(0).json();
    let file = home.path().join("plan.json");
    std::fs::write(&file, drawn["plan"].to_string()).expect("written");
    let mut replay = kv::command(home.path());
    replay.args(["sim", "run", "--json", "--plan"]).arg(&file);
    let replayed = kv::run(replay, b"").expect(0).json();
    assert_eq!(replayed["trace_hash"], drawn["trace_hash"]);
}
