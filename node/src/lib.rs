//! A Kvorum node: a pure engine, and the async runtime around it.
//!
//! [`engine`] decides: it is a state machine without clock, socket, thread or random source, and the simulator runs the very
//! same one. [`runtime`] reads the clock, owns sockets, disk threads and tasks, and carries the engine's effects out.
//! [`peer_message`] is what nodes say to each other about data.

pub mod config;
pub mod engine;
pub mod identity;
pub mod limits;
pub mod peer_message;
pub mod provision;
pub mod runtime;
