//! `hauld user add` and `hauld link`: a new account.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use haul_protocol::Rights;

use super::account_words::{account_name, end, rights, root, size, system_user};
use super::shown_token::{Shows, new_token};
use crate::accounts::users_file::{UsersError, UsersFile};
use crate::accounts::{Account, edit, file};
use crate::error::StartError;
use crate::keys::directory::Directory;
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
    /// Its rights: "writer" (put, replace, list), "mirror" (all), "reader" (list, get), "drop" (put; each run gets a fresh
    /// directory, and learns nothing), or words: put,replace,delete,list,get,publish.
    #[arg(long, value_name = "RIGHTS", value_parser = rights, default_value = "writer")]
    rights: Rights,
    /// The most bytes of its files, such as 200GiB.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    quota_bytes: Option<u64>,
    /// The most files.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    quota_files: Option<u64>,
    /// The most connections at once.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    connections: Option<u32>,
    /// The most bytes a second, such as 50MiB.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    rate: Option<u64>,
    /// Its end: a day (2027-01-01, UTC), a time with its offset, or a time from now (30d).
    #[arg(long, value_name = "WHEN", value_parser = end)]
    expires: Option<i64>,
    /// A user of this machine, by name or number, who needs no token on a Unix socket of the server; may be given several
    /// times.
    #[arg(long, value_name = "USER", value_parser = system_user)]
    unix_user: Vec<u32>,
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
    pub(super) fn run(
        &self,
        usual: Option<PathBuf>,
        out: &mut impl Write,
        people: &mut impl Write,
    ) -> Result<(), StartError> {
        let name = account_name(&self.name)?;
        let account = Account {
            view: root(&name, self.root.as_deref(), &self.made.server_root)?,
            name,
            rights: self.rights,
            expires: self.expires,
            quota_bytes: self.quota_bytes,
            quota_files: self.quota_files,
            connections: self.connections,
            rate: self.rate,
            unix_users: self.unix_user.clone(),
            tokens: Vec::new(),
        };
        self.made.make(account, usual, out, people)
    }
}

impl Link {
    /// Makes a drop account that ends, and tells its link and its token. The arguments are those of [`Users::run`](super::users::Users::run).
    ///
    /// # Errors
    /// If the accounts can't be read or changed, or the account is there already.
    pub fn run(
        &self,
        usual: Option<PathBuf>,
        out: &mut impl Write,
        people: &mut impl Write,
    ) -> Result<(), StartError> {
        let name = account_name(&self.name)?;
        let account = Account {
            view: root(&name, self.root.as_deref(), &self.made.server_root)?,
            name,
            rights: Rights::drop_box(),
            expires: Some(self.expires),
            quota_bytes: None,
            quota_files: None,
            connections: None,
            rate: None,
            unix_users: Vec::new(),
            tokens: Vec::new(),
        };
        self.made.make(account, usual, out, people)
    }
}

impl Made {
    fn make(
        &self,
        mut account: Account,
        usual: Option<PathBuf>,
        out: &mut impl Write,
        people: &mut impl Write,
    ) -> Result<(), StartError> {
        let directory = self.shown.place.directory(usual)?;
        let (users, keys) = (UsersFile::in_directory(&directory), Directory::new(&directory));
        keys.outside(&self.server_root)?;
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
        self.shown.tell(&name, token, &keys, out, people)
    }
}
