//! Who is in the cluster and where keys live: what a client needs to send a request straight to its coordinator.

use bytes::Bytes;
use kvorum_ring::NodeId;

crate::wire_struct! {
    /// A member of the cluster.
    pub struct TopologyNode {
        /// Its id.
        pub id: NodeId,
        /// Its name, as the operator gave it.
        pub name: String,
        /// Its failure domain.
        pub zone: String,
        /// How much it carries relative to the others.
        pub weight: u16,
        /// `host:port` that peers dial (UDP).
        pub peer_address: String,
        /// `host:port` that clients dial (TCP and UDP).
        pub client_address: String,
        /// `host:port` of its administration page.
        pub admin_address: String,
        /// Whether the answering node believes it up.
        pub up: bool,
    }
}

crate::wire_struct! {
    /// A layout's name.
    #[derive(Copy)]
    pub struct LayoutLabel {
        /// Counts the times that a majority was given up for lost.
        pub lineage: u64,
        /// Counts the layouts within the lineage.
        pub version: u64,
        /// The hash of its body.
        pub hash: LayoutHash,
    }
}

/// BLAKE3 of a layout's body.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LayoutHash(pub [u8; 32]);

crate::wire_struct! {
    /// The cluster as the answering node knows it.
    pub struct TopologyDone {
        /// The cluster's name.
        pub cluster_name: String,
        /// The node that answers.
        pub node: NodeId,
        /// All members, ascending by id.
        pub nodes: Vec<TopologyNode>,
        /// The layout's name.
        pub layout_name: LayoutLabel,
        /// The layout's body, as `kvorum-ring` encodes it.
        pub layout: Bytes,
        /// How many partitions it has.
        pub partitions: u32,
    }
}

impl std::fmt::Debug for LayoutHash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl crate::codec::Wire for LayoutHash {
    fn write(&self, writer: &mut crate::codec::Writer<'_>) {
        writer.bytes(&self.0);
    }

    fn read(reader: &mut crate::codec::Reader) -> Result<LayoutHash, crate::codec::DecodeError> {
        let bytes = reader.bytes()?;
        <[u8; 32]>::try_from(&bytes[..])
            .map(LayoutHash)
            .map_err(|_| crate::codec::DecodeError::OutOfRange)
    }
}
