//! The direct way: for a short time a port of this machine is open, at which the client of `--stdio` may come in with TLS.
//!
//! The process that serves listens: it binds the port before its sandbox is on. A key and a token, made for this run alone, go to
//! the client over ssh. The port is that of the address to which the client has come with ssh, and of no other one.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use haul_protocol::{AccessToken, Pin};
use zeroize::{Zeroize, Zeroizing};

use crate::keys::passing::passing;
use crate::net::listen::{Listen, Listener};
use crate::net::transport::Accepts;
use crate::services::invitation::Invitation;

/// The word of the process that serves to the one that relays: the root is open.
pub(super) const OPEN: &str = "open";

/// Time for which the port is open.
pub(super) const OPEN_FOR: Duration = Duration::from_secs(10);

/// sshd tells here the addresses and ports of the client and of the server (sshd(8)).
const CONNECTION: &str = "SSH_CONNECTION";

/// Another way for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    address: SocketAddr,
    pin: Pin,
    token: AccessToken,
}

impl Offer {
    /// Address, pin and token, as the client gets them.
    pub(super) fn texts(&self) -> (String, String, Zeroizing<String>) {
        (self.address.to_string(), self.pin.to_string(), self.token.expose().into())
    }
}

/// Listens at a free port for a client that shows a token. `None`: sshd has told no address, or it can't be listened on.
pub(super) fn listen() -> Option<((Listener, Invitation), Offer)> {
    let address = of_server(&std::env::var(CONNECTION).ok()?)?;
    let listened = (|| {
        let (tls, pin) = passing().map_err(|error| error.to_string())?;
        let accepts = Accepts { plain: false, tls: Some(tls) };
        let listener = Listener::direct(address, accepts).map_err(|error| error.to_string())?;
        let token = token().map_err(|error| error.to_string())?;
        Ok((listener, pin, token))
    })();
    let (listener, pin, token) = listened
        .inspect_err(|error: &String| tracing::debug!(%address, error, "no direct way"))
        .ok()?;
    let Listen::Tcp(address) = listener.address else { return None };
    tracing::debug!(%address, "a port is open for the client");
    Some(((listener, Invitation::new(&token)), Offer { address, pin, token }))
}

/// The address to which the client has come.
fn of_server(connection: &str) -> Option<IpAddr> {
    let address: IpAddr = connection.split_ascii_whitespace().nth(2)?.parse().ok()?;
    let address = address.to_canonical();
    (!address.is_unspecified() && !address.is_multicast()).then_some(address)
}

fn token() -> Result<AccessToken, getrandom::Error> {
    let (mut id, mut secret) = ([0; 5], [0; 32]);
    getrandom::fill(&mut id)?;
    getrandom::fill(&mut secret)?;
    let token = AccessToken::new(id, secret);
    secret.zeroize();
    Ok(token)
}

/// The word of the process that serves: the root is open, and the client may come in this way as well.
pub(super) fn word(offer: &Offer) -> Zeroizing<Vec<u8>> {
    let (address, pin, token) = offer.texts();
    let mut word = Zeroizing::new(Vec::with_capacity(512));
    for text in [OPEN, " ", &address, " ", &pin, " ", &token, "\n"] {
        word.extend_from_slice(text.as_bytes());
    }
    word
}

/// Whether that process says that the root is open; with the other way, if there is one.
pub(super) fn opened(said: &str) -> Option<Option<Offer>> {
    let mut words = said.split(' ');
    if words.next() != Some(OPEN) {
        return None;
    }
    let mut offer = || {
        let (address, pin, token) = (words.next()?, words.next()?, words.next()?);
        let (address, pin, token) = (address.parse().ok()?, pin.parse().ok()?, token.parse().ok()?);
        Some(Offer { address, pin, token })
    };
    Some(offer())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_that_to_which_the_client_has_come() {
        let of = |text: &str| of_server(text).map(|address| address.to_string());
        assert_eq!(of("192.0.2.1 5000 192.0.2.9 22").as_deref(), Some("192.0.2.9"));
        assert_eq!(of("::1 5000 ::ffff:192.0.2.9 22").as_deref(), Some("192.0.2.9"));
        assert_eq!(of("2001:db8::1 5000 2001:db8::9 22").as_deref(), Some("2001:db8::9"));
        for text in [
            "",
            "UNKNOWN 65535 UNKNOWN 65535",
            "a b 0.0.0.0 22",
            "a b :: 22",
            "a b ff02::1 22",
            "fe80::2%e 1 fe80::1%e 22",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn offer_goes_through_the_word_of_the_host_and_shows_no_token() {
        let (address, pin) = ("127.0.0.1:5000".parse().unwrap(), Pin([3; 32]));
        let offer = Offer { address, pin, token: AccessToken::new([1; 5], [2; 32]) };
        let word = word(&offer);
        let said = std::str::from_utf8(&word).unwrap().trim_end();
        assert_eq!(opened(said), Some(Some(offer.clone())));
        assert_eq!((opened("open"), opened("opening"), opened("busy x")), (Some(None), None, None));
        let secret = offer.token.expose();
        assert!(!format!("{offer:?}").contains(&secret[20..]), "{offer:?}");
    }
}
