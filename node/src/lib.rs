//! A Kvorum node: the pure engine and the async runtime around it.

pub mod config;
pub mod identity;
pub mod runtime;
