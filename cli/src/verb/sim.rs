//! `kv sim run|swarm|twins`: the simulator at the command line.
//!
//! The simulator reads no clock and starts no thread; both are done here. The exit code says what kind of property fell.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use kvorum_simulations::plan::Plan;
use kvorum_simulations::run::{
    RunError, RunOptions, RunReport, Source, run as run_once, shrink, twins as run_twins,
};
use kvorum_simulations::swarm::{Swarm, SwarmOptions, SwarmReport};
use kvorum_simulations::violation::{FailureClass, Violation};

use crate::args::sim::{RunArguments, SimVerb, SwarmArguments, TwinsArguments};
use crate::cluster::explain::quoted;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::table::{Align, Table};
use crate::output::{Output, units};

/// Runs one of the simulator's verbs.
pub(super) fn run(verb: SimVerb, output: Output) -> Outcome<ExitCode> {
    match verb {
        SimVerb::Run(options) => one(&options, output),
        SimVerb::Swarm(options) => swarm(&options, output),
        SimVerb::Twins(options) => twins(&options, output),
    }
}

fn one(options: &RunArguments, output: Output) -> Outcome<ExitCode> {
    let source = match (&options.plan, options.seed) {
        (Some(path), _) => Source::Plan(Box::new(read_plan(path)?)),
        (None, seed) => Source::Seed(seed.unwrap_or_default()),
    };
    let options_of_run = RunOptions { source, planted: options.bug.name(), trace: options.trace };
    let mut report = run_once(&options_of_run).map_err(refused)?;
    if let Some(path) = &options.plan {
        report.replay = report.replay.replace("FILE", &quoted(&path.display().to_string()));
    }
    if let (Some(path), Some(_)) = (&options.shrink, &report.violation) {
        write_shrunk(&options_of_run, path, output)?;
    }
    say_run(&report, output)?;
    Ok(code_of(report.class))
}

