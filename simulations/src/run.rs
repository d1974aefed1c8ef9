//! One run: a seed or a plan goes in, a report comes out.

use std::panic::{self, AssertUnwindSafe};

use serde::Serialize;

use crate::checkers::p22_determinism;
use crate::expand::expand;
use crate::plan::{Plan, PlanError};
use crate::planted;
use crate::reached::{Reached, Visits};
use crate::shrink::{Shrunk, shrink_with};
use crate::trace::last_lines;
use crate::violation::{FailureClass, Property, Violation};
use crate::world::{Verdict, World};

/// Where a run's plan comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Expand this seed.
    Seed(u64),
    /// Play this plan.
    Plan(Box<Plan>),
}

/// What to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Where the plan comes from.
    pub source: Source,
    /// The planted bug to arm, by name; a plan's own is armed where this is `None`.
    pub planted: Option<String>,
    /// Whether the report carries the whole trace, whatever came of the run.
    pub trace: bool,
}

/// Why a run cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The plan is not sound.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// No such planted bug in this build.
    #[error("no planted bug {name:?} in this build; it has: {known}")]
    UnknownPlanted {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
}

/// What became of a run.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// The plan's seed.
    pub seed: u64,
    /// The planted bug that was armed.
    pub planted: Option<String>,
    /// The hash over everything that happened, 16 hex digits.
    pub trace_hash: String,
    /// Events of the run.
    pub events: u64,
    /// Virtual time of the run in milliseconds.
    pub virtual_ms: u64,
    /// The violation, if there was one.
    pub violation: Option<Violation>,
    /// Its class, which has an exit code.
    pub class: Option<FailureClass>,
    /// The command that runs the same again.
    pub replay: String,
    /// The whole trace if it was asked for; otherwise, after a violation, its last lines about the violation's key.
    pub last_events: Vec<String>,
    /// The plan that was played.
    pub plan: Plan,
    /// The rare states that were reached.
    pub reached: Vec<Visits>,
    /// Differences between owners that were explained while faults ran.
    pub explained: u64,
}

/// Plays a plan and reports. A violation is played again with its text.
pub fn run(options: &RunOptions) -> Result<RunReport, RunError> {
    let plan = plan_of(&options.source, options.planted.as_deref())?;
    let mut verdict = play(&plan, options.trace)?;
    if verdict.violation.is_some() && !options.trace {
        verdict = play(&plan, true)?;
    }
    Ok(report(options, plan, verdict))
}

/// Plays a plan twice and compares the traces; another trace is a violation of P22.
pub fn twins(options: &RunOptions) -> Result<RunReport, RunError> {
    let plan = plan_of(&options.source, options.planted.as_deref())?;
    let first = play(&plan, options.trace)?;
    let mut second = play(&plan, options.trace)?;
    if let Err(violation) = p22_determinism::check(first.trace_hash, second.trace_hash) {
        second.violation = Some(violation);
    }
    Ok(report(options, plan, second))
}

/// Plays a plan that violates something and looks for the smallest one that violates the same. `None` if it does not.
pub fn shrink(options: &RunOptions) -> Result<Option<Shrunk>, RunError> {
    let plan = plan_of(&options.source, options.planted.as_deref())?;
    let Some(violation) = play(&plan, false)?.violation else { return Ok(None) };
    let mut violates =
        |plan: &Plan| play(plan, false).ok()?.violation.map(|violation| violation.property);
    Ok(Some(shrink_with(&plan, violation.property, &mut violates)))
}

/// The plan of a source with the bug armed that was asked for.
pub(crate) fn plan_of(source: &Source, armed: Option<&str>) -> Result<Plan, RunError> {
    let mut plan = match source {
        Source::Seed(seed) => expand(*seed),
        Source::Plan(plan) => Plan::clone(plan),
    };
    if let Some(name) = armed {
        plan.planted = Some(name.to_owned());
    }
    plan.validate()?;
    let known = planted::names();
    match &plan.planted {
        Some(name) if !known.contains(&name.as_str()) => {
            Err(RunError::UnknownPlanted { name: name.clone(), known: known.join(", ") })
        }
        _ => Ok(plan),
    }
}

/// Plays a plan. A panic of the code under test is a violation like any other.
pub(crate) fn play(plan: &Plan, text: bool) -> Result<Verdict, PlanError> {
    let world = AssertUnwindSafe(|| World::new(plan.clone(), text).map(World::play));
    match panic::catch_unwind(world) {
        Ok(verdict) => verdict,
        Err(payload) => {
            let message = payload
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_else(|| "no message".to_owned());
            Ok(Verdict {
                violation: Some(Violation::new(Property::Crash, format!("panicked: {message}"))),
                trace_hash: 0,
                events: 0,
                end_ns: 0,
                reached: Reached::default(),
                explained: 0,
                lines: Vec::new(),
            })
        }
    }
}

fn report(options: &RunOptions, plan: Plan, verdict: Verdict) -> RunReport {
    let planted = match &plan.planted {
        Some(name) => format!(" --planted {name}"),
        None => String::new(),
    };
    let replay = match &options.source {
        Source::Seed(seed) => format!("kv sim run --seed {seed}{planted}"),
        Source::Plan(_) => format!("kv sim run --plan FILE{planted}"),
    };
    let key = verdict.violation.as_ref().and_then(|violation| violation.key);
    let last_events = match options.trace {
        true => verdict.lines.iter().map(ToString::to_string).collect(),
        false => last_lines(&verdict.lines, key),
    };
    RunReport {
        seed: plan.seed,
        planted: plan.planted.clone(),
        trace_hash: format!("{:016x}", verdict.trace_hash),
        events: verdict.events,
        virtual_ms: verdict.end_ns / 1_000_000,
        class: verdict.violation.as_ref().map(|violation| violation.property.class()),
        violation: verdict.violation,
        replay,
        last_events,
        plan,
        reached: verdict.reached.visits(),
        explained: verdict.explained,
    }
}
