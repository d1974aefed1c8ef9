//! Until when a certificate is valid.
//!
//! TLS checks that by itself at every handshake and tells nobody beforehand; people want to know before it is over.

use rustls::pki_types::CertificateDer;
use yasna::{ASN1Error, ASN1ErrorKind, BERReaderSeq, Tag};

/// Tag of a certificate's version field, which only old certificates lack.
const VERSION: Tag = Tag { tag_class: yasna::TagClass::ContextSpecific, tag_number: 0 };

/// The last moment at which a certificate is valid, in milliseconds since 1970; `None` when the bytes are no certificate.
pub fn expires_at_ms(certificate: &CertificateDer<'_>) -> Option<u64> {
    let seconds = yasna::parse_der(certificate, |reader| {
        reader.read_sequence(|parts| {
            let expires = parts.next().read_sequence(expires)?;
            // The signature's algorithm and the signature.
            parts.next().read_der()?;
            parts.next().read_der()?;
            Ok(expires)
        })
    });
    u64::try_from(seconds.ok()?).ok()?.checked_mul(1_000)
}

/// Reads `[version], serial number, algorithm, issuer, validity, ...` (RFC 5280, 4.1) and gives the end of the validity.
fn expires(fields: &mut BERReaderSeq<'_, '_>) -> Result<i64, ASN1Error> {
    fields.read_optional(|reader| match reader.lookahead_tag()? {
        VERSION => reader.read_der().map(drop),
        _ => Err(ASN1Error::new(ASN1ErrorKind::Invalid)),
    })?;
    for _ in 0..3 {
        fields.next().read_der()?;
    }
    let seconds = fields.next().read_sequence(|times| {
        times.next().read_der()?;
        let until = times.next();
        let is_short = until.lookahead_tag()? == yasna::tags::TAG_UTCTIME;
        Ok(if is_short {
            until.read_utctime()?.datetime().unix_timestamp()
        } else {
            until.read_generalized_time()?.datetime().unix_timestamp()
        })
    })?;
    // Subject and key, and for what the certificate may be used.
    while fields.read_optional(|reader| reader.read_der())?.is_some() {}
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use kvorum_ring::NodeId;
    use rustls::pki_types::{CertificateDer, pem::PemObject};

    use super::expires_at_ms;
    use crate::identity::ClusterAuthority;

    const YEAR_MS: u64 = 365 * 24 * 3_600 * 1_000;

    #[test]
    fn certificates_expire_when_they_were_made_to_also_beyond_2050() {
        // Years from 2050 on are written in another form.
        for now_ms in [1_800_000_000_000, 2_600_000_000_000] {
            let now = SystemTime::UNIX_EPOCH + Duration::from_millis(now_ms);
            let authority = ClusterAuthority::create("test", now).unwrap();
            let node = authority.issue_node(NodeId(1), now).unwrap();
            let of =
                |pem: &str| expires_at_ms(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap());
            assert_eq!(of(&node.certificate_pem), Some(now_ms + 5 * YEAR_MS));
            assert_eq!(of(authority.certificate_pem()), Some(now_ms + 20 * YEAR_MS));
        }
        assert_eq!(expires_at_ms(&CertificateDer::from(vec![0x30, 0x03, 1, 2, 3])), None);
    }
}
