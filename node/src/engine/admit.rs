//! Checking a request before anything happens, and choosing who carries it.
//!
//! Everything that can be known to be wrong is found here: a bucket that does not exist, a quorum out of range, a value too
//! large, a context that was not made by this cluster for this key. A request refused here has changed nothing anywhere,
//! and cost nobody a message. Whether it fits its bucket's merge rule is `admit/rule.rs`. Of a retried write that is said of this attempt only: the one before may have been applied.

mod repair;
mod rule;

use std::sync::Arc;

use kvorum_protocol::limits as bounds;
use kvorum_protocol::message::{
    ArgumentKind, BatchGet, BatchPut, BucketSettings, Delete, Get as GetRequest, LimitKind,
    List as ListRequest, Put as PutRequest, Replacing, Request, RequestError, RequestOptions,
};
use kvorum_protocol::{Change, RecordKey, Replaces};
use kvorum_ring::{KeyHash, NodeId};
use kvorum_store::Now;

use crate::engine::asked::Asked;
use crate::engine::coordinator::batch::Batch;
use crate::engine::coordinator::clocked::Clocked;
use crate::engine::coordinator::get::{Get, Read};
use crate::engine::coordinator::list::{List, Listing};
use crate::engine::coordinator::put::Write;
use crate::engine::coordinator::small;
use crate::engine::errand::Errand;
use crate::engine::forward::Forward;
use crate::engine::machine::Machine;
use crate::engine::peers::Peers;
use crate::engine::quorum::Owners;
use crate::engine::view::{ClusterView, Place};
use crate::engine::why::asking::Asking;
use crate::limits;

/// A checked request for one key.
enum Task {
    Write(Write),
    Read(Read),
}

/// Where a request is admitted.
pub(crate) struct Desk<'a> {
    pub(crate) now: Now,
    pub(crate) me: NodeId,
    pub(crate) view: &'a Arc<ClusterView>,
    pub(crate) peers: &'a Peers,
    /// Why nothing is taken at all, if that is so.
    pub(crate) refusal: Option<RequestError>,
}

