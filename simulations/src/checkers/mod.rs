//! One file for each property, each with a fabricated bad history that it catches.
//!
//! A checker judges plain ids, clocks and bits. It knows nothing of engines, shards or frames, so that a mistake in the
//! system cannot hide in code that the checker shares with it.

pub mod lossy_winners;
pub mod p12_trees;
pub mod p13_integrity;
pub mod p14_honest_results;
pub mod p19_liveness;
pub mod p19_membership;
pub mod p1_acknowledged_writes;
pub mod p1_listings;
pub mod p22_determinism;
pub mod p23_one_effect;
pub mod p24_explanations;
pub mod p2_convergence;
pub mod p3_siblings;
pub mod p4_domination;
pub mod p5_dots;
pub mod p6_contexts;
pub mod p8_resurrection;
pub mod p9_hints;
