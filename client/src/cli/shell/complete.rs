//! Completion at the prompt: commands, files of this machine, names at the server.

use std::time::{Duration, Instant};

use haul_protocol::{EntryKind, Name, is_plain};
use rustyline::completion::{
    Completer, FilenameCompleter, Pair, Quote, escape, extract_word, unescape,
};
use rustyline::{Context, Helper, Highlighter, Hinter, Validator};

use super::line::WORDS;
use crate::cli::ls;
use crate::net::destination::Destination;
use crate::trust::Trust;

/// Time that a server may take to complete a name: nobody waits longer at a prompt.
const PATIENCE: Duration = Duration::from_secs(2);

/// The character that makes the next one stand for itself.
const ESCAPE: char = '\\';

/// Whether a character of a name has to be escaped, for [`shlex`].
fn is_special(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\\' | '\'' | '"' | '#')
}

#[derive(Helper, Highlighter, Hinter, Validator)]
pub(super) struct Completion<'a> {
    files: FilenameCompleter,
    destination: &'a Destination,
    classic: bool,
    /// Nobody is asked while a name is completed.
    trust: Trust,
}

impl<'a> Completion<'a> {
    pub(super) fn new(destination: &'a Destination, classic: bool, is_insecure: bool) -> Self {
        let trust = destination.pin.map_or_else(Trust::of_user, |pin| Trust::pins([pin]));
        let trust = if is_insecure { trust.insecure() } else { trust };
        Self { files: FilenameCompleter::new(), destination, classic, trust }
    }

    /// Names at the server that go on from `word`.
    fn remote(&self, word: &str) -> Vec<Pair> {
        let (above, start) = word.rsplit_once('/').unwrap_or(("", word));
        let Ok(directory) = super::below(self.destination, Some(above)) else { return Vec::new() };
        let begun = Instant::now();
        // A server that does not answer completes nothing; the command itself will say why.
        let is_late = || begun.elapsed() > PATIENCE;
        let found = ls::beginning(&directory, start.as_bytes(), &self.trust, &is_late);
        let names = found.unwrap_or_default().into_iter().filter_map(|entry| {
            let slash = if entry.kind == EntryKind::Directory { "/" } else { "" };
            let name = last(&entry.name)?;
            let prefix = if word.contains('/') { format!("{above}/") } else { String::new() };
            let whole = format!("{prefix}{name}{slash}");
            let replacement = escape(whole, Some(ESCAPE), is_special, Quote::None);
            Some(Pair { display: format!("{name}{slash}"), replacement })
        });
        names.collect()
    }
}

/// A name that can be typed: the prompt would write any other to the terminal.
fn last(name: &Name) -> Option<String> {
    String::from_utf8(name.split().1.to_vec()).ok().filter(|name| name.chars().all(is_plain))
}

/// The kind of a word at this position of a line.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Command,
    Local,
    Remote,
}

fn place(before: &str) -> Place {
    let words = shlex::split(before).unwrap_or_default();
    let Some((command, rest)) = words.split_first() else { return Place::Command };
    let operands = rest.iter().filter(|word| !word.starts_with('-')).count();
    match (command.as_str(), operands) {
        ("ls" | "mkdir" | "rm" | "mv" | "cat", _) => Place::Remote,
        ("sync" | "verify", 1..) | ("get", 0) => Place::Remote,
        _ => Place::Local,
    }
}

impl Completer for Completion<'_> {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = line.get(..pos).unwrap_or(line);
        let (start, word) = extract_word(typed, typed.len(), Some(ESCAPE), char::is_whitespace);
        let (before, word) = (&typed[..start], unescape(word, Some(ESCAPE)));
        match place(before) {
            Place::Command => {
                let words = WORDS.iter().filter(|known| known.starts_with(&*word));
                let pair = |word: &&str| Pair {
                    display: (*word).to_owned(),
                    replacement: format!("{word} "),
                };
                Ok((start, words.map(pair).collect()))
            }
            // ssh could ask for a password at each Tab.
            Place::Remote if self.destination.is_over_ssh() => Ok((start, Vec::new())),
            Place::Remote if !self.classic => Ok((start, self.remote(&word))),
            Place::Local | Place::Remote => {
                let (start, mut names) = self.files.complete(line, pos, context)?;
                names.retain(|name| name.display.chars().all(is_plain));
                Ok((start, names))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart() {
        for (before, expected) in [
            ("", Place::Command),
            ("put ", Place::Local),
            ("put a ", Place::Local),
            ("sync --delete ", Place::Local),
            ("sync --delete d ", Place::Remote),
            ("verify d ", Place::Remote),
            ("ls ", Place::Remote),
            ("ls -l ", Place::Remote),
            ("mkdir a ", Place::Remote),
            ("rm -r ", Place::Remote),
            ("mv a ", Place::Remote),
            ("cat a ", Place::Remote),
            ("get ", Place::Remote),
            ("get a ", Place::Local),
        ] {
            assert_eq!(place(before), expected, "{before}");
        }
    }
}
