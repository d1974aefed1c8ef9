//! `kv repair key|partition|node`: the owners of something are made to hold the same, now, and it is told which does not.
//!
//! A partition is repaired in steps that some owner leads, an owner that is up if there is one (`walk.rs`). What the steps
//! found is added up (`sums.rs`).

mod sums;
mod walk;

use kvorum_client::Topology;
use kvorum_protocol::message::{OwnerCause, RepairHolding, RepairedOwner};
use kvorum_ring::{KeyHash, NodeId, PartitionId};
use serde_json::{Value, json};

use crate::args::connection::ConnectionArguments;
use crate::args::repair::{NodeArguments, PartitionArguments, RepairVerb};
use crate::args::value::KeyArguments;
use crate::cluster::connect::connect;
use crate::cluster::explain::{self, key_text};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::local::signals::Signals;
use crate::output::style::Style;
use crate::output::table::{Align, Table};
use crate::output::{Output, units};
use crate::progress::Step;
use crate::verb::repair::sums::Sums;
use crate::verb::repair::walk::{Place, Walk};

/// Parts of a partition's progress bar.
const PARTS: u64 = 1_000;

/// Runs one of the verbs.
pub(super) async fn run(verb: RepairVerb, output: Output) -> Outcome<ExitCode> {
    match verb {
        RepairVerb::Key { key, connection } => repair_key(&key, &connection, output).await,
        RepairVerb::Partition(options) => repair_partition(&options, output).await,
        RepairVerb::Node(options) => repair_node(&options, output).await,
    }
}

fn code(all_agree: bool) -> ExitCode {
    if all_agree { ExitCode::Success } else { ExitCode::NotRepaired }
}

async fn repair_key(
    key: &KeyArguments,
    connection: &ConnectionArguments,
    output: Output,
) -> Outcome<ExitCode> {
    let client = connect(connection, output).await?;
    let reply = client.repair_key(key.bucket.clone(), key.key.clone()).await;
    let topology = client.topology();
    let doing = format!("repair {}", key_text(&key.key));
    let reply = reply.map_err(|error| explain::operation(&doing, &error, &topology))?;
    let agree = reply.all_agree();
    if output.is_json() {
        let owner = |owner: &RepairedOwner| {
            json!({
                "name": topology.name_of(owner.node), "id": owner.node.to_string(),
                "before": owner.before.map(holding_json), "given": owner.given > 0, "bytes": owner.bytes,
                "agrees": owner.cause.is_none(), "cause": owner.cause.map(|cause| cause.to_string()),
            })
        };
        let owners: Vec<Value> = reply.owners.iter().map(owner).collect();
        output.json(&json!({
            "key": key_text(&key.key), "bucket": key.bucket.to_string(), "led_by": topology.name_of(reply.node),
            "agreed": agree, "after": reply.after.map(holding_json), "owners": owners,
        }))?;
        return Ok(code(agree));
    }
    let style = output.style();
    let mut table =
        Table::new(&[("owner", Align::Left), ("held", Align::Left), ("now", Align::Left)]);
    for owner in &reply.owners {
        let held = owner.before.map_or_else(|| "-".to_owned(), holding_text);
        let now = match (owner.cause, owner.given) {
            (Some(cause), _) => style.bad(&not_repaired(cause)),
            (None, 0) => style.good("agreed already"),
            (None, _) => style.good(&format!("agrees: was given {}", units::bytes(owner.bytes))),
        };
        table.row(vec![style.name(&topology.name_of(owner.node)), held, now]);
    }
    output.table(&table)?;
    if let Some(after) = reply.after.filter(|_| agree) {
        output.line(&format!("all owners hold {}, durably", holding_text(after)))?;
    }
    Ok(code(agree))
}

/// Why an owner was left out, for people.
fn not_repaired(cause: OwnerCause) -> String {
    match cause {
        OwnerCause::Unreachable => "is down: not repaired there".to_owned(),
        cause => format!("{cause}: not repaired there"),
    }
}

fn holding_text(holding: RepairHolding) -> String {
    match holding {
        RepairHolding::Nothing => "nothing".to_owned(),
        RepairHolding::Damaged => "a damaged record".to_owned(),
        RepairHolding::Record { values: 0, .. } => "a delete".to_owned(),
        RepairHolding::Record { values, bytes, digest } => {
            let [first, second, third, fourth, ..] = digest.0;
            let digest = u32::from_be_bytes([first, second, third, fourth]);
            let values = units::plural(values.into(), "value");
            format!("{values}, {} ({digest:08x})", units::bytes(bytes))
        }
    }
}

fn holding_json(holding: RepairHolding) -> Value {
    match holding {
        RepairHolding::Nothing => json!({ "kind": "nothing" }),
        RepairHolding::Damaged => json!({ "kind": "damaged" }),
        RepairHolding::Record { values, bytes, digest } => json!({
            "kind": "record", "values": values, "bytes": bytes, "digest": format!("{:032x}", u128::from_be_bytes(digest.0)),
        }),
    }
}

