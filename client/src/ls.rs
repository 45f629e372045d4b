//! `haul ls`: what is in a directory at a server, in order, also of everything below it.
//!
//! Several directories are asked for ahead of the one that is told, so that a long line costs little; their
//! number bounds the memory.

use std::collections::VecDeque;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::Weak;
use std::time::Duration;

use haul_protocol::{Code, Entry, EntryKind, Name, Op, Refusal, Reply, decode_entry, encode_entry};

use crate::cli::LsOptions;
use crate::connection::ask::{Asking, Said};
use crate::destination::Destination;
use crate::error::{ConnectionError, ProtocolError};
use crate::exit;
use crate::interrupt::Interrupt;
use crate::job::tell;
use crate::poller::Poller;

/// How long a server may be silent.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Directories that are asked for and not told yet: each may be a MiB.
const AHEAD: usize = 16;

/// Lists, and returns the exit code.
///
/// # Errors
/// If the system has no room.
pub fn run(
    destination: &Destination,
    options: LsOptions,
    interrupt: &Interrupt,
) -> anyhow::Result<u8> {
    let mut poller = Poller::new()?;
    interrupt.begin(Weak::new());
    let over = || interrupt.is_set();
    let listed = Asking::connect(&destination.server, &mut poller, TIMEOUT, &over)
        .map_err(Failure::from)
        .and_then(|asking| {
            let raw = !io::stdout().is_terminal();
            let out = BufWriter::new(io::stdout().lock());
            let base = destination.path.as_ref();
            Listing { asking, options, raw, base, out, refused: false }.run()
        });
    let interrupted = interrupt.end();
    match listed {
        Ok(refused) => Ok(if refused { exit::FAILED } else { exit::OK }),
        // Whoever reads has had enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(exit::OK),
        Err(Failure::Output(error)) => Err(error.into()),
        Err(_) if interrupted => Ok(exit::INTERRUPTED),
        Err(Failure::Connection(error)) => {
            tell(&format_args!("haul: {error}"));
            Ok(exit::UNREACHABLE)
        }
    }
}

/// The entries of a directory at a server whose names begin so, for completion: no more than one answer holds.
///
/// # Errors
/// If the server can't be asked in time.
pub fn beginning(
    directory: &Destination,
    start: &[u8],
    over: &dyn Fn() -> bool,
) -> Result<Vec<Entry>, ConnectionError> {
    let mut poller = Poller::new().map_err(ConnectionError::Poller)?;
    let mut asking = Asking::connect(&directory.server, &mut poller, TIMEOUT, over)?;
    let name = directory.path.clone();
    let after = match &name {
        Some(name) => name.join(start),
        None => Name::parse(start),
    };
    let after = after.ok().as_ref().and_then(before);
    asking.ask(&Op::List { name, after })?;
    let mut found = match asking.answer()?.1 {
        Said::Answered(Reply::Listed { .. }, body) => entries(&body)?,
        _ => Vec::new(),
    };
    found.retain(|entry| entry.name.split().1.starts_with(start));
    Ok(found)
}

/// Why a list ends early.
enum Failure {
    Connection(ConnectionError),
    Output(io::Error),
}

