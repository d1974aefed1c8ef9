//! The same work on Kvorum, etcd and Redis, one after the other in one run on this machine: `just compare`.
//!
//! Absolute figures drift with the machine and with what else it does; the ratios within one run are what is worth something.
//! Each system has three nodes here, and the load generator beside them. Keys are written once first; then 64 (and for puts
//! also 256) workers overwrite or read keys drawn uniformly, each with one request on its way.
//!
//! - **Kvorum** is `kv bench run` on three nodes of its own: N=3 W=2 R=2, an fdatasync before each acknowledgement, mutual
//!   TLS between nodes and from the client.
//! - **etcd** gets all requests at its leader (anywhere else costs it a hop), over plaintext HTTP/2 with eight workers to a
//!   connection, through the same library that its Rust clients use. A put is in the write-ahead log of a majority, synced. A
//!   get is linearizable.
//! - **Redis** gets one plaintext connection for each worker. A put is `SET` and `WAIT 1` in one write: synced to the
//!   append-only file here (`appendfsync always`), received by one replica. A get reads one copy.
//!
//! So both peers are spared the cost of TLS. `cargo bench -p kvorum-cli --bench compare -- --seconds 30` measures longer;
//! `--json` prints one document.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads clocks and starts processes")]

mod etcd;
mod grpc;
mod load;
mod ours;
mod processes;
mod redis;

use std::io;

use serde_json::{Value, json};

use load::Figures;

/// Keys that are written and read.
pub(crate) const KEYS: u64 = 100_000;
/// Bytes of a value.
pub(crate) const VALUE_BYTES: usize = 256;

/// The floor that PUT/s are held against, by requests in flight: three processes on a two-core machine like the one this was
/// made on, which keep values in memory without versions, syncs or checks, and pass each put on to two others over one
/// multiplexed QUIC connection a pair. Nothing that replicates over QUIC can be faster there; measured once, in November 2026.
const FLOOR: [(u32, f64); 2] = [(64, 127_870.0), (256, 253_700.0)];

/// One line of the comparison.
pub(crate) struct Row {
    pub(crate) system: &'static str,
    pub(crate) work: &'static str,
    pub(crate) in_flight: u32,
    pub(crate) figures: Figures,
}

struct Settings {
    seconds: u64,
    json: bool,
}

fn settings() -> Settings {
    let mut settings = Settings { seconds: 10, json: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" => {
                let seconds = words.next().and_then(|word| word.parse().ok());
                settings.seconds = seconds.filter(|seconds| *seconds > 0).unwrap_or(10);
            }
            "--json" => settings.json = true,
            // Cargo's own.
            _ => {}
        }
    }
    settings
}

fn main() -> std::process::ExitCode {
    let settings = settings();
    match compare(&settings) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn compare(settings: &Settings) -> io::Result<()> {
    for program in ["etcd", "redis-server"] {
        processes::installed(program)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = tokio::task::LocalSet::new();
    let mut rows = Vec::new();
    for in_flight in [64, 256] {
        let works: &[&str] = if in_flight == 64 { &["put", "get", "mixed"] } else { &["put"] };
        eprintln!("{in_flight} in flight: kvorum");
        rows.extend(ours::measure(works, in_flight, settings.seconds)?);
        eprintln!("{in_flight} in flight: etcd");
        rows.extend(tasks.block_on(&runtime, etcd::measure(works, in_flight, settings.seconds))?);
        eprintln!("{in_flight} in flight: redis");
        rows.extend(tasks.block_on(&runtime, redis::measure(works, in_flight, settings.seconds))?);
    }
    let ratios = ratios(&rows);
    if settings.json {
        println!(
            "{}",
            json!({ "rows": rows.iter().map(row_json).collect::<Vec<_>>(), "ratios": ratios })
        );
    } else {
        print(&rows, &ratios);
    }
    Ok(())
}

fn row_json(row: &Row) -> Value {
    let Figures { per_second, p50_ms, p99_ms, cpu_us } = row.figures;
    json!({
        "system": row.system, "work": row.work, "in_flight": row.in_flight, "per_second": per_second,
        "p50_ms": p50_ms, "p99_ms": p99_ms, "cpu_us": cpu_us,
    })
}

/// What our figures are in those of the others, and in the floor.
fn ratios(rows: &[Row]) -> Vec<Value> {
    let mut ratios = Vec::new();
    for ours in rows.iter().filter(|row| row.system == "kvorum") {
        let same = |row: &&Row| row.work == ours.work && row.in_flight == ours.in_flight;
        for other in rows.iter().filter(|row| row.system != "kvorum").filter(same) {
            ratios.push(json!({
                "work": ours.work, "in_flight": ours.in_flight, "to": other.system,
                "rate": ours.figures.per_second / other.figures.per_second,
                "cpu": ours.figures.cpu_us / other.figures.cpu_us,
            }));
        }
        let floor = FLOOR.iter().find(|(in_flight, _)| *in_flight == ours.in_flight);
        if let (Some((_, floor)), "put") = (floor, ours.work) {
            ratios.push(json!({
                "work": ours.work, "in_flight": ours.in_flight, "to": "floor",
                "rate": ours.figures.per_second / floor,
            }));
        }
    }
    ratios
}

fn print(rows: &[Row], ratios: &[Value]) {
    println!(
        "{:<8} {:<6} {:>9} {:>12} {:>9} {:>9} {:>12}",
        "system", "work", "in flight", "per second", "p50 ms", "p99 ms", "CPU/op \u{b5}s"
    );
    for row in rows {
        let Figures { per_second, p50_ms, p99_ms, cpu_us } = row.figures;
        let (system, work, in_flight) = (row.system, row.work, row.in_flight);
        println!(
            "{system:<8} {work:<6} {in_flight:>9} {per_second:>12.0} {p50_ms:>9.2} {p99_ms:>9.2} {cpu_us:>12.1}"
        );
    }
    println!();
    for ratio in ratios {
        let text = |name: &str| ratio[name].as_str().unwrap_or_default().to_owned();
        let rate = ratio["rate"].as_f64().unwrap_or_default();
        let (work, in_flight) = (text("work"), &ratio["in_flight"]);
        match (text("to").as_str(), ratio["cpu"].as_f64()) {
            ("floor", _) => println!(
                "kvorum {work} at {in_flight}: {:.1} % of the floor of three QUIC nodes in memory",
                rate * 100.0
            ),
            (to, cpu) => println!(
                "kvorum {work} at {in_flight}: {rate:.2} times the rate of {to}, at {:.2} times its CPU",
                cpu.unwrap_or_default()
            ),
        }
    }
}
