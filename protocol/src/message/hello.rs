//! The first frame of a connection, in both directions.
//!
//! The client says which protocol versions it speaks and which features it would use; the node picks the highest version that
//! both speak and the features that both have. Anything later on the connection is within what was picked.
//!
//! The greeting also says who the client is. **With a token** in [`Hello::auth`] the token alone decides, whatever
//! certificate was shown: its rights are checked at every request, so that revoking it takes effect on open connections.
//! **Without one** the client certificate of the TLS handshake decides: it is the operator's and allows everything. With
//! neither, the greeting is refused as [`Unauthenticated`](RequestError::Unauthenticated), except on a plaintext port that a
//! development cluster opens on 127.0.0.1: there a client without a token may do everything. A hello is at most
//! [`limits::HELLO_BYTES`](crate::limits::HELLO_BYTES) long.

use std::ops::{BitAnd, BitOr};

use kvorum_ring::NodeId;

use crate::access::{AccessToken, ShownToken};
use crate::codec::{DecodeError, Reader, Wire, Writer};
use crate::message::error::RequestError;

/// The protocol version that this crate speaks. Appended fields and new tags need no new one.
pub const PROTOCOL_VERSION: u16 = 1;

/// A set of optional features, one bit each. Unknown bits are carried and then masked away by negotiation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Features(pub u64);

impl Features {
    /// No optional feature.
    pub const NONE: Features = Features(0);

    /// Whether all of `other`'s features are in.
    pub fn contains(self, other: Features) -> bool {
        self & other == other
    }
}

impl BitAnd for Features {
    type Output = Features;

    fn bitand(self, other: Features) -> Features {
        Features(self.0 & other.0)
    }
}

impl BitOr for Features {
    type Output = Features;

    fn bitor(self, other: Features) -> Features {
        Features(self.0 | other.0)
    }
}

impl Wire for Features {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.uint(self.0);
    }

    fn read(reader: &mut Reader) -> Result<Features, DecodeError> {
        reader.uint().map(Features)
    }
}

crate::wire_struct! {
    /// A client's first frame.
    pub struct Hello {
        /// The lowest protocol version that the client speaks.
        pub protocol_min: u16,
        /// The highest.
        pub protocol_max: u16,
        /// The optional features that it would use.
        pub features: Features = Features::NONE,
        /// An access token: the bytes of its text, `kvorum_<id>_<secret>`. Empty without one.
        pub auth: ShownToken = ShownToken::NOTHING,
    }
}

crate::wire_struct! {
    /// A node's first frame.
    pub struct Welcome {
        /// The version that is spoken on this connection.
        pub protocol: u16,
        /// The features that may be used on it.
        pub features: Features,
        /// Who answers.
        pub node: NodeId,
        /// The cluster it belongs to.
        pub cluster_name: String,
    }
}

crate::wire_enum! {
    /// A connection's first frame; its request id is zero.
    pub enum Greeting {
        /// From the client.
        1 = Hello(hello: Hello),
        /// The node accepts.
        2 = Welcome(welcome: Welcome),
        /// The node does not accept and closes the connection.
        3 = Refused {
            /// Why.
            error: RequestError,
        },
    }
}

impl Hello {
    /// The greeting of a client of this crate.
    pub fn current() -> Hello {
        Hello {
            protocol_min: PROTOCOL_VERSION,
            protocol_max: PROTOCOL_VERSION,
            features: Features::NONE,
            auth: ShownToken::NOTHING,
        }
    }

    /// The same greeting of a client with an access token.
    pub fn with_token(self, token: &AccessToken) -> Hello {
        Hello { auth: token.into(), ..self }
    }
}

/// The two sides share no protocol version: one of them has to be updated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no common protocol version")]
pub struct NoCommonVersion;

/// What two sides speak: the highest common version and the common features. `ours` are the versions that this side speaks.
///
/// # Errors
/// [`NoCommonVersion`] when the ranges do not meet; answer [`RequestError::UnsupportedVersion`] and close.
pub fn negotiate(
    hello: &Hello,
    ours: std::ops::RangeInclusive<u16>,
    features: Features,
) -> Result<(u16, Features), NoCommonVersion> {
    let lowest = hello.protocol_min.max(*ours.start());
    let highest = hello.protocol_max.min(*ours.end());
    if lowest > highest { Err(NoCommonVersion) } else { Ok((highest, hello.features & features)) }
}

#[cfg(test)]
mod tests {
    use super::{Features, Hello, NoCommonVersion, negotiate};

    fn hello(protocol_min: u16, protocol_max: u16) -> Hello {
        Hello { protocol_min, protocol_max, features: Features(0b110), ..Hello::current() }
    }

    #[test]
    fn the_highest_common_version_and_the_common_features_are_picked() {
        let pick = |min, max| negotiate(&hello(min, max), 2..=4, Features(0b011));
        assert_eq!(pick(1, 9), Ok((4, Features(0b010))));
        assert_eq!(pick(1, 3), Ok((3, Features(0b010))));
        assert_eq!(pick(4, 4), Ok((4, Features(0b010))));
        assert_eq!(pick(1, 1), Err(NoCommonVersion));
        assert_eq!(pick(5, 9), Err(NoCommonVersion));
        // A range the wrong way round meets nothing.
        assert_eq!(pick(4, 2), Err(NoCommonVersion));
    }

    #[test]
    fn a_feature_counts_only_when_all_of_it_is_there() {
        assert!(Features(0b110).contains(Features(0b100)));
        assert!(!Features(0b110).contains(Features(0b101)));
        assert_eq!(Features(0b100) | Features(0b001), Features(0b101));
    }
}
