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

/// How near the end of a certificate's validity is. A later stage is worse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ExpiryStage {
    /// More than 30 days, or not known.
    Far,
    /// 30 days at most.
    Month,
    /// Seven days at most.
    Week,
    /// One day at most.
    Day,
    /// It is over.
    Over,
}

impl ExpiryStage {
    /// The stage at `now_ms` of a certificate that expires at `expires_at_ms`, both in milliseconds since 1970; 0 is a date
    /// that is not known.
    pub fn at(expires_at_ms: u64, now_ms: u64) -> ExpiryStage {
        const DAY_MS: u64 = 24 * 3_600 * 1_000;
        match expires_at_ms.checked_sub(now_ms) {
            _ if expires_at_ms == 0 => ExpiryStage::Far,
            None | Some(0) => ExpiryStage::Over,
            Some(left) if left <= DAY_MS => ExpiryStage::Day,
            Some(left) if left <= 7 * DAY_MS => ExpiryStage::Week,
            Some(left) if left <= 30 * DAY_MS => ExpiryStage::Month,
            Some(_) => ExpiryStage::Far,
        }
    }
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

    use super::{ExpiryStage, expires_at_ms};
    use crate::identity::ClusterAuthority;

    #[test]
    fn a_certificate_comes_nearer_to_its_end_in_stages() {
        const DAY_MS: u64 = 24 * 3_600 * 1_000;
        let at = |left: u64| ExpiryStage::at(1_000 * DAY_MS, 1_000 * DAY_MS - left);
        assert_eq!(at(30 * DAY_MS + 1), ExpiryStage::Far);
        assert_eq!([at(30 * DAY_MS), at(7 * DAY_MS + 1)], [ExpiryStage::Month; 2]);
        assert_eq!([at(7 * DAY_MS), at(DAY_MS + 1)], [ExpiryStage::Week; 2]);
        assert_eq!([at(DAY_MS), at(1)], [ExpiryStage::Day; 2]);
        assert_eq!([at(0), ExpiryStage::at(1, 2)], [ExpiryStage::Over; 2]);
        assert_eq!(ExpiryStage::at(0, 2), ExpiryStage::Far);
    }

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
