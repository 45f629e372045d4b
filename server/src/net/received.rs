//! The result of reading once from a transport.

use std::borrow::Cow;

use rustix::io::Errno;
use rustls::{AlertDescription, Error, PeerIncompatible};
use thiserror::Error;

/// The result of one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// Bytes have come.
    Bytes {
        /// Bytes that are in the room.
        plain: usize,
        /// Bytes that the socket has given.
        taken: usize,
    },
    /// The peer sends no more. `cut`: a TLS peer has not said so.
    End { cut: bool },
}

/// A stream can't go on.
#[derive(Debug, Error)]
pub(crate) enum TransportError {
    /// The socket says no; `AGAIN` is no error but means that nothing has come.
    #[error(transparent)]
    Socket(#[from] Errno),
    /// The peer breaks the rules of TLS, or has no cipher suite, version or group in common with the server.
    #[error("{}", in_words(.0))]
    Tls(#[from] rustls::Error),
    /// A handshake message of several records.
    #[error("the peer sent a handshake message that is longer than a record")]
    Message,
    /// A key has encrypted as much as it may.
    #[error("nothing more can be encrypted")]
    Exhausted,
    /// TLS at an address that takes none.
    #[error("the address takes no TLS")]
    NoTls,
}

/// An error of TLS, for people who don't know its words.
fn in_words(error: &Error) -> Cow<'static, str> {
    use AlertDescription as Alert;
    Cow::Borrowed(match error {
        Error::AlertReceived(alert) => match alert {
            Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::CertificateRevoked
            | Alert::UnsupportedCertificate
            | Alert::AccessDenied => "the peer does not trust the certificate of this server",
            Alert::ProtocolVersion | Alert::HandshakeFailure | Alert::InsufficientSecurity => {
                "the peer does not take what this server offers"
            }
            Alert::UserCanceled => "the peer gave up",
            alert => return format!("the peer ended it with the alert {alert:?}").into(),
        },
        Error::PeerIncompatible(
            PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => "the peer offers no TLS 1.3, and this server takes nothing older",
        Error::PeerIncompatible(_) => "the peer and this server have no common way to encrypt",
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. } => "the peer sent bytes that are no TLS",
        Error::DecryptError => "a record of the peer was changed on its way",
        Error::PeerSentOversizedRecord => "the peer sent a record that is too long",
        Error::PeerMisbehaved(rule) => {
            return format!("the peer broke a rule of TLS ({rule:?})").into();
        }
        error => return error.to_string().into(),
    })
}
