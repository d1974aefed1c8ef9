//! `kv bench` on a cluster that it starts: figures that a script can read, keys that are all there, nothing left behind.

use std::time::Duration;

use serde_json::Value;

use crate::kv::{command, run_within};

/// Starting three nodes, loading and five workloads of a moment each, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn a_run_counts_operations_cost_and_siblings_and_writes_a_page() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let page = home.path().join("report.html");
    let mut kv = command(home.path());
    kv.args(["bench", "run", "put", "ycsb-a", "ycsb-e", "ycsb-f", "new-keys", "--nodes", "3"]);
    kv.args(["--keys", "300", "--in-flight", "16", "--count", "200", "--warmup", "100ms"]);
    kv.args(["--timeout", "30s", "--json", "--html"]).arg(&page).env("TMPDIR", home.path());
    let run = run_within(&mut kv, b"", PATIENCE);
    assert_eq!(run.code, Some(0), "{run:?}");
    let report: Value = serde_json::from_slice(&run.stdout).expect("one JSON document");
    assert_eq!(report["check"]["siblings"], 0);
    assert_eq!(report["check"]["missing"], 0);
    assert_eq!(report["check"]["read"], report["check"]["keys"]);
    assert_eq!(report["transport"], "QUIC with mutual TLS");
    let workloads = report["workloads"].as_array().expect("a list");
    assert_eq!(workloads.len(), 5);
    for workload in workloads {
        let operations = workload["operations"].as_array().expect("a list");
        let count = |operation: &Value| operation["count"].as_u64().unwrap_or_default();
        assert_eq!(operations.iter().map(count).sum::<u64>(), 200, "{workload}");
        let cpu = &workload["servers"]["cpu_us_per_operation"];
        assert!(cpu.as_f64().is_some_and(|us| us > 0.0), "{workload}");
        assert_eq!(workload["siblings_seen"], 0);
    }
    let syncs = &workloads[0]["servers"]["all"];
    assert!(syncs["syncs_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{syncs}");
    assert!(syncs["sync_p99_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{syncs}");
    let text = std::fs::read_to_string(&page).expect("the page");
    assert!(text.starts_with("<!doctype html>") && text.ends_with("</html>\n"));
    let left: Vec<_> = std::fs::read_dir(home.path()).expect("listed").flatten().collect();
    assert_eq!(left.len(), 1, "only the page is left: {left:?}");
}

#[test]
fn an_open_loop_begins_as_many_as_are_due() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut kv = command(home.path());
    kv.args([
        "bench",
        "run",
        "mixed",
        "--nodes",
        "1",
        "--w",
        "1",
        "--r",
        "1",
        "--transport",
        "tls",
    ]);
    kv.args(["--keys", "300", "--rate", "100", "--count", "150", "--warmup", "100ms", "--json"]);
    let run = run_within(&mut kv, b"", PATIENCE);
    assert_eq!(run.code, Some(0), "{run:?}");
    let report: Value = serde_json::from_slice(&run.stdout).expect("one JSON document");
    let workload = &report["workloads"][0];
    assert_eq!(workload["settings"]["rate"], 100);
    // 150 operations at 100 a second take longer than the first look at the nodes is away.
    let looks = workload["servers_over_time"].as_array().expect("a list");
    assert!(
        looks.first().is_some_and(|look| look["nodes"]["n1"]["index_backlog"].is_u64()),
        "{workload}"
    );
    let operations = workload["operations"].as_array().expect("a list");
    let count = |operation: &Value| operation["count"].as_u64().unwrap_or_default();
    let counted: u64 = operations.iter().map(count).sum();
    assert_eq!(counted + workload["unbegun"].as_u64().unwrap_or_default(), 150, "{workload}");
}

#[test]
fn too_few_keys_are_refused_before_anything_starts() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut kv = command(home.path());
    kv.args(["bench", "run", "put", "--nodes", "3", "--keys", "10"]);
    let run = run_within(&mut kv, b"", PATIENCE);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("--keys 128"), "{run:?}");
}

#[test]
fn a_failover_tells_what_users_saw_and_that_the_node_has_everything_again() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut kv = command(home.path());
    kv.env("TMPDIR", home.path());
    kv.args(["bench", "failover", "--keys", "300", "--in-flight", "8", "--calm", "1s"]);
    kv.args(["--away", "2s", "--back", "1s", "--timeout", "20s", "--json"]);
    let run = run_within(&mut kv, b"", PATIENCE);
    assert_eq!(run.code, Some(0), "{run:?}");
    let report: Value = serde_json::from_slice(&run.stdout).expect("one JSON document");
    assert_eq!((&report["killed"], &report["nodes"]), (&"n2".into(), &3.into()));
    assert_eq!(
        report["alone"],
        serde_json::json!({ "keys": 300, "lacking": 0, "first_lacking": [] })
    );
    assert!(report["together"]["complete_seconds"].as_f64().is_some_and(|at| at > 0.0), "{report}");
    let gap_ms = |phase: &str| report[phase]["write_gap_ms"].as_f64().expect("a number");
    assert!(gap_ms("before") < 2_000.0 && gap_ms("away") > 0.0, "{report}");
}

#[test]
fn a_wiped_node_is_filled_under_load() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut kv = command(home.path());
    kv.env("TMPDIR", home.path());
    kv.args(["bench", "failover", "--keys", "500", "--in-flight", "8", "--calm", "1s", "--wipe"]);
    kv.args(["--part", "40", "--away", "1s", "--back", "1s", "--timeout", "20s", "--json"]);
    let run = run_within(&mut kv, b"", PATIENCE);
    assert_eq!(run.code, Some(0), "{run:?}");
    let report: Value = serde_json::from_slice(&run.stdout).expect("one JSON document");
    assert!(report["together"]["given"].as_u64().is_some_and(|given| given > 0), "{report}");
    assert!(
        report["before"]["load"]["rate"].as_u64() < report["peak"]["seconds"][0]["done"].as_u64()
    );
    assert_eq!(report["alone"]["lacking"], 0, "{report}");
}
