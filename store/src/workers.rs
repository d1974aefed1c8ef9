//! The workers: everything in a shard that waits for a disk.
//!
//! Each runs one job at a time and returns what came of it. In production each has a thread of its own; the simulator calls
//! them inline. They share the open segment files and the index, and nothing else.

mod committer;
mod compactor;
mod contents;
mod indexer;
mod reader;

pub use committer::Committer;
pub use compactor::Compactor;
pub use indexer::Indexer;
pub(crate) use indexer::{count, hinted_keys};
pub use reader::Reader;
