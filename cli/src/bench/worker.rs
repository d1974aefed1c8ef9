//! One worker: takes a turn, does an operation, records what came of it.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kvorum_client::bucket::{Bucket, GetRequest, PutRequest};
use kvorum_client::{ErrorKind, OperationError};
use kvorum_protocol::RequestError;
use kvorum_protocol::message::{ErrorClass, GetOutcome};
use kvorum_protocol::{Context, Key};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::args::bench::KeyArguments;
use crate::bench::distribution::Distribution;
use crate::bench::keys::{Keys, Known};
use crate::bench::pace::Pace;
use crate::bench::recorder::Recorder;
use crate::bench::workload::{Mix, Operation, Workload};
use crate::bench::{Bench, kind};

/// The most keys of one scan, as in YCSB's workload E.
const SCAN_KEYS: u32 = 100;

/// How much longer than its deadline a write is looked upon as being on its way: what it may take to be sent and read on
/// machines that have more to do than they can.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// A read said for certain that a key is not there whose write was acknowledged.
pub(crate) const KEY_MISSING: &str = "KeyMissing";

/// A read did not find such a key, and said that it was not certain.
pub(crate) const NOT_CERTAIN: &str = "NotCertain";

/// What all workers of a workload share.
pub(crate) struct Work {
    mix: Mix,
    pub(crate) distribution: Distribution,
    keys: Arc<Keys>,
    value: Bytes,
    options: KeyArguments,
    /// How many owners a key has.
    owners: Option<u8>,
    /// How long a key rests after a write whose outcome is not known.
    rest: Duration,
    pub(crate) pace: Pace,
    pub(crate) recorder: Recorder,
    /// Reads that were needed before a write, because the last reply of the key was not known.
    pub(crate) read_again: AtomicU64,
    /// Reads that found siblings.
    pub(crate) siblings: AtomicU64,
    /// The longest that each worker waited for an operation, in milliseconds.
    pub(crate) waits: Mutex<Vec<f64>>,
}

/// What an operation came to.
type Done = Result<(), Cow<'static, str>>;

impl Work {
    /// A workload on the keys of a run.
    pub(crate) fn new(bench: &Bench, workload: Workload, pace: Pace, recorder: Recorder) -> Work {
        Work {
            mix: workload.mix(),
            distribution: bench.options.keys.distribution.unwrap_or(workload.distribution()),
            keys: Arc::clone(&bench.keys),
            value: bench.value.clone(),
            options: bench.options.keys.clone(),
            owners: bench.owners(),
            rest: bench.deadline + ON_ITS_WAY,
            pace,
            recorder,
            read_again: AtomicU64::new(0),
            siblings: AtomicU64::new(0),
            waits: Mutex::default(),
        }
    }

    /// Works until there are no more turns.
    pub(crate) async fn run(self: Arc<Work>, bucket: Bucket, seed: u64) {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut longest = Duration::ZERO;
        while let Some(due) = self.pace.next().await {
            let operation = self.mix.draw(&mut random);
            let begun = Instant::now();
            let done = self.perform(operation, &bucket, &mut random).await;
            let ended = Instant::now();
            longest = longest.max(ended - begun);
            self.recorder.record(operation, due, ended, done);
        }
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits.push(longest.as_secs_f64() * 1e3);
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
        let get = self.get_request(bucket, key);
        self.get(get, key).await.map(drop).map_err(|error| error.kind)
    }

    /// Reads a key that must be there.
    async fn get(&self, get: GetRequest, key: u64) -> Result<Known, NotRead> {
        let found = get.send().await.map_err(|error| NotRead::of(&error))?;
        match found.values.len() {
            0 if self.keys.is_certain(key) => {
                let kind = if found.complete { KEY_MISSING } else { NOT_CERTAIN };
                return Err(NotRead { kind: kind.into(), too_few: false });
            }
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
        match self.keys.take(self.distribution, random, Instant::now()) {
            (key, Known::Context(context)) => self.replace(bucket, key, context).await,
            (key, known) => {
                self.read_again.fetch_add(1, Ordering::Relaxed);
                self.read_and_replace(bucket, key, known).await
            }
        }
    }

    async fn modify(&self, bucket: &Bucket, random: &mut SmallRng) -> Done {
        let (key, known) = self.keys.take(self.distribution, random, Instant::now());
        self.read_and_replace(bucket, key, known).await
    }

    /// Reads a key that was taken, overwrites what it holds, and gives it back.
    async fn read_and_replace(&self, bucket: &Bucket, key: u64, known: Known) -> Done {
        let read = match known {
            Known::Doubt => self.get_from_all(bucket, key).await,
            _ => self.get(self.get_request(bucket, key), key).await,
        };
        let failure = match read {
            Ok(Known::Context(context)) => return self.replace(bucket, key, context).await,
            Ok(_) => "NoContext".into(),
            Err(error) => error.kind,
        };
        self.keys.written(key, known);
        Err(failure)
    }

    /// Reads a key whose owners may hold different things. While not all of them can be reached, from as many as is usual.
    async fn get_from_all(&self, bucket: &Bucket, key: u64) -> Result<Known, NotRead> {
        let get = self.owners.into_iter().fold(self.get_request(bucket, key), GetRequest::r);
        match self.get(get, key).await {
            Err(NotRead { too_few: true, .. }) => {
                self.get(self.get_request(bucket, key), key).await
            }
            read => read,
        }
    }

    /// Overwrites a key that was taken, and gives it back.
    async fn replace(&self, bucket: &Bucket, key: u64, context: Context) -> Done {
        let put = self.put_request(bucket, key).context(context.clone());
        let error = match put.send().await {
            Ok(done) => {
                self.keys.written(key, Known::of(done.context.as_ref()));
                return Ok(());
            }
            Err(error) => error,
        };
        match error.class() {
            ErrorClass::Unavailable => self.keys.written(key, Known::Context(context)),
            _ if error.is_not_applied() => self.keys.written(key, Known::Nothing),
            _ => self.keys.rest(key, Instant::now() + self.rest),
        }
        Err(kind(&error))
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
        let from = Key::new(from.into_bytes()).map_err(|_| "InvalidKey")?;
        let page = bucket.list("bench/").after(from).limit(count).send().await;
        let page = page.map_err(|error| kind(&error))?;
        let names: Vec<Key> = page.items.iter().map(|item| item.key.clone()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let values = bucket.get_batch(names).send().await.map_err(|error| kind(&error))?;
        let failed = |outcome: &GetOutcome| matches!(outcome, GetOutcome::Failed { .. });
        if values.outcomes.iter().any(failed) { Err("ScanIncomplete".into()) } else { Ok(()) }
    }
}

/// Why a key could not be read.
struct NotRead {
    kind: Cow<'static, str>,
    /// Fewer owners than asked for have answered.
    too_few: bool,
}

impl NotRead {
    fn of(error: &OperationError) -> NotRead {
        let too_few = matches!(
            error.kind,
            ErrorKind::Answered { error: RequestError::Unavailable { .. }, .. }
        );
        NotRead { kind: kind(error), too_few }
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
