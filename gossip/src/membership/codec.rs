//! foca's messages as msgpack arrays.
//!
//! Identity `[node, ip, port, renewal]`; member `[identity, incarnation, state]`; header `[source, incarnation,
//! destination, message]` with message `[kind, probe number, peer]`. Fields are only appended; numbers are pinned.

use std::net::{IpAddr, SocketAddr};

use bytes::{Buf, BufMut};
use foca::{Header, Member, Message, State};
use kvorum_ring::NodeId;

use crate::membership::identity::PeerIdentity;
use crate::wire::{self, DecodeError, Reader};

/// Encodes into a buffer of its own first, so that what does not fit leaves the packet untouched.
#[derive(Default)]
pub(crate) struct MsgpackCodec {
    scratch: Vec<u8>,
}

/// A datagram that cannot be written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    #[error("no room left in the datagram")]
    Full,
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl foca::Codec<PeerIdentity> for MsgpackCodec {
    type Error = CodecError;

    fn encode_header(
        &mut self,
        header: &Header<PeerIdentity>,
        buf: impl BufMut,
    ) -> Result<(), CodecError> {
        self.scratch.clear();
        write_header(header, &mut self.scratch);
        put(&self.scratch, buf)
    }

    fn decode_header(&mut self, buf: impl Buf) -> Result<Header<PeerIdentity>, CodecError> {
        read(buf, read_header)
    }

    fn encode_member(
        &mut self,
        member: &Member<PeerIdentity>,
        buf: impl BufMut,
    ) -> Result<(), CodecError> {
        self.scratch.clear();
        write_member(member, &mut self.scratch);
        put(&self.scratch, buf)
    }

    fn decode_member(&mut self, buf: impl Buf) -> Result<Member<PeerIdentity>, CodecError> {
        read(buf, read_member)
    }
}

/// In whose name a datagram speaks.
pub(crate) fn source_of(datagram: &[u8]) -> Result<NodeId, DecodeError> {
    read_header(&mut Reader::new(datagram)).map(|header| header.src.node)
}

fn put(encoded: &[u8], buf: impl BufMut) -> Result<(), CodecError> {
    if wire::put_whole(encoded, buf) { Ok(()) } else { Err(CodecError::Full) }
}

