//! What is stored and what is said: keys, version sets, records, contexts, and the messages between clients and nodes.
//!
//! - [`version`]: dotted version vector sets, how a write is minted and how replicas merge.
//! - [`mergeable`]: values that merge themselves: counters, sets, registers, maps.
//! - [`actor_rule`]: when a node may go on minting under an actor's name.
//! - [`context`]: the authenticated token that a client hands back to say what it has read.
//! - [`record`]: what a store keeps for one key; [`encoded`]: a version set beside its encoding, made once.
//! - [`access`]: access tokens and what they allow.
//! - [`codec`]: the encoding of all of it; [`frame`]: how messages stand in a stream.
//! - [`certificate`]: what may be wrong with a certificate.
//! - [`message`]: what clients ask and what nodes answer; [`explain`]: what follows from what nodes know of a key.
//!
//! This crate is pure: no clock, no socket, no random number. Messages between nodes belong to the node, and the log's own
//! framing to the store.

pub mod access;
pub mod actor_rule;
pub mod certificate;
pub mod codec;
pub mod context;
pub mod encoded;
pub mod explain;
pub mod frame;
pub mod key;
pub mod limits;
pub mod mergeable;
pub mod message;
pub mod record;
pub mod version;

pub use access::{AccessToken, Grant, Rights, ShownToken, TokenDigest, TokenId, TokenName};
pub use certificate::CertificateFault;
pub use context::{Context, ContextError, ContextKeys};
pub use encoded::{EncodedSet, SetDigest};
pub use key::{BucketName, Key, RecordKey, Space};
pub use message::bucket::{BucketSettings, MergeRule};
pub use message::error::{ErrorClass, OwnerCause, OwnerFailure, RequestError};
pub use message::hello::PROTOCOL_VERSION;
pub use message::request::{Request, RequestOptions};
pub use message::response::Response;
pub use record::{Mark, Record, Run};
pub use version::{
    Actor, Change, Clock, Deletion, Dot, Found, LiveDigest, MintRefusal, Minted, OperationId,
    Replaces, Stamping, SupersededIds, Version, VersionSet,
};
