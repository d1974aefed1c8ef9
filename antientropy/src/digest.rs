//! What one key adds to its leaf.
//!
//! A leaf is the sum mod 2^128 of one term per key with a live version. Addition commutes and can be undone, so a
//! leaf kept up to date and a leaf computed anew from the same keys are the same number, in whatever order things
//! happened.
//!
//! A term is a *keyed* hash. Without a secret in it, a client could look for sets of keys and values whose terms sum
//! up to the same number (Wagner's generalised birthday attack makes that easier than it sounds) and so hide a
//! difference between replicas for good. All owners use the same key; where two do not, they do not compare.

use std::fmt;
use std::num::NonZeroU128;

use kvorum_ring::{ClassId, KeyHash};

/// The canonical digest of a key's live versions, as the store computes it. A key without a live version, be it
/// unknown or deleted, has none: it adds nothing, so that owners which forget a tombstone at different moments do not
/// differ.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Digest(NonZeroU128);

impl Digest {
    /// The digest of this number; `None` for zero, which stands for "nothing live".
    pub fn new(digest: u128) -> Option<Digest> {
        NonZeroU128::new(digest).map(Digest)
    }

    /// The number; never zero.
    pub fn get(self) -> u128 {
        self.0.get()
    }
}

/// The secret that all owners share and clients do not know.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LeafKey([u8; blake3::KEY_LEN]);

/// Keeps the key apart from whatever else the secret that it is made from is used for. Part of the format.
const PURPOSE: &str = "kvorum 2026 hash trees of anti-entropy";

/// Bytes of what is hashed into a term.
const TERM_BYTES: usize = 1 + 16 + 16 + 1;

impl LeafKey {
    /// The key of these 32 bytes.
    pub fn new(bytes: [u8; blake3::KEY_LEN]) -> LeafKey {
        LeafKey(bytes)
    }

    /// The key that follows from another secret of the cluster, and tells nothing of it.
    pub fn derived_from(secret: &[u8; 32]) -> LeafKey {
        LeafKey(blake3::derive_key(PURPOSE, secret))
    }

    /// By which two owners know that they use the same key, and a saved tree that it was made under this one.
    pub fn id(&self) -> u64 {
        (self.hash(&[Kind::Name as u8]) >> 64) as u64
    }

    fn hash(&self, bytes: &[u8]) -> u128 {
        let hash = blake3::keyed_hash(&self.0, bytes);
        let (first, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
        u128::from_be_bytes(*first)
    }

    /// What a key of this content adds to its leaf. Made in one piece on the stack: this is on the way of every write.
    pub fn term(&self, key: KeyHash, digest: Digest, class: ClassId) -> Term {
        let mut bytes = [0u8; TERM_BYTES];
        bytes[0] = Kind::Term as u8;
        bytes[1..17].copy_from_slice(&key.to_bytes());
        bytes[17..33].copy_from_slice(&digest.0.get().to_be_bytes());
        bytes[33] = class.0;
        Term(self.hash(&bytes))
    }
}

/// Never printed: it is a secret.
impl fmt::Debug for LeafKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LeafKey")
    }
}

/// Keeps hashes of different things apart. The numbers are part of the format.
#[derive(Clone, Copy)]
enum Kind {
    Term = 1,
    Name = 3,
}

/// What one key adds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Term(pub u128);

impl Term {
    /// Half of it, which is enough to tell two versions of one key apart when the keys of a leaf are compared.
    pub fn tag(self) -> u64 {
        (self.0 >> 64) as u64
    }
}
