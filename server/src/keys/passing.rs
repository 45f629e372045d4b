//! A key that nobody keeps: made for one client, and gone with the process.

use std::path::Path;
use std::sync::Arc;

use haul_protocol::Pin;
use rcgen::KeyPair;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use zeroize::Zeroize;

use super::KeyError;
use super::certificate::{Certified, self_signed};
use super::resolver::{self, Current};

/// The name of the key in errors.
const NAMED: &str = "the key of this run";

/// A new key: the settings of TLS with it, and its pin.
///
/// # Errors
/// If the system gives none.
pub(crate) fn passing() -> Result<(Arc<ServerConfig>, Pin), KeyError> {
    let mut key = KeyPair::generate().map_err(|error| KeyError::Make(error.to_string()))?;
    let certificate = self_signed(&key)?;
    let der = PrivateKeyDer::try_from(key.serialize_der());
    key.zeroize();
    let der = der.map_err(|error| KeyError::Make(error.to_owned()))?;
    let chain = vec![certificate.der().clone()];
    let certified = Certified::new(chain, der, Path::new(NAMED), Path::new(NAMED))?;
    let pin = certified.pin;
    let config = resolver::config(Arc::new(Current::new(certified)));
    Ok((config.map_err(|error| KeyError::Make(error.to_string()))?, pin))
}
