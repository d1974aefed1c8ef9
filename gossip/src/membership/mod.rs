//! Who is alive: SWIM with suspicion, by way of foca.
//!
//! [`Membership`] wraps one foca instance into a pure machine. Datagrams and time go in; datagrams and the news that a
//! peer came up or went down come out. The timers that foca wants are kept here, so that the caller needs to know one
//! deadline only.
//!
//! **Joining is ours.** In SWIM a node joins by one unacknowledged datagram; lost once, the node would be alone for ever,
//! and a node that was cut off until its view was empty would never return. So while any seed is not known to be alive,
//! a few of those are asked again every [`crate::limits::ANNOUNCE_EVERY_MS`].
//!
//! **Being declared down** is not refuted but outlived: the node takes a new identity (same node, higher renewal) and
//! announces that. A restarted process begins with a higher renewal than the one before; should the cluster remember a
//! higher one still, each announcement is answered at once with the news of our own death, and the renewals climb past
//! it within as many round trips.
//!
//! **A suspect can always refute.** That it is suspected is told for as long as it has to answer, so that being cut off for less is no
//! death; of several suspicions of one life the first counts; and one that was refuted ends without a word.
//!
//! **A node that is late itself** doubts itself first: it gives suspects up to four times as long, and after a pause it
//! declares nobody down before it has read what came meanwhile.
//!
//! **Not here:** what being down means (the engine stops asking that peer; ownership does not change), authentication
//! beyond one check: a datagram that came over a peer's connection must speak in that peer's name.

mod broadcast;
mod codec;
mod health;
mod identity;
mod machine;
mod tuning;

pub use identity::Seed;
pub use machine::{DatagramError, Membership, MembershipOptions, MembershipOutput};
