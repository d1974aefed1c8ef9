//! Kvorum, measured by `kv bench` as a user would.

use std::io;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::load::Figures;
use crate::{KEYS, Row, VALUE_BYTES};

/// Runs the works on three nodes.
pub(crate) fn measure(
    works: &[&'static str],
    in_flight: u32,
    seconds: u64,
) -> io::Result<Vec<Row>> {
    let output = Command::new(env!("CARGO_BIN_EXE_kv"))
        .args(["bench", "run", "--json", "--nodes", "3"])
        .args(["--keys", &KEYS.to_string(), "--value-bytes", &VALUE_BYTES.to_string()])
        .args(["--in-flight", &in_flight.to_string(), "--time", &format!("{seconds}s")])
        .args(works)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("kv bench ended with {}", output.status)));
    }
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let reports = report["workloads"].as_array().cloned().unwrap_or_default();
    let row = |(work, report): (&&'static str, &Value)| Row {
        system: "kvorum",
        work,
        in_flight,
        figures: figures(report),
    };
    Ok(works.iter().zip(&reports).map(row).collect())
}

fn figures(report: &Value) -> Figures {
    let operations = report["operations"].as_array().map(Vec::as_slice).unwrap_or_default();
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let rates = operations.iter().map(|operation| number(&operation["per_second"]));
    // Of several kinds of operations the slowest speaks for all.
    let most = |name: &str| {
        let all = operations.iter().map(|operation| number(&operation["latency_ms"][name]));
        all.fold(0.0, f64::max)
    };
    Figures {
        per_second: rates.sum(),
        p50_ms: most("p50"),
        p99_ms: most("p99"),
        cpu_us: number(&report["servers"]["cpu_us_per_operation"]),
    }
}