fn read_plan(path: &Path) -> Outcome<Plan> {
    let text = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
    Plan::from_json(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

fn write_shrunk(options: &RunOptions, path: &Path, output: Output) -> Outcome<()> {
    let Some(shrunk) = shrink(options).map_err(refused)? else { return Ok(()) };
    fs::write(path, shrunk.plan.to_json() + "\n")
        .map_err(|error| Failure::file("write", path, &error))?;
    let events = units::plural(shrunk.plan.events.len() as u64, "event");
    output.remark(&format!("shrunk to {events}: kv sim run --plan {}", path.display()));
    Ok(())
}

fn twins(options: &TwinsArguments, output: Output) -> Outcome<ExitCode> {
    let mut reports = Vec::new();
    for number in 0..options.count {
        let source = Source::Seed(options.seed.wrapping_add(number));
        let options = RunOptions { source, planted: options.bug.name(), trace: false };
        let report = run_twins(&options).map_err(refused)?;
        if report.violation.is_some() {
            say_run(&report, output)?;
            return Ok(code_of(report.class));
        }
        if !output.is_json() {
            output.line(&format!("seed {}  trace {} twice", report.seed, report.trace_hash))?;
        }
        reports.push((report.seed, report.trace_hash));
    }
    if output.is_json() {
        let twins: Vec<_> = reports
            .iter()
            .map(|(seed, hash)| serde_json::json!({ "seed": seed, "trace_hash": hash }))
            .collect();
        output.json(&serde_json::json!({ "twins": twins }))?;
    }
    Ok(ExitCode::Success)
}

fn swarm(options: &SwarmArguments, output: Output) -> Outcome<ExitCode> {
    let swarm = Swarm::new(SwarmOptions {
        start_seed: options.first_seed,
        seeds: options.seeds,
        planted: options.bug.name(),
        keep_going: options.keep_going,
    });
    let swarm = swarm.map_err(refused)?;
    let begun = Instant::now();
    let budget = options.budget();
    let threads = match options.threads {
        Some(threads) => usize::from(threads),
        None => thread::available_parallelism().map_or(1, usize::from),
    };
    let outcomes: Vec<Result<(), RunError>> = thread::scope(|scope| {
        let work = || swarm.work(|_| begun.elapsed() < budget);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).collect()
    });
    let finished = outcomes.len();
    outcomes.into_iter().collect::<Result<(), RunError>>().map_err(refused)?;
    let elapsed = begun.elapsed();
    let report = swarm.report(elapsed.as_millis() as u64).map_err(refused)?;
    say_swarm(&report, elapsed, threads, output)?;
    if finished < threads {
        return Err(Failure::new(ExitCode::SimulationCrash, "a thread of the swarm panicked"));
    }
    Ok(code_of_swarm(&report))
}

/// A violation counts first; a search that missed what it should have reached is a failure of its own.
fn code_of_swarm(report: &SwarmReport) -> ExitCode {
    match &report.first {
        Some(first) => code_of(first.class),
        None if !report.missed.is_empty() => ExitCode::SimulationMissed,
        None => ExitCode::Success,
    }
}

fn code_of(class: Option<FailureClass>) -> ExitCode {
    match class {
        None => ExitCode::Success,
        Some(FailureClass::Crash) => ExitCode::SimulationCrash,
        Some(FailureClass::Safety) => ExitCode::SimulationSafety,
        Some(FailureClass::Liveness) => ExitCode::SimulationLiveness,
        Some(FailureClass::NotDeterministic) => ExitCode::SimulationNotDeterministic,
    }
}

fn refused(error: RunError) -> Failure {
    Failure::usage(error.to_string())
}

fn say_run(report: &RunReport, output: Output) -> Outcome<()> {
    if output.is_json() {
        return output.json(report);
    }
    let style = output.style();
    let plan = &report.plan;
    output.line(&format!(
        "seed {}: {}, {}, {}",
        report.seed,
        units::plural(u64::from(plan.topology.nodes), "node"),
        units::plural(u64::from(plan.topology.clients), "client"),
        units::plural(plan.events.len() as u64, "planned event"),
    ))?;
    if output.is_verbose() {
        output.line(&plan.to_json())?;
    }
    output.line(&format!(
        "{} in {} of virtual time, trace {}",
        units::plural(report.events, "event"),
        units::duration(Duration::from_millis(report.virtual_ms)),
        report.trace_hash,
    ))?;
    for line in &report.last_events {
        output.line(&format!("  {}", style.dim(line)))?;
    }
    match &report.violation {
        None => output.line(&format!("{}: no property was violated", style.good("ok"))),
        Some(violation) => {
            output.line(&format!("{} {}", style.bad("violated"), describe(violation)))?;
            output.line(&format!("run it again: {}", style.name(&report.replay)))
        }
    }
}

/// Property, time and place, and what was seen.
fn describe(violation: &Violation) -> String {
    let mut text = format!(
        "{:?} at {}",
        violation.property,
        units::duration(Duration::from_nanos(violation.at_ns))
    );
    if let Some(node) = violation.node {
        text.push_str(&format!(", node {node}"));
    }
    if let Some(key) = violation.key {
        text.push_str(&format!(", key {key}"));
    }
    format!("{text}: {}", violation.what)
}

fn say_swarm(
    report: &SwarmReport,
    elapsed: Duration,
    threads: usize,
    output: Output,
) -> Outcome<()> {
    if output.is_json() {
        return output.json(report);
    }
    let style = output.style();
    let last = report.start_seed.wrapping_add(report.seeds.saturating_sub(1));
    output.line(&format!(
        "{} ({} to {last}) in {}, {} twice to compare their traces",
        units::plural(report.seeds, "seed"),
        report.start_seed,
        units::duration(elapsed),
        units::count(report.twins),
    ))?;
    output.line(&format!(
        "{}, {} a second ({} a second on each of {})",
        units::plural(report.events, "event"),
        units::count(report.events_per_s),
        units::count(report.events_per_s / threads.max(1) as u64),
        units::plural(threads as u64, "thread"),
    ))?;
    output.line(&format!(
        "{} between owners while faults ran, each explained by what had happened",
        units::plural(report.explained, "difference"),
    ))?;
    let columns =
        [("rare state", Align::Left), ("reached", Align::Right), ("in seeds", Align::Right)];
    let mut table = Table::new(&columns);
    for visits in &report.reached {
        let counts = [units::count(visits.times), units::count(visits.runs)];
        table.row([vec![visits.state.clone()], counts.to_vec()].concat());
    }
    for state in &report.never_reached {
        table.row(vec![style.warn(state), style.warn("never"), units::count(0)]);
    }
    output.table(&table)?;
    match &report.first {
        None if !report.missed.is_empty() => output.line(&format!(
            "{} {}: so many seeds should have; no property was violated, but not where bugs are",
            style.bad("never reached"),
            report.missed.join(", ")
        )),
        None => output.line(&format!("{}: no property was violated", style.good("ok"))),
        Some(first) => {
            let seeds: Vec<String> =
                report.violations.iter().take(10).map(|(seed, _)| seed.to_string()).collect();
            output.line(&format!(
                "{} by seed {}; the first:",
                style.bad("violated"),
                seeds.join(", ")
            ))?;
            say_run(first, output)
        }
    }
}

#[cfg(test)]
mod tests {
    use kvorum_simulations::violation::{FailureClass, Property, Violation};

    use kvorum_simulations::run::{RunOptions, RunReport, Source, run as run_once};
    use kvorum_simulations::swarm::{SwarmOptions, swarm as simulated_swarm};

    use super::{code_of, code_of_swarm, describe};
    use crate::exit_code::ExitCode;

    #[test]
    fn a_violation_is_told_with_its_place() {
        let violation = Violation {
            at_ns: 1_500_000_000,
            node: Some(2),
            ..Violation::new(Property::P1, "lost".to_owned())
        };
        assert_eq!(describe(&violation.on_key(7)), "P1 at 1.5 s, node 2, key 7: lost");
    }

    #[test]
    fn each_class_of_violations_has_the_exit_code_that_the_simulator_promises() {
        let classes = [
            FailureClass::Crash,
            FailureClass::Safety,
            FailureClass::Liveness,
            FailureClass::NotDeterministic,
        ];
        for class in classes {
            assert_eq!(code_of(Some(class)).number(), class.exit_code());
        }
        assert_eq!(code_of(None).number(), 0);
    }

    #[test]
    fn a_swarm_that_missed_a_rare_state_fails_unless_it_found_something_worse() {
        let options = |seeds| SwarmOptions { seeds: Some(seeds), ..SwarmOptions::default() };
        let mut report = simulated_swarm(options(1), |_| true).unwrap();
        assert_eq!(code_of_swarm(&report), ExitCode::Success, "one seed owes nothing");
        report.missed.push("wiped".to_owned());
        assert_eq!(code_of_swarm(&report).number(), 24);
        let worse = RunOptions { source: Source::Seed(0), planted: None, trace: false };
        let class = Some(FailureClass::Liveness);
        report.first = Some(Box::new(RunReport { class, ..run_once(&worse).unwrap() }));
        assert_eq!(code_of_swarm(&report).number(), 22);
    }
}
