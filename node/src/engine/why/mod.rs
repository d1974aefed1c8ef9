//! Why a key holds what it holds: collecting what its owners and fallbacks know of it.
//!
//! The node that a client asks puts the question to every owner and fallback ([`asking`]), itself included. Each looks into its
//! store, its hash tree and its memory of events ([`witness`]), and answers ([`testifying`]). Nothing is concluded here: what
//! follows from the testimonies is `kvorum_protocol::explain`, for whoever reads them. Nothing is changed, and no value travels.

pub(crate) mod asking;
pub(crate) mod testifying;
mod witness;
