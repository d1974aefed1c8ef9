//! Certificates renewed while everything runs.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::dev::directory;
use crate::kv::{self, Run};
use crate::three_machines::ThreeMachines;
use crate::until::until;

const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// Makes new certificates for all nodes and the client, and gives the dates at which those of the nodes expire.
fn renew(machines: &ThreeMachines, home: &Path, more: &[&str]) -> Vec<u64> {
    let authority = machines.out().join("authority");
    let authority = authority.to_str().expect("UTF-8");
    let renewed = |directory: &Path| {
        let directory = directory.to_str().expect("UTF-8");
        let arguments = [&["cert", "renew", "--json", "--dir", directory, "--ca", authority], more];
        let run = machines.kv(&arguments.concat()).expect(0);
        run.json()["certificates"][0]["expires_at_ms"].as_u64().expect("a date")
    };
    renewed(&home.join(".config/kvorum"));
    NODES.iter().map(|name| renewed(&machines.out().join(name))).collect()
}

/// The dates as the nodes tell them, in the order of their names.
fn told(machines: &ThreeMachines) -> Vec<Option<u64>> {
    let status: Run = machines.kv(&["status", "--json"]);
    let document: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
    let nodes = document["nodes"].as_array().cloned().unwrap_or_default();
    nodes.iter().map(|node| node["figures"]["certificate_expires_at_ms"].as_u64()).collect()
}

fn all_use(machines: &ThreeMachines, expected: &[u64]) {
    let expected: Vec<Option<u64>> = expected.iter().copied().map(Some).collect();
    until("every node uses its new certificate", Duration::from_secs(30), || {
        (told(machines) == expected).then_some(())
    });
}

/// A figure of a node, as its diagnosis tells it.
fn figure(diagnosis: &Value, node: &str, series: &str) -> Option<f64> {
    let text = diagnosis["nodes"][node]["metrics"].as_str()?;
    text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

/// Every node answers a new connection over every transport.
fn all_answer(machines: &ThreeMachines, home: &Path) {
    let config = std::fs::read_to_string(home.join(".config/kvorum/config.toml")).expect("there");
    let is_place = |text: &&str| text.contains('@') && !text.contains(char::is_whitespace);
    let places: Vec<&str> = config.split('"').filter(is_place).collect();
    assert_eq!(places.len(), NODES.len());
    for place in places {
        for scheme in ["tls", "quic"] {
            let endpoint = format!("{scheme}://{place}");
            let read = machines.kv(&["get", "renewed", "--endpoint", &endpoint]);
            assert_eq!(read.expect(0).text(), "again and again", "{endpoint}");
        }
    }
}

#[test]
fn certificates_are_renewed_under_load_and_nothing_fails() {
    let home = directory();
    let mut machines = ThreeMachines::start(home.path(), 1);
    machines.kv(&["put", "renewed", "again and again"]).expect(0);
    let done = AtomicBool::new(false);
    let short_lived = std::thread::scope(|scope| {
        // Connections that live through it, and one that begins anew for every request.
        let benches = scope.spawn(|| {
            let mut runs = 0;
            while !done.load(Ordering::Relaxed) {
                let mut bench = kv::command(home.path());
                bench.args(["bench", "run", "mixed", "--keys", "300", "--in-flight", "8"]);
                bench.args(["--time", "3s", "--warmup", "1ms", "--timeout", "30s", "--json"]);
                let run = kv::run_within(&mut bench, b"", Duration::from_secs(120)).expect(0);
                let report = run.json();
                let operations = report["workloads"][0]["operations"].as_array().cloned();
                for operation in operations.expect("a list") {
                    assert!(operation["count"].as_u64() > Some(0), "{operation}");
                    assert_eq!(operation["failures"], serde_json::json!({}), "{operation}");
                }
                runs += 1;
            }
            runs
        });
        let requests = scope.spawn(|| {
            let mut requests = 0;
            while !done.load(Ordering::Relaxed) {
                let value = requests.to_string();
                machines.kv(&["put", "counted", &value]).expect(0);
                assert_eq!(machines.kv(&["get", "counted"]).expect(0).text(), value);
                requests += 1;
            }
            requests
        });
        let short_lived = renew(&machines, home.path(), &["--expires", "1m"]);
        all_use(&machines, &short_lived);
        let long_lived = renew(&machines, home.path(), &[]);
        all_use(&machines, &long_lived);
        done.store(true, Ordering::Relaxed);
        assert!(benches.join().expect("no request failed") > 0);
        assert!(requests.join().expect("no request failed") > 0);
        short_lived
    });
    let diagnosis = machines.kv(&["diag", "--json"]).expect(0).json();
    for node in NODES {
        let series = |result| format!("kvorum_certificate_renewals_total{{result=\"{result}\"}}");
        assert_eq!(figure(&diagnosis, node, &series("taken")), Some(2.0));
        assert_eq!(figure(&diagnosis, node, &series("refused")), Some(0.0));
    }
    let last = short_lived.into_iter().max().expect("three dates");
    until("the short-lived certificates have expired", Duration::from_secs(90), || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        (now.as_millis() > u128::from(last)).then_some(())
    });
    all_answer(&machines, home.path());
    // A node that comes back dials and is dialled by nodes that have not been restarted.
    machines.restart(1);
    machines.are_complete();
    all_answer(&machines, home.path());
}
