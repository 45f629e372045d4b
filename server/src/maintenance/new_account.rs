//! `hauld user add` and `hauld link`: a new account.

use std::path::PathBuf;

use clap::Args;
use haul_protocol::Rights;

use super::account_limits::Limits;
use super::account_words::{account_name, end, root};
use super::environment::Environment;
use super::shown_token::{Shows, new_token};
use crate::accounts::users_file::UsersError;
use crate::accounts::{Account, edit, file};
use crate::error::StartError;
use crate::store;

/// For how long a link is of use unless its command says otherwise.
const LINK: &str = "7d";

/// `hauld user add`.
#[derive(Debug, Clone, Args)]
pub struct Add {
    /// The account: up to 32 of a-z, 0-9, ".", "_" and "-".
    name: String,
    /// Its root, a directory below the server's root; "." is the server's root itself [default: NAME].
    #[arg(long, value_name = "SUB")]
    root: Option<String>,
    /// Its rights and limits.
    #[command(flatten)]
    limits: Limits,
    /// Where.
    #[command(flatten)]
    made: Made,
}

/// `hauld link`.
#[derive(Debug, Clone, Args)]
pub struct Link {
    /// The name of the account that the link is for.
    name: String,
    /// Directory below the server's root in which each run of a client gets a fresh one [default: NAME].
    #[arg(long, value_name = "SUB")]
    root: Option<String>,
    /// Its end: a day (2027-01-01, UTC), a time with its offset, or a time from now.
    #[arg(long, value_name = "WHEN", value_parser = end, default_value = LINK)]
    expires: i64,
    /// Where.
    #[command(flatten)]
    made: Made,
}

/// The places that a new account needs.
#[derive(Debug, Clone, Args)]
pub(crate) struct Made {
    /// Directory that uploads go to. If it is there, the account's root in it is looked at.
    #[arg(long, value_name = "DIR", env = "HAULD_ROOT", default_value = "./uploads")]
    server_root: PathBuf,
    /// See there.
    #[command(flatten)]
    shown: Shows,
}

impl Add {
    pub(super) fn run(&self, environment: &mut Environment<'_>) -> Result<(), StartError> {
        let name = account_name(&self.name)?;
        let view = root(&name, self.root.as_deref(), &self.made.server_root)?;
        let mut account = Account::new(name, view, Rights::writer());
        self.limits.set(&mut account);
        self.made.make(account, false, environment)
    }
}

impl Link {
    /// Makes a drop account that ends, and tells its link and its token.
    ///
    /// # Errors
    /// If the accounts can't be read or changed, or the account is there already.
    pub fn run(&self, environment: &mut Environment<'_>) -> Result<(), StartError> {
        let name = account_name(&self.name)?;
        let view = root(&name, self.root.as_deref(), &self.made.server_root)?;
        let mut account = Account::new(name, view, Rights::drop_box());
        account.expires = Some(self.expires);
        self.made.make(account, true, environment)
    }
}

impl Made {
    fn make(
        &self,
        mut account: Account,
        for_browsers: bool,
        environment: &mut Environment<'_>,
    ) -> Result<(), StartError> {
        let place = &self.shown.place;
        let (users, keys) = (place.users(environment)?, place.keys(environment)?);
        keys.outside(&self.server_root)?;
        let identity = self.shown.identity(&keys)?;
        if let Some(root) = account.view.root() {
            store::may_be_root(&self.server_root, root)
                .map_err(|error| StartError::Accounts(error.to_string()))?;
        }
        let (token, known) = new_token()?;
        account.tokens.push(known);
        let name = account.name.clone();
        users.change(|text| {
            let told = |error| UsersError::Text(users.path().to_owned(), error);
            if file::parse(text).map_err(told)?.iter().any(|other| other.name == account.name) {
                let why = format!(
                    "there is an account `{}` already; `hauld user rotate` gives it another token",
                    account.name
                );
                return Err(UsersError::Command(why));
            }
            Ok((edit::with_account(text, account).map_err(told)?, ()))
        })?;
        self.shown.tell(&name, token, identity, for_browsers, environment)
    }
}
