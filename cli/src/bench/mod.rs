//! The load generator behind `kv bench`.
//!
//! A run loads keys, then runs one workload after the other on them. Workers ([`worker`]) take turns from a [`pace`], draw an
//! operation from the [`workload`] and a key from a [`distribution`], and give what came of it to the [`recorder`]. Before and
//! after the measured time the nodes are asked for their own figures ([`servers`]): processor time and syncs come from those
//! who spent them, wherever they run. At the end all keys are read again ([`check`]).
//!
//! **Invariant:** a figure of puts never counts a write whose replacing somebody else had to decide ([`keys`]).
//!
//! [`overload`] offers more than the nodes can do and judges how they bear it; [`failover`] kills one of them under load.
//!
//! One thread generates all load, which is also how many requests share a packet. When it is the bottleneck the report says
//! so.

pub(crate) mod check;
pub(crate) mod distribution;
pub(crate) mod failover;
pub(crate) mod html;
pub(crate) mod keys;
pub(crate) mod load;
pub(crate) mod overload;
pub(crate) mod pace;
pub(crate) mod phase;
pub(crate) mod plot;
pub(crate) mod recorder;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod servers;
pub(crate) mod site;
pub(crate) mod usage;
pub(crate) mod wait;
pub(crate) mod worker;
pub(crate) mod workload;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kvorum_client::{Bucket, Client, ErrorKind, OperationError};
use kvorum_protocol::{BucketName, Key, RequestError};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::args::bench::RunArguments;
use crate::bench::keys::Keys;
use crate::bench::recorder::OVERLOADED;
use crate::failure::{Failure, Outcome};

/// What all workloads of a run share.
pub(crate) struct Bench {
    /// One for each connection to a node.
    pub(crate) clients: Vec<Client>,
    pub(crate) bucket: BucketName,
    pub(crate) keys: Arc<Keys>,
    pub(crate) value: Bytes,
    pub(crate) options: RunArguments,
    /// How long an operation may take.
    pub(crate) deadline: Duration,
}

impl Bench {
    /// A run over these connections.
    ///
    /// # Errors
    /// A usage failure when the bucket cannot have this name.
    pub(crate) fn new(clients: Vec<Client>, options: &RunArguments) -> Outcome<Bench> {
        let bucket = options.keys.bucket.parse::<BucketName>();
        let bucket = bucket.map_err(|error| Failure::usage(format!("--bucket: {error}")))?;
        let overwritten = options.workloads.iter().any(|workload| workload.mix().overwrites());
        let mut value = vec![0; options.value_bytes()];
        // Random, so that nothing on the way can make it smaller.
        SmallRng::seed_from_u64(options.load.seed).fill_bytes(&mut value);
        Ok(Bench {
            clients,
            bucket,
            keys: Arc::new(Keys::new(options.keys.keys, overwritten)),
            value: value.into(),
            options: options.clone(),
            deadline: options.connection.timeout,
        })
    }

    /// The same run, the same keys, over other connections, whose operations have another deadline.
    pub(crate) fn over(&self, clients: Vec<Client>, deadline: Duration) -> Bench {
        let Bench { bucket, keys, value, options, .. } = self;
        Bench {
            clients,
            bucket: bucket.clone(),
            keys: Arc::clone(keys),
            value: value.clone(),
            options: options.clone(),
            deadline,
        }
    }

    /// How many owners a key has, if that is known.
    pub(crate) fn owners(&self) -> Option<u8> {
        let key = Key::new(self.keys.name(0).into_bytes()).ok()?;
        let place = self.clients.first()?.topology().place_of(&self.bucket, &key)?;
        u8::try_from(place.owners.len()).ok()
    }

    /// The bucket over the connection of this worker.
    pub(crate) fn bucket(&self, worker: usize) -> Bucket {
        self.clients[worker % self.clients.len()].bucket_named(self.bucket.clone())
    }
}

/// A failure's kind, for counting: the name of the error that a node gave, or of what the client found. Costs next to nothing
/// for the one that comes by the ten thousand.
pub(crate) fn kind(error: &OperationError) -> Cow<'static, str> {
    let text = match &error.kind {
        ErrorKind::Answered { error: RequestError::Overloaded { .. }, .. } => {
            return OVERLOADED.into();
        }
        ErrorKind::Answered { error, .. } => format!("{error:?}"),
        other => format!("{other:?}"),
    };
    let name = text.split(|character: char| !character.is_ascii_alphanumeric()).next();
    name.unwrap_or("").to_owned().into()
}
