//! The one way from a text to a terminal or a log: as one line, in which nothing of a peer or a file name is a control
//! character or turns the direction of the text. On a terminal the line is folded to fit.

pub(crate) mod fold;

use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use haul_protocol::{Shown, is_plain};
use serde::Serialize;

use fold::{columns, fold, message, middle};

/// The first failure of standard output, for [`take_failure`].
static FAILURE: Mutex<Option<io::Error>> = Mutex::new(None);

/// Standard output or standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Results.
    Out,
    /// Messages.
    Error,
}

impl Stream {
    /// The columns of the terminal that it is; `None` if it is none, or does not tell.
    pub(crate) fn columns(self) -> Option<usize> {
        let size = match self {
            Self::Out if io::stdout().is_terminal() => {
                terminal_size::terminal_size_of(io::stdout())
            }
            Self::Error if io::stderr().is_terminal() => {
                terminal_size::terminal_size_of(io::stderr())
            }
            Self::Out | Self::Error => None,
        };
        size.map(|(width, _)| usize::from(width.0)).filter(|&columns| columns > 0)
    }

    /// Writes lines. A failure of standard output is remembered; of one of standard error nobody can be told.
    fn write(self, lines: &[String]) {
        let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        match self {
            Self::Out => write_out(text.as_bytes()),
            Self::Error => drop(io::stderr().lock().write_all(text.as_bytes())),
        }
    }

    /// Writes a text as one line, which is folded on a terminal.
    pub(crate) fn line(self, text: &dyn Display) {
        let text = Shown(text).to_string();
        match self.columns() {
            Some(width) => self.write(&message(&text, width)),
            None => self.write(&[text]),
        }
    }

    /// Writes a name between two texts. On a terminal a name that is too long for the line is shortened in the middle, but
    /// never to less than half a line.
    pub(crate) fn named(self, before: &str, name: &dyn Display, after: &dyn Display) {
        let (name, after) = (Shown(name).to_string(), Shown(after).to_string());
        let Some(width) = self.columns() else {
            return self.write(&[format!("{before}{name}{after}")]);
        };
        let room = width.saturating_sub(columns(before) + columns(&after));
        let name = middle(&name, room.max(width / 2));
        let text = format!("{before}{name}{after}");
        self.write(&if columns(&text) <= width {
            vec![text]
        } else {
            fold(text.split(' '), width)
        });
    }

    /// Writes clauses beside each other, on a terminal on as many lines as they need.
    pub(crate) fn clauses(self, clauses: &[String]) {
        let clauses: Vec<_> = clauses.iter().map(|clause| Shown(clause).to_string()).collect();
        let width = self.columns().unwrap_or(usize::MAX);
        self.write(&fold(clauses.iter().map(String::as_str), width));
    }
}

/// Writes a message to standard error.
pub(crate) fn tell(text: &dyn Display) {
    Stream::Error.line(text);
}

/// Writes a line. A reader who has had enough, or is gone, can't be told.
pub(crate) fn line(out: &mut dyn Write, text: &dyn Display) {
    let _ = writeln!(out, "{}", Shown(text));
}

/// A text of several lines, such as a help, to be written as they are.
pub(crate) fn lines(out: &mut dyn Write, text: &str) {
    text.lines().for_each(|text| line(out, &text));
}

/// Writes a value as one line of JSON to standard output.
pub(crate) fn json(value: &impl Serialize) {
    if let Some(line) = json_line(value) {
        write_out(&line);
    }
}

/// Writes whole lines to standard output, and remembers the first failure.
pub(crate) fn write_out(lines: &[u8]) {
    if let Err(error) = io::stdout().lock().write_all(lines) {
        failure().get_or_insert(error);
    }
}

fn failure() -> MutexGuard<'static, Option<io::Error>> {
    FAILURE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether standard output has failed since the last [`take_failure`].
pub(crate) fn has_failed() -> bool {
    failure().is_some()
}

/// The first failure of standard output, once.
pub(crate) fn take_failure() -> Option<io::Error> {
    failure().take()
}

/// A value as one line of JSON.
pub(crate) fn json_line(value: &impl Serialize) -> Option<Vec<u8>> {
    let mut line = plain_json(&serde_json::to_string(value).ok()?);
    line.push('\n');
    Some(line.into_bytes())
}

/// JSON that means the same, with `\u` for each character that is not plain: outside of strings there is none.
pub(crate) fn plain_json(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    for character in json.chars() {
        if is_plain(character) {
            plain.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // A string takes all that is written to it.
                let _ = write!(plain, "\\u{unit:04x}");
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_with_any_character_is_plain_and_reads_back() {
        for character in '\0'..=char::MAX {
            let text = format!("a{character}b");
            let line = String::from_utf8(json_line(&text).unwrap()).unwrap();
            assert!(line.trim_end_matches('\n').chars().all(is_plain), "{line:?}");
            assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        }
    }
}
