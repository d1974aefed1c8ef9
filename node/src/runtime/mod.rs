//! The async shell around the engine: sockets, threads, files, clocks.
//!
//! One thread runs everything that is not a disk: a tokio runtime on which connections' tasks turn bytes into events and a
//! single driver turns events into inputs of the pure machines. Each worker of the store has a thread of its own.
//!
//! - `driver`: the loop. `peers`: connections to other nodes. `listener`: clients. `workers`: the store's threads.
//! - `cluster`: members, buckets and layout as facts. `directory`: the node's directory and its lock.
//!
//! **Not here:** any decision about data. What a request means is the engine's business, what is durable the store's.

// The only place in this crate with clocks, tasks and timers: it turns them into arguments and inputs of pure machines.
#![allow(clippy::disallowed_methods)]
// The driver that uses all of this comes with the store's shard.
#![allow(dead_code, unused_imports)]

mod clock;
mod cluster;
mod directory;
mod error;
pub mod limits;
mod listener;
mod outgoing;
mod peers;
mod saver;
mod transport;

pub use error::{Listener, RunError};
