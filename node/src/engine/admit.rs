//! Checking a request before anything happens, and choosing who carries it.
//!
//! Everything that can be known to be wrong is found here: a bucket that does not exist, a quorum out of range, a value too
//! large, a context that was not made by this cluster for this key. A request refused here has changed nothing anywhere,
//! and cost nobody a message.

use std::sync::Arc;

use kvorum_protocol::limits as bounds;
use kvorum_protocol::message::{
    ArgumentKind, BatchGet, BatchPut, BucketSettings, Delete, Get as GetRequest, LimitKind,
    List as ListRequest, Put as PutRequest, Replacing, Request, RequestError, RequestOptions,
};
use kvorum_protocol::{BucketName, Change, Key, Replaces};
use kvorum_ring::NodeId;
use kvorum_store::Now;

use crate::engine::coordinator::batch::Batch;
use crate::engine::coordinator::get::{Get, Read};
use crate::engine::coordinator::list::{List, Listing};
use crate::engine::coordinator::put::{Put, Write};
use crate::engine::coordinator::small;
use crate::engine::forward::{Errand, Forward};
use crate::engine::machine::Machine;
use crate::engine::options::EngineOptions;
use crate::engine::peers::Peers;
use crate::engine::view::{ClusterView, Place};
use crate::limits;

/// A request with what it brings from where it came from.
pub(crate) struct Asked {
    request: Request,
    /// How often it has been passed on.
    hops: u8,
    /// The deadline of whoever passed it on; the request's own counts when there is none.
    deadline_ns: Option<u64>,
}

impl Asked {
    /// As a client sent it.
    pub(crate) fn by_client(request: Request) -> Asked {
        Asked { request, hops: 0, deadline_ns: None }
    }

    /// As a peer passed it on.
    pub(crate) fn by_peer(request: Request, hops: u8, deadline_ns: u64) -> Asked {
        Asked { request, hops, deadline_ns: Some(deadline_ns) }
    }

    /// As a batch on this node began it.
    pub(crate) fn as_part(request: Request, deadline_ns: u64) -> Asked {
        Asked { request, hops: 0, deadline_ns: Some(deadline_ns) }
    }
}

/// Why no request at all is taken right now.
pub(crate) fn overload(
    stopped: bool,
    requests: usize,
    options: &EngineOptions,
) -> Option<RequestError> {
    if stopped {
        return Some(RequestError::Stopping);
    }
    let full = requests >= options.max_requests;
    full.then_some(RequestError::Overloaded { retry_after_ms: limits::RETRY_AFTER_MS })
}

/// Where a request is admitted.
pub(crate) struct Desk<'a> {
    pub(crate) now: Now,
    pub(crate) me: NodeId,
    pub(crate) view: &'a Arc<ClusterView>,
    pub(crate) peers: &'a Peers,
}

