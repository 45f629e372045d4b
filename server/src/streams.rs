//! The server decides whether an address takes plain streams, TLS, or both, and whether it may be served at all.

use crate::config::{Config, Tls};
use crate::error::StartError;
use crate::http::forwarded::TrustedProxy;
use crate::keys::directory::Directory;
use crate::keys::{KeyError, Keys, Source};
use crate::net::listen::{Listen, Listener};
use crate::net::transport::Accepts;

/// The facts by which a server decides whether an address may be served.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// Somebody has an account.
    pub(crate) has_accounts: bool,
    /// Its owner has said that it may be insecure.
    pub(crate) is_insecure: bool,
}

/// Whether the server may serve an address: one that other machines reach needs TLS and accounts, or the word of the owner.
pub(crate) fn may_serve(listen: &Listen, tls: Tls, known: Known) -> Result<(), StartError> {
    if listen.is_local() {
        return Ok(());
    }
    if known.is_insecure {
        tracing::warn!(address = %listen, "--insecure: other machines reach this address, and nobody is asked who they are");
        return Ok(());
    }
    if tls == Tls::Never {
        return Err(StartError::Usage(format!(
            "{listen} can be reached from other machines, and `--tls never` would encrypt nothing; say --insecure if that is \
             meant"
        )));
    }
    if !known.has_accounts {
        return Err(StartError::Usage(format!(
            "{listen} can be reached from other machines, and nobody has an account yet: `hauld user add NAME` makes one, with the \
             root of this server as --server-root (or HAULD_ROOT) and its --config-dir; with --insecure everybody who reaches it may write"
        )));
    }
    Ok(())
}

/// Whether the server may be behind these proxies: by them other machines reach it, whatever its addresses are.
pub(crate) fn may_be_behind(proxies: &[TrustedProxy], known: Known) -> Result<(), StartError> {
    let Some(proxy) = proxies.first().filter(|_| !known.has_accounts) else { return Ok(()) };
    if known.is_insecure {
        tracing::warn!(%proxy, "--insecure: other machines reach this server by a proxy, and nobody is asked who they are");
        return Ok(());
    }
    Err(StartError::Usage(format!(
        "other machines reach this server by the proxy {proxy}, and nobody has an account yet: `hauld user add NAME` makes one, with \
         the root of this server as --server-root (or HAULD_ROOT) and its --config-dir; with --insecure everybody who reaches the \
         proxy may write"
    )))
}

/// The server's key, if any of its addresses may take TLS. An own one is made if it is needed.
pub(crate) fn keys(config: &Config, listeners: &[Listener]) -> Result<Option<Keys>, StartError> {
    if config.tls == Tls::Never {
        return Ok(None);
    }
    let source = match (&config.certificate, &config.config_dir) {
        (Some(given), _) => Source::Given { chain: given.chain.clone(), key: given.key.clone() },
        (None, Some(path)) => {
            let directory = Directory::new(path);
            if !needs_key(config, listeners) && !directory.has_key() {
                return Ok(None);
            }
            directory.outside(&config.root)?;
            Source::Own(directory)
        }
        (None, None) if needs_key(config, listeners) => return Err(KeyError::NoDirectory.into()),
        (None, None) => return Ok(None),
    };
    Ok(Some(Keys::open(source)?))
}

/// Whether the server can't do without a key.
fn needs_key(config: &Config, listeners: &[Listener]) -> bool {
    let is_tcp = |listen: &&Listen| matches!(listen, Listen::Tcp(_));
    listeners.iter().map(|listener| &listener.address).filter(is_tcp).any(|listen| {
        match config.tls {
            Tls::Always => true,
            Tls::Auto => !listen.is_local() && !config.insecure,
            Tls::Never => false,
        }
    })
}

/// Tells a listener which streams it takes.
pub(crate) fn decide(
    listener: &mut Listener,
    config: &Config,
    keys: Option<&Keys>,
) -> Result<(), StartError> {
    let is_tcp = matches!(listener.address, Listen::Tcp(_));
    let plain = !is_tcp
        || match config.tls {
            Tls::Auto => listener.address.is_local() || config.insecure,
            Tls::Always => false,
            Tls::Never => true,
        };
    let tls = keys.filter(|_| is_tcp).map(Keys::tls).transpose()?;
    listener.accepts = Accepts { plain, tls };
    Ok(())
}
