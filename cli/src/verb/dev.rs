//! `kv dev`: a cluster of real processes on this machine, until Ctrl-C.
//!
//! "ready" is printed once, when every node answers and sees every other. With `--json`, standard output carries exactly
//! one line, the cluster with its endpoints; what happens later goes to standard error, a JSON object on each line.

use std::process::ExitStatus;

use serde_json::json;

use crate::args::local::DevArguments;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::local::child::how_it_ended;
use crate::local::signals::Signals;
use crate::local::{Access, DEFAULT_PORT_BASE, LocalCluster, Plan, Sizing, ports, ready};
use crate::output::Output;
use crate::output::table::{Align, Table};

/// Runs the cluster.
pub(super) async fn run(options: &DevArguments, output: Output) -> Outcome<ExitCode> {
    let plan = Plan {
        nodes: options.nodes,
        directory: options.dir.clone(),
        port_base: options.port_base,
        log_level: options.log_level.clone(),
        access: Access::Plaintext,
        sizing: Sizing::shared_machine(),
    };
    let mut signals = Signals::watch()?;
    let mut cluster = LocalCluster::open(&plan)?;
    let nodes = chosen(&cluster, options.only.as_deref())?;
    let outcome = serve(&mut cluster, &nodes, &mut signals, output).await;
    if outcome.is_ok() {
        say_stopping(output);
    }
    // A second Ctrl-C means: now.
    cluster.stop(signals.first()).await?;
    outcome.map(|()| ExitCode::Success)
}

/// The positions of the nodes to run.
fn chosen(cluster: &LocalCluster, only: Option<&str>) -> Outcome<Vec<usize>> {
    let Some(name) = only else { return Ok((0..cluster.nodes().len()).collect()) };
    match cluster.position(name) {
        Some(node) => Ok(vec![node]),
        None => {
            let names: Vec<&str> = cluster.nodes().iter().map(|node| node.name.as_str()).collect();
            Err(Failure::usage(format!(
                "no node {name} in this cluster, only {}",
                names.join(", ")
            )))
        }
    }
}

/// Starts the nodes, says when they are ready, and watches them until a signal comes.
async fn serve(
    cluster: &mut LocalCluster,
    nodes: &[usize],
    signals: &mut Signals,
    output: Output,
) -> Outcome<()> {
    ports::await_free(nodes.iter().map(|node| &cluster.nodes()[*node])).await?;
    for node in nodes {
        cluster.start(*node)?;
    }
    tokio::select! {
        () = signals.first() => return Ok(()),
        started = ready::wait(cluster, nodes) => started?,
    }
    say_ready(cluster, nodes, output)?;
    loop {
        tokio::select! {
            () = signals.first() => return Ok(()),
            (node, status) = cluster.next_death() => say_death(cluster, node, status, output),
        }
    }
}

fn say_ready(cluster: &LocalCluster, nodes: &[usize], output: Output) -> Outcome<()> {
    let chosen = nodes.iter().map(|node| (&cluster.nodes()[*node], cluster.pid(*node)));
    if output.is_json() {
        let endpoints: Vec<String> =
            chosen.clone().map(|(node, _)| node.endpoint().to_string()).collect();
        let nodes: Vec<_> = chosen
            .map(|(node, pid)| {
                json!({
                    "name": node.name, "id": node.id, "pid": pid, "client": node.endpoint().to_string(),
                    "peer_port": node.peer_port, "client_port": node.client_port, "admin_port": node.admin_port,
                })
            })
            .collect();
        let directory = cluster.directory().display().to_string();
        return output.json(&json!({
            "ready": true, "directory": directory, "temporary": cluster.is_temporary(),
            "endpoints": endpoints, "nodes": nodes,
        }));
    }
    let style = output.style();
    let kept = if cluster.is_temporary() { "removed at exit" } else { "kept" };
    output.line(&format!(
        "{} {}",
        cluster.directory().display(),
        style.dim(&format!("({kept})"))
    ))?;
    let mut table = Table::new(&[
        ("node", Align::Left),
        ("clients", Align::Left),
        ("peers", Align::Left),
        ("admin", Align::Left),
        ("pid", Align::Right),
        ("log", Align::Left),
    ]);
    for (node, position) in chosen.zip(nodes) {
        let (node, pid) = node;
        table.row(vec![
            style.name(&node.name),
            format!("127.0.0.1:{}", node.client_port),
            format!("udp {}", node.peer_port),
            format!("{}", node.admin_port),
            pid.map_or_else(String::new, |pid| pid.to_string()),
            cluster.log(*position).display().to_string(),
        ]);
    }
    output.table(&table)?;
    output.line(&format!("\n{}  Ctrl-C stops it. From another shell:", style.good("ready")))?;
    if cluster.nodes()[0].peer_port != DEFAULT_PORT_BASE {
        let endpoints: Vec<String> = cluster.endpoints().iter().map(ToString::to_string).collect();
        output.line(&format!("  export KVORUM_ENDPOINTS={}", endpoints.join(",")))?;
    }
    output.line("  kv put greeting hello\n  kv get greeting\n  kv status")
}

fn say_stopping(output: Output) {
    if output.is_json() {
        output.remark(&json!({ "event": "stopping" }).to_string());
    } else {
        output.remark("stopping; Ctrl-C once more kills what is left");
    }
}

fn say_death(cluster: &LocalCluster, node: usize, status: Option<ExitStatus>, output: Output) {
    let name = &cluster.nodes()[node].name;
    let how = status.map_or_else(|| "ended for no known reason".to_owned(), how_it_ended);
    let restart = cluster.restart_command(node);
    let log = cluster.log(node).display().to_string();
    if output.is_json() {
        let event = json!({ "event": "node_died", "node": name, "how": how, "restart": restart, "log": log });
        output.remark(&event.to_string());
    } else {
        let style = output.remark_style();
        output.remark(&format!("{} {name} has died: {how}. Its log: {log}", style.bad("✗")));
        output.remark(&format!("  restart it: {}", style.name(&restart)));
    }
}
