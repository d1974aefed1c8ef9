//! `kv status`: the nodes, and whether every partition has its quorum.

use std::time::Duration;

use kvorum_client::{ConnectError, ErrorKind, OperationError};
use kvorum_protocol::message::TaskStatus;
use serde_json::{Value, json};

use crate::args::connection::ConnectionArguments;
use crate::cluster::connect::connect;
use crate::cluster::health::{Health, NodeHealth};
use crate::exit_code::ExitCode;
use crate::failure::Outcome;
use crate::output::style::Style;
use crate::output::table::{Align, Table};
use crate::output::{Output, units};

/// Prints the state of the cluster; the exit code says it too.
pub(super) async fn run(connection: &ConnectionArguments, output: Output) -> Outcome<ExitCode> {
    let client = connect(connection, output).await?;
    let health = Health::ask(&client).await;
    let code = health.code();
    let topology = client.topology();
    if output.is_json() {
        let nodes: Vec<Value> = health.nodes.iter().map(node_json).collect();
        output.json(&json!({
            "cluster": topology.cluster, "layout": topology.layout.name().to_string(), "state": state(code),
            "partitions": health.partitions, "nodes": nodes,
        }))?;
        return Ok(code);
    }
    let style = output.style();
    output.line(&format!(
        "cluster {}  layout {}",
        style.name(&topology.cluster),
        topology.layout.name()
    ))?;
    output.table(&table(&health, style, units::now_ms()))?;
    output.line(&summary(&health, style))?;
    if output.is_verbose() && health.partitions.below_quorum > 0 {
        let named: Vec<String> =
            health.partitions.first_below_quorum.iter().map(u32::to_string).collect();
        output.line(&format!("below quorum: partitions {}", named.join(", ")))?;
    }
    Ok(code)
}

/// The cluster's state as a stable name.
fn state(code: ExitCode) -> &'static str {
    match code {
        ExitCode::Success => "healthy",
        other => other.name(),
    }
}

fn summary(health: &Health, style: Style) -> String {
    let partitions = &health.partitions;
    let word = match (health.code(), partitions.word()) {
        (ExitCode::Success, word) => style.good(word),
        (ExitCode::BelowQuorum, word) => style.bad(word),
        (_, "healthy") => style.warn("degraded"),
        (_, word) => style.warn(word),
    };
    let up = health.nodes.iter().filter(|node| node.status.is_ok()).count();
    format!(
        "{word}: {up} of {} nodes up; partitions: {} healthy, {} degraded, {} below quorum",
        health.nodes.len(),
        units::count(partitions.healthy.into()),
        units::count(partitions.degraded.into()),
        units::count(partitions.below_quorum.into()),
    )
}

/// `indexed` are the records that the index names; of the `backlog`, which it has yet to take in, some are new and some are
/// later versions of those, which only the index can tell.
fn table(health: &Health, style: Style, now_ms: u64) -> Table {
    let mut table = Table::new(&[
        ("node", Align::Left),
        ("state", Align::Left),
        ("indexed", Align::Right),
        ("log", Align::Right),
        ("live", Align::Right),
        ("backlog", Align::Right),
        ("requests", Align::Right),
        ("up for", Align::Right),
        ("remarks", Align::Left),
    ]);
    for node in &health.nodes {
        let mut row = vec![style.name(&node.name)];
        match &node.status {
            Ok(status) => {
                let figures = &status.node;
                row.push(style.good("up"));
                row.push(units::count(figures.keys));
                row.push(units::bytes(figures.log_bytes));
                row.push(units::bytes(figures.live_bytes));
                row.push(units::count(figures.index_backlog));
                row.push(units::count(figures.requests));
                row.push(units::duration(Duration::from_millis(figures.uptime_ms)));
            }
            Err(_) => {
                row.push(style.bad("down"));
                row.resize(8, style.dim("-"));
            }
        }
        row.push(remarks(node, now_ms).join(", "));
        table.row(row);
    }
    table
}

/// Before a certificate expires there are this many days of warning.
const WARNED_DAYS: u64 = 30;

/// That a node's certificate expires soon, or has expired; 0 stands for a date that is not known.
fn certificate_remark(expires_at_ms: u64, now_ms: u64) -> Option<String> {
    const DAY_MS: u64 = 24 * 3_600 * 1_000;
    let left_ms = expires_at_ms.saturating_sub(now_ms);
    match expires_at_ms {
        0 => None,
        _ if left_ms == 0 => Some("certificate EXPIRED: kv cert renew".to_owned()),
        _ if left_ms < WARNED_DAYS * DAY_MS => {
            let days = units::plural(left_ms / DAY_MS, "day");
            Some(format!("certificate expires in {days}: kv cert renew"))
        }
        _ => None,
    }
}

/// What is unusual about a node.
fn remarks(node: &NodeHealth, now_ms: u64) -> Vec<String> {
    let mut remarks = Vec::new();
    match &node.status {
        Ok(status) => {
            if status.node.refilling {
                remarks.push("refilling".to_owned());
            }
            if status.node.hinted_keys > 0 {
                remarks.push(format!(
                    "holds {} for others",
                    units::plural(status.node.hinted_keys, "key")
                ));
            }
            let task = |task: &TaskStatus| {
                let (done, total) = (units::count(task.done), units::count(task.total));
                format!("{}: {done} of {total}", task.name)
            };
            remarks.extend(status.tasks.iter().map(task));
            remarks.extend(certificate_remark(status.node.certificate_expires_at_ms, now_ms));
            if !node.doubted_by.is_empty() {
                remarks.push(format!("believed down by {}", node.doubted_by.join(", ")));
            }
        }
        Err(_) if node.doubted_by.is_empty() => remarks.push("does not answer us".to_owned()),
        Err(_) => remarks.push(format!("seen down by us, {}", node.doubted_by.join(", "))),
    }
    if let Err(OperationError { kind: ErrorKind::NoNode(causes), .. }) = &node.status {
        remarks.extend(causes.iter().find_map(|(_, cause)| certificate_fault(cause)));
    }
    remarks
}

