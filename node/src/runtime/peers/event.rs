//! What the connections tell the driver.

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use kvorum_ring::NodeId;

use crate::runtime::outgoing::Outgoing;

kvorum_protocol::wire_enum! {
    /// What a connection is for. Numbers are pinned: they stand in the greeting.
    #[derive(Copy, PartialOrd, Ord)]
    pub(crate) enum Purpose {
        /// Datagrams by which nodes tell that they are alive.
        1 = Membership,
        /// Requests and their answers, and cluster facts.
        2 = Requests,
        /// Transfers. Nothing travels on it yet; it is there so that it is there when something does.
        3 = Bulk,
    }
}

impl Purpose {
    pub(crate) const ALL: [Purpose; 3] = [Purpose::Membership, Purpose::Requests, Purpose::Bulk];
}

/// The members of the cluster, and the `host:port` at which each is dialled.
pub(crate) type Members = BTreeMap<NodeId, String>;

/// One life of a connection. Numbers are not reused within a process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct LinkId(pub(crate) u64);

/// Which stream a frame came on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Channel {
    /// The first stream of the requests connection.
    Requests,
    /// Cluster facts, on the requests connection.
    Facts,
    /// The first stream of the other connections. Nothing is said there yet.
    Silent,
}

/// An open connection, as the driver uses it.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) main: Rc<Outgoing>,
    /// Only on the requests connection.
    pub(crate) facts: Option<Rc<Outgoing>>,
    pub(crate) connection: quinn::Connection,
}

/// One thing that happened on a connection.
pub(crate) enum PeerEvent {
    /// A connection is open and greeted.
    Up { peer: NodeId, purpose: Purpose, link: Link },
    /// A connection that was up is lost.
    Down { peer: NodeId, purpose: Purpose, id: LinkId },
    /// A whole frame, and when its last bytes had come, in monotonic nanoseconds.
    Frame { peer: NodeId, channel: Channel, frame: Bytes, arrived_ns: u64 },
    /// A membership datagram.
    Datagram { peer: NodeId, datagram: Bytes },
    /// A peer has said for long that another process has this node's id.
    Duplicate,
}