impl Desk<'_> {
    /// The machine that carries the request through, here or by passing it on.
    pub(crate) fn admit(&self, asked: Asked) -> Result<Box<dyn Machine>, RequestError> {
        let retried = asked.request.retried();
        self.machine(asked).map_err(|error| match retried {
            Some(operation) => error.of_retry(operation),
            None => error,
        })
    }

    fn machine(&self, asked: Asked) -> Result<Box<dyn Machine>, RequestError> {
        if let Some(error) = &self.refusal {
            return Err(error.clone());
        }
        let deadline_ns = self.deadline_ns(&asked)?;
        let hops = asked.hops;
        match asked.request {
            Request::Put(put) => {
                let task = Task::Write(self.check_put(&put)?);
                self.carry(task, Request::Put(put), hops, deadline_ns)
            }
            Request::Delete(delete) => {
                let task = Task::Write(self.check_delete(&delete)?);
                self.carry(task, Request::Delete(delete), hops, deadline_ns)
            }
            Request::Update(update) => {
                let task = Task::Write(self.check_update(&update)?);
                self.carry(task, Request::Update(update), hops, deadline_ns)
            }
            Request::Get(get) => {
                let task = Task::Read(self.check_get(&get)?);
                self.carry(task, Request::Get(get), hops, deadline_ns)
            }
            Request::List(list) => Ok(self.list(list, false, deadline_ns)?),
            Request::Conflicts(list) => Ok(self.list(list, true, deadline_ns)?),
            Request::BatchPut(batch) => {
                self.check_batch_put(&batch)?;
                Ok(Box::new(Batch::of_puts(batch, deadline_ns)))
            }
            Request::BatchGet(batch) => {
                self.check_batch_get(&batch)?;
                Ok(Box::new(Batch::of_gets(batch, deadline_ns)))
            }
            Request::Repair(repair) => self.repair(repair, hops, deadline_ns),
            Request::Why(why) => {
                let place = self.view.place(&why.bucket, &why.key)?;
                let fallbacks = self.view.fallbacks(place.key.class, place.key.partition);
                Ok(Box::new(Asking::new(place, fallbacks, deadline_ns)))
            }
            // Cluster facts are the runtime's business; one that comes here was not meant for an engine.
            _ => Err(invalid(ArgumentKind::UnknownRequest)),
        }
    }

    /// A task is coordinated here if this node owns the key. Another owner may stand before it in the preference list, but
    /// sending the request there would add a hop, and would make it hang on an owner that died a moment ago. A fallback
    /// coordinates when no owner can be reached.
    fn carry(
        &self,
        task: Task,
        request: Request,
        hops: u8,
        deadline_ns: u64,
    ) -> Result<Box<dyn Machine>, RequestError> {
        let (place, errand, needed, sloppy) = match &task {
            Task::Write(write) => {
                (&write.place, Errand::Write(write.operation), write.w, write.sloppy)
            }
            Task::Read(read) => (&read.place, Errand::Read, read.r, read.sloppy),
        };
        let RecordKey { class, partition, .. } = place.key;
        let fallbacks = || self.view.fallbacks(class, partition);
        let reaches = |node| node == self.me || self.peers.is_up(node);
        let is_last_resort = || {
            let is_alone =
                hops >= limits::MAX_HOPS || !place.owners.iter().any(|node| reaches(*node));
            sloppy && is_alone && self.view.stands_in(self.me, class, partition)
        };
        if !place.owners.contains(&self.me) && !is_last_resort() {
            if hops >= limits::MAX_HOPS {
                return Err(RequestError::WrongLayout);
            }
            let mut others = if sloppy { fallbacks() } else { Owners::new() };
            others.retain(|node| *node != self.me);
            let nodes = (place.owners.as_slice(), others);
            let forward =
                Forward::new(request, errand, hops + 1, deadline_ns, small(needed), nodes);
            return Ok(Box::new(forward));
        }
        Ok(match task {
            Task::Write(write) => Clocked::or_put(write, deadline_ns, self.me, fallbacks, reaches),
            Task::Read(read) => Box::new(Get::new(read, deadline_ns, reaches)),
        })
    }

    fn check_put(&self, put: &PutRequest) -> Result<Write, RequestError> {
        let place = self.view.place(&put.bucket, &put.key)?;
        check_size(LimitKind::Value, put.value.len(), bounds::INLINE_VALUE_BYTES)?;
        // A retry may come after the expiry of what its first attempt wrote, which is no reason to call it not applied.
        let is_expired = put.expires_at_ms.is_some_and(|at_ms| at_ms <= self.now.wall_ms);
        if is_expired && !put.options.retry {
            return Err(invalid(ArgumentKind::Expired));
        }
        let change = self.change_of(put)?;
        self.check_write(place, &put.replaces, change, &put.options)
    }

    fn check_delete(&self, delete: &Delete) -> Result<Write, RequestError> {
        let place = self.view.place(&delete.bucket, &delete.key)?;
        if delete.replaces == Replacing::Nothing {
            return Err(invalid(ArgumentKind::NothingToDelete));
        }
        self.check_write(place, &delete.replaces, Change::Delete, &delete.options)
    }

    fn check_write(
        &self,
        place: Place,
        replaces: &Replacing,
        change: Change,
        options: &RequestOptions,
    ) -> Result<Write, RequestError> {
        let settings = self.view.bucket(&place.key.bucket)?;
        let quorums = quorums(settings, options, &place)?;
        if options.strict && quorums.w < quorums.bucket_w {
            return Err(invalid(ArgumentKind::StrictWriteQuorum));
        }
        let replaces = match self.replaces(place.hash, replaces)? {
            _ if change.replaces_latest() => Replaces::Latest,
            replaces => replaces,
        };
        let (operation, retry, rule) = (options.operation, options.retry, settings.rule);
        let sloppy = is_sloppy(options);
        Ok(Write { place, rule, replaces, change, operation, w: quorums.w, retry, sloppy })
    }

    fn check_get(&self, get: &GetRequest) -> Result<Read, RequestError> {
        let place = self.view.place(&get.bucket, &get.key)?;
        let settings = self.view.bucket(&get.bucket)?;
        let Quorums { r, bucket_w, .. } = quorums(settings, &get.options, &place)?;
        let (strict, sloppy) = (get.options.strict, is_sloppy(&get.options));
        Ok(Read { place, rule: settings.rule, r, bucket_w, strict, sloppy })
    }

    fn list(
        &self,
        list: ListRequest,
        siblings_only: bool,
        deadline_ns: u64,
    ) -> Result<Box<List>, RequestError> {
        let BucketSettings { class, rule, .. } = *self.view.bucket(&list.bucket)?;
        let limit = usize::try_from(list.limit).unwrap_or(usize::MAX);
        if limit == 0 {
            return Err(invalid(ArgumentKind::Empty));
        }
        check_size(LimitKind::Page, limit, bounds::LIST_PAGE_ITEMS)?;
        let ListRequest { bucket, prefix, after, partial, .. } = list;
        let listing = Listing { class, rule, bucket, prefix, after, limit, partial, siblings_only };
        Ok(Box::new(List::new(listing, deadline_ns)))
    }

    fn check_batch_put(&self, batch: &BatchPut) -> Result<(), RequestError> {
        self.view.bucket(&batch.bucket)?;
        check_batch(batch.items.len())
    }

    fn check_batch_get(&self, batch: &BatchGet) -> Result<(), RequestError> {
        self.view.bucket(&batch.bucket)?;
        check_batch(batch.keys.len())
    }

    fn replaces(&self, key: KeyHash, replaces: &Replacing) -> Result<Replaces, RequestError> {
        Ok(match replaces {
            Replacing::Latest => Replaces::Latest,
            Replacing::Nothing => Replaces::Nothing,
            Replacing::Context { context } => {
                Replaces::Context(self.view.context_keys.open_hashed(key, context)?)
            }
        })
    }

    /// The earlier of the request's own deadline and that of whoever passed it on.
    fn deadline_ns(&self, asked: &Asked) -> Result<u64, RequestError> {
        let options = asked.request.options().ok_or(invalid(ArgumentKind::UnknownRequest))?;
        if !(1..=bounds::DEADLINE_MAX_MS).contains(&options.deadline_ms) {
            return Err(invalid(ArgumentKind::Deadline));
        }
        let own_ns = self.now.after_ms(options.deadline_ms.into());
        let deadline_ns = asked.deadline_ns.map_or(own_ns, |given_ns| given_ns.min(own_ns));
        if deadline_ns <= self.now.mono_ns {
            Err(RequestError::DeadlineExceeded)
        } else {
            Ok(deadline_ns)
        }
    }
}

