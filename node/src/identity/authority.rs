//! The cluster's certificate authority.

use std::time::{Duration, SystemTime};

use kvorum_ring::NodeId;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use webpki::anchor_from_trusted_cert;

use crate::identity::name::{CLIENT_NAME, PeerName};
use crate::identity::verify::verify;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Certificates are valid from a day before they are made: machines whose clocks differ can use them at once.
const BACKDATED: Duration = DAY;

/// The authority outlives every machine of a cluster. Renewing it means touching all nodes.
const AUTHORITY_VALID: Duration = Duration::from_secs(20 * 365 * 24 * 3_600);

/// A node's or client's certificate: long enough that a cluster nobody looks after does not stop, short enough that a
/// stolen disk is not good for ever.
pub const CERTIFICATE_VALID: Duration = Duration::from_secs(5 * 365 * 24 * 3_600);

/// A certificate that could not be made. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The certificate library refused.
    #[error("a certificate could not be made")]
    Library(#[from] rcgen::Error),
    /// The authority's certificate is not one.
    #[error("the authority's certificate does not parse")]
    Certificate,
    /// The key or the cluster's name is not the one that the authority's certificate was made with: no node would accept
    /// what this authority issues.
    #[error("the authority's key or name does not belong to its certificate")]
    Mismatch,
    /// The system's clock is before 1970.
    #[error("the system's clock is before 1970")]
    Clock,
}

/// A certificate and its private key, both PEM.
pub struct Issued {
    /// The certificate.
    pub certificate_pem: String,
    /// Its key. Secret.
    pub key_pem: String,
}

/// Issues the certificates of one cluster.
pub struct ClusterAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
}

impl ClusterAuthority {
    /// A new authority with a fresh key, valid from a day before `now`.
    ///
    /// # Errors
    /// [`IssueError`] when no certificate could be made.
    pub fn create(cluster: &str, now: SystemTime) -> Result<ClusterAuthority, IssueError> {
        let key = KeyPair::generate()?;
        let params = params(cluster, now, AUTHORITY_VALID)?;
        let certificate = params.self_signed(&key)?;
        let certificate_pem = certificate.pem();
        Ok(ClusterAuthority {
            issuer: Issuer::new(params, key),
            certificate: certificate.into(),
            certificate_pem,
        })
    }

