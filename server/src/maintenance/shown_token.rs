//! A token that is shown, once, and the links with which it is of use.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use haul_protocol::{AccessToken, Shown};
use zeroize::Zeroize;

use super::account_words::{address, now};
use crate::accounts::edit::moment;
use crate::accounts::users_file::UsersFile;
use crate::accounts::{AccountName, KnownToken};
use crate::error::StartError;
use crate::keys::KeyError;
use crate::keys::directory::Directory;

/// The places that a new token needs.
#[derive(Debug, Clone, Args)]
pub struct Shows {
    /// An address at which clients reach the server, for the link; may be given several times.
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    pub(super) address: Vec<String>,
    /// Where.
    #[command(flatten)]
    pub(super) place: Place,
}

/// The directory of the accounts.
#[derive(Debug, Clone, Default, Args)]
pub struct Place {
    /// Directory of the server's key and accounts.
    #[arg(long, value_name = "DIR", env = "HAULD_CONFIG_DIR")]
    config_dir: Option<PathBuf>,
}

impl Shows {
    /// Shows a token, and the links with which it is of use.
    pub(super) fn tell(
        &self,
        name: &AccountName,
        token: AccessToken,
        keys: &Directory,
        out: &mut impl Write,
        people: &mut impl Write,
    ) -> Result<(), StartError> {
        // If nobody reads the words for people, the token is still to be shown.
        let somewhere = [String::from("HOST:PORT")];
        let addresses = if self.address.is_empty() { &somewhere[..] } else { &self.address };
        let pin = keys.pin()?;
        for address in addresses {
            let _ = writeln!(people, "haul login haul://{name}@{}#{pin}", Shown(address));
        }
        if self.address.is_empty() {
            let _ = writeln!(
                people,
                "HOST:PORT stands for the address of the server, which --address names."
            );
        }
        let _ = writeln!(people, "The token of `{name}`, which is shown this once:");
        let mut text = token.expose();
        let told = writeln!(out, "{text}").and_then(|()| out.flush());
        text.zeroize();
        told.map_err(|error| {
            StartError::Accounts(format!(
                "the token of `{name}` is changed, but it could not be shown ({error}): run hauld user rotate {name}"
            ))
        })
    }
}

impl Place {
    pub(super) fn directory(&self, usual: Option<PathBuf>) -> Result<PathBuf, StartError> {
        let path = self.config_dir.clone().or(usual);
        Ok(path.ok_or(KeyError::NoDirectory)?)
    }

    pub(super) fn users(&self, usual: Option<PathBuf>) -> Result<UsersFile, StartError> {
        Ok(UsersFile::in_directory(&self.directory(usual)?))
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
