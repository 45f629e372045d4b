//! `hauld user` and `hauld link`: the accounts, changed while a server runs or not. The server reads them again.
//!
//! A token is shown once, alone on a line of standard output; everything else goes to standard error, so that
//! `hauld user add NAME | haul login LINK` passes it on.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use clap::Subcommand;

use super::account_table::{Row, show_json};
use super::account_words::{account_name, now, seconds};
use super::changed_account::Change;
use super::environment::{Environment, Place};
use super::new_account::Add;
use super::shown_token::{Shows, new_token};
use crate::accounts::edit;
use crate::accounts::file::{self, FileError};
use crate::accounts::users_file::{UsersError, UsersFile};
use crate::accounts::{AccountName, KnownToken};
use crate::error::StartError;

/// A command about accounts.
#[derive(Debug, Clone, Subcommand)]
pub enum Users {
    /// Makes an account, and shows its token, once.
    Add(Box<Add>),
    /// Changes rights or limits of an account, and shows the account as it is then. If the rights change, its connections
    /// end within two seconds, and its clients connect again; other changes hold for connections that are there.
    Change(Box<Change>),
    /// Shows all accounts as a table.
    List {
        /// One object of JSON for each account, on a line of its own, with the ids of its tokens.
        #[arg(long)]
        json: bool,
        /// Where.
        #[command(flatten)]
        place: Place,
    },
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
    /// Does it.
    ///
    /// # Errors
    /// If the accounts can't be read or changed, or there is no such account.
    pub fn run(&self, environment: &mut Environment<'_>) -> Result<(), StartError> {
        match self {
            Self::Add(add) => add.run(environment),
            Self::Change(change) => change.run(environment),
            Self::List { json, place } => {
                let users = place.users(environment)?;
                match list(&users, *json, environment.out) {
                    // The reader has seen enough.
                    Err(StartError::Io(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
                    Err(StartError::Io(error)) => {
                        Err(StartError::Accounts(format!("could not show the accounts: {error}")))
                    }
                    done => done,
                }
            }
            Self::Remove { name, place } => {
                remove(name, &place.users(environment)?, environment.people)
            }
            Self::Rotate { name, keep_old, shown } => {
                let keys = shown.place.keys(environment)?;
                let (users, identity) = (shown.place.users(environment)?, shown.identity(&keys)?);
                let name = account_name(name)?;
                let (token, known) = new_token()?;
                let last = keep_old.map(|time| now().saturating_add(seconds(time)));
                users.change(|text| rotated(text, &users, &name, last, known))?;
                shown.tell(&name, token, identity, false, environment)
            }
        }
    }
}

fn list(users: &UsersFile, json: bool, out: &mut dyn Write) -> Result<(), StartError> {
    let told = |error| UsersError::Text(users.path().to_owned(), error);
    let accounts = file::parse(&users.read()?).map_err(told)?;
    if json {
        show_json(&accounts, now(), out)?;
    } else if accounts.is_empty() {
        let path = users.path().display();
        writeln!(out, "There is no account in {path}. One is made by: hauld user add NAME")?;
    } else {
        Row::show(&accounts, now(), out)?;
    }
    Ok(())
}

fn remove(name: &str, users: &UsersFile, people: &mut dyn Write) -> Result<(), StartError> {
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
        let usual = Some(users.to_owned());
        let (out_to, people_to) = (&mut out, &mut people);
        let mut environment =
            Environment { usual, of_service: None, out: out_to, people: people_to };
        let done = line.users.run(&mut environment);
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
        let row = listed.lines().nth(1).unwrap();
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(cells, ["alice", "mirror", "alice", "none", "2030-01-01", "active"]);
        let (_, listed, _) = run(place.path(), &["list", "--json"]);
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        assert_eq!((&listed["account"], &listed["quota_bytes"]), (&"alice".into(), &().into()));
        assert_eq!(listed["tokens"][0]["id"], token.id());
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
            shown: Shows { address: Vec::new(), cert: None, place: Place::default() },
        };
        let run = |users: &Users, out: &mut dyn Write| {
            let usual = Some(place.path().to_owned());
            let people = &mut Vec::new();
            users.run(&mut Environment { usual, of_service: None, out, people })
        };
        let mut full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let told = run(&rotate, &mut full).unwrap_err().to_string();
        let (begin, end) = ("`alice` has a new token, but", "hauld user rotate alice");
        assert!(told.starts_with(begin) && told.ends_with(end), "{told}");
        let list = Users::List { json: false, place: Place::default() };
        let told = run(&list, &mut full).unwrap_err().to_string();
        assert!(told.starts_with("could not show the accounts"), "{told}");
        let (reader, mut closed) = std::io::pipe().unwrap();
        drop(reader);
        run(&list, &mut closed).unwrap();
    }

    #[test]
    fn account_that_is_changed_keeps_all_that_is_not_stated() {
        let place = tempfile::tempdir().unwrap();
        let run = |words: &str| run(place.path(), &words.split(' ').collect::<Vec<_>>());
        run("add alice --quota-files 5 --rate 1MiB --expires 2030-01-01").0.unwrap();
        run("add bob").0.unwrap();
        let before = accounts(place.path());
        let (done, out, people) =
            run("change alice --rights reader --quota-bytes 1GiB --rate none");
        done.unwrap();
        assert!(out.is_empty() && people.contains("1 GiB, 5 files"), "{people}");
        let mut expected = before.clone();
        let alice = &mut expected[0];
        (alice.rights, alice.quota_bytes, alice.rate) = (Rights::reader(), Some(1 << 30), None);
        assert_eq!(accounts(place.path()), expected);
        run("change alice --expires never --quota-files none --connections 3").0.unwrap();
        let alice = &mut expected[0];
        (alice.expires, alice.quota_files, alice.connections) = (None, None, Some(3));
        assert_eq!(accounts(place.path()), expected);
        for (wrong, why) in [
            ("change alice", "nothing would change"),
            ("change carol --rate none", "no account `carol`"),
        ] {
            let told = run(wrong).0.unwrap_err().to_string();
            assert!(told.contains(why), "{told}");
        }
        assert_eq!(accounts(place.path()), expected);
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
