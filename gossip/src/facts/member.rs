//! What the cluster knows of one member: the body of a [`crate::facts::FactKind::MEMBER`] fact.

use std::net::SocketAddr;

use bytes::Bytes;
use kvorum_ring::{Member, NodeId, Weight, Zone};

use crate::wire::{self, DecodeError, Reader, Surplus};

/// Where a node is reached. Names are kept as they were given and resolved when dialled, because an address may change
/// while the name stays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeAddresses {
    /// `host:port` for other nodes, over UDP.
    pub peers: String,
    /// `host:port` for clients, over TCP and UDP.
    pub clients: String,
    /// `host:port` for administration; reserved.
    pub admin: String,
}

impl NodeAddresses {
    /// The three addresses of a node whose ports follow each other from `base`: peers, clients, admin.
    pub fn from_base(base: SocketAddr) -> NodeAddresses {
        let at = |offset: u16| {
            SocketAddr::new(base.ip(), base.port().saturating_add(offset)).to_string()
        };
        NodeAddresses { peers: at(0), clients: at(1), admin: at(2) }
    }
}

/// One member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberFact {
    /// The node.
    pub id: NodeId,
    /// What people call it, like `n1`.
    pub name: String,
    /// Where it is reached.
    pub addresses: NodeAddresses,
    /// Its failure domain.
    pub zone: Zone,
    /// How much it carries.
    pub weight: Weight,
    surplus: Surplus,
}

impl MemberFact {
    /// A member of this version's fields.
    pub fn new(
        id: NodeId,
        name: String,
        addresses: NodeAddresses,
        zone: Zone,
        weight: Weight,
    ) -> MemberFact {
        MemberFact { id, name, addresses, zone, weight, surplus: Surplus::default() }
    }

    /// The same member with the fields of later versions that another state of the fact has.
    pub fn with_surplus_of(self, other: &MemberFact) -> MemberFact {
        MemberFact { surplus: other.surplus.clone(), ..self }
    }

    /// The part that placement reads.
    pub fn placement(&self) -> Member {
        Member { id: self.id, zone: self.zone.clone(), weight: self.weight }
    }

    /// Encodes `[id, name, peers, clients, admin, zone, weight, ...]`.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        wire::write_array_len(&mut out, 7 + self.surplus.count());
        wire::write_bin(&mut out, &self.id.to_bytes());
        wire::write_text(&mut out, &self.name);
        wire::write_text(&mut out, &self.addresses.peers);
        wire::write_text(&mut out, &self.addresses.clients);
        wire::write_text(&mut out, &self.addresses.admin);
        wire::write_text(&mut out, self.zone.as_str());
        wire::write_uint(&mut out, u64::from(self.weight.get()));
        self.surplus.write(&mut out);
        out.into()
    }

    /// Decodes what [`MemberFact::encode`] of this or a later version wrote.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not a member.
    pub fn decode(body: &[u8]) -> Result<MemberFact, DecodeError> {
        let mut reader = Reader::new(body);
        let mut fields = reader.array()?;
        let id = NodeId::from_bytes(fields.fixed()?);
        let name = fields.text()?.to_owned();
        let (peers, clients, admin) = (fields.text()?, fields.text()?, fields.text()?);
        let addresses =
            NodeAddresses { peers: peers.into(), clients: clients.into(), admin: admin.into() };
        let zone = fields.text()?.parse().map_err(|_| DecodeError::Range)?;
        let weight = Weight::new(fields.uint()?).map_err(|_| DecodeError::Range)?;
        let surplus = fields.surplus()?;
        reader.finish()?;
        Ok(MemberFact { id, name, addresses, zone, weight, surplus })
    }
}

#[cfg(test)]
mod tests {
    use super::{MemberFact, NodeAddresses};
    use kvorum_ring::{NodeId, Weight, Zone};

    #[test]
    fn a_member_of_a_newer_version_keeps_its_new_fields_when_an_older_node_rewrites_it() {
        let addresses = NodeAddresses::from_base("10.0.0.1:7400".parse().unwrap());
        assert_eq!(addresses.clients, "10.0.0.1:7401");
        let member =
            MemberFact::new(NodeId(7), "n1".into(), addresses, Zone::default(), Weight::default());
        let mut newer = member.encode().to_vec();
        assert_eq!(newer[0], 0x97);
        newer[0] = 0x98;
        newer.push(0xc3);

        let mut read = MemberFact::decode(&newer).unwrap();
        assert_eq!((read.id, read.name.as_str()), (member.id, "n1"));
        read.name = "n2".into();
        let written = read.encode();
        assert_eq!((written[0], written.last()), (0x98, Some(&0xc3)));
    }
}
