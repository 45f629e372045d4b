//! Whether a server is the one that the user means: by the pins of its host, or else by public authorities.
//!
//! rustls shows the certificate first and its signature of the handshake later. The verdict about the certificate is
//! kept until the signature has proved that the server has the key: only then the handshake goes on or ends.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use haul_protocol::Pin;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;

use super::crypto::provider;

/// The public authorities, as this system knows them; they are read when a server without pins is met.
#[derive(Debug, Default)]
pub(super) struct Authorities(OnceLock<Result<Verifier, Error>>);

/// The judgement about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is pinned.
    Pinned,
    /// A public authority vouches for it, and the host has no pins.
    Vouched,
    /// Nobody vouches for it, for this reason if there is a certificate of an authority; the host has no pins.
    Unknown(Option<String>),
    /// The host has other pins.
    Changed,
}

/// The key of a server, and the judgement about it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) pin: Pin,
    pub(super) verdict: Verdict,
    /// The server has proved that it has the key.
    pub(super) is_proved: bool,
}

/// The verifier of one connection.
#[derive(Debug)]
pub(super) struct OneServer {
    pins: Vec<Pin>,
    authorities: Arc<Authorities>,
    seen: Mutex<Option<Seen>>,
}

impl OneServer {
    /// For a host with these pins.
    pub(super) fn new(pins: Vec<Pin>, authorities: Arc<Authorities>) -> Self {
        Self { pins, authorities, seen: Mutex::new(None) }
    }

    /// The key of the server, once it has shown one.
    pub(super) fn seen(&self) -> Option<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The server has proved that it has the key: it may be trusted, or not.
    fn proved(&self) -> Result<HandshakeSignatureValid, Error> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seen) = &mut *seen else {
            return Err(Error::InvalidCertificate(CertificateError::BadSignature));
        };
        seen.is_proved = true;
        match seen.verdict {
            Verdict::Pinned | Verdict::Vouched => Ok(HandshakeSignatureValid::assertion()),
            Verdict::Unknown(_) => Err(CertificateError::UnknownIssuer.into()),
            Verdict::Changed => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }
}

impl ServerCertVerifier for OneServer {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        let pin = Pin::of_spki(&key);
        let verdict = if self.pins.contains(&pin) {
            Verdict::Pinned
        } else if self.pins.is_empty() {
            match self.authorities.vouch(certificate, intermediates, name, ocsp, now) {
                Ok(()) => Verdict::Vouched,
                Err(error) => Verdict::Unknown(why(&error)),
            }
        } else {
            Verdict::Changed
        };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Seen { pin, verdict, is_proved: false });
        // `proved` decides.
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General(String::from("TLS 1.2 is not spoken here")))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)?;
        self.proved()
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

impl Authorities {
    fn vouch(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<(), Error> {
        let verifier = self.0.get_or_init(|| Verifier::new(provider())).as_ref();
        let verifier = verifier.map_err(Error::clone)?;
        verifier.verify_server_cert(certificate, intermediates, name, ocsp, now).map(|_| ())
    }
}

/// The reason why no authority vouches for a certificate that looks like one of theirs.
fn why(error: &Error) -> Option<String> {
    let Error::InvalidCertificate(error) = error else { return None };
    let text = match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another host"
        }
        CertificateError::Revoked => "its certificate is revoked",
        _ => return None,
    };
    Some(text.to_owned())
}