impl From<ConnectionError> for Failure {
    fn from(error: ConnectionError) -> Self {
        Self::Connection(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// A directory that is to be told, or a page of it.
struct Page {
    /// The directory; `None` for the server's root.
    name: Option<Name>,
    after: Option<Name>,
    state: State,
}

enum State {
    Waiting,
    Asked(u64),
    Answered(Result<(Vec<u8>, bool), Refusal>),
}

impl Page {
    fn new(name: Option<Name>, after: Option<Name>) -> Self {
        Self { name, after, state: State::Waiting }
    }
}

struct Listing<'a, W> {
    asking: Asking<'a>,
    options: LsOptions,
    /// Names are written as they are, and not quoted for a person's terminal.
    raw: bool,
    base: Option<&'a Name>,
    out: W,
    refused: bool,
}

impl<W: Write> Listing<'_, W> {
    /// Tells everything; returns whether anything was refused.
    fn run(mut self) -> Result<bool, Failure> {
        let mut pages = VecDeque::from([Page::new(self.base.cloned(), None)]);
        let mut first = true;
        while let Some(front) = pages.front() {
            if !matches!(front.state, State::Answered(_)) {
                self.ask_ahead(&mut pages)?;
                let (answered, said) = self.asking.answer()?;
                let page = pages
                    .iter_mut()
                    .find(|page| matches!(page.state, State::Asked(id) if id == answered));
                if let Some(page) = page {
                    page.state = State::Answered(match said {
                        Said::Answered(Reply::Listed { more }, body) => Ok((body, more)),
                        Said::Refused(refusal) => Err(refusal),
                        _ => return Err(ConnectionError::from(ProtocolError::Kind).into()),
                    });
                }
                continue;
            }
            let Some(Page { name, state: State::Answered(answer), .. }) = pages.pop_front() else {
                break;
            };
            match answer {
                Ok((body, more)) => {
                    let found = self.page(name, &body, more)?;
                    for page in found.into_iter().rev() {
                        pages.push_front(page);
                    }
                }
                // It is a file, or a link.
                Err(refusal) if first && matches!(refusal.code, Code::Conflict | Code::Escape) => {
                    self.single(refusal)?;
                }
                // It has gone since it was listed.
                Err(refusal) if !first && refusal.code == Code::NotFound => {}
                Err(refusal) => self.refuse(name.as_ref(), &refusal),
            }
            first = false;
        }
        self.out.flush()?;
        Ok(self.refused)
    }

    /// Asks for the next pages, as many as may be ahead.
    fn ask_ahead(&mut self, pages: &mut VecDeque<Page>) -> Result<(), Failure> {
        let mut ahead = pages.iter().filter(|page| !matches!(page.state, State::Waiting)).count();
        for (index, page) in pages.iter_mut().enumerate() {
            if index > 0 && ahead >= AHEAD {
                break;
            }
            if matches!(page.state, State::Waiting) {
                let op = Op::List { name: page.name.clone(), after: page.after.clone() };
                page.state = State::Asked(self.asking.ask(&op)?);
                ahead += 1;
            }
        }
        Ok(())
    }

    /// Tells one page; returns the directories in it, if they are to be told as well, and the next page.
    ///
    /// A directory is told before what is in it, and after everything that comes before it: so the page ends
    /// there for now, and goes on after it.
    fn page(
        &mut self,
        directory: Option<Name>,
        body: &[u8],
        more: bool,
    ) -> Result<Vec<Page>, Failure> {
        let entries = entries(body)?;
        let mut found = Vec::new();
        let Some(last) = entries.last().map(|entry| entry.name.clone()) else {
            return Ok(found);
        };
        if !self.options.recursive {
            for entry in &entries {
                self.entry(entry)?;
            }
        } else if let Some(at) = entries.iter().position(|entry| entry.kind == EntryKind::Directory)
        {
            for entry in &entries[..=at] {
                self.entry(entry)?;
            }
            let inner = entries[at].name.clone();
            found.push(Page::new(Some(inner), None));
            let rest = &entries[at + 1..];
            if !rest.is_empty() {
                let mut body = Vec::new();
                for entry in rest {
                    encode_entry(entry, &mut body).map_err(ConnectionError::from)?;
                }
                let state = State::Answered(Ok((body, more)));
                found.push(Page { name: directory, after: None, state });
                return Ok(found);
            }
        } else {
            for entry in &entries {
                self.entry(entry)?;
            }
        }
        if more {
            found.push(Page::new(directory, Some(last)));
        }
        Ok(found)
    }

    /// The destination is no directory, so it is told itself.
    fn single(&mut self, refusal: Refusal) -> Result<(), Failure> {
        let Some(name) = self.base else {
            self.refuse(None, &refusal);
            return Ok(());
        };
        let directory = Name::parse(name.split().0).ok();
        self.asking.ask(&Op::List { name: directory, after: before(name) })?;
        let found = match self.asking.answer()?.1 {
            Said::Answered(Reply::Listed { .. }, body) => entries(&body)?,
            _ => Vec::new(),
        };
        match found.iter().find(|entry| entry.name == *name) {
            Some(entry) => self.entry(entry),
            None => {
                self.refuse(Some(name), &refusal);
                Ok(())
            }
        }
    }

    fn refuse(&mut self, name: Option<&Name>, refusal: &Refusal) {
        self.refused = true;
        let name = name.map_or_else(|| String::from("the server's root"), Name::to_string);
        tell(&format_args!("haul: {name}: refused by the server: {refusal}"));
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), Failure> {
        if self.options.json {
            let mut line = Vec::new();
            encode_entry(entry, &mut line).map_err(ConnectionError::from)?;
            return Ok(self.out.write_all(&line)?);
        }
        if self.options.long {
            write!(self.out, "{} ", long(entry))?;
        }
        let below = match self.base {
            Some(base) => entry.name.as_bytes().strip_prefix(base.as_bytes()),
            None => Some(entry.name.as_bytes()),
        };
        let below = below.and_then(|below| below.strip_prefix(b"/").or(Some(below)));
        let shown = match below {
            // The destination itself.
            None | Some(b"") => entry.name.split().1,
            Some(below) => below,
        };
        self.text(shown)?;
        if entry.kind == EntryKind::Directory {
            self.out.write_all(b"/")?;
        }
        if let (true, EntryKind::Link { target }) = (self.options.long, &entry.kind) {
            self.out.write_all(b" -> ")?;
            self.text(target.as_bytes())?;
        }
        Ok(self.out.write_all(b"\n")?)
    }

    fn text(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.raw {
            return self.out.write_all(bytes);
        }
        for character in String::from_utf8_lossy(bytes).chars() {
            if character.is_control() {
                write!(self.out, "{}", character.escape_default())?;
            } else {
                write!(self.out, "{character}")?;
            }
        }
        Ok(())
    }
}

/// All entries of an answer.
fn entries(body: &[u8]) -> Result<Vec<Entry>, ConnectionError> {
    body.split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| decode_entry(line).map_err(|error| ProtocolError::from(error).into()))
        .collect()
}

