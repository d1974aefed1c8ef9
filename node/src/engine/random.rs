//! The engine's random numbers: one per purpose, all from the seed given at construction.
//!
//! BLAKE3 of (seed, purpose), so that a new purpose disturbs no old one: where tokens start, and for how long a breaker
//! stays open.

/// The random number of one purpose.
pub(crate) fn number(seed: u64, purpose: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(purpose.as_bytes());
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_le_bytes(first)
}
