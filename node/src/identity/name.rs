//! The name that a verified certificate carries.

use kvorum_ring::NodeId;
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// The one DNS name in every client's certificate.
pub const CLIENT_NAME: &str = "client.kvorum.internal";

/// Whom a verified certificate stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerName {
    /// A node of the cluster, whether a member or not: that is the caller's question.
    Node(NodeId),
    /// A client.
    Client,
}

/// A certificate of our authority that stands for nobody we know. Close the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The other side showed no certificate.
    #[error("no certificate was shown")]
    Missing,
    /// The certificate does not parse. The verifier has parsed it before, so this does not happen.
    #[error("the certificate does not parse")]
    Malformed,
    /// A certificate has exactly one DNS name.
    #[error("the certificate has not exactly one DNS name")]
    NotOneName,
    /// The name is neither a node's nor the clients'.
    #[error("the certificate's name is neither a node's nor the clients'")]
    Unknown,
}

impl PeerName {
    /// Reads the name out of a certificate chain **that the TLS handshake has verified**; this checks no signature.
    ///
    /// # Errors
    /// [`NameError`] when the certificate stands for nobody.
    pub fn of(verified: &[CertificateDer<'_>]) -> Result<PeerName, NameError> {
        let certificate = verified.first().ok_or(NameError::Missing)?;
        let certificate = EndEntityCert::try_from(certificate).map_err(|_| NameError::Malformed)?;
        let mut names = certificate.valid_dns_names();
        let (Some(name), None) = (names.next(), names.next()) else {
            return Err(NameError::NotOneName);
        };
        if name == CLIENT_NAME {
            return Ok(PeerName::Client);
        }
        NodeId::from_dns_name(name).map(PeerName::Node).map_err(|_| NameError::Unknown)
    }
}
