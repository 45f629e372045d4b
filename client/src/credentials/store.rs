//! The file `credentials`, which several processes may read and change at once.

use std::io;
use std::path::PathBuf;

use haul_protocol::AccessToken;
use zeroize::Zeroizing;

use super::{file, private};
use crate::error::credentials::CredentialsError;
use crate::net::destination::Server;
use crate::trust::directory::Directory;

/// The file's name in the directory of haul's files.
const NAME: &str = "credentials";

/// The tokens that `haul login` keeps.
#[derive(Debug)]
pub(crate) struct Store {
    directory: Directory,
}

/// An account, and its token.
pub(super) type Found = (String, AccessToken);

impl Store {
    /// The store of this user.
    ///
    /// # Errors
    /// If the environment names no place.
    pub(crate) fn own() -> Result<Self, CredentialsError> {
        Ok(Self { directory: Directory::of_user()? })
    }

    /// The file.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.file(NAME)
    }

    /// Looks whether the file can be used, if it is there.
    ///
    /// # Errors
    /// If it can't.
    pub(crate) fn check(&self) -> Result<(), CredentialsError> {
        self.text().map(drop)
    }

    /// The tokens of an account at a server; of all its accounts if none is named.
    ///
    /// # Errors
    /// If the file can't be used.
    pub(super) fn find(
        &self,
        server: &Server,
        account: Option<&str>,
    ) -> Result<Vec<Found>, CredentialsError> {
        let (text, word) = (self.text()?, file::word(server));
        let lines = file::lines(&text, &word);
        let lines = lines.filter(|line| account.is_none_or(|account| account == line.account));
        let found = lines.map(|line| {
            let token = line.token.parse().map_err(|source| {
                let place = format!("{}, line {}", self.path().display(), line.number);
                CredentialsError::Malformed { place, source }
            })?;
            Ok((line.account.to_owned(), token))
        });
        found.collect()
    }

    /// Keeps the token of an account, in the place of the one that it had.
    ///
    /// # Errors
    /// If the file can't be used or written.
    pub(crate) fn add(
        &self,
        server: &Server,
        account: &str,
        token: &AccessToken,
    ) -> Result<(), CredentialsError> {
        self.change(|text| Some(file::with(text, &file::word(server), account, token)))
    }

    /// Forgets the tokens of an account at a server, or of all its accounts if none is named; returns whose these were.
    ///
    /// # Errors
    /// If the file can't be used or written.
    pub(crate) fn remove(
        &self,
        server: &Server,
        account: Option<&str>,
    ) -> Result<Vec<String>, CredentialsError> {
        let (word, mut accounts) = (file::word(server), Vec::new());
        if self.text()?.is_empty() {
            return Ok(accounts);
        }
        self.change(|text| {
            let names = file::lines(text, &word).map(|line| line.account);
            let names = names.filter(|name| account.is_none_or(|account| account == *name));
            accounts = names.map(str::to_owned).collect();
            (!accounts.is_empty()).then(|| file::without(text, &word, account))
        })?;
        Ok(accounts)
    }

    /// Whether an error says that this user has no such file.
    fn is_absent(&self, error: &io::Error) -> bool {
        let is_missing =
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        is_missing || self.directory.is_closed()
    }

    fn text(&self) -> Result<Zeroizing<String>, CredentialsError> {
        let path = self.path();
        let bytes = match private::read(&path) {
            Err(CredentialsError::Read { source, .. }) if self.is_absent(&source) => {
                Zeroizing::default()
            }
            read => read?,
        };
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Zeroizing::new(text.to_owned())),
            Err(_) => {
                let source = io::Error::other("it is no UTF-8 text");
                Err(CredentialsError::Read { path, source })
            }
        }
    }

    /// Changes the text, alone among all processes; the file is there whole, in its old or new form, at every moment.
    fn change(
        &self,
        change: impl FnOnce(&str) -> Option<Zeroizing<String>>,
    ) -> Result<(), CredentialsError> {
        let locked = self.directory.lock()?;
        if let Some(text) = change(&self.text()?) {
            locked.replace(NAME, text.as_bytes())?;
        }
        Ok(())
    }
}
