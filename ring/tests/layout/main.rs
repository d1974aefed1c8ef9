//! What the planner promises of a layout, checked from outside: balance, distinctness, zones, few moves, one answer.
//!
//! `model` knows the promises and nothing of the planner; `sweep` walks clusters from 1 to 300 nodes through changes;
//! `random` lets proptest look for the cluster that breaks a promise; `body` checks what travels.

mod body;
mod model;
mod random;
mod sweep;
