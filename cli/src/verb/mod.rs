//! One file for each verb, and the way in: parse, run the verb, say how it went.

mod auth;
mod bench;
mod bucket;
mod cert;
mod cluster_init;
mod completions;
mod conflicts;
mod delete;
mod demo;
mod dev;
mod diag;
mod get;
mod hints;
mod key_why;
mod ls;
mod merged;
mod node_start;
mod put;
mod repair;
mod ring_show;
mod ring_where;
mod sim;
mod stats;
mod status;
mod top;
mod version;

use std::future::Future;

use clap::Parser;

use crate::args::bench::BenchVerb;
use crate::args::cluster::{ClusterVerb, NodeVerb};
use crate::args::key::KeyVerb;
use crate::args::ring::RingVerb;
use crate::args::{Arguments, Verb};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::style::ColorChoice;
use crate::output::{Format, Output};

/// Runs the verb of the command line.
pub(crate) fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(answer) => return explain(&answer),
    };
    let output = arguments.global.output();
    match run(arguments.verb, output) {
        Ok(code) => code,
        Err(failure) => {
            output.failure(&failure);
            failure.code()
        }
    }
}

/// Help and `--version` are answers, everything else that clap says is a mistake in the arguments.
fn explain(answer: &clap::Error) -> ExitCode {
    if answer.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
        let output = Output::new(Format::Json, ColorChoice::Never, false);
        output.failure(&Failure::usage(answer.render().to_string().trim_end()));
        return ExitCode::Usage;
    }
    // A reader that went away while help was printed is no failure.
    let _ = answer.print();
    if answer.use_stderr() { ExitCode::Usage } else { ExitCode::Success }
}

fn run(verb: Verb, output: Output) -> Outcome<ExitCode> {
    match verb {
        Verb::Completions { shell } => completions::run(shell, output),
        Verb::Version => version::run(output),
        Verb::Cluster(ClusterVerb::Init(options)) => cluster_init::run(&options, output),
        Verb::Node(NodeVerb::Start(options)) => node_start::run_node(&options, output),
        Verb::Sim(verb) => sim::run(verb, output),
        Verb::Demo(options) => wait(demo::run(&options, output)),
        Verb::Dev(options) => wait(dev::run(&options, output)),
        Verb::Put(options) => wait(put::run(options.resolve(), output)),
        Verb::Get(options) => wait(get::run(&options, output)),
        Verb::Delete(options) => wait(delete::run(&options, output)),
        Verb::Ls(options) => wait(ls::run(&options, output)),
        Verb::Counter(verb) => wait(merged::run(verb.resolve(), output)),
        Verb::Set(verb) => wait(merged::run(verb.resolve(), output)),
        Verb::Register(verb) => wait(merged::run(verb.resolve(), output)),
        Verb::Map(verb) => wait(merged::run(verb.resolve(), output)),
        Verb::Status(options) => wait(status::run(&options.connection, output)),
        Verb::Stats(options) => wait(stats::run(&options, output)),
        Verb::Top(options) => wait(top::run(&options, output)),
        Verb::Ring(RingVerb::Show { connection }) => wait(ring_show::run(&connection, output)),
        Verb::Ring(RingVerb::Where { key, connection }) => {
            wait(ring_where::run(&key, &connection, output))
        }
        Verb::Key(KeyVerb::Why { key, connection }) => {
            wait(key_why::run(&key, &connection, output))
        }
        Verb::Conflicts(verb) => wait(conflicts::run(verb, output)),
        Verb::Hints(verb) => wait(hints::run(verb, output)),
        Verb::Repair(verb) => wait(repair::run(verb, output)),
        Verb::Bucket(verb) => wait(bucket::run(verb, output)),
        Verb::Cert(verb) => cert::run(&verb, output),
        Verb::Auth(verb) => wait(auth::run(verb, output)),
        Verb::Bench(BenchVerb::Run(options)) => wait(bench::run(&options, output)),
        Verb::Bench(BenchVerb::Overload(options)) => wait(bench::overload(&options, output)),
        Verb::Bench(BenchVerb::Failover(options)) => wait(bench::failover(&options, output)),
        Verb::Diag(options) => wait(diag::run(&options, output)),
    }
}

/// One thread is enough: a verb waits for the network, and a single-threaded runtime keeps batches whole.
fn wait(verb: impl Future<Output = Outcome<ExitCode>>) -> Outcome<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        Failure::unavailable(format!("cannot start the async runtime: {error}"))
    })?;
    runtime.block_on(verb)
}