impl Desk<'_> {
    /// The machine that carries the request through, here or by passing it on.
    pub(crate) fn admit(&self, asked: Asked) -> Result<Box<dyn Machine>, RequestError> {
        let deadline_ns = self.deadline_ns(&asked)?;
        let hops = asked.hops;
        match asked.request {
            Request::Put(put) => {
                let write = self.check_put(&put)?;
                self.write(write, Request::Put(put), hops, deadline_ns)
            }
            Request::Delete(delete) => {
                let write = self.check_delete(&delete)?;
                self.write(write, Request::Delete(delete), hops, deadline_ns)
            }
            Request::Get(get) => {
                let read = self.check_get(&get)?;
                self.read(read, Request::Get(get), hops, deadline_ns)
            }
            Request::List(list) => {
                let listing = self.check_list(list)?;
                Ok(Box::new(List::new(listing, deadline_ns)))
            }
            Request::BatchPut(batch) => {
                self.check_batch_put(&batch)?;
                Ok(Box::new(Batch::of_puts(batch, deadline_ns)))
            }
            Request::BatchGet(batch) => {
                self.check_batch_get(&batch)?;
                Ok(Box::new(Batch::of_gets(batch, deadline_ns)))
            }
            // Cluster facts are the runtime's business; one that comes here was not meant for an engine.
            _ => Err(invalid(ArgumentKind::UnknownRequest)),
        }
    }

    /// A write is coordinated here if this node owns the key. Another owner may stand before it in the preference list, but
    /// sending the write there would add a hop, and would make it hang on an owner that died a moment ago.
    fn write(
        &self,
        write: Write,
        request: Request,
        hops: u8,
        deadline_ns: u64,
    ) -> Result<Box<dyn Machine>, RequestError> {
        if write.place.owners.contains(&self.me) {
            return Ok(Box::new(Put::new(write, deadline_ns, |node| self.reaches(node))));
        }
        let errand = Errand::Write(write.operation);
        self.forward(request, errand, hops, deadline_ns, write.w, &write.place)
    }

    fn read(
        &self,
        read: Read,
        request: Request,
        hops: u8,
        deadline_ns: u64,
    ) -> Result<Box<dyn Machine>, RequestError> {
        if read.place.owners.contains(&self.me) {
            return Ok(Box::new(Get::new(read, deadline_ns, |node| self.reaches(node))));
        }
        self.forward(request, Errand::Read, hops, deadline_ns, read.r, &read.place)
    }

    fn forward(
        &self,
        request: Request,
        errand: Errand,
        hops: u8,
        deadline_ns: u64,
        needed: usize,
        place: &Place,
    ) -> Result<Box<dyn Machine>, RequestError> {
        if hops >= limits::MAX_HOPS {
            return Err(RequestError::WrongLayout);
        }
        let forward =
            Forward::new(request, errand, hops + 1, deadline_ns, small(needed), &place.owners);
        Ok(Box::new(forward))
    }

    fn check_put(&self, put: &PutRequest) -> Result<Write, RequestError> {
        let place = self.view.place(&put.bucket, &put.key)?;
        check_size(LimitKind::Value, put.value.len(), bounds::INLINE_VALUE_BYTES)?;
        // A retry may come after the expiry of what its first attempt wrote, which is no reason to call it not applied.
        let is_expired = put.expires_at_ms.is_some_and(|at_ms| at_ms <= self.now.wall_ms);
        if is_expired && !put.options.retry {
            return Err(invalid(ArgumentKind::Expired));
        }
        let change = Change::Value { bytes: put.value.clone(), expires_at_ms: put.expires_at_ms };
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
        let (_, w) = quorums(settings, options, &place)?;
        let replaces = self.replaces(&place.key.bucket, &place.key.key, replaces)?;
        let (operation, retry) = (options.operation, options.retry);
        Ok(Write { place, replaces, change, operation, w, retry })
    }

    fn check_get(&self, get: &GetRequest) -> Result<Read, RequestError> {
        let place = self.view.place(&get.bucket, &get.key)?;
        let (r, w) = quorums(self.view.bucket(&get.bucket)?, &get.options, &place)?;
        Ok(Read { place, r, w, strict: get.options.strict })
    }

    fn check_list(&self, list: ListRequest) -> Result<Listing, RequestError> {
        let class = self.view.bucket(&list.bucket)?.class;
        let limit = usize::try_from(list.limit).unwrap_or(usize::MAX);
        if limit == 0 {
            return Err(invalid(ArgumentKind::Empty));
        }
        check_size(LimitKind::Page, limit, bounds::LIST_PAGE_ITEMS)?;
        let ListRequest { bucket, prefix, after, partial, .. } = list;
        Ok(Listing { class, bucket, prefix, after, limit, partial })
    }

    fn check_batch_put(&self, batch: &BatchPut) -> Result<(), RequestError> {
        self.view.bucket(&batch.bucket)?;
        check_batch(batch.items.len())
    }

    fn check_batch_get(&self, batch: &BatchGet) -> Result<(), RequestError> {
        self.view.bucket(&batch.bucket)?;
        check_batch(batch.keys.len())
    }

    fn replaces(
        &self,
        bucket: &BucketName,
        key: &Key,
        replaces: &Replacing,
    ) -> Result<Replaces, RequestError> {
        Ok(match replaces {
            Replacing::Latest => Replaces::Latest,
            Replacing::Nothing => Replaces::Nothing,
            Replacing::Context { context } => {
                Replaces::Context(self.view.context_keys.open(bucket, key, context)?)
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

    fn reaches(&self, node: NodeId) -> bool {
        node == self.me || self.peers.is_up(node)
    }
}

/// r and w of a request. What it asks for must be possible; a bucket's own setting may ask for more owners than the
/// cluster has members, and is then honestly unavailable.
fn quorums(
    settings: &BucketSettings,
    options: &RequestOptions,
    place: &Place,
) -> Result<(usize, usize), RequestError> {
    let owners = place.owners.len();
    let majority = small(owners / 2 + 1);
    let range = 1..=small(owners);
    if options.r.is_some_and(|r| !range.contains(&r)) {
        return Err(invalid(ArgumentKind::ReadQuorum));
    }
    if options.w.is_some_and(|w| !range.contains(&w)) {
        return Err(invalid(ArgumentKind::WriteQuorum));
    }
    let r = options.r.or(settings.r).unwrap_or(majority);
    let w = options.w.or(settings.w).unwrap_or(majority);
    Ok((r.max(1).into(), w.max(1).into()))
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
