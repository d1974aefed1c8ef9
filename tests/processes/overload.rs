//! `kv bench overload` on a cluster that it starts: all four phases, a verdict, and nothing lost on the way.
//!
//! Here it takes seconds on a machine that does other things besides, so what is checked is that more was asked than could be
//! served, that nothing acknowledged was lost, that memory is bounded, and that the verdict says what the exit code says.
//! Whether a cluster keeps its peak is a matter of minutes on a quiet machine: `kv bench overload --nodes 3 --time 5m`.

use std::time::Duration;

use serde_json::Value;

use crate::kv::{command, run_within};

/// Starting three nodes, loading, and three short phases on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn an_overloaded_cluster_loses_nothing_and_is_judged() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut kv = command(home.path());
    kv.args(["bench", "overload", "--nodes", "3", "--keys", "20000", "--factor", "4", "--json"]);
    kv.args(["--time", "3s", "--calm", "3s", "--timeout", "30s"]).env("TMPDIR", home.path());
    let run = run_within(&mut kv, b"", PATIENCE);
    let report: Value = serde_json::from_slice(&run.stdout).expect("one JSON document");
    assert_eq!((&report["check"]["siblings"], &report["check"]["missing"]), (&0.into(), &0.into()));
    let criteria = report["criteria"].as_array().expect("a list");
    let holds = |name: &str| {
        let found = criteria.iter().find(|criterion| criterion["name"] == name);
        found.and_then(|criterion| criterion["holds"].as_bool()).expect("a verdict")
    };
    let all = ["overloaded", "memory", "goodput", "recovery"].map(holds);
    let passed = report["flaw"].is_null() && all == [true; 4];
    assert_eq!(run.code, Some(if passed { 0 } else { 13 }), "{} {criteria:#?}", report["flaw"]);
    let in_flight = |peak: &Value| peak["load"]["in_flight"].as_u64();
    let peaks = report["peaks"].as_array().expect("a list").iter();
    assert_eq!(peaks.map(in_flight).collect::<Vec<_>>(), [64, 256, 1_024].map(Some));
    assert!(holds("memory"), "{criteria:#?}");
    let course = &report["course"];
    let (before, during) = (&course["before"]["load"]["rate"], &course["during"]["load"]["rate"]);
    assert!(during.as_u64() >= before.as_u64().map(|rate| rate * 9), "{before} and {during}");
    let seconds = course["during"]["seconds"].as_array().expect("a list");
    assert_eq!(seconds.len(), 3);
    assert!(seconds.iter().any(|second| second["done"].as_u64() > Some(0)), "{seconds:#?}");
    let left: Vec<_> = std::fs::read_dir(home.path()).expect("listed").flatten().collect();
    assert!(left.is_empty(), "nothing is left: {left:?}");
}
