//! A node's three PEM files: the authority's certificate, its own certificate, its key.
//!
//! The authority's file may hold several certificates, one after the other: all of them are trusted. So an authority is
//! replaced without an end of the cluster: first every file gets the new one beside the old one, then the certificates are
//! made anew, then the old one goes.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use kvorum_protocol::CertificateFault;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::identity::expiry::expires_at_ms;
use crate::identity::verify::verify;

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
    /// The certificate is one that nobody would accept.
    #[error("the node's certificate {0}: {remedy}", remedy = .0.remedy())]
    Fault(CertificateFault),
}

/// The three files as they are, so that they can be compared with what they were. The key is secret: nothing prints them.
#[derive(Clone, PartialEq, Eq)]
pub struct CredentialFiles {
    authority: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl CredentialFiles {
    /// Reads the three files of a directory.
    ///
    /// # Errors
    /// [`CredentialsError::Read`] names the file.
    pub fn read(directory: &Path) -> Result<CredentialFiles, CredentialsError> {
        let read = |name: &str| {
            let path = directory.join(name);
            std::fs::read(&path).map_err(|error| CredentialsError::Read { path, error })
        };
        let (authority, certificate, key) =
            (read(AUTHORITY_FILE)?, read(CERTIFICATE_FILE)?, read(KEY_FILE)?);
        Ok(CredentialFiles { authority, certificate, key })
    }
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
        Credentials::parse(directory, &CredentialFiles::read(directory)?)
    }

    /// Understands three files that were read in a directory.
    ///
    /// # Errors
    /// [`CredentialsError::Pem`] names the file that is not what it should be.
    pub fn parse(
        directory: &Path,
        files: &CredentialFiles,
    ) -> Result<Credentials, CredentialsError> {
        let wrong = |name: &str, expected| {
            let path = directory.join(name);
            move || CredentialsError::Pem { path, expected }
        };
        let roots = roots(&files.authority).ok_or_else(wrong(AUTHORITY_FILE, "certificate"))?;
        let certificate = CertificateDer::from_pem_slice(&files.certificate).ok();
        let certificate = certificate.ok_or_else(wrong(CERTIFICATE_FILE, "certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(&files.key).ok();
        let key = key.ok_or_else(wrong(KEY_FILE, "private key"))?;
        Ok(Credentials { roots: Arc::new(roots), chain: vec![certificate], key })
    }

    /// Whether the others will accept the certificate now, as far as that can be known here: they check the same way.
    ///
    /// # Errors
    /// [`CredentialsError::Fault`].
    pub fn check(&self, now: SystemTime) -> Result<(), CredentialsError> {
        let certificate = self.chain.first().ok_or(CertificateFault::Unfit);
        certificate
            .and_then(|certificate| verify(certificate, &self.roots.roots, now))
            .map_err(CredentialsError::Fault)
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

/// Every certificate of a file; `None` when there is none, or one that cannot be read.
fn roots(pem: &[u8]) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.ok()?).ok()?;
    }
    (!roots.is_empty()).then_some(roots)
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
