//! One shard's durable store: the log is the truth, the index is derived.
//!
//! A shard is a pure core ([`Shard`]) and four workers that do its input and output. The core owns read-modify-write: it
//! keeps the newest records in a bounded table, mints and merges there, and hands batches to the committer. What the
//! committer has synced is acknowledged; what is acknowledged is fed to the index; what is in the index may leave the
//! table. The core blocks on nothing and touches no file, so the simulator runs it, with the same workers, in virtual time.
//!
//! - [`request`], [`event`]: what the engine asks and what it is told.
//! - [`shard`]: the core. [`workers`]: committer, reader, indexer, compactor.
//! - `log`: segments, frames, batches, the manifest. `recovery`: from files to a shard.
//! - [`files`], [`index`]: the two seams to the outside, each with a simulated implementation that fails as real ones do.
//!
//! Invariants: nothing is acknowledged before it and all it builds on is synced; a record is dead only if a higher sequence
//! or a removal marker says so, and a key that the index does not know is damage, not death; after a failed write or sync
//! nothing is minted or acknowledged any more.

pub mod clock;
#[cfg(test)]
mod conformance;
pub mod disk_files;
pub mod event;
pub mod files;
pub mod index;
pub mod index_value;
pub mod inspection;
pub mod job;
mod known_keys;
pub mod limits;
pub mod location;
mod log;
pub mod memory_index;
pub mod options;
#[cfg(feature = "planted")]
pub mod planted;
mod random;
pub mod recovery;
mod reindex;
pub mod request;
mod saved_trees;
mod sealed;
pub mod shard;
pub mod sim_files;
pub mod sled_index;
pub mod workers;

pub use clock::Now;
pub use disk_files::DiskFiles;
pub use event::{DamageNotice, MintedDot, PoisonReason, ReadError, StoreEvent, StoreRefusal};
pub use files::{File, FileError, FileErrorKind, FileOperation, Files};
pub use index::{Index, IndexBatch, IndexEntry, IndexError, IndexKey, IndexOpener, Sentinel};
pub use inspection::{Inspected, Inspection};
pub use job::{CommitJob, CompactJob, Done, IndexJob, Job, ReadJob};
pub use location::{Location, SegmentId};
pub use options::{OptionsError, ShardOptions};
#[cfg(feature = "planted")]
pub use planted::Planted;
pub use recovery::{IndexFate, IndexFault, OpenError, Opened, RecoveryReport, open};
pub use request::{
    Apply, ContentsKey, ContentsPage, ContentsRange, Hint, ScanPage, ScanRange, ScannedKey,
    StoreRequest, Token,
};
pub use shard::{HintStats, Shard, ShardStats, TargetHints};
pub use sled_index::{SledIndex, SledOpener};
pub use workers::{Committer, Compactor, Indexer, Reader};
