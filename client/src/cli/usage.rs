//! Wrong usage: a sentence about the mistake and the right form, in lines that a terminal shows whole.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::io;

use super::aliases::{self, Meant};
use super::console::fold::{self, columns};
use super::console::{self, Stream};
use crate::error::destination::DestinationError;
use crate::net::destination::Destination;

/// Columns of a terminal.
const COLUMNS: usize = 80;

/// Columns below which folded lines are no easier to read.
const MIN_COLUMNS: usize = 20;

/// The command line is not understood.
#[derive(Debug)]
pub(super) enum Unread {
    /// Wrong usage, about which haul has more to say than clap.
    Usage(Usage),
    /// The help of a command is asked for.
    Help(String),
    /// Anything else that clap tells, its own help among it.
    Clap(clap::Error),
}

/// A mistake, and the right form.
#[derive(Debug, Clone)]
pub(super) struct Usage(pub(super) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Usage {}

impl From<clap::Error> for Unread {
    fn from(error: clap::Error) -> Self {
        match error.source().and_then(|source| source.downcast_ref::<Usage>()) {
            Some(usage) => Self::Usage(usage.clone()),
            None => Self::Clap(error),
        }
    }
}

/// Tells wrong usage, one mistake a line of the text.
pub(super) fn tell(text: &str) {
    for mistake in text.lines() {
        let width = Stream::Error.columns().unwrap_or(COLUMNS).clamp(MIN_COLUMNS, COLUMNS);
        let text = format!("haul: {mistake}");
        let text = match fold::command(&text).filter(|_| columns(&text) > width) {
            Some((before, command, after)) => {
                let after = wrapped(after, width.saturating_sub(2)).replace('\n', "\n  ");
                format!("{}\n  {command}\n  {after}", wrapped(before, width))
            }
            None => wrapped(&text, width),
        };
        console::lines(&mut io::stderr(), text.trim_end());
    }
}

/// A text with line feeds in the place of blanks where a line would be longer than this.
fn wrapped(text: &str, width: usize) -> String {
    let (mut lines, mut column) = (String::with_capacity(text.len() + 8), 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            lines.push_str("\n  ");
            column = 2;
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines
}

/// The place that a word means, if it begins with an alias.
pub(super) fn meant(text: &str) -> Result<Option<Meant<'static>>, Usage> {
    aliases::meant(text).map_err(Usage)
}

/// A place at a server. The message never repeats a secret that somebody has written into it, as clap would.
pub(super) fn at_server(text: &str) -> Result<Destination, Usage> {
    match meant(text)? {
        Some(meant) => Ok(meant.used().destination),
        None => text.parse::<Destination>().map_err(|error| Usage(error.to_string())),
    }
}

/// A server as a whole. The path of an alias is left out, for it is no part of what was typed.
pub(super) fn server(text: &str) -> Result<Destination, Usage> {
    let destination = at_server(text)?;
    let is_alias = !text.contains('/') && meant(text)?.is_some();
    Ok(if is_alias { destination.with_path(None) } else { destination })
}

/// A destination on the command line. The name of a file or directory here is no server: whoever writes one means it, as
/// with `cp`.
pub(super) fn destination(text: &str) -> Result<Destination, Usage> {
    Ok(match place(text)? {
        Either::Alias(meant) => meant.used().destination,
        Either::Plain(destination) => destination,
    })
}

/// A place at a server, as an alias or written out.
enum Either {
    Alias(Meant<'static>),
    Plain(Destination),
}

fn place(text: &str) -> Result<Either, Usage> {
    let place = match meant(text)? {
        Some(meant) => Either::Alias(meant),
        None => {
            Either::Plain(text.parse().map_err(|error: DestinationError| Usage(error.to_string()))?)
        }
    };
    let authority = text.split('/').next().unwrap_or(text);
    if authority.contains(':') {
        return Ok(place);
    }
    let kind = match std::fs::symlink_metadata(text) {
        Ok(found) if found.is_dir() => "a directory",
        Ok(_) => "a file",
        Err(_) => return Ok(place),
    };
    if let Either::Alias(meant) = place {
        let (name, path) = text.split_once('/').unwrap_or((text, ""));
        return Err(Usage(format!(
            "`{text}` is {kind} on this machine, and the last word is the server that files go to, HOST/PATH; if the alias is \
             meant, write {name}:{path}; {}",
            meant.told()
        )));
    }
    Err(Usage(format!(
        "`{text}` is {kind} on this machine, and the last word is the server that files go to, HOST/PATH; \
         if a server has that name, write haul://{text}"
    )))
}

/// The last word of `haul sync`: a place at a server, or a directory on this machine if SRC is at a server.
#[derive(Debug, Clone)]
pub(crate) struct End {
    /// As it is written.
    pub(super) text: String,
    /// The place at a server that it is.
    pub(super) server: Result<Destination, Usage>,
}

impl End {
    /// It is the place at a server that the command is about: messages tell of an alias in it.
    pub(super) fn is_used(&self) {
        if let Ok(Some(meant)) = aliases::meant(&self.text) {
            meant.used();
        }
    }
}

/// Reads it; whether it has to be a place at a server is known when SRC is.
pub(super) fn end(text: &str) -> Result<End, Infallible> {
    let server = place(text).map(|place| match place {
        Either::Alias(meant) => meant.destination,
        Either::Plain(destination) => destination,
    });
    Ok(End { text: text.to_owned(), server })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_no_longer_than_a_terminal_is_wide_and_no_word_is_cut() {
        let text = "word ".repeat(60) + &"x".repeat(100) + " end";
        let lines = wrapped(&text, COLUMNS);
        let is_short = |line: &str| line.chars().count() <= COLUMNS || line.trim().len() == 100;
        assert!(lines.lines().all(is_short), "{lines}");
        assert_eq!(lines.split_whitespace().collect::<Vec<_>>().join(" "), text);
    }
}
