//! `users.toml`: the text, read strictly. Anything that is not understood is an error with its line, since a field that is
//! passed over may be the one that was to forbid something.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use haul_protocol::{Digest, Name, Right, Rights, Shown};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use super::account::{Account, KnownToken};
use super::client::AccountName;
use super::view::View;

/// Text before the digest of a secret.
pub(super) const HASH: &str = "b3:";

/// Letters of a token's id.
const ID_LETTERS: usize = 8;

/// A line of the file that can't be understood, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileError {
    /// Counted from 1; `None` if the error is about no line.
    line: Option<usize>,
    why: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        Shown(&self.why).fmt(f)
    }
}

impl std::error::Error for FileError {}

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    user: BTreeMap<Spanned<String>, Entry>,
}

/// One account in it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    root: Option<Spanned<String>>,
    rights: Vec<Spanned<String>>,
    quota_bytes: Option<Spanned<Size>>,
    quota_files: Option<u64>,
    connections: Option<u32>,
    rate: Option<Spanned<Size>>,
    expires: Option<Spanned<Datetime>>,
    #[serde(default)]
    unix_users: Vec<Spanned<User>>,
    #[serde(default)]
    token: Vec<Token>,
}

/// A number of bytes: 1000 or "200GiB".
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Size {
    Bytes(u64),
    Text(String),
}

/// A user of the machine. A name is read for its error only.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum User {
    Id(u32),
    Name(String),
}

/// One token of an account.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    id: Spanned<String>,
    hash: Spanned<String>,
    created: Option<Datetime>,
    expires: Option<Spanned<Datetime>>,
}

/// An error at a byte of the text.
struct At(usize, String);

/// Reads the accounts of a text, sorted by name.
///
/// # Errors
/// The first line that can't be understood.
pub(crate) fn parse(text: &str) -> Result<Vec<Account>, FileError> {
    let line = |at: usize| Some(1 + text.get(..at)?.matches('\n').count());
    let file: File = toml::from_str(text).map_err(|error| FileError {
        line: error.span().and_then(|span| line(span.start)),
        why: error.message().trim().to_owned(),
    })?;
    let mut ids = HashMap::new();
    let accounts = file.user.into_iter().map(|(name, entry)| account(&name, entry, &mut ids));
    let accounts = accounts.collect::<Result<_, At>>();
    accounts.map_err(|At(at, why)| FileError { line: line(at), why })
}

fn at<T>(spanned: &Spanned<T>, why: impl Into<String>) -> At {
    At(spanned.span().start, why.into())
}

fn account(
    name: &Spanned<String>,
    entry: Entry,
    ids: &mut HashMap<String, AccountName>,
) -> Result<Account, At> {
    let text = name.get_ref();
    let wrong = || {
        let rule = AccountName::RULE;
        at(name, format!("`{text}` can't be the name of an account: {rule}"))
    };
    let account = AccountName::parse(text).ok_or_else(wrong)?;
    let view = match &entry.root {
        Some(root) => self::root(root.get_ref()).map_err(|why| at(root, why))?,
        None => self::root(text).map_err(|why| at(name, why))?,
    };
    let tokens = entry.token.iter().map(|token| self::token(token, &account, ids));
    let tokens = tokens.collect::<Result<_, _>>()?;
    let rights = entry.rights.iter().map(|word| {
        Right::parse(word.get_ref())
            .ok_or_else(|| at(word, format!("`{}` is no right", word.get_ref())))
    });
    Ok(Account {
        name: account,
        view,
        rights: rights.collect::<Result<Rights, _>>()?,
        expires: end(entry.expires.as_ref())?,
        quota_bytes: size(entry.quota_bytes.as_ref())?,
        quota_files: entry.quota_files,
        connections: entry.connections,
        rate: size(entry.rate.as_ref())?,
        unix_users: entry.unix_users.iter().map(user).collect::<Result<_, _>>()?,
        tokens,
    })
}