    /// The authority of an existing cluster, to add a node or a client to it.
    ///
    /// # Errors
    /// [`IssueError`] when the parts do not parse. That they do not belong together shows when something is issued.
    pub fn open(
        cluster: &str,
        certificate_pem: &str,
        key_pem: &str,
        now: SystemTime,
    ) -> Result<ClusterAuthority, IssueError> {
        let key = KeyPair::from_pem(key_pem)?;
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|_| IssueError::Certificate)?;
        // What an issuer gives to a certificate (its name and the id of its key) follows from these alone.
        let issuer = Issuer::new(params(cluster, now, AUTHORITY_VALID)?, key);
        Ok(ClusterAuthority { issuer, certificate, certificate_pem: certificate_pem.to_owned() })
    }

    /// The authority's certificate, which every node and client trusts.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The authority's key. Secret; no node needs it.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A certificate for a node: valid as a server and as a client, for its own name only.
    ///
    /// # Errors
    /// [`IssueError`] when it could not be made.
    pub fn issue_node(&self, node: NodeId, now: SystemTime) -> Result<Issued, IssueError> {
        let usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(&node.dns_name(), usages, now)
    }

    /// A new certificate, PEM, for a key that has one: of the same node or of a client, `valid` from now on. The key stays,
    /// so that renewing replaces one file, in one step, and only the certificate travels.
    ///
    /// # Errors
    /// [`IssueError`] when the key does not parse or no certificate could be made.
    pub fn renew(
        &self,
        name: PeerName,
        key_pem: &str,
        valid: Duration,
        now: SystemTime,
    ) -> Result<String, IssueError> {
        let key = KeyPair::from_pem(key_pem)?;
        let certificate = match name {
            PeerName::Node(node) => {
                let usages =
                    [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
                self.certify(&node.dns_name(), usages.into(), &key, (valid, now))?
            }
            PeerName::Client => {
                let usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
                self.certify(CLIENT_NAME, usages, &key, (valid, now))?
            }
        };
        Ok(certificate.pem())
    }

    /// A certificate for a client: valid as a client only.
    ///
    /// # Errors
    /// [`IssueError`] when it could not be made.
    pub fn issue_client(&self, now: SystemTime) -> Result<Issued, IssueError> {
        self.issue(CLIENT_NAME, vec![ExtendedKeyUsagePurpose::ClientAuth], now)
    }

    fn issue(
        &self,
        name: &str,
        usages: Vec<ExtendedKeyUsagePurpose>,
        now: SystemTime,
    ) -> Result<Issued, IssueError> {
        let key = KeyPair::generate()?;
        let certificate = self.certify(name, usages, &key, (CERTIFICATE_VALID, now))?;
        Ok(Issued { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    fn certify(
        &self,
        name: &str,
        usages: Vec<ExtendedKeyUsagePurpose>,
        key: &KeyPair,
        (valid, now): (Duration, SystemTime),
    ) -> Result<Certificate, IssueError> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        validity(&mut params, now, valid)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages;
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(key, &self.issuer)?;
        self.check(certificate.der(), now)?;
        Ok(certificate)
    }

    /// Every certificate is verified as the nodes will do it, before anybody is given it.
    fn check(&self, issued: &CertificateDer<'_>, now: SystemTime) -> Result<(), IssueError> {
        let anchor =
            anchor_from_trusted_cert(&self.certificate).map_err(|_| IssueError::Certificate)?;
        verify(issued, &[anchor], now).map_err(|_| IssueError::Mismatch)
    }
}

/// What the authority's own certificate says.
fn params(
    cluster: &str,
    now: SystemTime,
    valid: Duration,
) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::default();
    validity(&mut params, now, valid)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Kvorum cluster {cluster}"));
    // It signs nodes and clients, never another authority.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn validity(
    params: &mut CertificateParams,
    now: SystemTime,
    valid: Duration,
) -> Result<(), IssueError> {
    let now = date_time_ymd(1970, 1, 1) + since_1970(now)?;
    params.not_before = now - BACKDATED;
    params.not_after = now + valid;
    Ok(())
}

fn since_1970(now: SystemTime) -> Result<Duration, IssueError> {
    now.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| IssueError::Clock)
}

#[cfg(test)]
mod tests {
    use super::{ClusterAuthority, IssueError};
    use crate::identity::name::PeerName;
    use kvorum_ring::NodeId;
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    use std::time::{Duration, SystemTime};

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn name_in(pem: &str) -> PeerName {
        PeerName::of(&[CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()]).unwrap()
    }

    #[test]
    fn a_certificate_names_exactly_its_node_or_the_clients() {
        let authority = ClusterAuthority::create("prod", now()).unwrap();
        let node = authority.issue_node(NodeId(0xab), now()).unwrap();
        assert_eq!(name_in(&node.certificate_pem), PeerName::Node(NodeId(0xab)));
        let client = authority.issue_client(now()).unwrap();
        assert_eq!(name_in(&client.certificate_pem), PeerName::Client);
    }

    #[test]
    fn an_authority_opened_again_issues_what_the_first_one_did() {
        let first = ClusterAuthority::create("prod", now()).unwrap();
        let later = now() + Duration::from_secs(365 * 24 * 3_600);
        let open = |cluster: &str, key: &str| {
            ClusterAuthority::open(cluster, first.certificate_pem(), key, later).unwrap()
        };
        assert!(open("prod", &first.key_pem()).issue_node(NodeId(1), later).is_ok());
        // Another name or another key shows before anybody is given a certificate that no node accepts.
        let other = ClusterAuthority::create("prod", now()).unwrap();
        for wrong in [open("test", &first.key_pem()), open("prod", &other.key_pem())] {
            assert!(matches!(wrong.issue_client(later), Err(IssueError::Mismatch)));
        }
    }
}
