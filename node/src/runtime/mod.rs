//! The async shell around the engine: sockets, threads, files, clocks.

// The only place in this crate with clocks, tasks and timers: it turns them into arguments and inputs of pure machines.
#![allow(clippy::disallowed_methods)]
// The driver that uses all of this comes next.
#![allow(dead_code, unused_imports)]

mod directory;
mod error;
pub mod limits;
mod listener;
mod outgoing;
mod peers;
mod transport;

pub use error::{Listener, RunError};
