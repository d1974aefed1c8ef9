//! Why a peer connection is closed, as the other side sees it. Numbers are pinned.

use quinn::{Connection, ConnectionError, VarInt};

/// The code in a close.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum CloseCode {
    /// The node stops.
    Stopping = 1,
    /// The certificate is a client's: clients do not speak the peer protocol.
    Client = 2,
    /// The node is not a member of this cluster.
    NotAMember = 3,
    /// The certificate stands for nobody.
    Unnamed = 4,
    /// No common protocol version.
    Version = 5,
    /// The node is of another cluster.
    OtherCluster = 6,
    /// Another process with this node's id was here first.
    Duplicate = 7,
    /// The same process has connected again.
    Replaced = 8,
    /// The greeting or a frame was malformed, or took too long.
    Protocol = 9,
    /// The dialler has the higher id: it should have waited to be dialled.
    WrongDirection = 10,
}

impl CloseCode {
    pub(crate) fn close(self, connection: &Connection) {
        connection.close(VarInt::from_u32(self as u32), b"");
    }

    /// Whether the other side closed with this code.
    pub(crate) fn is_reason_of(self, error: &ConnectionError) -> bool {
        matches!(error, ConnectionError::ApplicationClosed(close) if close.error_code == VarInt::from_u32(self as u32))
    }
}
