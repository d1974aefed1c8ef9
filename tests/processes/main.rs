//! Real processes: what a user would do, done by a test, with real sockets, real files and real SIGKILLs.
//!
//! Everything runs through the `kv` binary; nothing here calls the code behind it. Clusters take free ports and live in
//! temporary directories; a test that fails leaves no process behind, because nodes end with their parent. Nothing
//! waits for a time to pass: every wait is for a condition, with a deadline.

// Tests watch real processes by real clocks, from threads; the bans are for code that must replay.
#![allow(clippy::disallowed_methods)]

mod access;
mod bench;
mod certificates;
mod crashes;
mod demo;
mod dev;
mod failures;
mod five;
mod hints;
#[cfg(target_os = "linux")]
mod hostile;
mod kv;
mod lifecycle;
mod merging;
mod metrics;
mod overload;
mod pace;
mod repair;
mod scripts;
mod siblings;
mod simulations;
mod three_machines;
mod until;
mod values;
mod watching;
mod why;
