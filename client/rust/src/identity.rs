//! Who the client is to the cluster: its certificate if it has one, and the one authority that it believes.
//!
//! The verifier is the stock one with the cluster's CA as its only root (two while one CA is replaced by another), so a node proves its id by the name in its
//! certificate and nothing else is trusted. There is no way to switch the check off.

use std::fmt;
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The protocol's name in the TLS handshake, for clients.
pub const ALPN: &[u8] = b"kvorum-client/1";

/// The cluster's CA, together with a client's certificate and key or, for a client with an access token, without.
#[derive(Clone)]
pub struct Identity {
    tls: Arc<rustls::ClientConfig>,
}

/// Nothing of the key is ever printed.
impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// Why PEM files do not make an [`Identity`].
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The CA file holds no readable certificate.
    #[error("the CA certificate cannot be read: {0}")]
    Ca(rustls::pki_types::pem::Error),
    /// The certificate file holds no readable certificate.
    #[error("the client certificate cannot be read: {0}")]
    Certificate(rustls::pki_types::pem::Error),
    /// The key file holds no readable private key.
    #[error("the private key cannot be read: {0}")]
    Key(rustls::pki_types::pem::Error),
    /// The parts can be read, but TLS does not accept them together.
    #[error("TLS does not accept them: {0}")]
    Tls(#[from] rustls::Error),
}

/// The beginning of both: TLS 1.3, and nobody believed but the cluster's CA.
fn believing(
    ca: &[u8],
) -> Result<rustls::ConfigBuilder<rustls::ClientConfig, WantsClientCert>, IdentityError> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca) {
        roots.add(certificate.map_err(IdentityError::Ca)?)?;
    }
    if roots.is_empty() {
        return Err(IdentityError::Ca(rustls::pki_types::pem::Error::NoItemsFound));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    Ok(builder.with_root_certificates(roots))
}

impl Identity {
    /// Reads the contents of three PEM files: the cluster's CA (every certificate in it is believed), our certificate
    /// chain, its private key.
    ///
    /// # Errors
    /// [`IdentityError`] names the part that is wrong.
    pub fn from_pem(ca: &[u8], certificate: &[u8], key: &[u8]) -> Result<Identity, IdentityError> {
        let builder = believing(ca)?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<_, _>>()
            .map_err(IdentityError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(IdentityError::Key)?;
        Ok(Identity::of(builder.with_client_auth_cert(chain, key)?))
    }

    /// Reads the cluster's CA alone: for a client that shows an access token
    /// ([`Config::token`](crate::Config::token)) and no certificate. Nodes are verified all the same.
    ///
    /// # Errors
    /// [`IdentityError::Ca`] when it cannot be read.
    pub fn authority_only(ca: &[u8]) -> Result<Identity, IdentityError> {
        Ok(Identity::of(believing(ca)?.with_no_client_auth()))
    }

    fn of(mut tls: rustls::ClientConfig) -> Identity {
        tls.alpn_protocols = vec![ALPN.to_vec()];
        Identity { tls: Arc::new(tls) }
    }

    pub(crate) fn tls(&self) -> Arc<rustls::ClientConfig> {
        Arc::clone(&self.tls)
    }
}
