//! The first frame of a connection, in both directions.

use kvorum_protocol::codec;
use kvorum_protocol::frame::write_frame;
use quinn::{RecvStream, SendStream};

use crate::runtime::limits;
use crate::runtime::peers::close::CloseCode;
use crate::runtime::peers::event::Purpose;

/// Versions of the peer protocol that this node speaks.
const VERSIONS: std::ops::RangeInclusive<u16> = 1..=1;

kvorum_protocol::wire_struct! {
    /// What the dialling side says first, and, in the same form, what the accepting side answers.
    pub(crate) struct PeerHello {
        /// The lowest protocol version that the sender speaks.
        pub(crate) version_min: u16,
        /// The highest.
        pub(crate) version_max: u16,
        /// Optional features, one bit each; none is defined yet.
        pub(crate) features: u64,
        /// The sender's cluster.
        pub(crate) cluster: String,
        /// Drawn anew by each process: tells a reconnection from a second process with the same node id.
        pub(crate) process: u64,
        /// What the connection is for.
        pub(crate) purpose: Purpose,
    }
}

impl PeerHello {
    pub(crate) fn new(cluster: &str, process: u64, purpose: Purpose) -> PeerHello {
        PeerHello {
            version_min: *VERSIONS.start(),
            version_max: *VERSIONS.end(),
            features: 0,
            cluster: cluster.to_owned(),
            process,
            purpose,
        }
    }

    /// Whether this node can go on with a peer that said this.
    pub(crate) fn check(&self, cluster: &str) -> Result<(), CloseCode> {
        if self.version_min > *VERSIONS.end() || self.version_max < *VERSIONS.start() {
            return Err(CloseCode::Version);
        }
        if self.cluster != cluster {
            return Err(CloseCode::OtherCluster);
        }
        Ok(())
    }

    pub(crate) async fn send(&self, stream: &mut SendStream) -> Result<(), CloseCode> {
        let mut out = Vec::new();
        write_frame(&mut out, limits::GREETING_BYTES, |writer| codec::Wire::write(self, writer))
            .map_err(|_| CloseCode::Protocol)?;
        stream.write_all(&out).await.map_err(|_| CloseCode::Protocol)
    }

    pub(crate) async fn receive(stream: &mut RecvStream) -> Result<PeerHello, CloseCode> {
        let mut length = [0; 4];
        stream.read_exact(&mut length).await.map_err(|_| CloseCode::Protocol)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > limits::GREETING_BYTES {
            return Err(CloseCode::Protocol);
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.map_err(|_| CloseCode::Protocol)?;
        codec::decode(body.into()).map_err(|_| CloseCode::Protocol)
    }
}
