//! `hauld user` and `hauld link`: the accounts, changed while a server runs or not. The server reads them again.
//!
//! A token is shown once, alone on a line of standard output; everything else goes to standard error, so that
//! `hauld user add NAME | haul login LINK` passes it on.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use haul_protocol::{AccessToken, Right, Rights, Shown};
use humansize::{BINARY, format_size};
use zeroize::Zeroize;

use crate::accounts::edit::{self, moment};
use crate::accounts::file::{self, FileError};
use crate::accounts::users_file::{UsersError, UsersFile};
use crate::accounts::{Account, AccountName, KnownToken, View};
use crate::error::StartError;
use crate::keys::KeyError;
use crate::keys::directory::Directory;
use crate::store;

/// For how long a link is of use unless its command says otherwise.
const LINK: &str = "7d";

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
    #[arg(long, value_name = "N")]
    quota_files: Option<u64>,
    /// The most connections at once.
    #[arg(long, value_name = "N")]
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

/// The places that a new token needs.
#[derive(Debug, Clone, Args)]
pub struct Shows {
    /// An address at which clients reach the server, for the link; may be given several times.
    #[arg(long, value_name = "HOST:PORT")]
    address: Vec<String>,
    /// Where.
    #[command(flatten)]
    place: Place,
}

/// The directory of the accounts.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// Directory of the server's key and accounts.
    #[arg(long, value_name = "DIR", env = "HAULD_CONFIG_DIR")]
    config_dir: Option<PathBuf>,
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
            Self::List(place) => list(&place.users(usual)?, out),
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

impl Add {
    fn run(
        &self,
        usual: Option<PathBuf>,
        out: &mut impl Write,
        people: &mut impl Write,
    ) -> Result<(), StartError> {
        let name = account_name(&self.name)?;
        let account = Account {
            view: root(&name, self.root.as_deref())?,
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
    /// Makes a drop account that ends, and tells its link and its token. The arguments are those of [`Users::run`].
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
            view: root(&name, self.root.as_deref())?,
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

impl Shows {
    /// Shows a token, and the links with which it is of use.
    fn tell(
        &self,
        name: &AccountName,
        token: AccessToken,
        keys: &Directory,
        out: &mut impl Write,
        people: &mut impl Write,
    ) -> Result<(), StartError> {
        let somewhere = [String::from("HOST:PORT")];
        let addresses = if self.address.is_empty() { &somewhere[..] } else { &self.address };
        let pin = keys.pin()?;
        for address in addresses {
            writeln!(people, "haul login haul://{name}@{}#{pin}", Shown(address))?;
        }
        writeln!(people, "The token of `{name}`, which is shown this once:")?;
        let mut text = token.expose();
        let told = writeln!(out, "{text}").and_then(|()| out.flush());
        text.zeroize();
        Ok(told?)
    }
}

impl Place {
    fn directory(&self, usual: Option<PathBuf>) -> Result<PathBuf, StartError> {
        let path = self.config_dir.clone().or(usual);
        Ok(path.ok_or(KeyError::NoDirectory)?)
    }

    fn users(&self, usual: Option<PathBuf>) -> Result<UsersFile, StartError> {
        Ok(UsersFile::in_directory(&self.directory(usual)?))
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
            (account.quota_files.map(|files| files.to_string()), " files"),
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

fn account_name(text: &str) -> Result<AccountName, StartError> {
    let wrong = || StartError::Usage(format!("`{text}` can't be the name of an account"));
    AccountName::parse(text).ok_or_else(wrong)
}

fn root(name: &AccountName, root: Option<&str>) -> Result<View, StartError> {
    file::root(root.unwrap_or(name.as_str())).map_err(StartError::Usage)
}

fn new_token() -> Result<(AccessToken, KnownToken), StartError> {
    let (mut id, mut secret) = ([0; 5], [0; 32]);
    let drawn = getrandom::fill(&mut id).and_then(|()| getrandom::fill(&mut secret));
    drawn.map_err(|error| StartError::Accounts(format!("no random bytes: {error}")))?;
    let token = AccessToken::new(id, secret);
    secret.zeroize();
    let today = moment(now().div_euclid(86_400) * 86_400);
    let (id, hash) = (token.id().to_owned(), token.hash());
    Ok((token, KnownToken { id, hash, created: Some(today), expires: None }))
}

fn now() -> i64 {
    seconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

fn system_user(text: &str) -> Result<u32, String> {
    if let Ok(user) = text.parse() {
        return Ok(user);
    }
    match nix::unistd::User::from_name(text) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err(String::from("this machine has no such user")),
        Err(error) => Err(error.to_string()),
    }
}

/// Rights from the command line: a preset, or words.
fn rights(text: &str) -> Result<Rights, String> {
    match text {
        "writer" => return Ok(Rights::writer()),
        "mirror" => return Ok(Rights::mirror()),
        "reader" => return Ok(Rights::reader()),
        "drop" => return Ok(Rights::drop_box()),
        _ => {}
    }
    let words = text.split(',').map(|word| {
        Right::parse(word.trim()).ok_or_else(|| {
            format!("`{word}` is none of put, replace, delete, list, get, publish, nor of writer, mirror, reader, drop")
        })
    });
    words.collect()
}

fn size(text: &str) -> Result<u64, String> {
    parse_size::parse_size(text).map_err(|error| error.to_string())
}

/// The second since 1970 of a day, a time, or a time from now.
fn end(text: &str) -> Result<i64, String> {
    if let Some(second) = text.parse().ok().as_ref().and_then(file::second) {
        return Ok(second);
    }
    let from_now = humantime::parse_duration(text);
    let from_now = from_now.map_err(|_| {
        String::from(
            "neither a day (2027-01-01), a time with its offset, nor a time from now (30d)",
        )
    })?;
    Ok(now().saturating_add(seconds(from_now)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

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

    #[test]
    fn words_of_the_command_line_are_rights_and_ends() {
        assert_eq!(rights("put,list").unwrap().to_string(), "put, list");
        assert!(rights("put,fly").unwrap_err().contains("`fly`"));
        assert_eq!(end("2027-01-01"), Ok(1_798_761_600));
        assert_eq!(end("2027-01-01T01:00:00+01:00"), Ok(1_798_761_600));
        assert!((end("7d").unwrap() - now() - 7 * 86_400).abs() < 5);
        assert!(
            end("2027-13-01").is_err()
                && end("soon").is_err()
                && end("2027-01-01T00:00:00").is_err()
        );
    }
}
