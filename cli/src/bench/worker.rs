//! One worker: takes a turn, does an operation, records what came of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use kvorum_client::OperationError;
use kvorum_client::bucket::{Bucket, GetRequest, PutRequest};
use kvorum_protocol::message::{ErrorClass, GetOutcome};
use kvorum_protocol::{Context, Key};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::args::bench::KeyArguments;
use crate::bench::distribution::Distribution;
use crate::bench::keys::{Keys, Known};
use crate::bench::kind;
use crate::bench::pace::Pace;
use crate::bench::recorder::Recorder;
use crate::bench::workload::{Mix, Operation};

/// The most keys of one scan, as in YCSB's workload E.
const SCAN_KEYS: u32 = 100;

/// What all workers of a workload share.
pub(crate) struct Work {
    pub(crate) mix: Mix,
    pub(crate) distribution: Distribution,
    pub(crate) keys: Arc<Keys>,
    pub(crate) value: Bytes,
    pub(crate) options: KeyArguments,
    pub(crate) pace: Pace,
    pub(crate) recorder: Recorder,
    /// Reads that were needed before a write, because the last reply of the key was not known.
    pub(crate) read_again: AtomicU64,
    /// Reads that found siblings.
    pub(crate) siblings: AtomicU64,
}

/// What an operation came to.
type Done = Result<(), String>;

impl Work {
    /// Works until there are no more turns.
    pub(crate) async fn run(self: Arc<Work>, bucket: Bucket, seed: u64) {
        let mut random = SmallRng::seed_from_u64(seed);
        while let Some(due) = self.pace.next().await {
            let operation = self.mix.draw(&mut random);
            let done = self.perform(operation, &bucket, &mut random).await;
            self.recorder.record(operation, due, Instant::now(), done);
        }
    }

    async fn perform(&self, operation: Operation, bucket: &Bucket, random: &mut SmallRng) -> Done {
        match operation {
            Operation::Read => self.read(bucket, random).await,
            Operation::Update => self.update(bucket, random).await,
            Operation::Insert => self.insert(bucket).await,
            Operation::Scan => self.scan(bucket, random).await,
            Operation::Modify => self.modify(bucket, random).await,
        }
    }

    async fn read(&self, bucket: &Bucket, random: &mut SmallRng) -> Done {
        let key = self.keys.draw(self.distribution, random);
        self.get(bucket, key).await.map(drop)
    }

    /// Reads a key that must be there.
    async fn get(&self, bucket: &Bucket, key: u64) -> Result<Known, String> {
        let found = self.get_request(bucket, key).send().await.map_err(|error| kind(&error))?;
        match found.values.len() {
            0 if self.keys.is_certain(key) => return Err("KeyMissing".to_owned()),
            0 | 1 => {}
            _ => {
                self.siblings.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(Known::of(found.context.as_ref()))
    }

    fn get_request(&self, bucket: &Bucket, key: u64) -> GetRequest {
        let get = bucket.get(self.keys.name(key));
        let get = if self.options.strict { get.strict() } else { get };
        self.options.r.into_iter().fold(get, GetRequest::r)
    }

    fn put_request(&self, bucket: &Bucket, key: u64) -> PutRequest {
        put_request(bucket, self.keys.name(key), self.value.clone(), &self.options)
    }

    async fn update(&self, bucket: &Bucket, random: &mut SmallRng) -> Done {
        let (key, known) = self.keys.take(self.distribution, random);
        let known = match known {
            Known::Context(_) => Ok(known),
            Known::Nothing => {
                self.read_again.fetch_add(1, Ordering::Relaxed);
                self.get(bucket, key).await
            }
        };
        self.replace(bucket, key, known).await
    }

    async fn modify(&self, bucket: &Bucket, random: &mut SmallRng) -> Done {
        let (key, _) = self.keys.take(self.distribution, random);
        let known = self.get(bucket, key).await;
        self.replace(bucket, key, known).await
    }

    /// Overwrites a key that was taken, and gives it back.
    async fn replace(&self, bucket: &Bucket, key: u64, known: Result<Known, String>) -> Done {
        let put = self.put_request(bucket, key);
        let (known, done) = match known {
            Err(failure) => (Known::Nothing, Err(failure)),
            Ok(Known::Nothing) => (Known::Nothing, Err("NoContext".to_owned())),
            Ok(Known::Context(context)) => match put.context(context.clone()).send().await {
                Ok(done) => (Known::of(done.context.as_ref()), Ok(())),
                Err(error) => (known_after(&error, context), Err(kind(&error))),
            },
        };
        self.keys.written(key, known);
        done
    }

    async fn insert(&self, bucket: &Bucket) -> Done {
        let key = self.keys.insert();
        let done = self.put_request(bucket, key).sibling().send().await;
        self.keys.inserted(key, done.is_ok());
        done.map(drop).map_err(|error| kind(&error))
    }

    /// Lists keys from a drawn one on and gets their values: a listing itself carries none.
    async fn scan(&self, bucket: &Bucket, random: &mut SmallRng) -> Done {
        let from = self.keys.name(self.keys.draw(self.distribution, random));
        let count = random.random_range(1..=SCAN_KEYS);
        let from = Key::new(from.into_bytes()).map_err(|_| "InvalidKey".to_owned())?;
        let page = bucket.list("bench/").after(from).limit(count).send().await;
        let page = page.map_err(|error| kind(&error))?;
        let names: Vec<Key> = page.items.iter().map(|item| item.key.clone()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let values = bucket.get_batch(names).send().await.map_err(|error| kind(&error))?;
        let failed = |outcome: &GetOutcome| matches!(outcome, GetOutcome::Failed { .. });
        if values.outcomes.iter().any(failed) { Err("ScanIncomplete".to_owned()) } else { Ok(()) }
    }
}

/// What is known of a key after a put that failed: what was known before, if it is certain that the key holds that still.
fn known_after(error: &OperationError, context: Context) -> Known {
    match error.class() {
        ErrorClass::Unavailable => Known::Context(context),
        _ => Known::Nothing,
    }
}

/// A put of a key, by what the run's options say.
pub(crate) fn put_request(
    bucket: &Bucket,
    key: String,
    value: Bytes,
    options: &KeyArguments,
) -> PutRequest {
    let put = bucket.put(key, value);
    let put = if options.strict { put.strict() } else { put };
    options.w.into_iter().fold(put, PutRequest::w)
}
