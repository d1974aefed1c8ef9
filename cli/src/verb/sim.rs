//! `kv sim`: the simulator at the command line. Its runs come with the simulator.

use crate::args::sim::SimVerb;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// Runs one of the simulator's verbs.
pub(super) fn run(_verb: SimVerb, _output: Output) -> Outcome<ExitCode> {
    Err(Failure::unavailable("this build has no simulator yet"))
}
