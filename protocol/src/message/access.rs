//! Making, listing and revoking access tokens, and why a client was not let in.

use crate::access::{Grant, Rights, TokenDigest, TokenId, TokenName};
use crate::key::BucketName;

crate::wire_enum! {
    /// Why a client is not known.
    #[derive(Copy, thiserror::Error)]
    pub enum AccessRefusal {
        /// It showed neither a certificate nor a token.
        #[error("neither a client certificate nor an access token was shown")]
        1 = Nothing,
        /// What it showed is no token, or the token of nobody.
        #[error("the access token is wrong")]
        2 = Wrong,
        /// The token's time is over.
        #[error("the access token has expired")]
        3 = Expired,
        /// The token was revoked.
        #[error("the access token was revoked")]
        4 = Revoked,
    } else {
        /// A reason that a later version added.
        #[error("reason {0}")]
        Other
    }
}

crate::wire_enum! {
    /// What a request needs and the client may not do.
    #[derive(thiserror::Error)]
    pub enum Needed {
        /// Rights in a bucket.
        #[error("{rights} in bucket {bucket}")]
        1 = Rights {
            /// The bucket.
            bucket: BucketName,
            /// The rights.
            rights: Rights,
        },
        /// The operator's client certificate: no token allows this.
        #[error("the operator's client certificate")]
        2 = Operator,
    } else {
        /// Something that a later version asks for.
        #[error("something that this version does not know ({0})")]
        Other
    }
}

crate::wire_struct! {
    /// What the cluster knows of a token. Also the form in which nodes keep it.
    pub struct TokenTerms {
        /// What people call it.
        pub name: TokenName,
        /// The digest of its secret, from [`AccessToken::digest`](crate::access::AccessToken::digest).
        pub digest: TokenDigest,
        /// What it allows: 1 to [`limits::TOKEN_GRANTS`](crate::limits::TOKEN_GRANTS).
        pub grants: Vec<Grant>,
        /// When it was made, in milliseconds since 1970 by its maker's clock.
        pub created_at_ms: u64,
        /// From when on it is refused, in milliseconds since 1970 by each node's clock; never when absent.
        pub expires_at_ms: Option<u64>,
        /// Requests for data that its bearers may have at work in one node, 1 or more; without a limit of its own when absent.
        /// Items of batches count singly.
        pub in_flight: Option<u32> = None,
        /// Requests for data that one node lets its bearers begin in a second, 1 or more; likewise.
        pub rate: Option<u32> = None,
    }
}

crate::wire_struct! {
    /// Makes a token known. Only the digest of its secret is said. Repeating it changes nothing.
    pub struct TokenCreate {
        /// The id, drawn at random.
        pub id: TokenId,
        /// All the rest.
        pub terms: TokenTerms,
    }
}

crate::wire_struct! {
    /// Ends a token for good; nothing brings it back. Repeating it changes nothing.
    pub struct TokenRevoke {
        /// Which.
        pub id: TokenId,
        /// When, in milliseconds since 1970 by the clock of who revokes it: for people to read.
        pub revoked_at_ms: u64,
    }
}

crate::wire_struct! {
    /// That a token is revoked, as nodes keep it.
    #[derive(Copy)]
    pub struct Revocation {
        /// When, in milliseconds since 1970 by the clock of who revoked it.
        pub revoked_at_ms: u64,
    }
}

crate::wire_struct! {
    /// A token as it is listed.
    pub struct ListedToken {
        /// Its id.
        pub id: TokenId,
        /// What people call it.
        pub name: TokenName,
        /// What it allows.
        pub grants: Vec<Grant>,
        /// When it was made, in milliseconds since 1970.
        pub created_at_ms: u64,
        /// From when on it is refused.
        pub expires_at_ms: Option<u64>,
        /// When it was revoked, if it was.
        pub revoked_at_ms: Option<u64>,
        /// Requests for data that it may have at work in one node.
        pub in_flight: Option<u32> = None,
        /// Requests for data that it may begin in a second in one node.
        pub rate: Option<u32> = None,
    }
}

crate::wire_struct! {
    /// One token or all of them, ascending by id, revoked and expired ones included.
    pub struct Tokens {
        /// The tokens.
        pub tokens: Vec<ListedToken>,
    }
}
