//! A node's name: 128 random bits, drawn once with its certificate and kept for its whole life.
//!
//! The id is also the node's DNS name, so that the certificate alone binds a connection to the id: the dialler asks
//! for `<id>.node.kvorum.internal`, and the acceptor reads the same name out of the peer's certificate.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::ValueError;

/// What follows the id in a node's DNS name. `.internal` is reserved for private use, so the name can never resolve.
pub const DNS_SUFFIX: &str = ".node.kvorum.internal";

/// The name of a node. Written as 32 lowercase hex digits, encoded as 16 big-endian bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(#[serde(with = "crate::sixteen")] pub u128);

impl NodeId {
    /// The one DNS name in this node's certificate.
    pub fn dns_name(&self) -> String {
        format!("{self}{DNS_SUFFIX}")
    }

    /// The node that a certificate's DNS name stands for.
    ///
    /// # Errors
    /// [`ValueError::DnsName`] when the name is not exactly what [`NodeId::dns_name`] writes.
    pub fn from_dns_name(name: &str) -> Result<NodeId, ValueError> {
        let digits = name.strip_suffix(DNS_SUFFIX).ok_or(ValueError::DnsName)?;
        digits.parse().map_err(|_| ValueError::DnsName)
    }

    /// The id as 16 big-endian bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The id that [`NodeId::to_bytes`] wrote.
    pub fn from_bytes(bytes: [u8; 16]) -> NodeId {
        NodeId(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

/// The first eight digits: enough to tell nodes apart in a test's output.
impl fmt::Debug for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "node-{:08x}", self.0 >> 96)
    }
}

impl FromStr for NodeId {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<NodeId, ValueError> {
        let canonical =
            text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !canonical {
            return Err(ValueError::NodeId);
        }
        u128::from_str_radix(text, 16).map(NodeId).map_err(|_| ValueError::NodeId)
    }
}

#[cfg(test)]
mod tests {
    use super::NodeId;
    use crate::error::ValueError;

    const ID: NodeId = NodeId(0x00ab_0000_0000_0000_0000_0000_0000_00ff);

    #[test]
    fn text_and_dns_name_and_bytes_read_back_to_the_same_id() {
        assert_eq!(ID.to_string(), "00ab00000000000000000000000000ff");
        assert_eq!(ID.to_string().parse(), Ok(ID));
        assert_eq!(ID.dns_name(), "00ab00000000000000000000000000ff.node.kvorum.internal");
        assert_eq!(NodeId::from_dns_name(&ID.dns_name()), Ok(ID));
        assert_eq!(NodeId::from_bytes(ID.to_bytes()), ID);
    }

    #[test]
    fn an_id_has_one_spelling_only() {
        for text in
            ["", "ab", "00AB00000000000000000000000000FF", "+0ab00000000000000000000000000ff"]
        {
            assert_eq!(text.parse::<NodeId>(), Err(ValueError::NodeId), "{text:?}");
        }
        for name in
            ["00ab00000000000000000000000000ff", "ab.node.kvorum.internal", "node.kvorum.internal"]
        {
            assert_eq!(NodeId::from_dns_name(name), Err(ValueError::DnsName), "{name:?}");
        }
    }
}
