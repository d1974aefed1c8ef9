//! Connections to the other nodes.
//!
//! Each pair of nodes has three QUIC connections, because the streams of one connection share one congestion controller:
//! a transfer must not hold up requests, and neither must hold up the datagrams by which nodes tell that they are alive.
//! Of a pair, the node with the lower id dials, so that each connection exists once; the other accepts. Whoever dials,
//! both sides have proved who they are when the greeting begins, and the accepting side has checked that the other is a
//! member.
//!
//! A connection carries frames on one long-lived stream in both directions. The requests connection has a second stream
//! for cluster facts, so that a large layout does not stand in front of requests; the membership connection carries
//! datagrams besides. Everything here is unreliable in one sense: what was handed to a connection may be lost with it.
//! Whoever needs an answer sets a deadline.
//!
//! **Refused**, with a code in the close: who has no certificate of our authority (by TLS itself), clients, non-members,
//! another cluster's or protocol's nodes, and of two processes with one node id the later one.
//!
//! **Not here:** what a frame means. This module hands [`PeerEvent`]s to the driver and takes bytes from it.

mod accept;
mod backoff;
mod close;
mod dial;
mod event;
mod greeting;
mod link;
#[cfg(test)]
mod tests;

pub(crate) use accept::{Acceptor, accept, verified_chain};
pub(crate) use close::CloseCode;
pub(crate) use dial::Dialler;
pub(crate) use event::{Channel, Link, LinkId, Members, PeerEvent, Purpose};
pub(crate) use link::LinkNumbers;
