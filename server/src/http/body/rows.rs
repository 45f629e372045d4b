//! Rows of files (docs/http.md, "Many files in one request"): for each entry one line of JSON, and behind the line of a file its
//! bytes.

use serde::Deserialize;

use crate::http::mtime::is_possible;
use crate::http::status::{Status, Wrong};

/// Bytes of the longest line: a name of 4,096 bytes, each of them escaped, fits.
const MAX_LINE: usize = 32 * 1024;

/// Entries of one request.
pub(crate) const MAX_ENTRIES: usize = 4096;

/// The line of one entry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    /// Its name below the directory that the request names.
    pub(crate) name: String,
    /// The length of a file; a directory has none.
    pub(crate) size: Option<u64>,
    /// Seconds since 1970.
    #[serde(default)]
    pub(crate) mtime: Option<i64>,
    /// Whether it may replace an entry that stands there.
    #[serde(default)]
    pub(crate) replace: bool,
}

/// The next thing in the rows: of each entry its line, of a file any number of pieces, one end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    Row(Row),
    /// Never empty.
    Bytes(&'a [u8]),
    RowEnd,
}

/// Rows that come.
///
/// Invariant: holds one unfinished line at most. After an error it takes nothing more.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    state: State,
    line: Vec<u8>,
    entries: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Line,
    /// So many bytes of a file are to come.
    Bytes(u64),
    Failed,
}

impl Rows {
    /// Takes bytes from the front of `input` up to the next event. `None`: all of `input` is taken.
    pub(crate) fn receive<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Event<'a>>, Wrong> {
        let event = self.step(input);
        if event.is_err() {
            (self.state, self.line) = (State::Failed, Vec::new());
        }
        event
    }

    fn step<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Event<'a>>, Wrong> {
        match self.state {
            State::Failed => Err(Wrong::bad("the rows have failed before")),
            State::Bytes(0) => {
                self.state = State::Line;
                Ok(Some(Event::RowEnd))
            }
            _ if input.is_empty() => Ok(None),
            State::Bytes(left) => {
                let len = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
                let (bytes, rest) = input.split_at(len);
                *input = rest;
                self.state = State::Bytes(left - len as u64);
                Ok(Some(Event::Bytes(bytes)))
            }
            State::Line => {
                let end = input.iter().position(|byte| *byte == b'\n');
                let (mine, rest) = input.split_at(end.map_or(input.len(), |end| end + 1));
                *input = rest;
                if self.line.len() + mine.len() > MAX_LINE {
                    return Err(Wrong::new(Status::HEAD_TOO_LARGE, "a line is over 32 KiB"));
                }
                self.line.extend_from_slice(mine);
                if end.is_none() {
                    return Ok(None);
                }
                if self.entries == MAX_ENTRIES {
                    return Err(Wrong::new(Status::TOO_LARGE, "more than 4096 entries"));
                }
                self.entries += 1;
                let line = std::mem::take(&mut self.line);
                let row = serde_json::from_slice(&line)
                    .ok()
                    .filter(|row: &Row| row.mtime.is_none_or(is_possible));
                let row = row.ok_or(Wrong::bad("a line that is none of an entry"))?;
                self.state = State::Bytes(row.size.unwrap_or(0));
                Ok(Some(Event::Row(row)))
            }
        }
    }

    /// The number of these bytes that are taken at once: a line, or the bytes of one file.
    pub(crate) fn at_once(&self, input: &[u8]) -> usize {
        match self.state {
            State::Bytes(left) => {
                usize::try_from(left).map_or(input.len(), |left| left.min(input.len()))
            }
            State::Line => {
                let end = input.iter().position(|byte| *byte == b'\n');
                end.map_or(input.len(), |end| end + 1)
            }
            State::Failed => input.len(),
        }
    }

    /// Whether no entry has begun: a body that ends elsewhere is cut off.
    pub(crate) fn is_between(&self) -> bool {
        self.state == State::Line && self.line.is_empty()
    }

    /// Bytes of memory that it takes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.line.capacity()
    }
}
