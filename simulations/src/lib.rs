//! The deterministic simulator: a second runtime for the engine and the store.
//!
//! A whole cluster runs in one thread in virtual time. The nodes are the production engine and the production shard with
//! its workers; network, disks, clocks, failure detectors and clients are models that misbehave as a plan says. Every
//! bit of a run follows from its plan, so a failure is a plan that can be replayed, shrunk and kept for ever.
//!
//! The way of a run: [`expand`] turns a seed into a [`plan`]; the world plays it on the [`schedule`]; the [`oracle`]
//! keeps the shadow history; the [`checkers`], one file for each property, judge every store event and every reply; a
//! failure is repeated with its text and [`shrink`] makes it small.
//!
//! What it does not simulate: QUIC, frames to clients, threads. Peer messages travel whole, and in a part of the runs
//! through their byte codec.

pub mod bits;
pub mod checkers;
pub mod expand;
pub mod fault;
pub mod history;
pub mod holders;
pub mod limits;
pub mod network;
pub mod oracle;
pub mod plan;
pub mod planted;
pub mod reached;
pub mod run;
pub mod schedule;
pub mod shrink;
pub mod streams;
pub mod swarm;
pub mod trace;
pub mod violation;
mod world;
