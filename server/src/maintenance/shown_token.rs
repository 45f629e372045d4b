//! A token that is shown, once, and the links with which it is of use.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use haul_protocol::{AccessToken, Pin, Shown};
use zeroize::Zeroize;

use super::account_words::{address, now};
use super::environment::{Environment, Place};
use crate::accounts::edit::moment;
use crate::accounts::{AccountName, KnownToken};
use crate::error::StartError;
use crate::http::host::Hosts;
use crate::keys::directory::Directory;
use crate::keys::{KeyError, Vouched};

/// The places that a new token needs.
#[derive(Debug, Clone, Args)]
pub struct Shows {
    /// An address at which clients reach the server, for the link; may be given several times.
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    pub(super) address: Vec<String>,
    /// PEM file of the certificate that the server shows (`hauld --cert`). If an authority has signed it, the link has no pin:
    /// clients trust the authority, and the key may change when the certificate is renewed.
    #[arg(long, value_name = "FILE", env = "HAULD_CERT")]
    pub(super) cert: Option<PathBuf>,
    /// Where.
    #[command(flatten)]
    pub(super) place: Place,
}

/// The way in which clients know the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// By its key.
    Pin(Pin),
    /// By the name in its certificate, which an authority has signed.
    Authority,
}

impl Shows {
    /// The identity of the server, for the link.
    pub(super) fn identity(&self, keys: &Directory) -> Result<Identity, KeyError> {
        let Some(file) = &self.cert else { return Ok(Identity::Pin(keys.pin()?)) };
        let certificate = Vouched::read(file)?;
        Ok(match certificate.is_by_itself {
            true => Identity::Pin(certificate.pin),
            false => Identity::Authority,
        })
    }

    /// Shows a token, and the links with which it is of use. `for_browsers`: also the address that logs a browser in.
    pub(super) fn tell(
        &self,
        name: &AccountName,
        token: AccessToken,
        identity: Identity,
        for_browsers: bool,
        environment: &mut Environment<'_>,
    ) -> Result<(), StartError> {
        let Environment { out, people, .. } = environment;
        // If nobody reads the words for people, the token is still to be shown.
        let somewhere = [String::from("HOST:PORT")];
        let addresses = if self.address.is_empty() { &somewhere[..] } else { &self.address };
        for address in addresses {
            let _ = match identity {
                Identity::Pin(pin) => {
                    writeln!(people, "haul login haul://{name}@{}#{pin}", Shown(address))
                }
                Identity::Authority => {
                    writeln!(people, "haul login haul://{name}@{}", Shown(address))
                }
            };
        }
        if self.address.is_empty() {
            let _ = writeln!(
                people,
                "HOST:PORT stands for the address of the server, which --address names."
            );
        }
        let _ = writeln!(people, "The token of `{name}`, which is shown this once:");
        let mut text = token.expose();
        let mut told = writeln!(out, "{text}");
        for address in self.address.iter().filter(|_| for_browsers) {
            told = told.and_then(|()| writeln!(out, "https://{address}/.haul/login#{text}"));
        }
        let told = told.and_then(|()| out.flush());
        text.zeroize();
        if for_browsers {
            tell_names(&self.address, *people);
        }
        told.map_err(|error| {
            StartError::Accounts(format!(
                "`{name}` has a new token, but it could not be shown ({error}); another one is shown by: hauld user rotate {name}"
            ))
        })
    }
}

/// Tells which setting a server needs whose address has a name: it answers a browser only under names that it was given
/// ([`Hosts`]), and this command does not know the settings of the server.
fn tell_names(addresses: &[String], people: &mut dyn Write) {
    let named = addresses.iter().filter(|address| !Hosts::default().knows(address));
    let names = named.filter_map(|address| address.rsplit_once(':')).map(|(name, _)| name);
    let names: Vec<String> = names.map(|name| format!("\"{}\"", Shown(name))).collect();
    if !names.is_empty() {
        let _ = writeln!(
            people,
            "hauld answers browsers at that address only if its settings have the name: http-host = [{}] in the file, or \
             --http-host.",
            names.join(", ")
        );
    }
}

pub(super) fn new_token() -> Result<(AccessToken, KnownToken), StartError> {
    let (mut id, mut secret) = ([0; 5], [0; 32]);
    let drawn = getrandom::fill(&mut id).and_then(|()| getrandom::fill(&mut secret));
    drawn.map_err(|error| StartError::Accounts(format!("no random bytes: {error}")))?;
    let token = AccessToken::new(id, secret);
    secret.zeroize();
    let today = moment(now().div_euclid(86_400) * 86_400);
    let (id, hash) = (token.id().to_owned(), token.hash());
    Ok((token, KnownToken { id, hash, created: Some(today), expires: None }))
}
