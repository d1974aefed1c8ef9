//! `kv`: node, client and simulator in one binary.
//!
//! Arguments are parsed once into rich types (`args`), a verb does its work (`verb`, one file each) and says it through
//! `output`; how it went is one `exit_code`. Everything below that is somebody else's crate.
#![allow(clippy::disallowed_methods)] // The edge of the system: it reads clocks, the environment and the network.

mod allocator;
mod args;
mod bench;
mod cluster;
mod encoding;
mod exit_code;
mod failure;
mod local;
mod logging;
mod metrics;
mod output;
mod progress;
mod verb;

fn main() -> std::process::ExitCode {
    verb::main().into()
}
