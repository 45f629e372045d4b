//! Accounts: who may connect, what each may do, and the root that each sees.
//!
//! The accounts are those of `users.toml`. A `hello` brings a token; the server finds its account, once, and the connection
//! keeps that as a [`Login`]. When the account or the token ends, is removed or gets another root or other rights, the login
//! is over, and with it the connection.

mod account;
mod client;
pub(crate) mod edit;
mod failures;
pub(crate) mod file;
mod latest;
mod scope;
mod table;
pub(crate) mod users_file;
mod view;

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;

use haul_protocol::{AccessToken, AccountFacts};

use crate::locks::{Mutex, Rank};
pub(crate) use account::{Account, KnownToken, Proof};
pub(crate) use client::{AccountName, AccountOf, ClientId};
use failures::Failures;
pub(crate) use failures::Origin;
use latest::Latest;
pub(crate) use scope::Scope;
use table::{Known, Table};
use users_file::{Stamp, UsersError, UsersFile};
pub(crate) use view::View;

/// The accounts of a server.
#[derive(Debug)]
pub(crate) struct Accounts {
    /// `None`: the server has no configuration directory, and so no accounts.
    file: Option<UsersFile>,
    present: Mutex<Present>,
    /// Nobody is served without an account. Stays so for as long as the server runs, also if the last account is removed.
    are_needed: AtomicBool,
    /// The logins of connections, those that are gone until they are looked for.
    logins: Mutex<Vec<Weak<Login>>>,
    failures: Failures,
    latest: Latest,
}

/// The accounts as they are now.
#[derive(Debug)]
struct Present {
    table: Arc<Table>,
    /// The state of the file when it was read last, also if its text could not be understood.
    stamp: Option<Stamp>,
    /// The last error of a file that is not the one of `stamp`: it is told once, and the file is read again.
    failed: Option<String>,
}

/// A connection of an account.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) account: Arc<Account>,
    proof: Proof,
    expires: Option<i64>,
    is_over: AtomicBool,
    /// Wakes the connection when the login is over.
    waker: Waker,
}

impl Login {
    fn begin(known: Known, waker: Waker, logins: &mut Vec<Weak<Self>>) -> Arc<Self> {
        let Known { account, proof, expires } = known;
        let is_over = AtomicBool::new(false);
        let login = Arc::new(Self { account, proof, expires, is_over, waker });
        logins.push(Arc::downgrade(&login));
        login
    }

    /// Whether the account, its token or its rights are no longer those of the `hello`.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// The facts that the client is told.
    pub(crate) fn facts(&self) -> AccountFacts {
        self.account.facts(self.expires)
    }

    /// The proof that the client has the account, which is no secret.
    pub(crate) fn proof(&self) -> &Proof {
        &self.proof
    }
}

/// No account has the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The client is told so.
    Told,
    /// Nobody is told: too many have failed from there.
    Silently,
}

impl Accounts {
    /// The accounts in a configuration directory. `are_needed`: nobody is served without one, also if there is none yet.
    ///
    /// # Errors
    /// If there is a file that can't be read, or not be understood.
    pub(crate) fn open(directory: Option<&Path>, are_needed: bool) -> Result<Self, UsersError> {
        let file = directory.map(UsersFile::in_directory);
        let stamp = file.as_ref().and_then(UsersFile::stamp);
        let table = file.as_ref().map(read).transpose()?.unwrap_or_default();
        let latest = Latest::open(directory, !table.is_empty());
        let are_needed = AtomicBool::new(are_needed || !table.is_empty());
        let present = Present { table: Arc::new(table), stamp, failed: None };
        Ok(Self {
            file,
            present: Mutex::new(Rank::Accounts, present),
            are_needed,
            logins: Mutex::new(Rank::Logins, Vec::new()),
            failures: Failures::default(),
            latest,
        })
    }

    /// Whether nobody is served without an account.
    pub(crate) fn are_needed(&self) -> bool {
        self.are_needed.load(Ordering::Acquire)
    }

    /// Whether there is an account.
    pub(crate) fn are_there(&self) -> bool {
        !self.table().is_empty()
    }

    /// All accounts.
    pub(crate) fn all(&self) -> Vec<Arc<Account>> {
        self.table().accounts().cloned().collect()
    }

    /// The account of a token, for a connection that is woken when the login is over. `now`: milliseconds of the server's
    /// clock.
    pub(crate) fn log_in(
        &self,
        token: &AccessToken,
        origin: impl FnOnce() -> Origin,
        now: u64,
        waker: Waker,
    ) -> Result<Arc<Login>, Denied> {
        // The login is in the list before the table is looked at: a change of the table that comes later ends it.
        let mut logins = self.logins.lock();
        let Some(known) = self.table().find(token, self.second()) else {
            drop(logins);
            return Err(match self.failures.note(origin(), now) {
                true => Denied::Told,
                false => Denied::Silently,
            });
        };
        Ok(Login::begin(known, waker, &mut logins))
    }

