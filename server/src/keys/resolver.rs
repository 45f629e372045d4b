//! The present certificate, as rustls asks for it, and the settings of TLS.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{Error, ServerConfig};

use super::certificate::Certified;
use crate::locks::{Rank, RwLock};

/// The certificate that new connections see.
#[derive(Debug)]
pub(super) struct Current(RwLock<Arc<Certified>>);

impl Current {
    pub(super) fn new(certified: Certified) -> Self {
        Self(RwLock::new(Rank::Certificate, Arc::new(certified)))
    }

    pub(super) fn get(&self) -> Arc<Certified> {
        Arc::clone(&self.0.read())
    }

    pub(super) fn set(&self, certified: Certified) {
        *self.0.write() = Arc::new(certified);
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.get().key))
    }
}

/// TLS 1.3 with three cipher suites. The client's order counts: one whose processor has no AES begins with ChaCha20. Sessions are
/// not resumed, which would save the server nothing, and nothing is taken before the handshake is over.
pub(super) fn config(current: Arc<Current>) -> Result<Arc<ServerConfig>, Error> {
    let provider = CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        ..aws_lc_rs::default_provider()
    };
    // Two providers in one program would make rustls panic if it had to choose.
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(current);
    // A browser asks for it; a haul client asks for nothing.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ignore_client_order = false;
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}
