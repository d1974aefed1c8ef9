//! The encoding of everything that goes over a wire or onto a disk.
//!
//! Everything is a msgpack array `[field, ...]`, and a choice between several kinds is an array `[tag, field, ...]` with a
//! numeric tag that is never given to anything else. Fields are only ever appended. That is the whole evolution rule: a
//! reader that finds fewer fields than it knows takes their defaults (a field without a default was there from the first
//! day, and its absence is an error), and a reader that finds more skips them in a message and carries them along
//! unchanged in a record.
//!
//! Derived serde code cannot do this (it refuses a surplus field, and its enums go by name), so this is a small layer over
//! `rmp`: [`Reader`] cuts slices out of a received frame without copying, [`Writer`] appends to a byte vector, [`Wire`]
//! says how a type is written and read, and two macros ([`wire_struct!`](crate::wire_struct),
//! [`wire_enum!`](crate::wire_enum)) declare a message once.
//!
//! Invariants: no input panics; nothing is allocated because of a length that the frame cannot hold; nesting is bounded
//! by [`limits::DEPTH`](crate::limits::DEPTH); bytes left over behind a message are an error.

mod error;
mod macros;
mod reader;
mod surplus;
mod wire;
mod writer;

pub use error::{DecodeError, Invalid};
pub use reader::{Fields, Reader};
pub use surplus::Surplus;
pub use wire::{Tagged, Wire, WireFields, decode, encode};
pub use writer::Writer;
