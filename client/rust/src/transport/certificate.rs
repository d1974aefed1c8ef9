//! Certificates that end a handshake, told apart from everything else that may end one.
//!
//! What we find wrong with a node's certificate we know exactly. What a node finds wrong with ours comes back as an alert,
//! and in TLS 1.3 only after our side of the handshake has ended: over TCP with the first bytes that we read, over QUIC as the
//! reason of the close. So the greeting asks here, too.

use std::io;

use kvorum_protocol::CertificateFault;
use quinn::{ConnectionError, ReadError, WriteError};
use rustls::{AlertDescription, CertificateError};

use crate::error::ConnectError;

/// What an I/O error of a stream says about a certificate, if it does.
pub(crate) fn in_io(error: &io::Error) -> Option<ConnectError> {
    let inner = error.get_ref()?;
    if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
        return in_tls(tls);
    }
    let lost = match (inner.downcast_ref::<ReadError>(), inner.downcast_ref::<WriteError>()) {
        (Some(ReadError::ConnectionLost(lost)), _)
        | (_, Some(WriteError::ConnectionLost(lost))) => lost,
        _ => return None,
    };
    in_quic(lost)
}

/// What a TLS error says about a certificate, if it does.
fn in_tls(error: &rustls::Error) -> Option<ConnectError> {
    match error {
        rustls::Error::InvalidCertificate(error) => {
            let fault = match error {
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    CertificateFault::NotYetValid
                }
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => CertificateFault::WrongName,
                // One alert is sent of wrong names, known by now, and of certificates that cannot be read.
                error => CertificateFault::of_alert(AlertDescription::from(error.clone()).into())
                    .filter(|fault| *fault != CertificateFault::WrongName)
                    .unwrap_or(CertificateFault::Unfit),
            };
            Some(ConnectError::NodeCertificate { fault, detail: error.to_string().into() })
        }
        rustls::Error::AlertReceived(alert) => CertificateFault::of_alert((*alert).into())
            .map(|fault| ConnectError::OwnCertificate { fault }),
        _ => None,
    }
}

/// What the end of a QUIC connection says about a certificate, if it does.
pub(crate) fn in_quic(error: &ConnectionError) -> Option<ConnectError> {
    match error {
        ConnectionError::TransportError(error) => {
            let fault = CertificateFault::of_quic_code(error.code.into())?;
            // QUIC keeps only the number of our own alert, which is the same for several faults, and the text.
            let fault = match fault {
                CertificateFault::Expired if error.reason.contains(NOT_YET) => {
                    CertificateFault::NotYetValid
                }
                CertificateFault::WrongName if !error.reason.contains(NAME) => {
                    CertificateFault::Unfit
                }
                fault => fault,
            };
            Some(ConnectError::NodeCertificate { fault, detail: error.reason.as_str().into() })
        }
        ConnectionError::ConnectionClosed(close) => {
            CertificateFault::of_quic_code(close.error_code.into())
                .map(|fault| ConnectError::OwnCertificate { fault })
        }
        _ => None,
    }
}

/// How rustls writes that a certificate is not valid yet; a test holds it to that.
const NOT_YET: &str = "not valid yet";

/// How rustls writes that a certificate is for another name; a test holds it to that.
const NAME: &str = "not valid for name";

#[cfg(test)]
mod tests {
    use kvorum_protocol::CertificateFault;
    use quinn::{ConnectionError, TransportErrorCode};
    use rustls::{AlertDescription, CertificateError};

    use super::{in_quic, in_tls};
    use crate::error::ConnectError;

    fn over_quic(error: &rustls::Error) -> Option<ConnectError> {
        let code = TransportErrorCode::crypto(AlertDescription::BadCertificate.into());
        let mut lost = ConnectionError::TransportError(code.into());
        if let ConnectionError::TransportError(told) = &mut lost {
            told.reason = error.to_string();
        }
        in_quic(&lost)
    }

    #[test]
    fn a_certificate_that_cannot_be_read_is_not_called_one_of_another_node() {
        for error in [CertificateError::BadEncoding, CertificateError::UnhandledCriticalExtension] {
            let error = rustls::Error::InvalidCertificate(error);
            for found in [in_tls(&error), over_quic(&error)] {
                let Some(ConnectError::NodeCertificate { fault, .. }) = found else {
                    panic!("the node's: {found:?}")
                };
                assert_eq!(fault, CertificateFault::Unfit, "{error}");
            }
        }
    }
}
