//! What one key adds to its leaf.
//!
//! A leaf is the sum mod 2^128 of one term per key with a live version. Addition commutes and can be undone, so a
//! leaf kept up to date and a leaf computed anew from the same keys are the same number, in whatever order things
//! happened.
//!
//! A term is a *keyed* hash. Without a secret in it, a client could look for sets of keys and values whose terms sum
//! up to the same number (Wagner's generalised birthday attack makes that easier than it sounds) and so hide a
//! difference between replicas for good. All owners use the same key.

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

    fn to_bytes(self) -> [u8; 16] {
        self.0.get().to_be_bytes()
    }
}

/// The secret that all owners share and clients do not know.
#[derive(Clone, Copy)]
pub struct LeafKey([u8; blake3::KEY_LEN]);

impl LeafKey {
    /// The key of these 32 bytes.
    pub fn new(bytes: [u8; blake3::KEY_LEN]) -> LeafKey {
        LeafKey(bytes)
    }

    /// The first 128 bits of keyed BLAKE3 over a kind of content and the content.
    pub(crate) fn hash(&self, kind: Kind, parts: &[&[u8]]) -> u128 {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&[kind as u8]);
        for part in parts {
            hasher.update(part);
        }
        let mut first = [0u8; 16];
        hasher.finalize_xof().fill(&mut first);
        u128::from_be_bytes(first)
    }

    /// What a key of this content adds to its leaf.
    fn term(&self, key: KeyHash, digest: Digest, class: ClassId) -> u128 {
        self.hash(Kind::Term, &[&key.to_bytes(), &digest.to_bytes(), &[class.0]])
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
pub(crate) enum Kind {
    Term = 1,
    Node = 2,
}

/// The sum of the terms of a leaf's keys. Zero for a leaf without keys.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct LeafSum(pub(crate) u128);

impl LeafSum {
    /// Adds what a key of this content contributes.
    pub fn add(&mut self, by: &LeafKey, key: KeyHash, digest: Digest, class: ClassId) {
        self.0 = self.0.wrapping_add(by.term(key, digest, class));
    }

    /// Takes back what [`LeafSum::add`] added for the same content.
    pub fn subtract(&mut self, by: &LeafKey, key: KeyHash, digest: Digest, class: ClassId) {
        self.0 = self.0.wrapping_sub(by.term(key, digest, class));
    }
}
