//! `hauld user change`: other rights or limits for an account that is there.

use clap::Args;

use super::account_limits::Limits;
use super::account_table::Row;
use super::account_words::{account_name, now};
use super::environment::{Environment, Place};
use crate::accounts::users_file::UsersError;
use crate::accounts::{edit, file};
use crate::error::StartError;

/// `hauld user change`.
#[derive(Debug, Clone, Args)]
pub struct Change {
    /// The account.
    name: String,
    /// The rights and limits that change.
    #[command(flatten)]
    limits: Limits,
    /// Where.
    #[command(flatten)]
    place: Place,
}

impl Change {
    /// Does it, and shows the account as it is then.
    pub(super) fn run(&self, environment: &mut Environment<'_>) -> Result<(), StartError> {
        let name = account_name(&self.name)?;
        if self.limits.are_unstated() {
            let why = "nothing would change: name a right or a limit, such as --expires 30d";
            return Err(StartError::Usage(why.to_owned()));
        }
        let users = self.place.users(environment)?;
        let account = users.change(|text| {
            let told = |error| UsersError::Text(users.path().to_owned(), error);
            let mut accounts = file::parse(text).map_err(told)?.into_iter();
            let account = accounts.find(|account| account.name == name);
            let mut account = account
                .ok_or_else(|| UsersError::Command(format!("there is no account `{name}`")))?;
            self.limits.set(&mut account);
            Ok((edit::with_changed(text, account.clone()).map_err(told)?, account))
        })?;
        Row::show(&[account], now(), environment.people)?;
        Ok(())
    }
}