/// A name just before all that begin with this one, to ask for what comes after it; `None`: from the first.
fn before(name: &Name) -> Option<Name> {
    let (directory, last) = name.split();
    let (end, rest) = last.split_last()?;
    let mut bytes = if directory.is_empty() { Vec::new() } else { [directory, b"/"].concat() };
    bytes.extend_from_slice(rest);
    // A slash can't be in there, and NUL neither.
    match end.checked_sub(1)? {
        0 => return Name::parse(&bytes).ok(),
        b'/' => bytes.push(b'.'),
        less => bytes.push(less),
    }
    let room = 255_usize.saturating_sub(last.len());
    bytes.extend(std::iter::repeat_n(0xff, room));
    Name::parse(&bytes).ok()
}

/// Mode, size and mtime, as `ls -l` has them.
fn long(entry: &Entry) -> String {
    let (kind, size) = match entry.kind {
        EntryKind::File { size, .. } => ('-', Some(size)),
        EntryKind::Directory => ('d', None),
        EntryKind::Link { .. } => ('l', None),
        EntryKind::Other => ('?', None),
    };
    let mode = match entry.mode {
        None => String::from("---------"),
        Some(mode) => (0..9)
            .map(|bit| {
                let letter = ['r', 'w', 'x'][bit % 3];
                if mode & (0o400 >> bit) == 0 { '-' } else { letter }
            })
            .collect(),
    };
    let time = match entry.mtime {
        None => String::from("-"),
        Some(mtime) => jiff::Timestamp::new(mtime.s, mtime.ns.try_into().unwrap_or(0))
            .map(|time| time.to_zoned(jiff::tz::TimeZone::system()))
            .map_or_else(
                |_| format!("@{}", mtime.s),
                |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            ),
    };
    let size = size.map_or_else(|| String::from("-"), |size| size.to_string());
    format!("{kind}{mode} {size:>13} {time:<19}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_between_a_name_and_what_is_just_before_it() {
        for (name, expected) in [("b", b'a'), ("d/b", b'a'), ("0", b'.'), ("ab", b'a')] {
            let name = Name::parse(name.as_bytes()).unwrap();
            let before = before(&name).unwrap();
            assert!(before < name, "{before}");
            assert_eq!(before.split().0, name.split().0);
            assert_eq!(before.split().1[name.split().1.len() - 1], expected);
        }
        assert_eq!(before(&Name::parse(b"a/\x01").unwrap()), None);
    }
}
