//! Changes of the text of `users.toml` by commands. All that a person has written stays as it is, with its comments, but for
//! the account or the tokens that the command is about. If the text is written in a way that this can't be done with, it is
//! written anew from the accounts alone.

use std::fmt::Write;
use std::ops::Range;

use jiff::Timestamp;

use super::account::{Account, KnownToken};
use super::client::AccountName;
use super::file::{FileError, HASH, parse};

/// The first line of a file that a command makes.
const TITLE: &str = "# The accounts of hauld; `hauld user` changes them, and so may you. A running hauld reads them again.\n";

/// Seconds of a day.
const DAY: i64 = 86_400;

/// The text with one account more.
pub(crate) fn with_account(text: &str, account: Account) -> Result<String, FileError> {
    let mut accounts = parse(text)?;
    let mut new = if text.trim().is_empty() { TITLE.to_owned() } else { text.to_owned() };
    append(&mut new, &written(&account));
    accounts.push(account);
    Ok(agreed(new, accounts))
}

/// The text in which the account of this name is this one. Its tokens stay as they are written.
pub(crate) fn with_changed(text: &str, account: Account) -> Result<String, FileError> {
    let mut accounts = parse(text)?;
    let is_meant = |path: &[String]| matches!(path, [user, of] if user == "user" && of == account.name.as_str());
    let place = sections(text).into_iter().find(|(path, _)| is_meant(path));
    let new = match place {
        Some((_, range)) => {
            let (before, after) = (&text[..range.start], &text[range.end..]);
            format!("{before}{}{after}", written_account(&account))
        }
        None => text.to_owned(),
    };
    accounts.retain(|other| other.name != account.name);
    accounts.push(account);
    Ok(agreed(new, accounts))
}

/// The text without an account.
pub(crate) fn without_account(text: &str, name: &AccountName) -> Result<String, FileError> {
    let mut accounts = parse(text)?;
    accounts.retain(|account| account.name != *name);
    let new =
        cut(text, |path| matches!(path, [user, of, ..] if user == "user" && of == name.as_str()));
    Ok(agreed(new, accounts))
}

/// The text in which an account has these tokens and no others.
pub(crate) fn with_tokens(
    text: &str,
    name: &AccountName,
    tokens: Vec<KnownToken>,
) -> Result<String, FileError> {
    let mut accounts = parse(text)?;
    let mut new = cut(
        text,
        |path| matches!(path, [user, of, token] if user == "user" && of == name.as_str() && token == "token"),
    );
    for token in &tokens {
        append(&mut new, &written_token(name, token));
    }
    if let Some(account) = accounts.iter_mut().find(|account| account.name == *name) {
        account.tokens = tokens;
    }
    Ok(agreed(new, accounts))
}

/// The new text, if it says what it is to say; otherwise the accounts alone.
fn agreed(text: String, mut accounts: Vec<Account>) -> String {
    accounts.sort_by(|one, other| one.name.cmp(&other.name));
    if parse(&text).is_ok_and(|found| found == accounts) {
        return text;
    }
    let mut text = TITLE.to_owned();
    accounts.iter().for_each(|account| append(&mut text, &written(account)));
    text
}

fn append(text: &mut String, section: &str) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push('\n');
    text.push_str(section);
}

/// The text without the sections whose path is meant.
fn cut(text: &str, is_meant: impl Fn(&[String]) -> bool) -> String {
    let mut new = String::new();
    let mut from = 0;
    for (path, range) in sections(text) {
        if is_meant(&path) {
            new.push_str(&text[from..range.start]);
            from = range.end;
        }
    }
    new.push_str(&text[from..]);
    new
}

/// Each section: the path in its header, and its bytes up to the last line that is neither empty nor a comment. A comment
/// after it may be about the next section.
fn sections(text: &str) -> Vec<(Vec<String>, Range<usize>)> {
    let mut found: Vec<(Vec<String>, Range<usize>)> = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let (start, trimmed) = (at, line.trim());
        at += line.len();
        if trimmed.starts_with('[')
            && let Some(path) = path(trimmed)
        {
            found.push((path, start..at));
        } else if !trimmed.is_empty()
            && !trimmed.starts_with('#')
            && let Some((_, range)) = found.last_mut()
        {
            range.end = at;
        }
    }
    found
}

/// The keys of a header, such as `[[user.alice.token]]`.
fn path(header: &str) -> Option<Vec<String>> {
    let mut path = Vec::new();
    let mut value = toml::Value::Table(header.parse().ok()?);
    loop {
        value = match value {
            toml::Value::Table(table) => {
                let Some((key, inner)) = table.into_iter().next() else { return Some(path) };
                path.push(key);
                inner
            }
            toml::Value::Array(array) => array.into_iter().next()?,
            _ => return None,
        };
    }
}

/// An account as its sections.
fn written(account: &Account) -> String {
    let tokens =
        account.tokens.iter().map(|token| format!("\n{}", written_token(&account.name, token)));
    written_account(account) + &tokens.collect::<String>()
}

/// An account as its section, without its tokens.
fn written_account(account: &Account) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        // A String takes all that is written to it.
        let _ = writeln!(text, "{key} = {value}");
    };
    let root = account.view.root().map_or_else(|| ".".to_owned(), ToString::to_string);
    line("root", quoted(&root));
    let rights: Vec<_> = account.rights.iter().map(|right| quoted(right.as_str())).collect();
    line("rights", format!("[{}]", rights.join(", ")));
    for (key, value) in [
        ("quota_bytes", account.quota_bytes),
        ("quota_files", account.quota_files),
        ("connections", account.connections.map(u64::from)),
        ("rate", account.rate),
    ] {
        if let Some(value) = value {
            line(key, value.to_string());
        }
    }
    if let Some(end) = account.expires {
        line("expires", moment(end));
    }
    if !account.unix_users.is_empty() {
        let users = account.unix_users.iter().map(ToString::to_string);
        line("unix_users", format!("[{}]", users.collect::<Vec<_>>().join(", ")));
    }
    format!("[user.{}]\n{text}", key(&account.name))
}

