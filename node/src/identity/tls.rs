//! rustls configurations: stock verifiers, one root, TLS 1.3.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    ClientConfig, ServerConfig, client::Resumption, client::WebPkiServerVerifier, version::TLS13,
};

use crate::identity::credentials::Credentials;

/// Spoken between nodes.
pub const ALPN_PEER: &[u8] = b"kvorum-peer/1";
/// Spoken by clients.
pub const ALPN_CLIENT: &[u8] = b"kvorum-client/1";

/// Credentials that TLS does not accept: the key does not belong to the certificate, for instance.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate or key was refused.
    #[error("the certificate or its key cannot be used")]
    Credentials(#[from] rustls::Error),
    /// The authority's certificate was refused.
    #[error("the authority's certificate cannot be used")]
    Authority(#[from] rustls::server::VerifierBuilderError),
}

/// For the port where nodes connect.
///
/// # Errors
/// [`TlsError`] when the credentials cannot be used.
pub fn accept_peers(credentials: &Credentials) -> Result<ServerConfig, TlsError> {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(credentials.roots(), provider()).build()?;
    accept(credentials, ALPN_PEER, verifier)
}

/// For the port where clients connect, over TCP and QUIC. A certificate is asked for, and one that is shown is verified;
/// whoever shows none has to show an access token in its greeting.
///
/// # Errors
/// [`TlsError`] when the credentials cannot be used.
pub fn accept_clients(credentials: &Credentials) -> Result<ServerConfig, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(credentials.roots(), provider())
        .allow_unauthenticated()
        .build()?;
    accept(credentials, ALPN_CLIENT, verifier)
}

/// For the admin port beyond loopback, in this protocol: nobody without a certificate gets an answer. There are no tokens.
///
/// # Errors
/// [`TlsError`] when the credentials cannot be used.
pub fn accept_scrapers(credentials: &Credentials, alpn: &[u8]) -> Result<ServerConfig, TlsError> {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(credentials.roots(), provider()).build()?;
    accept(credentials, alpn, verifier)
}

/// For dialling a node as one of these protocols. The server name to ask for is the node's DNS name, and nothing else is
/// accepted.
///
/// # Errors
/// [`TlsError`] when the credentials cannot be used.
pub fn dial(credentials: &Credentials, alpn: &[u8]) -> Result<ClientConfig, TlsError> {
    let verifier =
        WebPkiServerVerifier::builder_with_provider(credentials.roots(), provider()).build()?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_webpki_verifier(verifier)
        .with_client_auth_cert(credentials.chain(), credentials.key())?;
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

fn accept(
    credentials: &Credentials,
    alpn: &[u8],
    verifier: Arc<dyn ClientCertVerifier>,
) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(credentials.chain(), credentials.key())?;
    config.alpn_protocols = vec![alpn.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// Named here rather than installed for the process: a library does not choose for the program that it is part of.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
