//! The rights and the limits of an account, as the words of `hauld user add` and `hauld user change` state them.

use clap::Args;
use haul_protocol::Rights;

use super::account_words::{count, end, rights, size, system_user};
use crate::accounts::Account;

/// The word for no limit.
const NONE: &str = "none";

/// The word for no end.
const NEVER: &str = "never";

/// Rights and limits. What is not stated stays as it is.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Limits {
    /// Its rights: "writer" (put, replace, list), "mirror" (all), "reader" (list, get), "drop" (put; each run gets a fresh
    /// directory, and learns nothing), or words: put,replace,delete,list,get,publish [default of a new account: writer].
    #[arg(long, value_name = "RIGHTS", value_parser = rights)]
    rights: Option<Rights>,
    /// The most bytes of its files, such as 200GiB, or none.
    #[arg(long, value_name = "SIZE", value_parser = or(NONE, size))]
    quota_bytes: Option<Limit<u64>>,
    /// The most files, or none.
    #[arg(long, value_name = "N", value_parser = or(NONE, count::<u64>))]
    quota_files: Option<Limit<u64>>,
    /// The most connections at once, or none.
    #[arg(long, value_name = "N", value_parser = or(NONE, count::<u32>))]
    connections: Option<Limit<u32>>,
    /// The most bytes a second, such as 50MiB, or none.
    #[arg(long, value_name = "SIZE", value_parser = or(NONE, size))]
    rate: Option<Limit<u64>>,
    /// Its end: a day (2027-01-01, UTC), a time with its offset, a time from now (30d), or never.
    #[arg(long, value_name = "WHEN", value_parser = or(NEVER, end))]
    expires: Option<Limit<i64>>,
    /// A user of this machine, by name or number, who needs no token on a Unix socket of the server; may be given several
    /// times, and takes the place of those before. Or none.
    #[arg(long, value_name = "USER", value_parser = or(NONE, system_user))]
    unix_user: Vec<Limit<u32>>,
}

/// A limit that is stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit<T> {
    None,
    At(T),
}

impl<T> Limit<T> {
    fn at(self) -> Option<T> {
        match self {
            Self::None => None,
            Self::At(limit) => Some(limit),
        }
    }
}

impl Limits {
    /// Whether none is stated.
    pub(super) fn are_unstated(&self) -> bool {
        let Self { rights, quota_bytes, quota_files, connections, rate, expires, unix_user } = self;
        rights.is_none()
            && [quota_bytes, quota_files, rate].iter().all(|limit| limit.is_none())
            && connections.is_none()
            && expires.is_none()
            && unix_user.is_empty()
    }

    /// Gives an account those that are stated.
    pub(super) fn set(&self, account: &mut Account) {
        let Self { rights, quota_bytes, quota_files, connections, rate, expires, unix_user } = self;
        account.rights = rights.unwrap_or(account.rights);
        set(&mut account.quota_bytes, *quota_bytes);
        set(&mut account.quota_files, *quota_files);
        set(&mut account.connections, *connections);
        set(&mut account.rate, *rate);
        set(&mut account.expires, *expires);
        if !unix_user.is_empty() {
            account.unix_users = unix_user.iter().filter_map(|user| user.at()).collect();
        }
    }
}

fn set<T>(limit: &mut Option<T>, stated: Option<Limit<T>>) {
    if let Some(stated) = stated {
        *limit = stated.at();
    }
}

/// Reads a word that means no limit, or a limit.
fn or<T>(
    none: &'static str,
    read: fn(&str) -> Result<T, String>,
) -> impl Fn(&str) -> Result<Limit<T>, String> + Clone + Send + Sync {
    move |text| if text == none { Ok(Limit::None) } else { read(text).map(Limit::At) }
}
