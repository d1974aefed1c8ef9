//! The end of a run: every key is read again.
//!
//! Workers replace what they know under its context, so a key with siblings means that a figure counted writes that did not
//! replace what they should have; a key without a value means that an acknowledged write is lost. Either way the figures
//! are worth nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kvorum_protocol::Key;
use kvorum_protocol::message::GetOutcome;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::bench::{Bench, kind};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, units};
use crate::progress::Step;

/// Keys in one batch.
const BATCH: usize = 100;

/// Batches on their way.
const IN_FLIGHT: usize = 8;

/// The most keys that are read: of more, so many drawn at random.
const MOST: u64 = 1_000_000;

/// How often a batch, or a key of it, is tried again.
const TRIES: u32 = 10;

/// What reading all keys again found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Check {
    /// Keys that there should be.
    pub(crate) keys: u64,
    /// Keys that were read.
    pub(crate) read: u64,
    /// Values beyond the first one, over all keys.
    pub(crate) siblings: u64,
    /// Keys without a value though their write was acknowledged.
    pub(crate) missing: u64,
}

impl Check {
    /// What it means for the run.
    ///
    /// # Errors
    /// Damaged when keys are missing, a conflict when there are siblings.
    pub(crate) fn judge(&self) -> Outcome<()> {
        if self.missing > 0 {
            let missing = units::plural(self.missing, "acknowledged key");
            return Err(Failure::new(ExitCode::Damaged, format!("{missing} cannot be found")));
        }
        if self.siblings > 0 {
            let siblings = units::plural(self.siblings, "sibling");
            let message = format!("{siblings} left: the writes did not replace what they should");
            let advice = "Did somebody else write keys that begin with bench/ meanwhile?";
            return Err(Failure::new(ExitCode::Conflict, message).advise(advice));
        }
        Ok(())
    }
}

/// Reads the keys.
///
/// # Errors
/// Unavailable when keys cannot be read.
pub(crate) async fn check(bench: &Arc<Bench>, output: Output) -> Outcome<Check> {
    let given = bench.keys.given();
    let wanted: Vec<u64> = if given <= MOST {
        (0..given).collect()
    } else {
        let mut random = SmallRng::seed_from_u64(bench.options.load.seed);
        let mut drawn = BTreeSet::new();
        while (drawn.len() as u64) < MOST {
            drawn.insert(random.random_range(0..given));
        }
        drawn.into_iter().collect()
    };
    let step = Arc::new(Step::begin(output, "reading all keys again", wanted.len() as u64));
    let next = Arc::new(AtomicU64::new(0));
    let wanted = Arc::new(wanted);
    let mut workers = JoinSet::new();
    for worker in 0..IN_FLIGHT {
        let (bench, step) = (Arc::clone(bench), Arc::clone(&step));
        let (next, wanted) = (Arc::clone(&next), Arc::clone(&wanted));
        workers.spawn(async move {
            let mut sum = Check::default();
            loop {
                let batch = next.fetch_add(1, Ordering::Relaxed) as usize;
                let Some(numbers) = wanted.chunks(BATCH).nth(batch) else { return Ok(sum) };
                read(&bench, worker, numbers, &mut sum).await?;
                step.advance(numbers.len() as u64);
            }
        });
    }
    let mut all = Check { keys: given, ..Check::default() };
    while let Some(ended) = workers.join_next().await {
        let part: Result<Check, String> = ended.unwrap_or_else(|error| Err(error.to_string()));
        let part =
            part.map_err(|reason| Failure::unavailable(format!("cannot read a key: {reason}")))?;
        all.read += part.read;
        all.siblings += part.siblings;
        all.missing += part.missing;
    }
    if let Some(step) = Arc::into_inner(step) {
        let siblings = units::plural(all.siblings, "sibling");
        step.end(&format!("{siblings}, {} missing", units::count(all.missing)));
    }
    Ok(all)
}

async fn read(
    bench: &Bench,
    worker: usize,
    numbers: &[u64],
    sum: &mut Check,
) -> Result<(), String> {
    let bucket = bench.bucket(worker);
    let mut left: Vec<u64> = numbers.to_vec();
    let mut reason = String::new();
    for _ in 0..TRIES {
        let names = left.iter().map(|number| Key::new(bench.keys.name(*number).into_bytes()));
        let names = names.collect::<Result<Vec<Key>, _>>().map_err(|error| error.to_string())?;
        let answer = match bucket.get_batch(names).send().await {
            Ok(answer) => answer,
            Err(error) => {
                reason = kind(&error).into_owned();
                continue;
            }
        };
        let mut again = Vec::new();
        for (number, outcome) in left.iter().zip(&answer.outcomes) {
            match outcome {
                GetOutcome::Done(done) => {
                    sum.read += 1;
                    sum.siblings += done.values.len().saturating_sub(1) as u64;
                    let is_lost = done.values.is_empty() && bench.keys.is_certain(*number);
                    sum.missing += u64::from(is_lost);
                }
                other => {
                    reason = format!("{other:?}");
                    again.push(*number);
                }
            }
        }
        left = again;
        if left.is_empty() {
            return Ok(());
        }
    }
    Err(reason)
}

#[cfg(test)]
mod tests {
    use super::Check;
    use crate::exit_code::ExitCode;

    #[test]
    fn siblings_and_missing_keys_fail_a_run() {
        let check = Check { keys: 3, read: 3, siblings: 0, missing: 0 };
        assert!(check.judge().is_ok());
        let code = |check: Check| check.judge().expect_err("it fails").code();
        assert_eq!(code(Check { siblings: 1, ..check }), ExitCode::Conflict);
        assert_eq!(code(Check { siblings: 1, missing: 1, ..check }), ExitCode::Damaged);
    }
}
