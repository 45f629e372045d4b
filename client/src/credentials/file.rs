//! The lines of the file `credentials`: `HOST:PORT ACCOUNT TOKEN`, one an account. Lines of another form are kept as they are.

use haul_protocol::AccessToken;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use zeroize::Zeroizing;

use crate::net::destination::Server;
use crate::trust::host::Host;

/// Characters of a socket's path that would end the first word of a line.
const IN_PATHS: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

/// The first line of a new file.
const HEADING: &str =
    "# HOST:PORT ACCOUNT TOKEN, by `haul login` and `haul logout`. Keep this file secret.\n";

/// The word for a server, however it is written.
pub(super) fn word(server: &Server) -> String {
    match server {
        Server::Tcp { .. } => Host::of(server).map(|host| host.to_string()).unwrap_or_default(),
        Server::Unix(path) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            let bytes = path.as_os_str().as_encoded_bytes();
            format!("unix:{}", percent_encode(bytes, IN_PATHS))
        }
        // No token is ever stored for it.
        Server::Ssh(_) => String::new(),
    }
}

/// An account of a line, and the text of its token.
pub(super) struct Line<'a> {
    /// The number of the line, from 1.
    pub(super) number: usize,
    pub(super) account: &'a str,
    pub(super) token: &'a str,
}

/// The lines about a server.
pub(super) fn lines<'a>(text: &'a str, server: &'a str) -> impl Iterator<Item = Line<'a>> {
    let numbered = text.lines().zip(1..);
    numbered.filter_map(move |(line, number)| {
        let (account, token) = parts(line, server)?;
        Some(Line { number, account, token })
    })
}

fn parts<'a>(line: &'a str, server: &str) -> Option<(&'a str, &'a str)> {
    let mut words = line.split_whitespace();
    let first = words.next()?;
    let is_about =
        first == server || Host::parse(first).is_some_and(|host| host.to_string() == server);
    let (account, token) = (words.next()?, words.next()?);
    is_about.then_some((account, token))
}

/// The text without the lines of an account at a server; of all its accounts if none is named.
pub(super) fn without(text: &str, server: &str, account: Option<&str>) -> Zeroizing<String> {
    let mut kept = room(text);
    for line in text.lines() {
        let is_meant =
            parts(line, server).is_some_and(|(name, _)| account.is_none_or(|it| it == name));
        if !is_meant {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The text with one line for an account, in the place of those that it had.
pub(super) fn with(
    text: &str,
    server: &str,
    account: &str,
    token: &AccessToken,
) -> Zeroizing<String> {
    let mut kept = without(text, server, Some(account));
    if kept.is_empty() {
        kept.push_str(HEADING);
    }
    let token = Zeroizing::new(token.expose());
    for word in [server, " ", account, " ", &token, "\n"] {
        kept.push_str(word);
    }
    kept
}

/// Room for the text and one line more: a text that grows leaves copies behind.
fn room(text: &str) -> Zeroizing<String> {
    Zeroizing::new(String::with_capacity(text.len() + HEADING.len() + 8192))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(of: u8) -> AccessToken {
        AccessToken::new([of; 5], [of; 32])
    }

    fn found(text: &str, server: &str) -> Vec<(String, String)> {
        lines(text, server).map(|line| (line.account.to_owned(), line.token.to_owned())).collect()
    }

    #[test]
    fn account_has_one_line_and_unknown_lines_are_kept() {
        let before = "# mine\n\nbox:8080\nbox:8080 alice old\nBOX:8080 bob b\nother:1 alice x later-word\nstray";
        let text = with(before, "box:8080", "alice", &token(1));
        assert_eq!(found(&text, "box:8080").len(), 2);
        assert_eq!(found(&text, "box:8080")[1], (String::from("alice"), token(1).expose()));
        let left = without(&text, "box:8080", None);
        assert_eq!(*left, "# mine\n\nbox:8080\nother:1 alice x later-word\nstray\n");
        assert!(with("", "box:1", "alice", &token(1)).starts_with("# HOST:PORT ACCOUNT TOKEN"));
    }

    #[test]
    fn word_of_a_server_has_no_blank_and_no_capital_letter_of_a_host() {
        for (destination, expected) in [
            ("Box.Example", "box.example:8080"),
            ("[FE80::1]:99", "[fe80::1]:99"),
            ("unix:/run/A b%.sock", "unix:/run/A%20b%25.sock"),
        ] {
            let destination: crate::net::destination::Destination = destination.parse().unwrap();
            assert_eq!(word(&destination.server), expected);
        }
    }
}