    /// Whether an account has the token, as far as the file was read.
    pub(crate) fn knows(&self, token: &AccessToken) -> bool {
        self.table().find(token, self.second()).is_some()
    }

    /// Whether another file has taken the place of the one that was read last. `hauld user` changes accounts so: such a file is
    /// whole from its first moment on.
    pub(crate) fn is_replaced(&self) -> bool {
        let Some(stamp) = self.file.as_ref().and_then(UsersFile::stamp) else { return false };
        self.present.lock().stamp.is_none_or(|read| !read.is_of_same_file(&stamp))
    }

    /// The account of a user of this machine, whom the kernel has told at the other end of a Unix socket. `None`: the user has
    /// none, and needs a token.
    pub(crate) fn log_in_user(&self, user: u32, waker: &Waker) -> Option<Arc<Login>> {
        let mut logins = self.logins.lock();
        let known = self.table().of_user(user, self.second())?;
        Some(Login::begin(known, waker.clone(), &mut logins))
    }

    /// The account that somebody has proved to have before, if the proof still holds.
    pub(crate) fn log_in_again(
        &self,
        name: &AccountName,
        proof: Proof,
        waker: Waker,
    ) -> Option<Arc<Login>> {
        let mut logins = self.logins.lock();
        let known = self.table().known(name, proof, self.second())?;
        Some(Login::begin(known, waker, &mut logins))
    }

    /// The state of the file.
    pub(crate) fn state(&self) -> impl PartialEq + use<> {
        self.file.as_ref().and_then(UsersFile::stamp)
    }

    /// Reads the file again if that has changed and stands still (`reads`), and ends logins that are over; to be called each
    /// second and when the file has changed, by one thread. Returns whether other accounts hold from now on. `prepare` gets
    /// these accounts before any client is one of them.
    pub(crate) fn look(&self, reads: bool, prepare: impl FnOnce(&[Arc<Account>])) -> bool {
        let has_changed = reads && self.read_again(prepare);
        let now = self.second();
        let table = self.table();
        self.latest.note(table.last_end(now));
        let mut over = Vec::new();
        self.logins.lock().retain(|login| {
            let Some(login) = login.upgrade() else { return false };
            let name = &login.account.name;
            let known = table.known(name, login.proof.clone(), now);
            let goes_on = known.is_some_and(|known| known.account.serves_as(&login.account));
            if !goes_on {
                over.push(login);
            }
            goes_on
        });
        for login in over {
            tracing::info!(account = %login.account.name, token = %login.proof, "a login is over");
            login.is_over.store(true, Ordering::Release);
            login.waker.wake_by_ref();
        }
        has_changed
    }

    fn read_again(&self, prepare: impl FnOnce(&[Arc<Account>])) -> bool {
        let Some(file) = &self.file else { return false };
        let stamp = file.stamp();
        {
            let mut present = self.present.lock();
            if present.stamp == stamp {
                present.failed = None;
                return false;
            }
        }
        let read = match stamp {
            Some(_) => read(file),
            None => {
                Err(UsersError::Io(file.path().to_owned(), std::io::ErrorKind::NotFound.into()))
            }
        };
        if let Ok(table) = &read {
            prepare(&table.accounts().cloned().collect::<Vec<_>>());
        }
        let mut present = self.present.lock();
        match read {
            Ok(table) => {
                (present.stamp, present.failed) = (stamp, None);
                if !table.is_empty() {
                    self.are_needed.store(true, Ordering::Release);
                }
                present.table = Arc::new(table);
                drop(present);
                tracing::info!(
                    path = file.path().as_os_str().as_bytes(),
                    "other accounts hold from now on"
                );
                true
            }
            Err(error) => {
                let is_new = if matches!(error, UsersError::Text(..)) {
                    (present.stamp, present.failed) = (stamp, None);
                    true
                } else {
                    let told = Some(error.to_string());
                    std::mem::replace(&mut present.failed, told.clone()) != told
                };
                drop(present);
                if is_new {
                    tracing::error!(%error, "the accounts stay as they were");
                }
                false
            }
        }
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.present.lock().table)
    }

    /// Seconds since 1970.
    fn second(&self) -> i64 {
        self.latest.second()
    }
}

fn read(file: &UsersFile) -> Result<Table, UsersError> {
    let accounts = file::parse(&file.read()?)
        .map_err(|error| UsersError::Text(file.path().to_owned(), error))?;
    Ok(Table::of(accounts))
}

#[cfg(test)]
mod tests;
