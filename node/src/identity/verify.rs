//! Checking a certificate of a node or client as the other side of a connection will.
//!
//! The same library and the same rules as in a handshake, so that a fault is found by whoever makes or loads a certificate
//! and not by everybody who meets it. No handshake is verified here: that is rustls's business alone.

use std::time::SystemTime;

use kvorum_protocol::CertificateFault;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage};

/// Whether a certificate is one of these authorities' and valid at `now`. Every certificate of a cluster is good for the
/// client's side of a connection, so that is what is asked for.
///
/// # Errors
/// What is wrong with it. A clock before 1970 makes every certificate not yet valid.
pub(crate) fn verify(
    certificate: &CertificateDer<'_>,
    authorities: &[TrustAnchor<'_>],
    now: SystemTime,
) -> Result<(), CertificateFault> {
    let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH);
    let time = UnixTime::since_unix_epoch(since_1970.map_err(|_| CertificateFault::NotYetValid)?);
    let (algorithms, usage) = (webpki::ALL_VERIFICATION_ALGS, KeyUsage::client_auth());
    EndEntityCert::try_from(certificate)
        .and_then(|certificate| {
            certificate
                .verify_for_usage(algorithms, authorities, &[], time, usage, None, None)
                .map(drop)
        })
        .map_err(|error| match error {
            Error::CertExpired { .. } => CertificateFault::Expired,
            Error::CertNotValidYet { .. } => CertificateFault::NotYetValid,
            // Of an authority with the same name: the signature does not fit.
            Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => {
                CertificateFault::ForeignAuthority
            }
            _ => CertificateFault::Unfit,
        })
}
