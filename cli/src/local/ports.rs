//! The ports of a cluster on this machine: three for each node, fixed or free.
//!
//! A node takes a base for its peers (UDP), base + 1 for clients (TCP and UDP) and base + 2 for administration (TCP).
//! They are checked before anything is started, so that a port that somebody else holds is an error with its number
//! and not a node that dies later.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::failure::{Failure, Outcome};
use crate::local::cluster_file::LocalNode;

/// Distance from one node's base to the next.
pub(crate) const STEP: u16 = 10;

/// How often another free base is looked for before giving up: each attempt fails only if one of three random
/// neighbouring ports is taken.
const MAX_ATTEMPTS: usize = 200;

/// Where free ports are looked for: below those that systems hand out to outgoing connections (from 32,768 on Linux, 49,152
/// elsewhere). A cluster that is opened again finds its ports there, not lent to somebody's connection meanwhile.
const FREE_PORTS: std::ops::Range<u16> = 10_000..32_000;

/// How long a process that was killed may take to give its ports back.
const LEAVING: Duration = Duration::from_secs(3);

/// How often a taken port is tried again.
const INTERVAL: Duration = Duration::from_millis(50);

/// The sockets of one node's ports, held so that nobody else takes them meanwhile.
struct Held {
    base: u16,
    _udp: [UdpSocket; 2],
    _tcp: [TcpListener; 2],
}

fn hold(base: u16) -> Result<Held, u16> {
    let udp = |port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).map_err(|_| port);
    let tcp = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|_| port);
    Ok(Held { base, _udp: [udp(base)?, udp(base + 1)?], _tcp: [tcp(base + 1)?, tcp(base + 2)?] })
}

/// The bases of `nodes` nodes from `first` on, after a check that all their ports are free.
///
/// # Errors
/// A failure that names the taken port, or says that the numbers run out of range.
pub(crate) fn fixed(first: u16, nodes: u16) -> Outcome<Vec<u16>> {
    let last = u32::from(first) + u32::from(STEP) * u32::from(nodes.saturating_sub(1)) + 2;
    if first == 0 || last > u32::from(u16::MAX) {
        return Err(Failure::usage(format!(
            "{nodes} nodes from port {first} on need ports up to {last}"
        )));
    }
    let bases: Vec<u16> = (0..nodes).map(|node| first + STEP * node).collect();
    check(&bases)?;
    Ok(bases)
}

/// Waits until all ports of these nodes are free, for a moment: a process that was killed just now may still be on its
/// way out.
///
/// # Errors
/// A failure that names the taken port and the node that needs it.
pub(crate) async fn await_free<'a>(nodes: impl Iterator<Item = &'a LocalNode>) -> Outcome<()> {
    let end = Instant::now() + LEAVING;
    for node in nodes {
        while let Err(port) = hold(node.peer_port).map(drop) {
            if Instant::now() >= end {
                return Err(taken(port, &node.name));
            }
            sleep(INTERVAL).await;
        }
    }
    Ok(())
}

fn check(bases: &[u16]) -> Outcome<()> {
    for (position, base) in bases.iter().enumerate() {
        hold(*base).map_err(|port| taken(port, &format!("n{}", position + 1)))?;
    }
    Ok(())
}

fn taken(port: u16, node: &str) -> Failure {
    Failure::unavailable(format!("port {port} is taken (node {node} needs it)"))
        .advise("End the program that holds it, or choose others: --port-base PORT, --port-base 0 for free ones.")
        .detail("port", port)
}

/// The bases of `nodes` nodes at ports that are free now.
///
/// # Errors
/// A failure when the machine has no three free ports in a row left.
pub(crate) fn free(nodes: u16) -> Outcome<Vec<u16>> {
    let mut held: Vec<Held> = Vec::new();
    for _ in 0..MAX_ATTEMPTS {
        if held.len() == usize::from(nodes) {
            break;
        }
        let base = rand::random_range(FREE_PORTS);
        held.extend(hold(base).ok());
    }
    if held.len() < usize::from(nodes) {
        return Err(Failure::unavailable("this machine has no free ports left on 127.0.0.1"));
    }
    Ok(held.iter().map(|held| held.base).collect())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use kvorum_ring::NodeId;

    use super::{await_free, check, fixed, free};
    use crate::exit_code::ExitCode;
    use crate::local::cluster_file::LocalNode;

    #[test]
    fn free_ports_are_distinct_and_free() {
        let bases = free(5).expect("free ports");
        let mut ports: Vec<u16> =
            bases.iter().flat_map(|base| [*base, base + 1, base + 2]).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 15, "{bases:?}");
    }

    #[test]
    fn a_taken_port_is_an_error_that_names_it() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = holder.local_addr().expect("its address").port();
        let failure = check(&[port - 1]).expect_err("the client port is taken");
        assert_eq!(failure.code(), ExitCode::Unavailable);
        assert!(failure.message().contains(&format!("port {port} ")), "{failure}");
    }

    #[tokio::test]
    async fn a_port_that_is_given_back_in_time_is_waited_for() {
        let base = free(1).expect("free ports")[0];
        let node = LocalNode::at("n1".to_owned(), NodeId(1), base);
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, base + 1)).expect("it is free");
        let (waited, ()) = tokio::join!(await_free(std::iter::once(&node)), async { drop(holder) });
        waited.expect("the holder left");
    }

    #[test]
    fn bases_beyond_the_last_port_are_refused() {
        assert_eq!(fixed(65_530, 2).expect_err("too high").code(), ExitCode::Usage);
    }
}
