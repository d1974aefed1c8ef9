//! `kv node start DIR`: run the node of a directory. The runtime comes next.

use crate::args::cluster::StartArguments;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// Runs the node.
pub(super) fn run(options: &StartArguments, _output: Output) -> Outcome<ExitCode> {
    Err(Failure::unavailable(format!("{}: this build has no node yet", options.dir.display())))
}
