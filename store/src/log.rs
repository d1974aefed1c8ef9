//! The log: the only place where a shard's records are safe.
//!
//! Segments are files of a fixed size, written front to back and never changed. A commit appends one *batch* and syncs it
//! before the next one is written, so the header of any later batch proves that all earlier ones were on disk. That is how
//! recovery tells the torn end of the log, which nobody was promised, from damage to what was acknowledged. Large records
//! go to segments of their own ("bulk"), so that moving small ones never drags large ones along.

pub(crate) mod entry;
pub(crate) mod frame;
pub(crate) mod handles;
pub(crate) mod manifest;
pub(crate) mod scan;
pub(crate) mod segment;
pub(crate) mod walk;
pub(crate) mod writer;
