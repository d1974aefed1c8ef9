//! `kv ring where KEY`: where a key lives.

use serde_json::json;

use crate::args::connection::ConnectionArguments;
use crate::args::value::KeyArguments;
use crate::cluster::connect::connect;
use crate::cluster::explain::key_text;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::output::table::{Align, Table};

/// Prints the key's hash, its partition, and its preference list.
pub(super) async fn run(
    key: &KeyArguments,
    connection: &ConnectionArguments,
    output: Output,
) -> Outcome<ExitCode> {
    let client = connect(connection, output).await?;
    let topology = client.topology();
    let Some(place) = topology.place_of(&key.bucket, &key.key) else {
        return Err(Failure::new(ExitCode::NotFound, format!("there is no bucket {}", key.bucket)));
    };
    if output.is_json() {
        let nodes = |nodes: &[kvorum_ring::NodeId]| -> Vec<_> {
            let named = nodes.iter().map(|node| {
                json!({
                    "name": topology.name_of(*node), "id": node.to_string(),
                    "clients": topology.node(*node).map(|node| &node.client_address),
                })
            });
            named.collect()
        };
        output.json(&json!({
            "key": key_text(&key.key), "bucket": key.bucket.to_string(), "hash": format!("{:032x}", place.hash.0),
            "partition": place.partition.0, "class": place.class.0,
            "owners": nodes(&place.owners), "fallbacks": nodes(&place.fallbacks),
        }))?;
        return Ok(ExitCode::Success);
    }
    let style = output.style();
    output.line(&format!(
        "key {} in bucket {}\nhash {:032x}  partition {} of {}",
        style.name(&key_text(&key.key)),
        style.name(&key.bucket.to_string()),
        place.hash.0,
        place.partition.0,
        topology.layout.partitions().get(),
    ))?;
    let mut table = Table::new(&[
        ("", Align::Right),
        ("role", Align::Left),
        ("node", Align::Left),
        ("zone", Align::Left),
        ("clients", Align::Left),
    ]);
    let owners = place.owners.iter().map(|node| ("owner", node));
    let nodes = owners.chain(place.fallbacks.iter().map(|node| ("fallback", node)));
    for (position, (role, node)) in nodes.enumerate() {
        let role = if role == "owner" { style.good(role) } else { style.dim(role) };
        let known = topology.node(*node);
        table.row(vec![
            (position + 1).to_string(),
            role,
            style.name(&topology.name_of(*node)),
            known.map(|node| node.zone.clone()).unwrap_or_default(),
            known.map(|node| node.client_address.clone()).unwrap_or_default(),
        ]);
    }
    output.table(&table)?;
    Ok(ExitCode::Success)
}