/// That a node cannot be asked because of a certificate.
fn certificate_fault(cause: &ConnectError) -> Option<String> {
    match cause {
        ConnectError::NodeCertificate { fault, .. } => {
            Some(format!("its certificate {fault}: {}", fault.remedy()))
        }
        ConnectError::OwnCertificate { fault } => {
            Some(format!("does not accept our certificate: it {fault}: {}", fault.remedy()))
        }
        _ => None,
    }
}

fn node_json(node: &NodeHealth) -> Value {
    let figures = node.status.as_ref().ok().map(|status| {
        let figures = &status.node;
        let tasks: Vec<Value> = status
            .tasks
            .iter()
            .map(|task| json!({ "name": task.name, "done": task.done, "total": task.total, "paused": task.paused }))
            .collect();
        json!({
            "version": figures.version, "run": figures.run, "uptime_ms": figures.uptime_ms, "keys": figures.keys,
            "log_bytes": figures.log_bytes, "live_bytes": figures.live_bytes,
            "index_backlog": figures.index_backlog, "refilling": figures.refilling, "requests": figures.requests,
            "hinted_keys": figures.hinted_keys, "tasks": tasks,
            "certificate_expires_at_ms": figures.certificate_expires_at_ms,
        })
    });
    let error = node.status.as_ref().err().map(ToString::to_string);
    json!({
        "name": node.name, "id": node.id.to_string(), "up": node.status.is_ok(), "error": error,
        "believed_down_by": node.doubted_by, "figures": figures,
    })
}

#[cfg(test)]
mod tests {
    use kvorum_client::{ConnectError, Endpoint, ErrorKind, OperationError};
    use kvorum_protocol::message::{NodeStatus, StatusDone};
    use kvorum_protocol::{CertificateFault, OperationId};
    use kvorum_ring::NodeId;

    use super::{summary, table};
    use crate::cluster::health::{Health, NodeHealth, Partitions};
    use crate::output::style::Style;

    fn up(name: &str, id: u128) -> NodeHealth {
        let node = NodeStatus {
            node: NodeId(id),
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            run: 1,
            uptime_ms: 61_000,
            keys: 1_234,
            log_bytes: 5 << 20,
            live_bytes: 1 << 20,
            index_backlog: 0,
            refilling: true,
            requests: 7,
            hinted_keys: 0,
            certificate_expires_at_ms: 0,
        };
        let status =
            StatusDone { node, peers: Vec::new(), tasks: Vec::new(), below_quorum: 0, degraded: 0 };
        NodeHealth {
            id: NodeId(id),
            name: name.to_owned(),
            status: Ok(status),
            doubted_by: Vec::new(),
        }
    }

    fn down(name: &str, id: u128) -> NodeHealth {
        let error = OperationError {
            operation: OperationId(1),
            attempts: 0,
            retried: false,
            kind: ErrorKind::NoAnswer,
        };
        let doubted_by = vec!["n1".to_owned()];
        NodeHealth { id: NodeId(id), name: name.to_owned(), status: Err(error), doubted_by }
    }

    #[test]
    fn a_certificate_that_expires_within_a_month_is_remarked() {
        const DAY_MS: u64 = 86_400_000;
        let remark = |days: u64| super::certificate_remark(100 * DAY_MS, (100 - days) * DAY_MS);
        assert_eq!((remark(30), super::certificate_remark(0, 1)), (None, None));
        assert!(remark(29).is_some_and(|text| text.contains("29 days")));
        assert!(remark(0).is_some_and(|text| text.contains("EXPIRED")));
    }

    #[test]
    fn a_node_that_cannot_be_asked_because_of_its_certificate_is_marked() {
        let mut node = down("n2", 2);
        let detail = "not after yesterday".into();
        let cause = ConnectError::NodeCertificate { fault: CertificateFault::Expired, detail };
        let kind = ErrorKind::NoNode(vec![(Endpoint::loopback(1), cause)]);
        node.status = node.status.map_err(|error| OperationError { kind, ..error });
        let remarks = super::remarks(&node, 0).join(", ");
        assert!(remarks.contains("its certificate has expired: kv cert renew"), "{remarks}");
    }

    #[test]
    fn every_node_has_a_line_and_the_last_line_counts_the_partitions() {
        let partitions = Partitions { healthy: 200, degraded: 56, ..Partitions::default() };
        let health = Health { nodes: vec![up("n1", 1), down("n2", 2)], partitions };
        let lines = table(&health, Style::plain(), 0).lines(Style::plain());
        assert_eq!(lines.len(), 3);
        assert!(lines[1].contains("1,234") && lines[1].ends_with("refilling"), "{}", lines[1]);
        assert!(
            lines[2].contains("down") && lines[2].ends_with("seen down by us, n1"),
            "{}",
            lines[2]
        );
        let summary = summary(&health, Style::plain());
        assert_eq!(
            summary,
            "degraded: 1 of 2 nodes up; partitions: 200 healthy, 56 degraded, 0 below quorum"
        );
    }
}
