//! `kv diag`: what a bug report needs, in one text or one JSON document, without secrets.
//!
//! No value, no key of a user, no private key and no context key is in it; addresses and node names are, because a report
//! without them explains nothing.

use std::fmt::Write;
use std::fs;

use serde_json::{Value, json};

use crate::args::ring::DiagArguments;
use crate::cluster::connect::connect;
use crate::cluster::find::{Environment, find};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::verb::version::Version;

/// Gathers the report. A cluster that cannot be reached is part of the report, not the end of it.
pub(super) async fn run(options: &DiagArguments, output: Output) -> Outcome<ExitCode> {
    let mut report = local(options);
    let reached = cluster(options, output, &mut report).await;
    let code = reached.as_ref().map_or_else(Failure::code, |()| ExitCode::Success);
    if let Err(failure) = &reached {
        report.push(("cluster", failure.to_json()));
    }
    let text = if output.is_json() { as_json(&report).to_string() } else { as_text(&report) };
    match &options.out {
        None => output.line(text.trim_end())?,
        Some(path) => {
            fs::write(path, text + "\n").map_err(|error| Failure::file("write", path, &error))?;
            output.remark(&format!("the report is in {}", path.display()));
        }
    }
    Ok(code)
}

type Report = Vec<(&'static str, Value)>;

/// What this process knows without asking anybody.
fn local(options: &DiagArguments) -> Report {
    let version = serde_json::to_value(Version::of_this_binary()).unwrap_or_default();
    let connection = match find(&options.connection, &Environment::read()) {
        Ok(found) => {
            let endpoints: Vec<String> = found.endpoints.iter().map(ToString::to_string).collect();
            json!({
                "endpoints": endpoints, "from": found.origin.to_string(), "cluster": found.cluster,
                "certificate": found.identity.is_some(),
            })
        }
        Err(failure) => failure.to_json(),
    };
    vec![("version", version), ("connection", connection)]
}

/// What the cluster and each of its nodes say.
async fn cluster(options: &DiagArguments, output: Output, report: &mut Report) -> Outcome<()> {
    let client = connect(&options.connection, output).await?;
    let topology = client.topology();
    let nodes: Vec<Value> = topology
        .nodes
        .iter()
        .map(|node| {
            json!({
                "name": node.name, "id": node.id.to_string(), "zone": node.zone, "weight": node.weight,
                "peers": node.peer_address, "clients": node.client_address, "admin": node.admin_address, "up": node.up,
            })
        })
        .collect();
    report.push((
        "topology",
        json!({
            "cluster": topology.cluster, "told_by": topology.name_of(topology.told_by),
            "layout": topology.layout.name().to_string(), "partitions": topology.layout.partitions().get(),
            "buckets": topology.buckets.keys().map(ToString::to_string).collect::<Vec<_>>(), "nodes": nodes,
        }),
    ));
    let mut told = serde_json::Map::new();
    for node in &topology.nodes {
        let sections = match client.diagnosis_of(node.id, &[]).await {
            Ok(diagnosis) => {
                let sections = diagnosis.sections.into_iter();
                Value::Object(
                    sections.map(|section| (section.name, Value::String(section.text))).collect(),
                )
            }
            Err(error) => json!({ "error": error.to_string() }),
        };
        told.insert(node.name.clone(), sections);
    }
    report.push(("nodes", Value::Object(told)));
    Ok(())
}

fn as_json(report: &Report) -> Value {
    Value::Object(report.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

/// The report as indented text: objects become sections, long texts keep their lines.
fn as_text(report: &Report) -> String {
    let mut text = String::new();
    for (name, value) in report {
        let _ = writeln!(text, "{name}");
        write_value(&mut text, value, 1);
        text.push('\n');
    }
    text
}

fn write_value(text: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::Object(_) | Value::Array(_) => {
                        let _ = writeln!(text, "{indent}{name}");
                        write_value(text, field, depth + 1);
                    }
                    Value::String(lines) if lines.contains('\n') => {
                        let _ = writeln!(text, "{indent}{name}");
                        write_value(text, field, depth + 1);
                    }
                    _ => {
                        let _ = writeln!(text, "{indent}{name}: {}", scalar(field));
                    }
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                match item {
                    Value::Object(fields) => {
                        let fields =
                            fields.iter().map(|(name, field)| format!("{name} {}", scalar(field)));
                        let _ = writeln!(text, "{indent}{}", fields.collect::<Vec<_>>().join("  "));
                    }
                    _ => {
                        let _ = writeln!(text, "{indent}{}", scalar(item));
                    }
                }
            }
        }
        Value::String(lines) => {
            for line in lines.lines() {
                let _ = writeln!(text, "{indent}{line}");
            }
        }
        _ => {
            let _ = writeln!(text, "{indent}{}", scalar(value));
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::as_text;

    #[test]
    fn the_text_has_every_field_of_the_report_on_a_line_of_its_section() {
        let report = vec![
            ("version", json!({ "version": "0.1.0" })),
            (
                "nodes",
                json!({ "n1": { "log": "one\ntwo", "state": "up" }, "n2": { "error": "no answer" } }),
            ),
            (
                "topology",
                json!({ "nodes": [{ "name": "n1", "up": true }], "buckets": ["default"] }),
            ),
        ];
        let expected = "version\n  version: 0.1.0\n\nnodes\n  n1\n    log\n      one\n      two\n    state: up\n  n2\n    \
                        error: no answer\n\ntopology\n  buckets\n    default\n  nodes\n    name n1  up true\n\n";
        assert_eq!(as_text(&report), expected);
    }
}
