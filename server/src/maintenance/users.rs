//! `hauld user` and `hauld link`: the accounts, changed while a server runs or not. The server reads them again.
//!
//! A token is shown once, alone on a line of standard output; everything else goes to standard error, so that
//! `hauld user add NAME | haul login LINK` passes it on.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use humansize::{BINARY, format_size};

use super::account_words::{account_name, now, seconds};
use super::new_account::Add;
use super::shown_token::{Place, Shows, new_token};
use crate::accounts::edit::{self, moment};
use crate::accounts::file::{self, FileError};
use crate::accounts::users_file::{UsersError, UsersFile};
use crate::accounts::{AccountName, KnownToken};
use crate::error::StartError;
use crate::keys::directory::Directory;

/// A command about accounts.
#[derive(Debug, Clone, Subcommand)]
pub enum Users {
    /// Makes an account, and shows its token, once.
    Add(Box<Add>),
    /// Shows all accounts.
    List(Place),
    /// Removes an account. Its connections end within two seconds, its files stay.
    Remove {
        /// The account.
        name: String,
        /// Where.
        #[command(flatten)]
        place: Place,
    },
    /// Gives an account another token, and shows it, once.
    Rotate {
        /// The account.
        name: String,
        /// For how long the old tokens are of use, such as 7d [default: not at all].
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        keep_old: Option<Duration>,
        /// Where.
        #[command(flatten)]
        shown: Shows,
    },
}

