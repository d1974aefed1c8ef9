//! One fact: its name, its version, its body.

use std::fmt;

use bytes::Bytes;
use kvorum_ring::NodeId;

use crate::limits;
use crate::wire::{self, DecodeError, Reader, Surplus};

/// What sort of thing a fact is about. Numbers are pinned; unknown ones are carried along.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FactKind(pub u16);

impl FactKind {
    /// A member of the cluster; the name is its node id in 16 bytes, the body a [`crate::facts::MemberFact`].
    pub const MEMBER: FactKind = FactKind(1);
    /// A bucket; the name is the bucket's, the body its settings as `protocol` encodes them.
    pub const BUCKET: FactKind = FactKind(2);
    /// A layout's body; the name is the layout's.
    pub const LAYOUT: FactKind = FactKind(3);
    /// Which layout is current; the name is empty, the body a layout's name.
    pub const CURRENT_LAYOUT: FactKind = FactKind(4);
    /// An access token; the name is its id in 8 bytes, the body its terms as `protocol` encodes them. Written once.
    pub const TOKEN: FactKind = FactKind(5);
    /// That an access token is revoked, under the token's own name. A fact of its own, and none is ever removed: so a
    /// revocation wins over whatever is written about the token, before it or after it, wherever and in any order.
    pub const REVOCATION: FactKind = FactKind(6);
}

/// The name of a fact.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FactKey {
    /// What sort of thing it is about.
    pub kind: FactKind,
    /// Which one of them, at most [`limits::MAX_NAME_BYTES`] bytes.
    pub name: Bytes,
}

impl FactKey {
    /// The fact about a member.
    pub fn member(node: NodeId) -> FactKey {
        FactKey { kind: FactKind::MEMBER, name: Bytes::copy_from_slice(&node.to_bytes()) }
    }

    /// The fact about a bucket.
    ///
    /// # Panics
    /// When the name is longer than [`limits::MAX_NAME_BYTES`], which a bucket name's own type rules out.
    pub fn bucket(name: &str) -> FactKey {
        assert!(name.len() <= limits::MAX_NAME_BYTES, "a bucket name fits a fact's name");
        FactKey { kind: FactKind::BUCKET, name: Bytes::copy_from_slice(name.as_bytes()) }
    }

    /// The fact about an access token.
    pub fn token(id: u64) -> FactKey {
        FactKey { kind: FactKind::TOKEN, name: Bytes::copy_from_slice(&id.to_be_bytes()) }
    }

    /// The fact that an access token is revoked.
    pub fn revocation(id: u64) -> FactKey {
        FactKey { kind: FactKind::REVOCATION, ..FactKey::token(id) }
    }

    pub(crate) fn decode(kind: u16, name: &[u8]) -> Result<FactKey, DecodeError> {
        if name.len() > limits::MAX_NAME_BYTES {
            return Err(DecodeError::Range);
        }
        Ok(FactKey { kind: FactKind(kind), name: Bytes::copy_from_slice(name) })
    }
}

/// When a fact was written and by whom: a Lamport number, and the writer to break a tie.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FactVersion {
    /// One more than the highest that the writer knew of, at most [`limits::MAX_LAMPORT`].
    pub lamport: u64,
    /// The writer. Node 0 is nobody: what every node derives by itself from the same start.
    pub node: NodeId,
}

impl FactVersion {
    /// The version of what every node derives by itself; anything written later is newer.
    pub const DERIVED: FactVersion = FactVersion { lamport: 0, node: NodeId(0) };

    pub(crate) fn decode(lamport: u64, node: [u8; 16]) -> Result<FactVersion, DecodeError> {
        if lamport > limits::MAX_LAMPORT {
            return Err(DecodeError::Range);
        }
        Ok(FactVersion { lamport, node: NodeId::from_bytes(node) })
    }
}

/// BLAKE3 over a whole fact: name, version, body and the fields that this version does not know.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FactDigest(pub [u8; 32]);

impl fmt::Debug for FactDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "digest-{:02x}{:02x}{:02x}{:02x}",
            self.0[0], self.0[1], self.0[2], self.0[3]
        )
    }
}

/// One state of one fact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fact {
    /// What it is about.
    pub key: FactKey,
    /// When it was written.
    pub version: FactVersion,
    /// What it says, at most [`limits::MAX_BODY_BYTES`]. Opaque here.
    pub body: Bytes,
    surplus: Surplus,
}

impl Fact {
    /// A fact of this version's fields.
    pub fn new(key: FactKey, version: FactVersion, body: impl Into<Bytes>) -> Fact {
        Fact { key, version, body: body.into(), surplus: Surplus::default() }
    }

    /// Whether this state replaces `other`, a state of the same fact.
    ///
    /// A total order, and so the whole merge rule. The bodies decide only between equal versions, which a node that lost
    /// its disk can mint twice; without that the two would never agree.
    pub fn beats(&self, other: &Fact) -> bool {
        (self.version, &self.body, &self.surplus) > (other.version, &other.body, &other.surplus)
    }

    /// The digest by which two nodes compare what they hold.
    pub fn digest(&self) -> FactDigest {
        let mut encoded = Vec::with_capacity(self.body.len() + 64);
        self.encode(&mut encoded);
        FactDigest(*blake3::hash(&encoded).as_bytes())
    }

    /// Bytes that the encoding takes, about.
    pub(crate) fn weight(&self) -> usize {
        self.key.name.len() + self.body.len() + self.surplus.len() + 48
    }

    /// Writes `[kind, name, lamport, node, body, ...]`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        wire::write_array_len(out, 5 + self.surplus.count());
        wire::write_uint(out, u64::from(self.key.kind.0));
        wire::write_bin(out, &self.key.name);
        wire::write_uint(out, self.version.lamport);
        wire::write_bin(out, &self.version.node.to_bytes());
        wire::write_bin(out, &self.body);
        self.surplus.write(out);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Fact, DecodeError> {
        let mut fields = reader.array()?;
        let key = FactKey::decode(fields.uint()?, fields.bin()?)?;
        let version = FactVersion::decode(fields.uint()?, fields.fixed()?)?;
        let body = fields.bin()?;
        if body.len() > limits::MAX_BODY_BYTES {
            return Err(DecodeError::Range);
        }
        let body = Bytes::copy_from_slice(body);
        Ok(Fact { key, version, body, surplus: fields.surplus()? })
    }
}