fn read<T>(
    mut buf: impl Buf,
    decode: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<T, CodecError> {
    let mut reader = Reader::new(buf.chunk());
    let value = decode(&mut reader)?;
    let read = buf.chunk().len() - reader.rest().len();
    buf.advance(read);
    Ok(value)
}

fn write_identity(identity: &PeerIdentity, out: &mut Vec<u8>) {
    wire::write_array_len(out, 4);
    wire::write_bin(out, &identity.node.to_bytes());
    match identity.address.ip() {
        IpAddr::V4(ip) => wire::write_bin(out, &ip.octets()),
        IpAddr::V6(ip) => wire::write_bin(out, &ip.octets()),
    }
    wire::write_uint(out, u64::from(identity.address.port()));
    wire::write_uint(out, identity.renewal);
}

fn read_identity(reader: &mut Reader<'_>) -> Result<PeerIdentity, DecodeError> {
    let mut fields = reader.array()?;
    let node = NodeId::from_bytes(fields.fixed()?);
    let ip = fields.bin()?;
    let ip = match (<[u8; 4]>::try_from(ip), <[u8; 16]>::try_from(ip)) {
        (Ok(octets), _) => IpAddr::from(octets),
        (_, Ok(octets)) => IpAddr::from(octets),
        _ => return Err(DecodeError::Range),
    };
    let address = SocketAddr::new(ip, fields.uint()?);
    let renewal = fields.uint()?;
    fields.skip_rest()?;
    Ok(PeerIdentity { node, address, renewal })
}

fn write_member(member: &Member<PeerIdentity>, out: &mut Vec<u8>) {
    wire::write_array_len(out, 3);
    write_identity(member.id(), out);
    wire::write_uint(out, u64::from(member.incarnation()));
    let state = match member.state() {
        State::Alive => 0,
        State::Suspect => 1,
        State::Down => 2,
    };
    wire::write_uint(out, state);
}

fn read_member(reader: &mut Reader<'_>) -> Result<Member<PeerIdentity>, DecodeError> {
    let mut fields = reader.array()?;
    let identity = read_identity(fields.next()?)?;
    let incarnation = fields.uint()?;
    let state = match fields.uint::<u64>()? {
        0 => State::Alive,
        1 => State::Suspect,
        2 => State::Down,
        _ => return Err(DecodeError::Range),
    };
    fields.skip_rest()?;
    Ok(Member::new(identity, incarnation, state))
}

fn write_header(header: &Header<PeerIdentity>, out: &mut Vec<u8>) {
    wire::write_array_len(out, 4);
    write_identity(&header.src, out);
    wire::write_uint(out, u64::from(header.src_incarnation));
    write_identity(&header.dst, out);
    let (kind, probe, peer) = match &header.message {
        Message::Ping(probe) => (0, Some(*probe), None),
        Message::Ack(probe) => (1, Some(*probe), None),
        Message::PingReq { target, probe_number } => (2, Some(*probe_number), Some(target)),
        Message::IndirectPing { origin, probe_number } => (3, Some(*probe_number), Some(origin)),
        Message::IndirectAck { target, probe_number } => (4, Some(*probe_number), Some(target)),
        Message::ForwardedAck { origin, probe_number } => (5, Some(*probe_number), Some(origin)),
        Message::Announce => (6, None, None),
        Message::Feed => (7, None, None),
        Message::Gossip => (8, None, None),
        Message::Broadcast => (9, None, None),
        Message::TurnUndead => (10, None, None),
    };
    let fields = 1 + u32::from(probe.is_some()) + u32::from(peer.is_some());
    wire::write_array_len(out, fields);
    wire::write_uint(out, kind);
    if let Some(probe) = probe {
        wire::write_uint(out, u64::from(probe));
    }
    if let Some(peer) = peer {
        write_identity(peer, out);
    }
}

fn read_header(reader: &mut Reader<'_>) -> Result<Header<PeerIdentity>, DecodeError> {
    let mut fields = reader.array()?;
    let src = read_identity(fields.next()?)?;
    let src_incarnation = fields.uint()?;
    let dst = read_identity(fields.next()?)?;
    let message = read_message(fields.next()?)?;
    fields.skip_rest()?;
    Ok(Header { src, src_incarnation, dst, message })
}

fn read_message(reader: &mut Reader<'_>) -> Result<Message<PeerIdentity>, DecodeError> {
    let mut fields = reader.array()?;
    let message = match fields.uint::<u64>()? {
        0 => Message::Ping(fields.uint()?),
        1 => Message::Ack(fields.uint()?),
        kind @ 2..=5 => {
            let probe_number = fields.uint()?;
            let peer = read_identity(fields.next()?)?;
            match kind {
                2 => Message::PingReq { target: peer, probe_number },
                3 => Message::IndirectPing { origin: peer, probe_number },
                4 => Message::IndirectAck { target: peer, probe_number },
                _ => Message::ForwardedAck { origin: peer, probe_number },
            }
        }
        6 => Message::Announce,
        7 => Message::Feed,
        8 => Message::Gossip,
        9 => Message::Broadcast,
        10 => Message::TurnUndead,
        unknown => return Err(DecodeError::UnknownKind(unknown)),
    };
    fields.skip_rest()?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::{CodecError, MsgpackCodec, PeerIdentity};
    use bytes::BufMut;
    use foca::{Codec, Header, Member, Message, State};
    use kvorum_ring::NodeId;

    fn identity(node: u128) -> PeerIdentity {
        PeerIdentity {
            node: NodeId(node),
            address: "[2001:db8::1]:7400".parse().unwrap(),
            renewal: 1 << 40,
        }
    }

    #[test]
    fn every_message_reads_back_and_leaves_what_follows_it() {
        let messages = [
            Message::Ping(7),
            Message::Ack(255),
            Message::PingReq { target: identity(3), probe_number: 1 },
            Message::IndirectPing { origin: identity(3), probe_number: 1 },
            Message::IndirectAck { target: identity(3), probe_number: 1 },
            Message::ForwardedAck { origin: identity(3), probe_number: 1 },
            Message::Announce,
            Message::Feed,
            Message::Gossip,
            Message::Broadcast,
            Message::TurnUndead,
        ];
        let mut codec = MsgpackCodec::default();
        for message in messages {
            let header = Header { src: identity(1), src_incarnation: 9, dst: identity(2), message };
            let mut packet = Vec::new();
            codec.encode_header(&header, &mut packet).unwrap();
            packet.extend_from_slice(b"tail");
            let mut rest = packet.as_slice();
            assert_eq!(codec.decode_header(&mut rest), Ok(header));
            assert_eq!(rest, b"tail");
        }
    }

    #[test]
    fn a_member_that_does_not_fit_leaves_the_packet_untouched() {
        let mut codec = MsgpackCodec::default();
        let member = Member::new(identity(1), u16::MAX, State::Suspect);
        let mut packet = Vec::new();
        codec.encode_member(&member, &mut packet).unwrap();
        assert_eq!(codec.decode_member(packet.as_slice()), Ok(member.clone()));

        let mut short = Vec::with_capacity(8).limit(packet.len() - 1);
        assert_eq!(codec.encode_member(&member, &mut short), Err(CodecError::Full));
        assert!(short.get_ref().is_empty());
    }
}
