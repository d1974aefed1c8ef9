//! One number for what is live in a set, by which replicas are compared.

use super::set::VersionSet;

/// BLAKE3-128 of the live versions: their dots, expiries and values, in dot order. Neither the clock nor the operation ids
/// are in it, so that replicas which differ only in what they remember of the past count as equal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct LiveDigest(pub u128);

impl LiveDigest {
    /// The digest of a set without a live version, be it empty or a tombstone: it adds nothing to a sum of digests.
    pub const NOTHING: LiveDigest = LiveDigest(0);
}

/// Separates these hashes from every other use of BLAKE3 over similar bytes; its number changes with the layout below.
const DOMAIN: &[u8] = b"kvorum live versions 1";

impl VersionSet {
    /// The digest of the live versions.
    pub fn live_digest(&self) -> LiveDigest {
        if self.versions.is_empty() {
            return LiveDigest::NOTHING;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(DOMAIN);
        for (dot, version) in &self.versions {
            // Fixed widths and the value's length in front: no two sets have the same bytes.
            let mut head = [0u8; 33];
            head[0..8].copy_from_slice(&dot.actor.0.to_be_bytes());
            head[8..16].copy_from_slice(&dot.counter.to_be_bytes());
            head[16] = u8::from(version.expires_at_ms.is_some());
            head[17..25].copy_from_slice(&version.expires_at_ms.unwrap_or(0).to_be_bytes());
            head[25..33].copy_from_slice(&(version.value.len() as u64).to_be_bytes());
            hasher.update(&head).update(&version.value);
        }
        let mut digest = [0u8; 16];
        hasher.finalize_xof().fill(&mut digest);
        LiveDigest(u128::from_be_bytes(digest))
    }
}
