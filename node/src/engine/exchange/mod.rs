//! Exchanges between owners of the same partitions: what one of them missed comes to it without anybody reading it.
//!
//! Of each pair of co-owners the one with the lower id asks, again and again: it begins an exchange
//! (`asking.rs`, whose course is [`kvorum_antientropy::Session`]) when its time has
//! come, and the sooner the more the last one found. The other answers question by question
//! (`answering.rs`). What differs is repaired key by key (`repairing.rs`), through the store's ordinary merge at both ends.
//!
//! **Nothing is repaired twice.** A node looks closely at a partition with one other owner at a time, whether it asks or is
//! asked: a third owner that would find the same difference is told to come back. Which partition an asker has come to shows
//! from its questions; that it has left is known from its next question, or from a long silence.
//!
//! **Bounds.** One exchange for each peer and class, one partition at a time in each, so many repairs at a time for the whole
//! node. A slow or silent peer ends the exchange, and costs nobody else anything.

pub(crate) mod answering;
pub(crate) mod asking;
pub(crate) mod claims;
pub(crate) mod repairing;
pub(crate) mod sharing;
