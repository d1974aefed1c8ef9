//! Making the directories of a new cluster: one for each node, one for its clients, and the authority apart.
//!
//! Nothing here talks to a node. What is written can be copied to other machines; certificates, keys and the context keys
//! are readable by their owner only.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use kvorum_protocol::ContextKeys;

use crate::config::{CONFIG_FILE, Config};
use crate::identity::{
    AUTHORITY_FILE, CERTIFICATE_FILE, ClusterAuthority, IssueError, Issued, KEY_FILE, PeerName,
    render_context_keys, write_private,
};

/// The authority's key, in the directory that is kept apart from all nodes.
pub const AUTHORITY_KEY_FILE: &str = "authority.key";
/// A client's certificate.
pub const CLIENT_CERTIFICATE_FILE: &str = "client.pem";
/// A client's key.
pub const CLIENT_KEY_FILE: &str = "client.key";

/// A directory that was not, or not wholly, written.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// A certificate could not be made.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// A file could not be written. Existing files are never overwritten.
    #[error("{path}: {error}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
}

/// Writes what a node needs to start: its settings, its certificate and key, the authority's certificate, the context
/// keys. Paths are those of the settings.
///
/// # Errors
/// [`ProvisionError`] names the file; what was written before it stays.
pub fn write_node(
    directory: &Path,
    config: &Config,
    authority: &ClusterAuthority,
    context_keys: &ContextKeys,
    now: SystemTime,
) -> Result<(), ProvisionError> {
    let issued = authority.issue_node(config.node.id, now)?;
    make(directory)?;
    let certificates = directory.join(&config.paths.certificates);
    write_identity(&certificates, authority, issued, CERTIFICATE_FILE, KEY_FILE)?;
    write(&directory.join(&config.paths.context_keys), &render_context_keys(context_keys))?;
    write(&directory.join(CONFIG_FILE), &config.render())
}

/// Writes what a client needs to connect: a certificate and key, and the authority's certificate.
///
/// # Errors
/// As of [`write_node`].
pub fn write_client(
    directory: &Path,
    authority: &ClusterAuthority,
    now: SystemTime,
) -> Result<(), ProvisionError> {
    let issued = authority.issue_client(now)?;
    write_identity(directory, authority, issued, CLIENT_CERTIFICATE_FILE, CLIENT_KEY_FILE)
}

/// Writes the authority with its key. Whoever has this key can add nodes and clients to the cluster; no node needs it.
///
/// # Errors
/// As of [`write_node`].
pub fn write_authority(
    directory: &Path,
    authority: &ClusterAuthority,
) -> Result<(), ProvisionError> {
    make(directory)?;
    write(&directory.join(AUTHORITY_FILE), authority.certificate_pem())?;
    write(&directory.join(AUTHORITY_KEY_FILE), &authority.key_pem())
}

/// Replaces the certificate of a node or client in a directory by a new one for the same key, `valid` from now on, in one
/// step: whoever reads meanwhile reads the old one or the new one.
///
/// # Errors
/// [`ProvisionError`] names the file; the old certificate is then still there.
pub fn renew_certificate(
    directory: &Path,
    name: PeerName,
    authority: &ClusterAuthority,
    valid: Duration,
    now: SystemTime,
) -> Result<(), ProvisionError> {
    let (certificate, key) = match name {
        PeerName::Node(_) => (directory.join(CERTIFICATE_FILE), directory.join(KEY_FILE)),
        PeerName::Client => {
            (directory.join(CLIENT_CERTIFICATE_FILE), directory.join(CLIENT_KEY_FILE))
        }
    };
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| ProvisionError::Write { path, error }
    };
    let key_pem = fs::read_to_string(&key).map_err(failed(&key))?;
    let renewed = authority.renew(name, &key_pem, valid, now)?;
    let fresh = certificate.with_extension("pem.new");
    // What an attempt that was cut off left behind.
    let _ = fs::remove_file(&fresh);
    write(&fresh, &renewed)?;
    fs::rename(&fresh, &certificate).map_err(failed(&certificate))?;
    fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed(directory))
}

fn write_identity(
    directory: &Path,
    authority: &ClusterAuthority,
    issued: Issued,
    certificate_file: &str,
    key_file: &str,
) -> Result<(), ProvisionError> {
    make(directory)?;
    write(&directory.join(AUTHORITY_FILE), authority.certificate_pem())?;
    write(&directory.join(certificate_file), &issued.certificate_pem)?;
    write(&directory.join(key_file), &issued.key_pem)
}

fn make(directory: &Path) -> Result<(), ProvisionError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|error| ProvisionError::Write { path: directory.to_owned(), error })
}

fn write(path: &Path, content: &str) -> Result<(), ProvisionError> {
    write_private(path, content.as_bytes())
        .map_err(|error| ProvisionError::Write { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::{ProvisionError, write_authority, write_client};
    use crate::identity::ClusterAuthority;
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, SystemTime};

    #[test]
    fn secrets_are_readable_by_their_owner_only_and_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let authority = ClusterAuthority::create("test", now).unwrap();
        write_authority(&directory.path().join("authority"), &authority).unwrap();
        write_client(&directory.path().join("client"), &authority, now).unwrap();
        for file in ["authority/authority.key", "client/client.key", "client/client.pem"] {
            let mode = directory.path().join(file).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        let again = write_authority(&directory.path().join("authority"), &authority);
        assert!(matches!(again, Err(ProvisionError::Write { .. })));
    }
}
