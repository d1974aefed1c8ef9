//! Who may speak: the cluster's own certificate authority, the certificates it issues, and how a connection is bound to
//! a node.
//!
//! A cluster has one authority, made with it and kept apart from all nodes (two while one is replaced by another). It issues one certificate for each node,
//! whose only DNS name is the node's id (`<hex>.node.kvorum.internal`), and certificates for clients, whose only name is
//! [`CLIENT_NAME`]. Both sides of every TLS connection show theirs and check the other's with rustls's stock WebPKI
//! verifiers, whose one root is this authority: there is no verifier of our own anywhere. Only on the clients' port may the
//! client show none: then an access token has to follow in its greeting. What is left to do after the handshake is to read
//! the name ([`PeerName`]) and to ask whether it may say what it is about to say.
//!
//! **Invariants.** TLS 1.3 only. No session is resumed and nothing is sent before the handshake ends, so a certificate is
//! shown and checked every time.
//!
//! **Not here:** access tokens, and revocation of certificates. A node leaves by a commit that bans its id, not by a list.

mod authority;
mod context_keys;
mod credentials;
mod expiry;
mod name;
mod tls;
mod verify;

pub use authority::{CERTIFICATE_VALID, ClusterAuthority, IssueError, Issued};
pub use context_keys::{ContextKeysError, parse_context_keys, render_context_keys};
pub use credentials::{
    AUTHORITY_FILE, CERTIFICATE_FILE, CredentialFiles, Credentials, CredentialsError, KEY_FILE,
    write_private,
};
pub use expiry::{ExpiryStage, expires_at_ms};
pub use name::{CLIENT_NAME, NameError, PeerName};
pub use tls::{
    ALPN_CLIENT, ALPN_PEER, TlsError, accept_clients, accept_peers, accept_scrapers, dial,
};
