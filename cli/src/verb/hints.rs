//! `kv hints ls|drain|pause|resume`: what nodes hold for owners that were away. Every node is asked for itself.

use std::time::Duration;

use kvorum_client::{Client, OperationError, Topology};
use kvorum_protocol::message::HintsDone;
use kvorum_ring::NodeId;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::args::hints::{HintsArguments, HintsVerb};
use crate::cluster::connect::connect;
use crate::cluster::explain;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::table::{Align, Table};
use crate::output::{Output, units};
use crate::progress::Step;

/// How often nodes are asked what is left.
const INTERVAL: Duration = Duration::from_millis(200);

/// A node and what it said.
struct Told {
    name: String,
    id: NodeId,
    hints: Result<HintsDone, OperationError>,
}

/// Runs one of the verbs.
pub(super) async fn run(verb: HintsVerb, output: Output) -> Outcome<ExitCode> {
    match verb {
        HintsVerb::Ls(options) => tell(&options, None, output).await,
        HintsVerb::Pause(options) => tell(&options, Some(true), output).await,
        HintsVerb::Resume(options) => tell(&options, Some(false), output).await,
        HintsVerb::Drain { wait, options } => drain(&options, wait, output).await,
    }
}

/// The nodes that are meant: all of them, or the one that is named.
fn wanted(topology: &Topology, node: Option<&str>) -> Outcome<Vec<(NodeId, String)>> {
    let is_meant = |name: &str, id: NodeId| {
        node.is_none_or(|wanted| wanted == name || wanted == id.to_string())
    };
    let nodes: Vec<(NodeId, String)> = topology
        .nodes
        .iter()
        .filter(|known| is_meant(&known.name, known.id))
        .map(|known| (known.id, known.name.clone()))
        .collect();
    match node {
        Some(wanted) if nodes.is_empty() => {
            Err(Failure::usage(format!("no node of this cluster is called {wanted}")))
        }
        _ => Ok(nodes),
    }
}

async fn ask(client: &Client, nodes: &[(NodeId, String)], paused: Option<bool>) -> Vec<Told> {
    let mut told = Vec::with_capacity(nodes.len());
    for (id, name) in nodes {
        let hints = client.hints_of(*id, paused).await;
        told.push(Told { name: name.clone(), id: *id, hints });
    }
    told
}

async fn tell(options: &HintsArguments, paused: Option<bool>, output: Output) -> Outcome<ExitCode> {
    let client = connect(&options.connection, output).await?;
    let nodes = wanted(&client.topology(), options.node.as_deref())?;
    let told = ask(&client, &nodes, paused).await;
    if let (Some(Told { hints: Err(error), .. }), true) =
        (told.first(), told.iter().all(|told| told.hints.is_err()))
    {
        return Err(explain::operation("ask for hints", error, &client.topology()));
    }
    print(&told, output)?;
    let all = told.iter().all(|told| told.hints.is_ok());
    Ok(if all { ExitCode::Success } else { ExitCode::SomeSilent })
}

/// Has everything handed over, and waits until nothing is left or the time is up.
async fn drain(options: &HintsArguments, wait: Duration, output: Output) -> Outcome<ExitCode> {
    let client = connect(&options.connection, output).await?;
    let nodes = wanted(&client.topology(), options.node.as_deref())?;
    let end = Instant::now() + wait;
    let mut told = ask(&client, &nodes, Some(false)).await;
    let first = keys(&told);
    let step = Step::begin(output, "hand over", first);
    let mut done = 0;
    while !is_drained(&told) && Instant::now() < end {
        sleep(INTERVAL).await;
        told = ask(&client, &nodes, Some(false)).await;
        let now_done = first.saturating_sub(keys(&told));
        step.advance(now_done.saturating_sub(done));
        done = done.max(now_done);
    }
    step.end(&format!("{} left", units::plural(keys(&told), "key")));
    if output.is_json() {
        print(&told, output)?;
    }
    if is_drained(&told) {
        return Ok(ExitCode::Success);
    }
    if !output.is_json() {
        print(&told, output)?;
    }
    Ok(ExitCode::Unavailable)
}

fn keys(told: &[Told]) -> u64 {
    told.iter().filter_map(|told| told.hints.as_ref().ok()).map(|hints| hints.keys).sum()
}

fn is_drained(told: &[Told]) -> bool {
    told.iter().all(|told| told.hints.as_ref().is_ok_and(|hints| hints.keys == 0))
}

fn print(told: &[Told], output: Output) -> Outcome<()> {
    if output.is_json() {
        let nodes: Vec<Value> = told.iter().map(told_json).collect();
        return output.json(&json!({ "keys": keys(told), "nodes": nodes }));
    }
    let style = output.style();
    let mut table = Table::new(&[
        ("node", Align::Left),
        ("for", Align::Left),
        ("keys", Align::Right),
        ("bearing", Align::Right),
        ("oldest", Align::Right),
        ("remarks", Align::Left),
    ]);
    for Told { name, hints, .. } in told {
        let mut row = |target: &str, cells: [String; 3], remarks: String| {
            let [keys, bearing, oldest] = cells;
            table.row(vec![style.name(name), target.to_owned(), keys, bearing, oldest, remarks]);
        };
        let none = || ["-".to_owned(), "-".to_owned(), "-".to_owned()];
        match hints {
            Err(_) => row("-", none(), style.bad("does not answer us")),
            Ok(hints) => {
                let paused = if hints.paused { "paused" } else { "" };
                if hints.unreadable > 0 {
                    let remark = style.bad("cannot be read now, kept");
                    row(
                        "-",
                        [units::count(hints.unreadable), "-".to_owned(), "-".to_owned()],
                        remark,
                    );
                }
                for target in &hints.targets {
                    let state = if target.up { "" } else { "owner is down" };
                    let remarks: Vec<&str> =
                        [paused, state].into_iter().filter(|one| !one.is_empty()).collect();
                    let oldest = units::duration(Duration::from_millis(target.oldest_ms));
                    let cells = [units::count(target.keys), units::count(target.bearing), oldest];
                    row(&target.name, cells, remarks.join(", "));
                }
                if hints.targets.is_empty() && hints.unreadable == 0 {
                    let left = if hints.unread > 0 { "looking what it holds" } else { "nothing" };
                    row(
                        "-",
                        none(),
                        if hints.paused { "paused".to_owned() } else { left.to_owned() },
                    );
                }
            }
        }
    }
    output.table(&table)
}

fn told_json(told: &Told) -> Value {
    let hints = told.hints.as_ref().ok().map(|hints| {
        let targets: Vec<Value> = hints
            .targets
            .iter()
            .map(|target| {
                json!({
                    "name": target.name, "id": target.node.to_string(), "up": target.up, "keys": target.keys,
                    "bytes": target.bytes, "bearing": target.bearing, "oldest_ms": target.oldest_ms,
                })
            })
            .collect();
        json!({
            "paused": hints.paused, "keys": hints.keys, "unread": hints.unread, "bearing": hints.bearing,
            "bearing_bytes": hints.bearing_bytes, "spare_bytes": hints.spare_bytes, "delivered": hints.delivered,
            "dropped": hints.dropped, "refused": hints.refused, "damaged": hints.damaged, "for": targets,
            "unreadable": hints.unreadable, "unread_bytes": hints.unread_bytes, "spare_refused": hints.spare_refused,
        })
    });
    let error = told.hints.as_ref().err().map(ToString::to_string);
    json!({ "name": told.name, "id": told.id.to_string(), "error": error, "hints": hints })
}
