//! A swarm: one seed after another, on as many threads as the caller has.
//!
//! This crate starts no thread and reads no clock. The caller makes a [`Swarm`], calls [`Swarm::work`] on each of its
//! threads with a closure that says when the time is up, and asks for [`Swarm::report`] at the end. Which thread plays
//! which seed makes no difference: every run follows from its seed alone.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::checkers::p22_determinism;
use crate::plan::Plan;
use crate::reached::{Rare, Reached, Visits};
use crate::run::{RunError, RunOptions, RunReport, Source, plan_of, play, run};
use crate::violation::Violation;

/// One run of this many is played twice, to see that it takes the same course.
const TWIN_EVERY: u64 = 100;

/// What to look through.
#[derive(Clone, Debug, Default)]
pub struct SwarmOptions {
    /// The first seed.
    pub start_seed: u64,
    /// How many seeds; without end if `None`, until the caller's time is up.
    pub seeds: Option<u64>,
    /// The planted bug to arm in every run, by name.
    pub planted: Option<String>,
    /// Whether to go on after a violation.
    pub keep_going: bool,
}

/// How far a swarm is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SwarmProgress {
    /// Seeds played.
    pub seeds: u64,
    /// Events of all of them.
    pub events: u64,
    /// Seeds that violated something.
    pub violations: u64,
}

/// What a swarm found.
#[derive(Clone, Debug, Serialize)]
pub struct SwarmReport {
    /// The first seed.
    pub start_seed: u64,
    /// Seeds played.
    pub seeds: u64,
    /// Events of all of them.
    pub events: u64,
    /// Events a second, all threads together; 0 where no time was given.
    pub events_per_s: u64,
    /// Runs that were played twice to compare their traces.
    pub twins: u64,
    /// The seeds that violated something, ascending.
    pub violations: Vec<(u64, Violation)>,
    /// The report of the lowest such seed, played again with its text.
    pub first: Option<Box<RunReport>>,
    /// Differences between owners, while faults ran, that were explained by what had happened.
    pub explained: u64,
    /// The rare states that were reached.
    pub reached: Vec<Visits>,
    /// The rare states that no seed reached, by name.
    pub never_reached: Vec<String>,
    /// Those of them that so many seeds should have reached: the search, not the searched, is at fault.
    pub missed: Vec<String>,
}

/// A swarm under way, shared by the threads that work on it.
#[derive(Debug)]
pub struct Swarm {
    options: SwarmOptions,
    next: AtomicU64,
    stopped: AtomicBool,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    progress: SwarmProgress,
    twins: u64,
    explained: u64,
    reached: Reached,
    violations: Vec<(u64, Violation)>,
}

impl Swarm {
    /// A swarm that has not begun. Fails where the planted bug does not exist.
    pub fn new(options: SwarmOptions) -> Result<Self, RunError> {
        plan_of(&Source::Seed(options.start_seed), options.planted.as_deref())?;
        Ok(Self {
            options,
            next: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            found: Mutex::default(),
        })
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plays seeds until `may_go_on` says no, the seeds are used up, or a violation was found that ends the swarm.
    pub fn work(&self, mut may_go_on: impl FnMut(SwarmProgress) -> bool) -> Result<(), RunError> {
        while !self.stopped.load(Ordering::Relaxed) && may_go_on(self.progress()) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if self.options.seeds.is_some_and(|seeds| number >= seeds) {
                break;
            }
            let seed = self.options.start_seed.wrapping_add(number);
            let plan = plan_of(&Source::Seed(seed), self.options.planted.as_deref())?;
            self.play_one(seed, &plan)?;
        }
        Ok(())
    }

    fn play_one(&self, seed: u64, plan: &Plan) -> Result<(), RunError> {
        let mut verdict = play(plan, false)?;
        let is_twin = seed.is_multiple_of(TWIN_EVERY);
        if is_twin
            && let Err(violation) =
                p22_determinism::check(verdict.trace_hash, play(plan, false)?.trace_hash)
        {
            verdict.violation = Some(violation);
        }
        let mut found = self.found();
        found.progress.seeds += 1;
        found.progress.events += verdict.events * if is_twin { 2 } else { 1 };
        found.twins += u64::from(is_twin);
        found.explained += verdict.explained;
        found.reached.add(&verdict.reached);
        if let Some(violation) = verdict.violation {
            found.progress.violations += 1;
            found.violations.push((seed, violation));
            if !self.options.keep_going {
                self.stopped.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// How far the swarm is.
    pub fn progress(&self) -> SwarmProgress {
        self.found().progress
    }

    /// What was found, after `elapsed_ms` of the caller's clock. Plays the lowest violating seed again for its text.
    pub fn report(&self, elapsed_ms: u64) -> Result<SwarmReport, RunError> {
        let found = self.found();
        let mut violations = found.violations.clone();
        violations.sort_by_key(|(seed, _)| *seed);
        let first = match violations.first() {
            Some((seed, _)) => {
                let planted = self.options.planted.clone();
                Some(Box::new(run(&RunOptions {
                    source: Source::Seed(*seed),
                    planted,
                    trace: false,
                })?))
            }
            None => None,
        };
        Ok(SwarmReport {
            start_seed: self.options.start_seed,
            seeds: found.progress.seeds,
            events: found.progress.events,
            events_per_s: (found.progress.events * 1_000).checked_div(elapsed_ms).unwrap_or(0),
            twins: found.twins,
            explained: found.explained,
            violations,
            first,
            reached: found.reached.visits(),
            never_reached: names(found.reached.never()),
            missed: names(found.reached.missed(found.progress.seeds)),
        })
    }
}

fn names(states: Vec<Rare>) -> Vec<String> {
    states.into_iter().map(Rare::name).collect()
}

/// Plays a swarm on the calling thread.
pub fn swarm(
    options: SwarmOptions,
    may_go_on: impl FnMut(SwarmProgress) -> bool,
) -> Result<SwarmReport, RunError> {
    let swarm = Swarm::new(options)?;
    swarm.work(may_go_on)?;
    swarm.report(0)
}
