//! The pin of the key of the server that a client over TLS has met.

use haul_protocol::Pin;
pub(crate) use haul_tests::tls::{TlsPeer, hello_of, offering, session, usual};
use rustls::pki_types::CertificateDer;

/// A client that tells it.
pub(crate) trait Pinned {
    /// The pin of the server's key.
    fn pin(&self) -> Pin;
}

impl Pinned for TlsPeer {
    fn pin(&self) -> Pin {
        pin_of(&self.stream.conn.peer_certificates().unwrap()[0])
    }
}

/// The pin of a certificate's key.
pub(crate) fn pin_of(certificate: &CertificateDer<'_>) -> Pin {
    let spki = rustls::server::ParsedCertificate::try_from(certificate).unwrap();
    Pin::of_spki(&spki.subject_public_key_info())
}
