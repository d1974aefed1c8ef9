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
    /// How close every node is to its fair share; 1 is perfectly even.
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
            "{} of each partition; {} to {} partitions a node, balance {:.3} (1 is even)",
            units::plural(u64::from(class.n), "copy").replace("copys", "copies"),
            units::count(least.into()),
            units::count(most.into()),
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
    Ownership {
        class: class.id().0,
        n: class.n(),
        balance: balance(&nodes, layout.partitions().get()),
        nodes,
    }
}

/// How close every node is to its fair share: 1 when none holds more, less the more one does.
///
/// A fair share is by weight, but no node can hold two copies of one partition: what is beyond that goes to the others.
fn balance(nodes: &[Share], partitions: u32) -> f64 {
    let fair = fair_shares(nodes, f64::from(partitions));
    let loads = nodes.iter().zip(fair).map(|(share, fair)| f64::from(share.owned) / fair.max(1.0));
    1.0 / loads.fold(1.0, f64::max)
}

/// The shares by weight of all copies, none above `most`.
fn fair_shares(nodes: &[Share], most: f64) -> Vec<f64> {
    let mut shares = vec![0.0; nodes.len()];
    let mut left: f64 = nodes.iter().map(|share| f64::from(share.owned)).sum();
    let mut open: Vec<usize> = (0..nodes.len()).collect();
    while !open.is_empty() {
        let weights: f64 = open.iter().map(|node| f64::from(nodes[*node].weight)).sum();
        let fair = |node: usize| left * f64::from(nodes[node].weight) / weights;
        let (full, below): (Vec<usize>, Vec<usize>) =
            open.iter().partition(|node| fair(**node) >= most);
        if full.is_empty() {
            below.iter().for_each(|node| shares[*node] = fair(*node));
            break;
        }
        full.iter().for_each(|node| shares[*node] = most);
        left -= most * full.len() as f64;
        open = below;
    }
    shares
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
    use super::{Ownership, Share, balance, fair_shares, table};
    use crate::output::style::Style;

    fn share(name: &str, weight: u16, owned: u32, part: f64) -> Share {
        let (id, zone) = (String::new(), "default".to_owned());
        Share { name: name.to_owned(), id, zone, weight, owned, first: 0, part }
    }

    fn close(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-9
    }

    #[test]
    fn balance_counts_weights() {
        assert!(close(balance(&[share("a", 100, 50, 0.5), share("b", 100, 50, 0.5)], 64), 1.0));
        assert!(close(balance(&[share("a", 100, 50, 0.0), share("b", 200, 100, 0.0)], 128), 1.0));
        assert!(close(
            balance(&[share("a", 100, 60, 1.0), share("b", 100, 20, 0.0)], 64),
            2.0 / 3.0
        ));
        assert!(close(balance(&[], 64), 1.0));
    }

    #[test]
    fn a_heavy_node_that_holds_a_copy_of_everything_is_balanced() {
        let nodes = [share("a", 100, 64, 0.0), share("b", 100, 64, 0.0), share("c", 900, 64, 0.0)];
        assert!(close(balance(&nodes, 64), 1.0));
        let nodes = [share("a", 100, 32, 0.0), share("b", 100, 32, 0.0), share("c", 900, 64, 0.0)];
        assert_eq!(fair_shares(&nodes, 64.0), [32.0, 32.0, 64.0]);
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