impl Users {
    /// Does it. `usual`: the configuration directory if none is named. `out` is told tokens and lists, `people` the rest.
    ///
    /// # Errors
    /// If the accounts can't be read or changed, or there is no such account.
    pub fn run(
        &self,
        usual: Option<PathBuf>,
        out: &mut impl Write,
        people: &mut impl Write,
    ) -> Result<(), StartError> {
        match self {
            Self::Add(add) => add.run(usual, out, people),
            Self::List(place) => match list(&place.users(usual)?, out) {
                // The reader has seen enough.
                Err(StartError::Io(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
                Err(StartError::Io(error)) => {
                    Err(StartError::Accounts(format!("could not show the accounts: {error}")))
                }
                done => done,
            },
            Self::Remove { name, place } => remove(name, &place.users(usual)?, people),
            Self::Rotate { name, keep_old, shown } => {
                let directory = shown.place.directory(usual)?;
                let users = UsersFile::in_directory(&directory);
                let name = account_name(name)?;
                let (token, known) = new_token()?;
                let last = keep_old.map(|time| now().saturating_add(seconds(time)));
                users.change(|text| rotated(text, &users, &name, last, known))?;
                shown.tell(&name, token, &Directory::new(&directory), out, people)
            }
        }
    }
}

fn list(users: &UsersFile, out: &mut impl Write) -> Result<(), StartError> {
    let told = |error| UsersError::Text(users.path().to_owned(), error);
    for account in file::parse(&users.read()?).map_err(told)? {
        let root = account.view.root().map_or_else(|| ".".to_owned(), ToString::to_string);
        write!(out, "{}  {root}  {}", account.name, account.rights)?;
        let end = |expires: Option<i64>| expires.map(|end| format!(" until {}", moment(end)));
        write!(out, "{}", end(account.expires).unwrap_or_default())?;
        for (quota, what) in [
            (account.quota_bytes.map(|bytes| format_size(bytes, BINARY)), ""),
            (account.quota_files.map(|files| files.to_string()), " files and directories"),
            (account.connections.map(|most| most.to_string()), " connections"),
            (account.rate.map(|rate| format_size(rate, BINARY)), " a second"),
        ] {
            if let Some(quota) = quota {
                write!(out, ", at most {quota}{what}")?;
            }
        }
        writeln!(out)?;
        for token in account.tokens {
            let created = token.created.map(|day| format!(" of {day}")).unwrap_or_default();
            writeln!(
                out,
                "    token {}{created}{}",
                token.id,
                end(token.expires).unwrap_or_default()
            )?;
        }
    }
    Ok(())
}

fn remove(name: &str, users: &UsersFile, people: &mut impl Write) -> Result<(), StartError> {
    let name = account_name(name)?;
    let left = users.change(|text| {
        let told = |error| UsersError::Text(users.path().to_owned(), error);
        let before = known(text, users, &name)?;
        Ok((edit::without_account(text, &name).map_err(told)?, before - 1))
    })?;
    if left == 0 {
        writeln!(
            people,
            "No account is left. When hauld starts again, it asks nobody on this machine for one."
        )?;
    }
    Ok(())
}

/// The text with the account's tokens, `new` among them; others end at `last`, or at once.
fn rotated(
    text: &str,
    users: &UsersFile,
    name: &AccountName,
    last: Option<i64>,
    new: KnownToken,
) -> Result<(String, ()), UsersError> {
    known(text, users, name)?;
    let told = |error| UsersError::Text(users.path().to_owned(), error);
    let accounts = file::parse(text).map_err(told)?;
    let old = accounts
        .into_iter()
        .filter(|account| account.name == *name)
        .flat_map(|account| account.tokens);
    let kept = old.filter_map(|token| {
        let expires = Some(last?.min(token.expires.unwrap_or(i64::MAX)));
        Some(KnownToken { expires, ..token })
    });
    let tokens = kept.filter(|token| token.expires > Some(now())).chain([new]).collect();
    Ok((edit::with_tokens(text, name, tokens).map_err(told)?, ()))
}

/// The number of accounts, if one of them has this name.
fn known(text: &str, users: &UsersFile, name: &AccountName) -> Result<usize, UsersError> {
    let told = |error: FileError| UsersError::Text(users.path().to_owned(), error);
    let accounts = file::parse(text).map_err(told)?;
    match accounts.iter().any(|account| account.name == *name) {
        true => Ok(accounts.len()),
        false => Err(UsersError::Command(format!("there is no account `{name}`"))),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use haul_protocol::{AccessToken, Rights};

    use super::*;
    use crate::accounts::Account;

    fn run(users: &Path, words: &[&str]) -> (Result<(), StartError>, String, String) {
        use clap::Parser;

        #[derive(Debug, Parser)]
        struct Line {
            #[command(subcommand)]
            users: Users,
        }

        let line = Line::parse_from([&["hauld"], words].concat());
        let (mut out, mut people) = (Vec::new(), Vec::new());
        let done = line.users.run(Some(users.to_owned()), &mut out, &mut people);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (done, text(out), text(people))
    }

    fn accounts(users: &Path) -> Vec<Account> {
        file::parse(&UsersFile::in_directory(users).read().unwrap()).unwrap()
    }

    #[test]
    fn account_that_is_added_has_the_token_that_was_shown_and_no_secret_is_kept() {
        let place = tempfile::tempdir().unwrap();
        let words = [
            "add",
            "alice",
            "--address",
            "box:8080",
            "--rights",
            "mirror",
            "--expires",
            "2030-01-01",
        ];
        let (done, out, people) = run(place.path(), &words);
        done.unwrap();
        let token: AccessToken = out.parse().unwrap();
        assert!(people.contains("haul login haul://alice@box:8080#haul1-"), "{people}");
        assert!(!people.contains(out.trim()));
        let [alice] = &accounts(place.path())[..] else { panic!() };
        assert_eq!((alice.rights, &*alice.tokens[0].id), (Rights::mirror(), token.id()));
        assert_eq!(alice.tokens[0].hash, token.hash());
        assert_eq!(alice.view.root().unwrap().to_string(), "alice");
        let kept = std::fs::read_to_string(place.path().join("users.toml")).unwrap();
        assert!(!kept.contains(&out.trim()[14..]), "{kept}");
        let (again, ..) = run(place.path(), &words);
        assert!(again.unwrap_err().to_string().contains("already"));
        let (_, listed, _) = run(place.path(), &["list"]);
        assert!(
            listed.starts_with("alice  alice  put, replace") && listed.contains("until 2030-01-01"),
            "{listed}"
        );
    }

    #[test]
    fn rotation_ends_old_tokens_at_once_or_after_a_while() {
        let place = tempfile::tempdir().unwrap();
        run(place.path(), &["add", "alice"]).0.unwrap();
        let old = accounts(place.path())[0].tokens[0].clone();
        run(place.path(), &["rotate", "alice", "--keep-old", "7d"]).0.unwrap();
        let tokens = accounts(place.path()).remove(0).tokens;
        assert_eq!((tokens.len(), &tokens[0].id, tokens[1].expires), (2, &old.id, None));
        let left = tokens[0].expires.unwrap() - now();
        assert!((7 * 86_400 - 60..=7 * 86_400).contains(&left), "{left}");
        run(place.path(), &["rotate", "alice"]).0.unwrap();
        let tokens = accounts(place.path()).remove(0).tokens;
        assert_eq!(tokens.len(), 1);
        assert!(run(place.path(), &["rotate", "bob"]).0.is_err());
    }

    #[test]
    fn token_that_could_not_be_shown_is_told_with_the_command_for_another() {
        let place = tempfile::tempdir().unwrap();
        run(place.path(), &["add", "alice"]).0.unwrap();
        let rotate = Users::Rotate {
            name: String::from("alice"),
            keep_old: None,
            shown: Shows { address: Vec::new(), place: Place::default() },
        };
        let mut full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let usual = || Some(place.path().to_owned());
        let told = rotate.run(usual(), &mut full, &mut Vec::new()).unwrap_err().to_string();
        assert!(told.contains("is changed") && told.contains("hauld user rotate alice"), "{told}");
        let list = Users::List(Place::default());
        let told = list.run(usual(), &mut full, &mut Vec::new()).unwrap_err().to_string();
        assert!(told.starts_with("could not show the accounts"), "{told}");
        let (reader, mut closed) = std::io::pipe().unwrap();
        drop(reader);
        list.run(usual(), &mut closed, &mut Vec::new()).unwrap();
    }

    #[test]
    fn account_is_removed_and_the_last_one_with_a_word() {
        let place = tempfile::tempdir().unwrap();
        for name in ["alice", "bob"] {
            run(place.path(), &["add", name]).0.unwrap();
        }
        let (done, _, people) = run(place.path(), &["remove", "alice"]);
        assert!(done.is_ok() && people.is_empty(), "{people}");
        assert!(run(place.path(), &["remove", "alice"]).0.is_err());
        let (_, _, people) = run(place.path(), &["remove", "bob"]);
        assert!(people.contains("No account is left"), "{people}");
        assert!(accounts(place.path()).is_empty());
    }
}
