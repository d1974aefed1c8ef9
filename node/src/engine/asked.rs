//! A request on its way to the desk.

use kvorum_protocol::message::Request;

/// A request with what it brings from where it came from.
pub(crate) struct Asked {
    pub(super) request: Request,
    /// How often it has been passed on.
    pub(super) hops: u8,
    /// The deadline of whoever passed it on; the request's own counts when there is none.
    pub(super) deadline_ns: Option<u64>,
}

impl Asked {
    /// As a client sent it.
    pub(crate) fn by_client(request: Request) -> Asked {
        Asked { request, hops: 0, deadline_ns: None }
    }

    /// As a peer passed it on.
    pub(crate) fn by_peer(request: Request, hops: u8, deadline_ns: u64) -> Asked {
        Asked { request, hops, deadline_ns: Some(deadline_ns) }
    }

    /// As a batch on this node began it.
    pub(crate) fn as_part(request: Request, deadline_ns: u64) -> Asked {
        Asked { request, hops: 0, deadline_ns: Some(deadline_ns) }
    }
}