/// The view of an account whose root is written like this: a directory below the server's root, or `.` for the server's root.
pub(crate) fn root(text: &str) -> Result<View, String> {
    if text == "." {
        return Ok(View::default());
    }
    let name = Name::parse(text.as_bytes())
        .map_err(|error| format!("`{text}` can't be a root below the server's: {error}"))?;
    // It is cut off from messages, in which such characters are shown as escapes.
    if Shown(text).to_string() != text || text.contains('`') {
        return Err(format!(
            "`{text}` can't be a root: it has a character that is shown as another one"
        ));
    }
    Ok(View::below(Some(name)))
}

fn token(
    Token { id, hash, created, expires }: &Token,
    account: &AccountName,
    ids: &mut HashMap<String, AccountName>,
) -> Result<KnownToken, At> {
    let text = id.get_ref();
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || (b'2'..=b'7').contains(&byte);
    if text.len() != ID_LETTERS || !text.bytes().all(is_letter) {
        let why = format!("`{text}` is no id of a token: {ID_LETTERS} of a-z and 2-7");
        return Err(at(id, why));
    }
    if let Some(other) = ids.insert(text.clone(), account.clone()) {
        return Err(at(id, format!("`{other}` has a token with the id `{text}` as well")));
    }
    let digest = hash.get_ref().strip_prefix(HASH).and_then(|hex| Digest::parse(hex).ok());
    let wrong = || at(hash, format!("a hash is `{HASH}` and 64 hexadecimal digits"));
    Ok(KnownToken {
        id: text.clone(),
        hash: digest.ok_or_else(wrong)?,
        created: created.map(|day| day.to_string()),
        expires: end(expires.as_ref())?,
    })
}

fn size(size: Option<&Spanned<Size>>) -> Result<Option<u64>, At> {
    let Some(size) = size else { return Ok(None) };
    match size.get_ref() {
        Size::Bytes(bytes) => Ok(Some(*bytes)),
        Size::Text(text) => parse_size::parse_size(text)
            .map(Some)
            .map_err(|_| at(size, format!("`{text}` is no number of bytes, such as 200GiB"))),
    }
}

fn user(user: &Spanned<User>) -> Result<u32, At> {
    match user.get_ref() {
        User::Id(id) => Ok(*id),
        // A confined server can't look names up when it reads the file again.
        User::Name(name) => {
            Err(at(user, format!("a user is a number here, as `id -u {}` tells", Shown(name))))
        }
    }
}

fn end(moment: Option<&Spanned<Datetime>>) -> Result<Option<i64>, At> {
    let Some(moment) = moment else { return Ok(None) };
    second(moment.get_ref()).map(Some).ok_or_else(|| {
        let why = "an end is a day, such as 2027-01-01, or a time with its offset, such as 2027-01-01T12:00:00Z";
        at(moment, why)
    })
}

