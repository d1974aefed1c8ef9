//! The peers as the driver knows them: connections, liveness, and what follows from both.

use std::collections::BTreeMap;

use kvorum_ring::NodeId;

use crate::engine::PeerStats;
use crate::runtime::cluster::{PeerFigures, Traffic};
use crate::runtime::peers::{Link, LinkId, Purpose};

/// One peer.
#[derive(Default)]
struct Peer {
    links: BTreeMap<Purpose, Link>,
    /// Membership says so.
    alive: bool,
    /// The engine has been told that it is up.
    up: bool,
}

/// What a change means for the engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// It can be asked from now on.
    Up,
    /// It cannot.
    Down,
}

/// All peers.
#[derive(Default)]
pub(crate) struct Peers {
    peers: BTreeMap<NodeId, Peer>,
}

impl Peers {
    /// A connection is open.
    pub(crate) fn connected(&mut self, node: NodeId, purpose: Purpose, link: Link) {
        self.peers.entry(node).or_default().links.insert(purpose, link);
    }

    /// A connection is lost; false when it has been replaced before and nothing changes.
    pub(crate) fn disconnected(&mut self, node: NodeId, purpose: Purpose, id: LinkId) -> bool {
        let Some(peer) = self.peers.get_mut(&node) else { return false };
        let is_current = peer.links.get(&purpose).is_some_and(|link| link.id == id);
        if is_current {
            peer.links.remove(&purpose);
        }
        is_current
    }

    /// Membership says that a peer is alive, or is not.
    pub(crate) fn set_alive(&mut self, node: NodeId, alive: bool) {
        self.peers.entry(node).or_default().alive = alive;
    }

    /// What the engine has to be told about a peer, if anything: it is up while its requests connection is open *and*
    /// membership says that it is alive.
    pub(crate) fn change(&mut self, node: NodeId) -> Option<Change> {
        let peer = self.peers.get_mut(&node)?;
        let up = peer.alive && peer.links.contains_key(&Purpose::Requests);
        if up == peer.up {
            return None;
        }
        peer.up = up;
        Some(if up { Change::Up } else { Change::Down })
    }

    /// A peer's open connection for a purpose.
    pub(crate) fn link(&self, node: NodeId, purpose: Purpose) -> Option<&Link> {
        self.peers.get(&node)?.links.get(&purpose)
    }

    /// All open connections.
    pub(crate) fn links(&self) -> impl Iterator<Item = &Link> {
        self.peers.values().flat_map(|peer| peer.links.values())
    }

    /// For a status answer; how well the peer answers is the engine's to know.
    pub(crate) fn figures(&self, node: NodeId, answers: PeerStats) -> PeerFigures {
        let peer = self.peers.get(&node);
        let link = peer.and_then(|peer| peer.links.get(&Purpose::Requests));
        PeerFigures {
            node,
            up: peer.is_some_and(|peer| peer.up),
            alive: peer.is_some_and(|peer| peer.alive),
            rtt_us: link
                .map(|link| u64::try_from(link.connection.rtt().as_micros()).unwrap_or(u64::MAX)),
            answers,
            dropped: link.map_or(0, |link| link.main.dropped()),
            traffic: peer.map(traffic).unwrap_or_default(),
        }
    }
}

/// The sum over a peer's open connections.
fn traffic(peer: &Peer) -> Traffic {
    peer.links.values().fold(Traffic::default(), |sum, link| {
        let stats = link.connection.stats();
        Traffic {
            pending_bytes: sum.pending_bytes + link.main.pending(),
            sent_bytes: sum.sent_bytes + stats.udp_tx.bytes,
            received_bytes: sum.received_bytes + stats.udp_rx.bytes,
            sent_packets: sum.sent_packets + stats.path.sent_packets,
            lost_packets: sum.lost_packets + stats.path.lost_packets,
            congestion_events: sum.congestion_events + stats.path.congestion_events,
        }
    })
}
