//! What the engine guarantees, shown on a few engines wired by hand: every message, sync and crash is the test's choice.

mod actor_rule;
mod any_input;
mod breakers;
mod cluster;
mod digests;
mod disk;
mod exchanges;
mod forwarding;
mod gets;
mod handovers;
mod hints;
mod many;
mod mending;
mod merging;
#[cfg(feature = "planted")]
mod planted;
mod puts;
mod refusals;
mod retries;
mod standing_in;
mod why;
