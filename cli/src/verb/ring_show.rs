//! `kv ring show`: how many partitions each node owns, and how even that is.

use kvorum_client::Topology;
use kvorum_ring::ReplicationClass;
use serde::Serialize;

use crate::args::connection::ConnectionArguments;
use crate::cluster::connect::connect;
use crate::exit_code::ExitCode;
use crate::failure::Outcome;
use crate::output::Output;
use crate::output::style::Style;
use crate::output::table::{Align, Table};
use crate::output::units;

/// Columns of the longest bar.
const BAR_WIDTH: usize = 30;

/// Who owns how much of one replication class.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Ownership {
    class: u8,
    n: u8,
    nodes: Vec<Share>,
    /// Mean over maximum of partitions per weight: 1 is perfectly even.
    balance: f64,
}

/// What one node owns.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Share {
    name: String,
    id: String,
    zone: String,
    weight: u16,
    /// Partitions that it holds a copy of.
    owned: u32,
    /// Partitions whose preference list it leads.
    first: u32,
    /// Copies that it holds, as a part of all copies.
    part: f64,
}

/// Prints the ownership of every class.
pub(super) async fn run(connection: &ConnectionArguments, output: Output) -> Outcome<ExitCode> {
    let client = connect(connection, output).await?;
    let topology = client.topology();
    let layout = &topology.layout;
    let classes: Vec<Ownership> =
        layout.classes().map(|class| ownership(&topology, class)).collect();
    let name = layout.name();
    if output.is_json() {
        output.json(&serde_json::json!({
            "cluster": topology.cluster, "layout": name.to_string(),
            "partitions": layout.partitions().get(), "classes": classes,
        }))?;
        return Ok(ExitCode::Success);
    }
    let style = output.style();
    output.line(&format!(
        "cluster {}  {}  layout {name}",
        style.name(&topology.cluster),
        units::plural(u64::from(layout.partitions().get()), "partition"),
    ))?;
    for class in &classes {
        output.line("")?;
        output.table(&table(class, style))?;
        let most = class.nodes.iter().map(|share| share.owned).max().unwrap_or(0);
        let least = class.nodes.iter().map(|share| share.owned).min().unwrap_or(0);
        output.line(&format!(
            "{} of each partition; {least} to {most} partitions a node, balance {:.3} (1 is even)",
            units::plural(u64::from(class.n), "copy").replace("copys", "copies"),
            class.balance,
        ))?;
    }
    Ok(ExitCode::Success)
}

fn ownership(topology: &Topology, class: ReplicationClass) -> Ownership {
    let layout = &topology.layout;
    let shares = layout.members().iter().map(|member| {
        let owned = layout.owned_by(member.id, class.id()).count() as u32;
        let partitions = layout.partitions().partitions();
        let leads = partitions.filter(|partition| {
            let preference = layout.preference(class.id(), *partition);
            preference.and_then(|preference| preference.owners().next()) == Some(member.id)
        });
        Share {
            name: topology.name_of(member.id),
            id: member.id.to_string(),
            zone: member.zone.to_string(),
            weight: member.weight.get(),
            owned,
            first: leads.count() as u32,
            part: 0.0,
        }
    });
    let mut nodes: Vec<Share> = shares.collect();
    let copies: u32 = nodes.iter().map(|share| share.owned).sum();
    for share in &mut nodes {
        share.part = f64::from(share.owned) / f64::from(copies.max(1));
    }
    nodes.sort_by(|one, other| one.name.cmp(&other.name).then(one.id.cmp(&other.id)));
    Ownership { class: class.id().0, n: class.n(), balance: balance(&nodes), nodes }
}

/// Mean over maximum of partitions per weight.
fn balance(nodes: &[Share]) -> f64 {
    let loads = nodes.iter().map(|share| f64::from(share.owned) / f64::from(share.weight.max(1)));
    let most = loads.fold(0.0, f64::max);
    let owned: u32 = nodes.iter().map(|share| share.owned).sum();
    let weights: u32 = nodes.iter().map(|share| u32::from(share.weight)).sum();
    if most == 0.0 { 1.0 } else { f64::from(owned) / f64::from(weights.max(1)) / most }
}

fn table(class: &Ownership, style: Style) -> Table {
    let mut table = Table::new(&[
        ("node", Align::Left),
        ("zone", Align::Left),
        ("weight", Align::Right),
        ("owns", Align::Right),
        ("first", Align::Right),
        ("share", Align::Right),
        ("", Align::Left),
    ]);
    let most = class.nodes.iter().map(|share| share.part).fold(0.0, f64::max);
    for share in &class.nodes {
        let length = if most > 0.0 { share.part / most } else { 0.0 };
        table.row(vec![
            style.name(&share.name),
            share.zone.clone(),
            share.weight.to_string(),
            units::count(u64::from(share.owned)),
            units::count(u64::from(share.first)),
            units::percent(share.part),
            style.good(&units::bar(length, BAR_WIDTH)),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{Ownership, Share, balance, table};
    use crate::output::style::Style;

    fn share(name: &str, weight: u16, owned: u32, part: f64) -> Share {
        let (id, zone) = (String::new(), "default".to_owned());
        Share { name: name.to_owned(), id, zone, weight, owned, first: 0, part }
    }

    #[test]
    fn balance_counts_weights() {
        assert!(
            (balance(&[share("a", 100, 50, 0.5), share("b", 100, 50, 0.5)]) - 1.0).abs() < 1e-9
        );
        assert!(
            (balance(&[share("a", 100, 50, 0.0), share("b", 200, 100, 0.0)]) - 1.0).abs() < 1e-9
        );
        assert!(
            (balance(&[share("a", 100, 100, 1.0), share("b", 100, 0, 0.0)]) - 0.5).abs() < 1e-9
        );
        assert!((balance(&[]) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_longest_bar_belongs_to_the_largest_share() {
        let nodes = vec![share("a", 100, 50, 0.25), share("b", 300, 150, 0.75)];
        let lines = table(&Ownership { class: 0, n: 3, nodes, balance: 1.0 }, Style::plain())
            .lines(Style::plain());
        assert_eq!(lines[2].matches('█').count(), 30);
        assert_eq!(lines[1].matches('█').count(), 10);
    }
}
