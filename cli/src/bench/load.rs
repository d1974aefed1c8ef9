//! Loading: every key is written once before anything is measured.
//!
//! Keys that an earlier run has left are replaced. The context of each reply is kept, so that the first measured overwrite of
//! a key has one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kvorum_client::Client;
use tokio::task::JoinSet;

use crate::bench::keys::Known;
use crate::bench::worker::put_request;
use crate::bench::{Bench, kind};
use crate::failure::{Failure, Outcome};
use crate::output::{Output, units};
use crate::progress::Step;

/// Puts on their way while loading: as many as keep every node's group commit busy.
const IN_FLIGHT: usize = 256;

/// How often a put that failed is tried again: loading may well be faster than a node can go on for long.
const TRIES: u32 = 10;

/// Writes all keys.
///
/// # Errors
/// Unavailable when a key could not be written, with the reason of the first one.
pub(crate) async fn load(bench: &Arc<Bench>, output: Output) -> Outcome<()> {
    let count = bench.options.keys.keys;
    let step = Arc::new(Step::begin(output, "loading keys", count));
    let next = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for worker in 0..IN_FLIGHT.min(count as usize) {
        let (bench, step, next) = (Arc::clone(bench), Arc::clone(&step), Arc::clone(&next));
        workers.spawn(async move {
            loop {
                let key = next.fetch_add(1, Ordering::Relaxed);
                if key >= count {
                    return Ok(());
                }
                write(&bench, worker, key).await?;
                step.advance(1);
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        let loaded: Result<(), String> = ended.unwrap_or_else(|error| Err(error.to_string()));
        loaded.map_err(|reason| {
            Failure::unavailable(format!("a key could not be written: {reason}"))
        })?;
    }
    if let Some(step) = Arc::into_inner(step) {
        step.end(&units::plural(count, "key"));
    }
    Ok(())
}

async fn write(bench: &Bench, worker: usize, key: u64) -> Result<(), String> {
    let bucket = bench.bucket(worker);
    let operation = Client::draw_operation();
    let mut tries = 0;
    loop {
        let name = bench.keys.name(key);
        let put = put_request(&bucket, name, bench.value.clone(), &bench.options.keys);
        // One and the same operation, however often it is tried: two of them could become siblings.
        let put = put.operation(operation);
        let put = if tries > 0 { put.retry() } else { put };
        match put.send().await {
            Ok(done) => {
                bench.keys.loaded(key, Known::of(done.context.as_ref()));
                return Ok(());
            }
            Err(error) if tries >= TRIES => return Err(format!("{}: {error}", kind(&error))),
            Err(_) => tries += 1,
        }
    }
}
