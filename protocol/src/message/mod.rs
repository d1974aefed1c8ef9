//! What clients ask and what nodes answer.
//!
//! A connection opens with one [`Greeting`] in each direction; then every client frame is a [`Request`] and every answer a
//! [`Response`] with the request's id. Tags are pinned in the declarations and never given to anything else; fields are only
//! appended.

pub mod access;
pub mod bucket;
pub mod causes;
pub mod error;
pub mod hello;
pub mod hints;
pub mod repair;
pub mod request;
pub mod response;
pub mod status;
pub mod topology;
pub mod why;

pub use access::{
    AccessRefusal, ListedToken, Needed, Revocation, TokenCreate, TokenRevoke, TokenTerms, Tokens,
};
pub use bucket::{Bucket, BucketSettings, MergeRule};
pub use error::{ArgumentKind, ErrorClass, LimitKind, OwnerCause, OwnerFailure, RequestError};
pub use hello::{Features, Greeting, Hello, NoCommonVersion, PROTOCOL_VERSION, Welcome, negotiate};
pub use hints::{HintsAsk, HintsDone, TargetHints};
pub use repair::{Repair, RepairDone, RepairHolding, RepairTarget, RepairedOwner};
pub use request::{
    BatchGet, BatchPut, BucketRequest, BucketSet, Delete, Diag, Get, List, Nothing, Put, PutItem,
    Replacing, Request, RequestOptions, Update,
};
pub use response::{
    BatchGetDone, BatchPutDone, Buckets, DiagSection, Diagnosis, GetDone, GetOutcome, GetValue,
    ListDone, ListItem, MergedDone, PutDone, PutOutcome, Response, UpdateDone,
};
pub use status::{NodeStatus, PeerStatus, StatusDone, TaskStatus};
pub use topology::{LayoutLabel, TopologyDone, TopologyNode};
pub use why::{
    Happened, KeptCopy, KeptDeletion, KeptRecord, KeptVersion, KeyEvent, LeafSum, LogPlace,
    PeerSight, Testimony, Way, Why, WhyDone, WriteMode,
};
