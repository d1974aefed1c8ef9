//! One number for what is live in a set, by which replicas are compared.

use super::dot::Dot;
use super::set::{Version, VersionSet};

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

/// Bytes of one version in front of its value.
const HEAD_BYTES: usize = 33;

/// A value of at most so many bytes is hashed in one piece with what stands in front of it.
const GATHERED_BYTES: usize = 512;

impl VersionSet {
    /// The digest of the live versions.
    pub fn live_digest(&self) -> LiveDigest {
        let hash = match &self.versions[..] {
            [] => return LiveDigest::NOTHING,
            [(dot, version)] if version.value.len() <= GATHERED_BYTES => gathered(*dot, version),
            versions => {
                let mut hasher = blake3::Hasher::new();
                hasher.update(DOMAIN);
                for (dot, version) in versions {
                    hasher.update(&head(*dot, version)).update(&version.value);
                }
                hasher.finalize()
            }
        };
        let (first, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
        LiveDigest(u128::from_be_bytes(*first))
    }
}

/// Fixed widths and the value's length in front: no two sets have the same bytes.
fn head(dot: Dot, version: &Version) -> [u8; HEAD_BYTES] {
    let mut head = [0u8; HEAD_BYTES];
    head[0..8].copy_from_slice(&dot.actor.0.to_be_bytes());
    head[8..16].copy_from_slice(&dot.counter.to_be_bytes());
    head[16] = u8::from(version.expires_at_ms.is_some());
    head[17..25].copy_from_slice(&version.expires_at_ms.unwrap_or(0).to_be_bytes());
    head[25..33].copy_from_slice(&(version.value.len() as u64).to_be_bytes());
    head
}

/// What nearly every key has: one version, and a small value. On the stack it costs a third of what a hasher with its two
/// kilobytes does.
fn gathered(dot: Dot, version: &Version) -> blake3::Hash {
    const VALUE: usize = DOMAIN.len() + HEAD_BYTES;
    let mut bytes = [0u8; VALUE + GATHERED_BYTES];
    bytes[..DOMAIN.len()].copy_from_slice(DOMAIN);
    bytes[DOMAIN.len()..VALUE].copy_from_slice(&head(dot, version));
    let end = VALUE + version.value.len();
    bytes[VALUE..end].copy_from_slice(&version.value);
    blake3::hash(&bytes[..end])
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{DOMAIN, GATHERED_BYTES, head};
    use crate::{Actor, Change, OperationId, Replaces, VersionSet};

    #[test]
    fn gathered_or_piece_by_piece_the_digest_is_the_same() {
        for length in [0, 1, GATHERED_BYTES - 1, GATHERED_BYTES, GATHERED_BYTES + 1] {
            let change =
                Change::Value { bytes: Bytes::from(vec![7; length]), expires_at_ms: Some(9) };
            let minted =
                VersionSet::empty().mint(Actor(3), Replaces::Nothing, change, OperationId(1));
            let set = minted.expect("minted").set;
            let (dot, version) = &set.versions()[0];
            let mut hasher = blake3::Hasher::new();
            hasher.update(DOMAIN).update(&head(*dot, version)).update(&version.value);
            assert_eq!(set.live_digest().0.to_be_bytes(), hasher.finalize().as_bytes()[..16]);
        }
    }
}
