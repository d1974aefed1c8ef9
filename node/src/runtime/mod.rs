//! The async shell around the engine: sockets, threads, files, clocks.
//!
//! One thread runs everything that is not a disk: a tokio runtime on which connections' tasks turn bytes into events and a
//! single driver turns events into inputs of the pure machines. Each worker of the store has a thread of its own.
//! [`run`] is the whole life of a node's process.
//!
//! - `driver`: the loop. `peers`: connections to other nodes. `listener`: clients. `workers`: the store's threads.
//! - `access`: who may do what. `cluster`: members, buckets, layout and access tokens as facts. `directory`: the node's directory and its lock.
//! - `security`: certificates as the doors use them. `renewal`: takes renewed ones.
//!
//! **Not here:** any decision about data. What a request means is the engine's business, what is durable the store's.

// The only place in this crate with clocks, tasks and timers: it turns them into arguments and inputs of pure machines.
#![allow(clippy::disallowed_methods)]

mod access;
mod admin;
mod clock;
mod cluster;
mod directory;
mod driver;
mod error;
mod faults;
mod gate;
pub mod limits;
mod listener;
mod metrics;
mod open_files;
mod outgoing;
mod peers;
mod quota;
pub mod recent;
mod renewal;
mod saver;
mod security;
mod source;
mod start;
mod strangers;
mod telemetry;
mod tenant;
mod transport;
mod workers;

use std::future::Future;
use std::path::Path;

use tokio::runtime::{Builder, LocalOptions};
use tokio::signal::unix::{SignalKind, signal};

pub use error::{Listener, RunError};

use crate::config::Config;

/// Runs a node until SIGTERM or SIGINT, then stops it in good order: no new requests, those under way are answered, the
/// index is brought up to the log. `directory` is the node's directory, from which the settings' paths start.
///
/// # Errors
/// [`RunError`] says why the node did not start or had to stop. What it had acknowledged is on its disk either way.
pub fn run(directory: &Path, config: Config) -> Result<(), RunError> {
    run_until(directory, config, async {
        let (Ok(mut terminate), Ok(mut interrupt)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            tracing::error!(
                "signals cannot be handled: stop this process with SIGKILL, which loses nothing"
            );
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Runs a node until `stop` completes, as [`run`] does until a signal. `stop` is polled on the node's own runtime.
///
/// # Errors
/// As of [`run`].
pub fn run_until(
    directory: &Path,
    config: Config,
    stop: impl Future<Output = ()> + 'static,
) -> Result<(), RunError> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .map_err(RunError::Runtime)?;
    runtime.block_on(start::serve(directory, config, stop))
}
