//! Where a node listens for clients, and how its certificate is named there.
//!
//! A node's certificate carries one name, made from its id; its address may be anything. So an endpoint that is to be
//! reached over TLS or QUIC says the id as well: `ID@HOST:PORT`. One without an id can only be a plaintext port on
//! loopback, as `kv dev` opens them. Once one node has answered, its topology names the ids of all others.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use kvorum_ring::NodeId;

/// How the frames travel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Transport {
    /// A QUIC stream: mutual TLS 1.3 over UDP.
    Quic,
    /// Mutual TLS over TCP.
    Tls,
    /// Nothing at all over TCP. Refused for any address that is not loopback.
    Plain,
}

impl Transport {
    fn scheme(self) -> &'static str {
        match self {
            Transport::Quic => "quic",
            Transport::Tls => "tls",
            Transport::Plain => "plain",
        }
    }
}

/// One place to knock at: `[quic://|tls://|plain://][ID@]HOST:PORT`.
///
/// Without a scheme, an endpoint with an id is tried over QUIC, then TLS; one without an id is plain.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Endpoint {
    /// The transport to use; `None` leaves the choice to the client.
    pub transport: Option<Transport>,
    /// The node that must answer there; `None` when any node will do, which only plaintext can accept.
    pub node: Option<NodeId>,
    /// A DNS name, an IPv4 address, or an IPv6 address without its brackets.
    pub host: String,
    /// The client port.
    pub port: u16,
}

impl Endpoint {
    /// A plaintext port on this machine, as `kv dev` opens them.
    pub fn loopback(port: u16) -> Endpoint {
        Endpoint { transport: None, node: None, host: "127.0.0.1".to_owned(), port }
    }

    /// No place at all: stands in messages for an address that could not be understood.
    pub(crate) fn unknown() -> Endpoint {
        Endpoint { transport: None, node: None, host: "?".to_owned(), port: 0 }
    }

    /// `node` at `address`, over whatever transport it answers on.
    pub fn of_node(node: NodeId, address: SocketAddr) -> Endpoint {
        Endpoint {
            transport: None,
            node: Some(node),
            host: address.ip().to_string(),
            port: address.port(),
        }
    }

    /// The transports to try, in order.
    pub fn transports(&self) -> &'static [Transport] {
        match (self.transport, self.node) {
            (Some(Transport::Quic), _) => &[Transport::Quic],
            (Some(Transport::Tls), _) => &[Transport::Tls],
            (Some(Transport::Plain), _) | (None, None) => &[Transport::Plain],
            (None, Some(_)) => &[Transport::Quic, Transport::Tls],
        }
    }

    /// `HOST:PORT`, with brackets around an IPv6 address.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(transport) = self.transport {
            write!(formatter, "{}://", transport.scheme())?;
        }
        if let Some(node) = self.node {
            write!(formatter, "{node}@")?;
        }
        formatter.write_str(&self.address())
    }
}

/// Why a text is not an [`Endpoint`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EndpointError {
    /// What stands before `://` is not a transport.
    #[error("the scheme must be quic://, tls:// or plain://")]
    Scheme,
    /// What stands before `@` is not a node id.
    #[error("what stands before '@' must be a node id of 32 lowercase hex digits")]
    Node,
    /// There is no port, or it is not from 1 to 65535.
    #[error("an endpoint ends in ':' and a port from 1 to 65535")]
    Port,
    /// The host is empty or contains what no host name contains.
    #[error("the host must be a DNS name, an IPv4 address, or an IPv6 address in brackets")]
    Host,
    /// QUIC and TLS check the node's certificate against its id, so they need one.
    #[error("over quic:// and tls:// the endpoint must name the node: ID@HOST:PORT")]
    NodeNeeded,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        let (transport, rest) = match text.split_once("://") {
            None => (None, text),
            Some(("quic", rest)) => (Some(Transport::Quic), rest),
            Some(("tls", rest)) => (Some(Transport::Tls), rest),
            Some(("plain", rest)) => (Some(Transport::Plain), rest),
            Some(_) => return Err(EndpointError::Scheme),
        };
        let (node, rest) = match rest.split_once('@') {
            None => (None, rest),
            Some((id, rest)) => (Some(id.parse().map_err(|_| EndpointError::Node)?), rest),
        };
        let (host, port) = rest.rsplit_once(':').ok_or(EndpointError::Port)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(EndpointError::Port)?;
        let host = host_name(host)?;
        if matches!(transport, Some(Transport::Quic | Transport::Tls)) && node.is_none() {
            return Err(EndpointError::NodeNeeded);
        }
        Ok(Endpoint { transport, node, host, port })
    }
}

fn host_name(text: &str) -> Result<String, EndpointError> {
    if let Some(inside) = text.strip_prefix('[') {
        let address = inside.strip_suffix(']').ok_or(EndpointError::Host)?;
        return match address.parse() {
            Ok(IpAddr::V6(address)) => Ok(address.to_string()),
            _ => Err(EndpointError::Host),
        };
    }
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !text.is_empty() && text.len() <= 253 && text.bytes().all(is_allowed) {
        Ok(text.to_owned())
    } else {
        Err(EndpointError::Host)
    }
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, EndpointError, Transport};

    const ID: &str = "00ab00000000000000000000000000ff";

    #[test]
    fn an_endpoint_reads_back_as_it_was_written() {
        let texts = [
            "127.0.0.1:7401".to_owned(),
            "plain://localhost:1".to_owned(),
            format!("{ID}@node-1.example.org:65535"),
            format!("quic://{ID}@[::1]:7401"),
            format!("tls://{ID}@10.0.0.1:7401"),
        ];
        for text in texts {
            let endpoint: Endpoint = text.parse().expect("a good endpoint");
            assert_eq!(endpoint.to_string(), text);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| text.parse::<Endpoint>().expect_err("a bad endpoint");
        assert_eq!(error("http://h:1"), EndpointError::Scheme);
        assert_eq!(error("n1@h:1"), EndpointError::Node);
        for text in ["h", "h:", "h:0", "h:70000", "h:x"] {
            assert_eq!(error(text), EndpointError::Port, "{text}");
        }
        for text in [":1", "a b:1", "[::1:1", "[127.0.0.1]:1", "::1:1"] {
            assert_eq!(error(text), EndpointError::Host, "{text}");
        }
        assert_eq!(error("quic://h:1"), EndpointError::NodeNeeded);
    }

    #[test]
    fn without_a_node_id_only_plaintext_is_tried() {
        assert_eq!(Endpoint::loopback(7401).transports(), [Transport::Plain]);
        let named: Endpoint = format!("{ID}@h:1").parse().expect("a good endpoint");
        assert_eq!(named.transports(), [Transport::Quic, Transport::Tls]);
    }
}
