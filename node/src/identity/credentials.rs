//! A node's three PEM files: the authority's certificate, its own certificate, its key.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::identity::expiry::expires_at_ms;

/// The authority's certificate.
pub const AUTHORITY_FILE: &str = "authority.pem";
/// The node's certificate.
pub const CERTIFICATE_FILE: &str = "node.pem";
/// The node's key.
pub const KEY_FILE: &str = "node.key";

/// Credentials that cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file cannot be read.
    #[error("{path}: {error}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A file is not what its name says.
    #[error("{path}: no {expected} in PEM", path = path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
    },
}

/// What a process shows and what it trusts.
#[derive(Debug)]
pub struct Credentials {
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Credentials {
    /// Reads the three files of a directory.
    ///
    /// # Errors
    /// [`CredentialsError`] names the file that is missing or wrong.
    pub fn load(directory: &Path) -> Result<Credentials, CredentialsError> {
        let read = |name: &str| {
            let path = directory.join(name);
            std::fs::read(&path)
                .map(|bytes| (bytes, path.clone()))
                .map_err(|error| CredentialsError::Read { path, error })
        };
        let ((authority, authority_path), (certificate, certificate_path), (key, key_path)) =
            (read(AUTHORITY_FILE)?, read(CERTIFICATE_FILE)?, read(KEY_FILE)?);
        let mut roots = RootCertStore::empty();
        CertificateDer::from_pem_slice(&authority)
            .ok()
            .and_then(|root| roots.add(root).ok())
            .ok_or(CredentialsError::Pem { path: authority_path, expected: "certificate" })?;
        let certificate = CertificateDer::from_pem_slice(&certificate).map_err(|_| {
            CredentialsError::Pem { path: certificate_path, expected: "certificate" }
        })?;
        let key = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|_| CredentialsError::Pem { path: key_path, expected: "private key" })?;
        Ok(Credentials { roots: Arc::new(roots), chain: vec![certificate], key })
    }

    /// The last moment at which the certificate is valid, in milliseconds since 1970.
    pub fn expires_at_ms(&self) -> Option<u64> {
        self.chain.first().and_then(expires_at_ms)
    }

    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        self.roots.clone()
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.clone()
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }
}

/// Writes a new file that only its owner may read, and syncs it.
///
/// # Errors
/// Whatever the file system says; [`io::ErrorKind::AlreadyExists`] rather than overwriting a key.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