/// A token as its section.
fn written_token(name: &AccountName, token: &KnownToken) -> String {
    let KnownToken { id, hash, created, expires } = token;
    let (id, hash) = (quoted(id), quoted(&format!("{HASH}{hash}")));
    let created = created.as_ref().map(|day| format!("created = {day}\n")).unwrap_or_default();
    let expires = expires.map(|end| format!("expires = {}\n", moment(end))).unwrap_or_default();
    format!("[[user.{}.token]]\nid = {id}\nhash = {hash}\n{created}{expires}", key(name))
}

/// A key with a point is two keys unless it is quoted.
fn key(name: &AccountName) -> String {
    if name.as_str().contains('.') { quoted(name.as_str()) } else { name.to_string() }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A second since 1970 as a day, if one begins then, or as a time.
pub(crate) fn moment(second: i64) -> String {
    let Ok(moment) = Timestamp::from_second(second) else { return second.to_string() };
    let text = moment.to_string();
    match second.rem_euclid(DAY) {
        0 => text.chars().take_while(|letter| *letter != 'T').collect(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use haul_protocol::{Digest, Rights};

    use super::super::view::View;
    use super::*;

    fn name(text: &str) -> AccountName {
        AccountName::parse(text).unwrap()
    }

    fn token(id: &str) -> KnownToken {
        let (created, expires) = (Some("2026-11-27".to_owned()), Some(1_798_761_600 + 5));
        KnownToken { id: id.to_owned(), hash: Digest([1; 32]), created, expires }
    }

    fn account(text: &str, id: &str) -> Account {
        Account {
            name: name(text),
            view: View::default(),
            rights: Rights::writer(),
            expires: Some(1_798_761_600),
            quota_bytes: Some(5),
            quota_files: None,
            connections: Some(8),
            rate: None,
            unix_users: vec![7, 1000],
            tokens: vec![token(id)],
        }
    }

    #[test]
    fn accounts_are_read_back_as_they_were_written() {
        let one = with_account("", account("a.b", "aaaaaaaa")).unwrap();
        let two = with_account(&one, account("c", "bbbbbbbb")).unwrap();
        assert!(two.starts_with(&one), "{two}");
        assert_eq!(parse(&two).unwrap(), [account("a.b", "aaaaaaaa"), account("c", "bbbbbbbb")]);
        assert!(
            two.contains("expires = 2027-01-01\n")
                && two.contains("expires = 2027-01-01T00:00:05Z\n")
        );
    }

    #[test]
    fn comments_and_order_of_others_stay() {
        let text = "# ours\n[user.b] # first\nrights = [\n  \"put\", # only\n]\n\n# about a\n[user.a]\nrights = []\n";
        let added = with_account(text, account("c", "aaaaaaaa")).unwrap();
        assert!(added.starts_with(text));
        let rotated =
            with_tokens(&added, &name("c"), vec![token("bbbbbbbb"), token("cccccccc")]).unwrap();
        assert!(rotated.starts_with(text) && !rotated.contains("aaaaaaaa"), "{rotated}");
        assert_eq!(parse(&rotated).unwrap()[2].tokens, [token("bbbbbbbb"), token("cccccccc")]);
        let without = without_account(&rotated, &name("c")).unwrap();
        assert_eq!(without.trim_end(), text.trim_end());
        let without = without_account(&without, &name("b")).unwrap();
        assert_eq!(without.trim_end(), "# ours\n\n# about a\n[user.a]\nrights = []");
    }

    #[test]
    fn account_that_is_changed_stays_in_its_place_with_its_tokens() {
        let text = "# ours\n[user.b]\nrights = []\n\n# about a\n[user.\"a.b\"]\nrights = []\nrate = 5\n\n# t\n";
        let text = with_tokens(text, &name("a.b"), vec![token("aaaaaaaa")]).unwrap();
        let mut changed = account("a.b", "aaaaaaaa");
        changed.quota_files = Some(7);
        let new = with_changed(&text, changed.clone()).unwrap();
        assert_eq!(parse(&new).unwrap()[0], changed);
        assert!(
            new.starts_with("# ours\n[user.b]\nrights = []\n\n# about a\n[user.\"a.b\"]\n"),
            "{new}"
        );
        assert!(
            new.ends_with(&text[text.find("\n# t\n").unwrap()..]) && !new.contains("rate"),
            "{new}"
        );
        let inline = "user = { a = { rights = [] }, b = { rights = [\"put\"] } }\n";
        let b = Account::new(name("b"), parse(inline).unwrap()[1].view.clone(), Rights::reader());
        let found = with_changed(inline, b.clone()).unwrap();
        assert_eq!(parse(&found).unwrap()[1], b);
    }

    #[test]
    fn text_of_another_form_is_written_anew() {
        let text = "user = { a = { rights = [] }, b = { rights = [\"put\"] } }\n";
        let found = without_account(text, &name("a")).unwrap();
        let [b] = &parse(&found).unwrap()[..] else { panic!("{found}") };
        assert_eq!((b.name.as_str(), b.rights), ("b", Rights::drop_box()));
        let found = with_account(text, account("c", "aaaaaaaa")).unwrap();
        assert_eq!(parse(&found).unwrap().len(), 3, "{found}");
        assert!(with_account("[user.a", account("c", "aaaaaaaa")).is_err());
    }
}
