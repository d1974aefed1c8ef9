//! Runs the cases of `client/conformance/cases.json` through this client. `client/conformance/run` starts it.
//!
//! ```text
//! cargo run -p kvorum-client --example conformance -- CASES READY
//! ```
//!
//! READY is the line that `kv dev --json` prints when its cluster of three fresh nodes is ready.
#![allow(clippy::disallowed_methods, reason = "a client's test reads clocks and starts processes")]

mod cases;
mod expected;
mod raw;
mod runner;

use std::process::ExitCode;

use kvorum_client::{Client, Config, Endpoint};

use crate::cases::{Case, Cases, Ready};
use crate::runner::Runner;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [path, ready] = &words[..] else {
        eprintln!("usage: conformance CASES READY");
        return ExitCode::from(2);
    };
    let text = std::fs::read_to_string(path).expect("a file of cases");
    let cases: Cases = serde_json::from_str(&text).expect("cases");
    let ready: Ready = serde_json::from_str(ready).expect("the line of kv dev");
    let endpoints =
        ready.endpoints.iter().map(|text| text.parse::<Endpoint>().expect("an endpoint"));
    let client = Client::connect(Config::new(endpoints)).await.expect("a cluster");
    let mut runner = Runner::new(client, ready);
    let mut passed = 0;
    for case in &cases.cases {
        match run(&mut runner, case).await {
            Ok(()) => passed += 1,
            Err(failure) => eprintln!("rust: {}: {failure}", case.name),
        }
    }
    println!("rust: {passed} of {} conformance cases passed", cases.cases.len());
    if passed == cases.cases.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(runner: &mut Runner, case: &Case) -> Result<(), String> {
    for (number, step) in (1..).zip(&case.steps) {
        let done = runner.step(step).await;
        done.map_err(|failure| format!("step {number} ({}): {failure}", step.op))?;
    }
    Ok(())
}
