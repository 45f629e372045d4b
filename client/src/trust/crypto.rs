//! The cryptography of the client: TLS 1.3 alone, and the cheapest cipher of this processor first.

use std::sync::{Arc, LazyLock};

use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, SupportedCipherSuite};

use crate::net::aes::has_aes;

use aws_lc_rs::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use aws_lc_rs::kx_group::{SECP256R1, X25519, X25519MLKEM768};

/// Of all connections.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let cipher_suites = suites(has_aes()).to_vec();
    // A recorded upload stays secret also from a quantum computer.
    let kx_groups = vec![X25519MLKEM768, X25519, SECP256R1];
    Arc::new(CryptoProvider { cipher_suites, kx_groups, ..aws_lc_rs::default_provider() })
});

/// The provider, which is named to rustls each time: with two providers in one program, it would have no default one.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}

/// The ciphers, the best one first.
fn suites(has_aes: bool) -> [SupportedCipherSuite; 3] {
    match has_aes {
        true => {
            [TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256]
        }
        false => {
            [TLS13_CHACHA20_POLY1305_SHA256, TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384]
        }
    }
}

/// The configuration of one connection: nothing is kept for another one, and nothing is sent before the handshake is
/// done.
///
/// # Errors
/// If the provider has no TLS 1.3.
pub(super) fn config(
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cheapest_cipher_of_the_processor_is_first_and_all_others_follow() {
        assert_eq!(suites(true)[0], TLS13_AES_128_GCM_SHA256);
        assert_eq!(suites(false)[0], TLS13_CHACHA20_POLY1305_SHA256);
        let name = |suite: &SupportedCipherSuite| format!("{:?}", suite.suite());
        let sorted = |suites: [SupportedCipherSuite; 3]| {
            let mut names = suites.each_ref().map(name);
            names.sort();
            names
        };
        assert_eq!(sorted(suites(true)), sorted(suites(false)));
    }
}