async fn repair_partition(options: &PartitionArguments, output: Output) -> Outcome<ExitCode> {
    let client = connect(&options.connection, output).await?;
    let topology = client.topology();
    let PartitionArguments { class, partition, .. } = *options;
    let Some(preference) = topology.layout.preference(class, partition) else {
        let count = topology.layout.partitions().get();
        let message =
            format!("class {} has no partition {}: there are {count}", class.0, partition.0);
        return Err(Failure::usage(message));
    };
    let owners: Vec<NodeId> = preference.owners().collect();
    let place = Place { class, partition };
    let mut signals = Signals::watch()?;
    let step = Step::measured(output, &format!("repair partition {}", partition.0), PARTS);
    let mut walk = Walk::new(&client, place, &owners, None, options.from.unwrap_or(KeyHash(0)));
    let mut sums = Sums::default();
    while let Some(from) = walk.next() {
        let said = format!("{} compared", units::plural(sums.compared, "key"));
        step.reach_saying(parts_done(&topology, partition, from), said);
        let ended = tokio::select! {
            biased;
            () = signals.first() => None,
            ended = walk.step() => Some(ended),
        };
        match ended {
            None => break,
            Some(Ok(done)) => sums.add(&done),
            Some(Err(error)) => {
                return Err(explain::operation("repair the partition", &error, &topology));
            }
        }
    }
    if walk.next() != walk.rest() {
        sums.give_up(place);
    }
    sums.end_partition();
    step.end(&sums.told());
    let of_class = if class.0 == 0 { String::new() } else { format!(" --class {}", class.0) };
    let command = |hash: KeyHash| {
        format!("kv repair partition {}{of_class} --from {:032x}", partition.0, hash.0)
    };
    report(&sums, &topology, walk.rest().map(command), output)
}

/// How far a partition is that is repaired from this hash on: its hashes are those that begin with its number.
fn parts_done(topology: &Topology, partition: PartitionId, from: KeyHash) -> u64 {
    let width = u128::MAX / u128::from(topology.layout.partitions().get());
    let into = from.0.saturating_sub(u128::from(partition.0) * width);
    u64::try_from(into / (width / u128::from(PARTS)).max(1)).unwrap_or(PARTS).min(PARTS)
}

async fn repair_node(options: &NodeArguments, output: Output) -> Outcome<ExitCode> {
    let client = connect(&options.connection, output).await?;
    let topology = client.topology();
    let node = named(&topology, &options.node)?;
    let places = places_of(&topology, node, options.from);
    let mut signals = Signals::watch()?;
    let step =
        Step::begin(output, &format!("repair {}", topology.name_of(node)), places.len() as u64);
    let mut sums = Sums::default();
    let mut go_on = None;
    'places: for place in places {
        let preference = topology.layout.preference(place.class, place.partition);
        let owners: Vec<NodeId> =
            preference.into_iter().flat_map(|owners| owners.owners()).collect();
        // What lacks most is best compared by somebody who lacks little.
        let mut walk = Walk::new(&client, place, &owners, Some(node), KeyHash(0));
        while walk.next().is_some() {
            let ended = tokio::select! {
                biased;
                () = signals.first() => None,
                ended = walk.step() => Some(ended),
            };
            match ended {
                None => {
                    let name = explain::quoted(&options.node);
                    go_on = Some(format!("kv repair node {name} --from {}", place.partition.0));
                    break 'places;
                }
                Some(Ok(done)) => sums.add(&done),
                Some(Err(error)) => {
                    sums.fail(place, &error);
                    break;
                }
            }
        }
        if walk.next() != walk.rest() {
            sums.give_up(place);
        }
        sums.end_partition();
        step.advance(1);
    }
    step.end(&sums.told());
    report(&sums, &topology, go_on, output)
}

/// The node of this name or id.
fn named(topology: &Topology, name: &str) -> Outcome<NodeId> {
    let is_meant = |node: &&kvorum_protocol::message::TopologyNode| {
        node.name == name || node.id.to_string() == name
    };
    let found = topology.nodes.iter().find(is_meant).map(|node| node.id);
    found.ok_or_else(|| Failure::usage(format!("no node of this cluster is called {name}")))
}

/// The partitions that a node owns, ascending by number, from one of them on.
fn places_of(topology: &Topology, node: NodeId, from: Option<PartitionId>) -> Vec<Place> {
    let layout = &topology.layout;
    let of_class = |class: kvorum_ring::ReplicationClass| {
        let class = class.id();
        layout.owned_by(node, class).map(move |partition| Place { class, partition })
    };
    let mut places: Vec<Place> = layout.classes().flat_map(of_class).collect();
    places.retain(|place| from.is_none_or(|from| place.partition >= from));
    places.sort_by_key(|place| (place.partition, place.class));
    places
}

/// Tells what came of it, and how to go on if it was broken off.
fn report(
    sums: &Sums,
    topology: &Topology,
    go_on: Option<String>,
    output: Output,
) -> Outcome<ExitCode> {
    let agree = sums.all_agree() && go_on.is_none();
    if output.is_json() {
        output.json(&sums.json(topology, agree, go_on.as_deref()))?;
        return Ok(code(agree));
    }
    output.table(&sums.table(topology, output.style()))?;
    for failure in sums.failures() {
        output.remark(&output.remark_style().bad(failure));
    }
    if let Some(command) = go_on {
        output.remark(&format!("broken off; go on with: {command}"));
    }
    output.line(&verdict(sums, agree, output.style()))?;
    Ok(code(agree))
}

fn verdict(sums: &Sums, agree: bool, style: Style) -> String {
    match agree {
        true => style.good("all owners agree, durably"),
        false => style.bad(&format!("not all owners are known to agree: {}", sums.why())),
    }
}
