//! What may be wrong with a certificate, in the words that client and node share.
//!
//! Whoever checks a certificate knows exactly what is wrong; the other side only hears a TLS alert, which is a number and
//! tells some faults apart and others not. Both end here, so that a person reads the same words on either side and a
//! figure counts under the same name. Nothing of TLS itself is here: this crate knows the numbers and nothing else.

use std::fmt;

/// Why a certificate is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CertificateFault {
    /// It has expired. Heard as an alert it may also be [`CertificateFault::NotYetValid`]: TLS has one number for both.
    Expired,
    /// It begins to be valid later; usually a clock is wrong.
    NotYetValid,
    /// Another authority than the cluster's has signed it.
    ForeignAuthority,
    /// It is for another name than the one that was asked for: another node answers at that address.
    WrongName,
    /// Anything else: damaged, made for another purpose, revoked.
    Unfit,
}

impl CertificateFault {
    /// All of them, in order.
    pub const ALL: [CertificateFault; 5] = [
        CertificateFault::Expired,
        CertificateFault::NotYetValid,
        CertificateFault::ForeignAuthority,
        CertificateFault::WrongName,
        CertificateFault::Unfit,
    ];

    /// What a TLS alert (RFC 8446, 6.2) says about the certificate of whoever receives it; `None` when it is about
    /// something else.
    ///
    /// A signature that does not fit counts as foreign: authorities of two clusters with one name differ in nothing else.
    pub fn of_alert(alert: u8) -> Option<CertificateFault> {
        match alert {
            42 => Some(CertificateFault::WrongName),
            43 | 44 | 46 => Some(CertificateFault::Unfit),
            45 => Some(CertificateFault::Expired),
            48 | 51 => Some(CertificateFault::ForeignAuthority),
            _ => None,
        }
    }

    /// The same for the error code of a closed QUIC connection (RFC 9001, 4.8), which carries the alert in its low byte.
    pub fn of_quic_code(code: u64) -> Option<CertificateFault> {
        let alert = code.checked_sub(0x100)?;
        CertificateFault::of_alert(u8::try_from(alert).ok()?)
    }

    /// Its name in figures: one word or snake case, stable.
    pub fn name(self) -> &'static str {
        match self {
            CertificateFault::Expired => "expired",
            CertificateFault::NotYetValid => "not_yet_valid",
            CertificateFault::ForeignAuthority => "foreign_authority",
            CertificateFault::WrongName => "wrong_name",
            CertificateFault::Unfit => "unfit",
        }
    }

    /// What to do about it, a sentence for people.
    pub fn remedy(self) -> &'static str {
        match self {
            CertificateFault::Expired => {
                "kv cert renew makes a new one; if it is valid still, a clock is wrong"
            }
            CertificateFault::NotYetValid => {
                "set the clocks of both machines; kv cert renew makes a new one"
            }
            CertificateFault::ForeignAuthority => {
                "both sides need certificates and the authority.pem of one and the same cluster"
            }
            CertificateFault::WrongName => {
                "another node answers at this address: correct the address or the node's id"
            }
            CertificateFault::Unfit => "kv cert renew makes a new one",
        }
    }
}

/// Completes "its certificate ..".
impl fmt::Display for CertificateFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            CertificateFault::Expired => "has expired",
            CertificateFault::NotYetValid => "is not valid yet",
            CertificateFault::ForeignAuthority => "is of another authority",
            CertificateFault::WrongName => "is for another name",
            CertificateFault::Unfit => "cannot be used",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::CertificateFault;

    #[test]
    fn alerts_about_certificates_are_told_from_others_over_tcp_and_quic() {
        let expected = [
            (42, Some(CertificateFault::WrongName)),
            (45, Some(CertificateFault::Expired)),
            (46, Some(CertificateFault::Unfit)),
            (48, Some(CertificateFault::ForeignAuthority)),
            (51, Some(CertificateFault::ForeignAuthority)),
            // No common protocol; a failed handshake.
            (120, None),
            (40, None),
        ];
        for (alert, fault) in expected {
            assert_eq!(CertificateFault::of_alert(alert), fault, "{alert}");
            assert_eq!(CertificateFault::of_quic_code(0x100 + u64::from(alert)), fault, "{alert}");
        }
        assert_eq!(CertificateFault::of_quic_code(45), None);
        assert_eq!(CertificateFault::of_quic_code(0x200 + 45), None);
    }
}