/// The second since 1970 of a day's beginning (UTC), or of a time with an offset.
pub(crate) fn second(moment: &Datetime) -> Option<i64> {
    match (moment.date, moment.time, moment.offset) {
        (Some(_), None, None) => {
            let day: Date = moment.to_string().parse().ok()?;
            Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
        }
        (Some(_), Some(_), Some(_)) => {
            Some(moment.to_string().parse::<Timestamp>().ok()?.as_second())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = r#"
[user.alice]
root = "teams/alice"
rights = ["put", "replace", "list", "publish"]
quota_bytes = "200GiB"
quota_files = 1000000
connections = 8
rate = "50MiB"
expires = 2027-01-01
unix_users = [7, 1000]

[[user.alice.token]]
id = "k3v7x2ab"
hash = "b3:0101010101010101010101010101010101010101010101010101010101010101"
created = 2026-11-26
"#;

    #[test]
    fn account_is_read_with_all_of_its_fields() {
        let found = parse(&format!(
            "{ALICE}[user.bob]\nrights = []\nexpires = 2027-01-01T01:00:00+01:00\n"
        ));
        let [alice, bob] = &found.unwrap()[..] else { panic!("two accounts") };
        assert_eq!(alice.name.as_str(), "alice");
        assert_eq!(alice.view.root().unwrap().to_string(), "teams/alice");
        assert_eq!(alice.rights.to_string(), "put, replace, list, publish");
        assert_eq!((alice.quota_bytes, alice.quota_files), (Some(200 << 30), Some(1_000_000)));
        assert_eq!((alice.connections, alice.rate), (Some(8), Some(50 << 20)));
        assert_eq!(alice.expires, Some(1_798_761_600));
        assert_eq!(alice.unix_users, [7, 1000]);
        let token = &alice.tokens[0];
        assert_eq!((&*token.id, token.hash, token.expires), ("k3v7x2ab", Digest([1; 32]), None));
        // Without a root of its own, that of its name; and the same moment in another zone.
        assert_eq!(
            (bob.view.root().unwrap().to_string(), bob.expires),
            ("bob".into(), alice.expires)
        );
        assert_eq!(parse("").unwrap(), []);
        assert_eq!(
            parse("[user.all]\nroot = \".\"\nrights = []\n").unwrap()[0].view,
            View::default()
        );
    }

    #[test]
    fn line_that_can_not_be_understood_is_named() {
        let token = "[[user.alice.token]]\nid = \"k3v7x2ab\"\nhash = \"b3:00\"\n";
        let same = &ALICE[ALICE.find("[[").unwrap()..];
        let bob = same.replace("alice", "bob");
        for (text, line, part) in [
            ("user = 1", 1, "expected a map"),
            ("[user.alice]\nrights = []\nroots = \"x\"\n", 3, "unknown field `roots`"),
            ("[users.alice]\nrights = []\n", 1, "unknown field `users`"),
            ("[user.alice]\nrights = []\n[user.alice]\nrights = []\n", 3, "duplicate key"),
            ("\n[user.Alice]\nrights = []\n", 2, "`Alice` can't be the name"),
            ("[user.a]\nroot = \"/a\"\nrights = []\n", 2, "absolute"),
            ("[user.a]\nroot = \"b/../../a\"\nrights = []\n", 2, "`.` or `..`"),
            ("[user.a]\nroot = \".haul/trees\"\nrights = []\n", 2, "reserved"),
            ("[user.a]\nroot = \"\"\nrights = []\n", 2, "empty"),
            ("[user.a]\nroot = \"b\\u0007\"\nrights = []\n", 2, "shown as another"),
            ("[user.a]\nroot = \"b`c\"\nrights = []\n", 2, "shown as another"),
            ("[user.a]\nrights = [\n \"put\",\n \"fly\"]\n", 4, "`fly` is no right"),
            ("[user.a]\nroot = \"a\"\n", 1, "missing field `rights`"),
            ("[user.a]\nrights = []\nquota_bytes = \"much\"\n", 3, "`much` is no number"),
            ("[user.a]\nrights = []\nquota_bytes = -1\n", 3, ""),
            ("[user.a]\nrights = []\nexpires = 12:00:00\n", 3, "an end is a day"),
            ("[user.a]\nrights = []\nexpires = 2027-01-01T00:00:00\n", 3, "an end is a day"),
            ("[user.a]\nrights = []\nexpires = \"never\"\n", 3, ""),
            (&format!("[user.alice]\nrights = []\n{token}"), 5, "64 hexadecimal digits"),
            (
                &format!("[user.alice]\nrights = []\n{}", token.replace("k3v7", "K3V7")),
                4,
                "no id of a token",
            ),
            (
                &format!("{ALICE}[user.bob]\nrights = []\n{bob}"),
                19,
                "`alice` has a token with the id",
            ),
            (&ALICE[..ALICE.find("MiB").unwrap()], 8, ""),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.why.contains(part), "{text}: {error}");
            assert_eq!(error.line, Some(line), "{text}: {error}");
        }
    }
}