/// Whether fallbacks may stand in for owners.
fn is_sloppy(options: &RequestOptions) -> bool {
    options.sloppy && !options.strict
}

/// The answers that a request waits for, and the copies that the bucket's writes wait for unless they say otherwise.
struct Quorums {
    r: usize,
    w: usize,
    bucket_w: usize,
}

/// The quorums of a request. What it asks for must be possible; a bucket's own setting may ask for more owners than the
/// cluster has members, and is then honestly unavailable.
fn quorums(
    settings: &BucketSettings,
    options: &RequestOptions,
    place: &Place,
) -> Result<Quorums, RequestError> {
    let owners = place.owners.len();
    let majority = small(owners / 2 + 1);
    let range = 1..=small(owners);
    if options.r.is_some_and(|r| !range.contains(&r)) {
        return Err(invalid(ArgumentKind::ReadQuorum));
    }
    if options.w.is_some_and(|w| !range.contains(&w)) {
        return Err(invalid(ArgumentKind::WriteQuorum));
    }
    let bucket_w = settings.w.unwrap_or(majority).max(1);
    let r = options.r.or(settings.r).unwrap_or(majority).max(1);
    let w = options.w.unwrap_or(bucket_w);
    Ok(Quorums { r: r.into(), w: w.into(), bucket_w: bucket_w.into() })
}

fn check_batch(items: usize) -> Result<(), RequestError> {
    if items == 0 {
        return Err(invalid(ArgumentKind::Empty));
    }
    check_size(LimitKind::Batch, items, bounds::BATCH_ITEMS)
}

fn check_size(what: LimitKind, size: usize, limit: usize) -> Result<(), RequestError> {
    match size > limit {
        true => Err(RequestError::TooLarge { what, size: size as u64, limit: limit as u64 }),
        false => Ok(()),
    }
}

fn invalid(argument: ArgumentKind) -> RequestError {
    RequestError::InvalidArgument { argument }
}
