//! What a node answers.

use bytes::Bytes;
use kvorum_ring::PartitionId;

use crate::context::Context;
use crate::key::Key;
use crate::mergeable::Joined;
use crate::message::access::Tokens;
use crate::message::bucket::Bucket;
use crate::message::error::RequestError;
use crate::message::hints::HintsDone;
use crate::message::repair::RepairDone;
use crate::message::request::Nothing;
use crate::message::status::StatusDone;
use crate::message::topology::TopologyDone;
use crate::message::why::WhyDone;
use crate::version::Dot;

crate::wire_struct! {
    /// A put or delete is durable in as many places as was asked.
    pub struct PutDone {
        /// Covers exactly the write and what it replaced: the next put with it replaces just that. Absent when no clock says
        /// that, because others wrote in between whom this client has not read: read again before replacing.
        pub context: Option<Context>,
        /// The write's dot.
        pub dot: Dot,
        /// The live versions that it replaced.
        pub replaced: Vec<Dot>,
        /// Owners that have it durably.
        pub acked_owners: u8,
        /// Fallbacks that have it durably.
        pub acked_fallbacks: u8,
        /// Durable copies that were asked for.
        pub needed: u8,
        /// Of a retry: whether it was certain if the operation had been applied before. When false, and only in a retry, it
        /// may have been applied twice. True when the request was no retry.
        pub retry_checked: bool = true,
    }
}

crate::wire_struct! {
    /// One live version.
    pub struct GetValue {
        /// Its dot.
        pub dot: Dot,
        /// Its value.
        pub value: Bytes,
        /// Wall-clock time in milliseconds since 1970 from which on it reads as deleted.
        pub expires_at_ms: Option<u64> = None,
    }
}

crate::wire_struct! {
    /// What a read found. No values: not found.
    pub struct GetDone {
        /// The live versions, ascending by dot; several are siblings.
        pub values: Vec<GetValue>,
        /// What was read, to hand back with a put. Absent when nothing was ever written, as far as was asked; present
        /// without values behind a delete.
        pub context: Option<Context>,
        /// Whether everybody who could know more was heard: every owner and every fallback; of a strict get so many owners that
        /// they meet every write that owners acknowledged under the bucket's `w`. When false, "not found" is not certain.
        pub complete: bool,
        /// Owners that answered.
        pub owners: u8,
        /// Fallbacks that answered.
        pub fallbacks: u8,
        /// Answers that were asked for.
        pub needed: u8,
    }
}

impl GetDone {
    /// Whether there is a live version.
    pub fn is_found(&self) -> bool {
        !self.values.is_empty()
    }
}

crate::wire_struct! {
    /// An operation is durable in as many places as was asked.
    pub struct UpdateDone {
        /// The dot of the version that holds its effect.
        pub dot: Dot,
        /// Owners that have it durably.
        pub acked_owners: u8,
        /// Fallbacks that have it durably.
        pub acked_fallbacks: u8,
        /// Durable copies that were asked for.
        pub needed: u8,
        /// As in [`PutDone::retry_checked`].
        pub retry_checked: bool = true,
        /// Of a counter: what its coordinator holds with the operation applied. Absent of other values, which may be large.
        pub value: Option<Joined> = None,
    }
}

crate::wire_struct! {
    /// What a read of a mergeable value found.
    pub struct MergedDone {
        /// The join of what the owners that were heard hold. Absent: not found.
        pub value: Option<Joined>,
        /// What was read, to hand back with a delete. As in [`GetDone::context`].
        pub context: Option<Context>,
        /// As in [`GetDone::complete`].
        pub complete: bool,
        /// Owners that answered.
        pub owners: u8,
        /// Fallbacks that answered.
        pub fallbacks: u8,
        /// Answers that were asked for.
        pub needed: u8,
    }
}

crate::wire_struct! {
    /// A listed key.
    pub struct ListItem {
        /// The key.
        pub key: Key,
        /// Live versions that the answering owner holds, at least one.
        pub siblings: u32,
        /// Bytes of their values.
        pub value_bytes: u64,
    }
}

crate::wire_struct! {
    /// A page of keys in key order.
    pub struct ListDone {
        /// The keys.
        pub items: Vec<ListItem>,
        /// Where the next page begins, to be given as `after`; `None` behind the last page.
        pub next: Option<Key>,
        /// Partitions that nobody could be asked for; only when the request allowed a partial answer.
        pub uncovered: Vec<PartitionId>,
    }
}

crate::wire_enum! {
    /// What became of one put of a batch.
    pub enum PutOutcome {
        /// It is durable.
        1 = Done(done: PutDone),
        /// It failed.
        2 = Failed {
            /// Why.
            error: RequestError,
        },
    }
}

crate::wire_struct! {
    /// What became of a batch of puts, in the order of its items.
    pub struct BatchPutDone {
        /// One for each item.
        pub outcomes: Vec<PutOutcome>,
    }
}

crate::wire_enum! {
    /// What became of one get of a batch.
    pub enum GetOutcome {
        /// It was read.
        1 = Done(done: GetDone),
        /// It failed.
        2 = Failed {
            /// Why.
            error: RequestError,
        },
        /// It was read, and is a mergeable value.
        3 = Merged(done: MergedDone),
    }
}

crate::wire_struct! {
    /// What became of a batch of gets, in the order of its keys.
    pub struct BatchGetDone {
        /// One for each key.
        pub outcomes: Vec<GetOutcome>,
    }
}

crate::wire_struct! {
    /// Buckets with their settings, ascending by name.
    pub struct Buckets {
        /// The buckets.
        pub buckets: Vec<Bucket>,
    }
}

crate::wire_struct! {
    /// A part of a diagnosis, for a person to read.
    pub struct DiagSection {
        /// Its name.
        pub name: String,
        /// Lines of text.
        pub text: String,
    }
}

crate::wire_struct! {
    /// A diagnosis of one node.
    pub struct Diagnosis {
        /// Its sections.
        pub sections: Vec<DiagSection>,
    }
}

crate::wire_enum! {
    /// A node's answer.
    pub enum Response {
        /// The request was not carried out, or not as asked; the error says what became of it.
        1 = Error {
            /// Why.
            error: RequestError,
        },
        /// Done, and there is nothing to say about it.
        2 = Done(nothing: Nothing),
        /// A put or a delete.
        10 = Put(done: PutDone),
        /// A get of a value that does not merge itself.
        11 = Get(done: GetDone),
        /// A listing.
        13 = List(done: ListDone),
        /// A batch of puts.
        14 = BatchPut(done: BatchPutDone),
        /// A batch of gets.
        15 = BatchGet(done: BatchGetDone),
        /// An operation on a mergeable value.
        16 = Update(done: UpdateDone),
        /// A get of a mergeable value.
        17 = Merged(done: MergedDone),
        /// Nodes and layout.
        20 = Topology(done: TopologyDone),
        /// A node's figures.
        21 = Status(done: StatusDone),
        /// A diagnosis.
        22 = Diag(done: Diagnosis),
        /// What a repair found and did.
        24 = Repair(done: RepairDone),
        /// What a node holds for owners that were away.
        25 = Hints(done: HintsDone),
        /// Why a key holds what it holds.
        28 = Why(done: WhyDone),
        /// A listing of keys that hold siblings.
        29 = Conflicts(done: ListDone),
        /// One bucket or all.
        30 = Buckets(done: Buckets),
        /// One access token or all.
        40 = Tokens(done: Tokens),
    }
}
