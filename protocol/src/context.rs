//! The token that a client hands back to say what it has read.
//!
//! A put that carries it replaces exactly what that read returned. To the client it is opaque. To a node it holds a clock,
//! and a clock must not be forged: one with counters still to come would silently cover writes that nobody has read. So it
//! carries the hash of its bucket and key, and a BLAKE3 tag under the cluster's context key.
//!
//! Layout: version (1 byte), key hash (16), clock (msgpack), tag (16).

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use kvorum_ring::KeyHash;

use crate::codec::{self, DecodeError, Reader, Wire, Writer};
use crate::key::{BucketName, Key};
use crate::limits;
use crate::version::Clock;

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 1 + 16;
const TAG_BYTES: usize = 16;

/// What a client has read of one key, sealed. Dereferences to its bytes; written as hex digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Context(Bytes);

impl Context {
    /// A context of these bytes, which are checked only when a node opens it.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Context {
        Context(bytes.into())
    }

    /// The bytes, sharing their memory.
    pub fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }
}

impl Deref for Context {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Context({self})")
    }
}

impl std::str::FromStr for Context {
    type Err = ContextError;

    fn from_str(text: &str) -> Result<Context, ContextError> {
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(ContextError::Malformed);
        let (pairs, odd) = text.as_bytes().as_chunks::<2>();
        if !odd.is_empty() {
            return Err(ContextError::Malformed);
        }
        let bytes = pairs.iter().map(|[high, low]| Ok((digit(*high)? << 4 | digit(*low)?) as u8));
        bytes.collect::<Result<Vec<u8>, ContextError>>().map(Context::from_bytes)
    }
}

impl Wire for Context {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.bytes(&self.0);
    }

    fn read(reader: &mut Reader) -> Result<Context, DecodeError> {
        let bytes = reader.bytes()?;
        if bytes.len() > limits::CONTEXT_BYTES {
            return Err(DecodeError::TooMany { limit: limits::CONTEXT_BYTES });
        }
        Ok(Context(bytes))
    }
}

crate::wire_enum! {
    /// Why a context was not accepted. Nothing was applied. Read the key again and use the context of that read.
    #[derive(Copy, thiserror::Error)]
    pub enum ContextError {
        /// Not the bytes or the digits of a context: cut short, too long, or no clock in it.
        #[error("not a context")]
        1 = Malformed,
        /// Of a version that this node does not know.
        #[error("a context of another version")]
        2 = Version,
        /// Not sealed by this cluster, altered, or sealed under a key that has since been replaced twice.
        #[error("a context that this cluster did not make, or made too long ago")]
        3 = Tag,
        /// Made for another bucket or key.
        #[error("a context of another key")]
        4 = Key,
    } else {
        /// A reason that a later version added.
        #[error("a context that is not accepted, reason {0}")]
        Other
    }
}

/// The cluster's context keys. Contexts are sealed under the current one; those of the previous one are still accepted, so
/// that a change of keys invalidates no recent read.
#[derive(Clone, PartialEq, Eq)]
pub struct ContextKeys {
    /// The key that seals.
    pub current: [u8; 32],
    /// The key before it.
    pub previous: Option<[u8; 32]>,
}

impl ContextKeys {
    /// Seals what a read of this key knew.
    pub fn seal(&self, bucket: &BucketName, key: &Key, clock: &Clock) -> Context {
        self.seal_hashed(KeyHash::of(bucket.as_bytes(), key.as_bytes()), clock)
    }

    /// As [`ContextKeys::seal`], of a key whose hash is known.
    pub fn seal_hashed(&self, key: KeyHash, clock: &Clock) -> Context {
        let mut out = Vec::with_capacity(HEAD_BYTES + TAG_BYTES + 5 + 18 * clock.len());
        out.push(VERSION);
        out.extend_from_slice(&key.to_bytes());
        clock.write(&mut Writer::new(&mut out));
        let tag = tag(&self.current, &out);
        out.extend_from_slice(&tag);
        Context(out.into())
    }

    /// The clock in a context of this key.
    ///
    /// # Errors
    /// Why it is not accepted. The tag is checked before anything behind the version is looked at.
    pub fn open(
        &self,
        bucket: &BucketName,
        key: &Key,
        context: &[u8],
    ) -> Result<Clock, ContextError> {
        self.open_hashed(KeyHash::of(bucket.as_bytes(), key.as_bytes()), context)
    }

    /// As [`ContextKeys::open`], of a key whose hash is known.
    ///
    /// # Errors
    /// As of [`ContextKeys::open`].
    pub fn open_hashed(&self, key: KeyHash, context: &[u8]) -> Result<Clock, ContextError> {
        if context.len() > limits::CONTEXT_BYTES || context.len() < HEAD_BYTES + TAG_BYTES {
            return Err(ContextError::Malformed);
        }
        if context[0] != VERSION {
            return Err(ContextError::Version);
        }
        let (sealed, given) = context.split_at(context.len() - TAG_BYTES);
        let keys = [Some(&self.current), self.previous.as_ref()];
        if !keys.into_iter().flatten().any(|key| equal_in_constant_time(&tag(key, sealed), given)) {
            return Err(ContextError::Tag);
        }
        let (head, clock) = sealed.split_at(HEAD_BYTES);
        if head[1..] != key.to_bytes() {
            return Err(ContextError::Key);
        }
        codec::decode(Bytes::copy_from_slice(clock)).map_err(|_| ContextError::Malformed)
    }
}

/// Keys are never printed.
impl fmt::Debug for ContextKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ContextKeys").finish_non_exhaustive()
    }
}

fn tag(key: &[u8; 32], sealed: &[u8]) -> [u8; TAG_BYTES] {
    let hash = blake3::keyed_hash(key, sealed);
    let mut tag = [0; TAG_BYTES];
    tag.copy_from_slice(&hash.as_bytes()[..TAG_BYTES]);
    tag
}

/// BLAKE3's own hashes compare in constant time; tags are compared as the front of two such hashes.
fn equal_in_constant_time(expected: &[u8; TAG_BYTES], given: &[u8]) -> bool {
    let widen = |tag: &[u8]| {
        let mut wide = [0; 32];
        wide[..TAG_BYTES].copy_from_slice(tag);
        blake3::Hash::from_bytes(wide)
    };
    widen(expected) == widen(given)
}
