//! `haul ls`: the entries of a directory at a server, in order, also of all directories below.
//!
//! Several directories are asked for ahead of the one that is told, so that a long line costs little; their
//! number bounds the memory.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::time::Duration;

use haul_protocol::{
    Code, Entry, EntryKind, Name, Op, Refusal, Reply, Right, ShownBytes, encode_entry,
};

use super::access;
use super::aliases;
use super::arguments::LsOptions;
use super::console::{self, json_line, plain_json, tell};
use super::events::Event;
use super::exit::{self, Reason};
use super::lookup;
use super::oneshot::random;
use super::signals::Signals;
use super::unreached;
use crate::connection::before::before;
use crate::connection::delete::entries;
use crate::connection::rpc::{Asking, Said};
use crate::credentials::{Login, Need};
use crate::error::refused::Refused;
use crate::error::{ConnectionError, FileError, ProtocolError};
use crate::net::destination::Destination;
use crate::net::poller::Poller;
use crate::net::ssh::Access;
use crate::trust::{NOTHING, Route, Trust};

/// Time that a server may be silent.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The rights that it can't do without.
const NEEDS: [Need; 1] = [(Right::List, "ls")];

/// Directories that are asked for and not told yet: each may be a MiB.
const AHEAD: usize = 16;

/// Lists, and returns the exit code.
///
/// # Errors
/// If the system has no room.
pub fn run(destination: &Destination, options: LsOptions, signals: &Signals) -> anyhow::Result<u8> {
    let destination = &destination.clone().itself(Access::Reads);
    let login = match access::login(destination) {
        Ok(login) => login,
        Err(error) => {
            return Ok(ended(&options, Reason::of_credentials(&error), Some(error.to_string())));
        }
    };
    let insecure = options.security.insecure;
    let trust = match access::trust_of_requests(destination, insecure, signals) {
        Ok(trust) => trust,
        Err(error) => return Ok(ended(&options, Reason::Untrusted, Some(error.to_string()))),
    };
    let mut poller = Poller::new()?;
    signals.begin();
    let over = || signals.is_set();
    let timeout = options.timeout.unwrap_or(TIMEOUT);
    let client = random()?.to_string();
    let is_reached = Cell::new(false);
    let (server, trust) = (&destination.server, &trust);
    let route = Route { server, trust, timeout, over: &over, prepare: NOTHING, direct: None };
    let listed = Asking::connect(route, &login, &NEEDS, &client, &mut poller)
        .map_err(Failure::from)
        .and_then(|asking| {
            is_reached.set(true);
            let raw = !io::stdout().is_terminal();
            let out = BufWriter::new(io::stdout().lock());
            let base = destination.path.as_ref();
            Listing { asking, options, raw, base, out, refused: false }.run()
        });
    let interrupted = signals.end();
    let (reason, error) = match listed {
        Ok(false) => return Ok(exit::OK),
        Ok(true) => (Reason::Failed, None),
        // The reader has had enough, and knows that.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            return Ok(Reason::Unwritten.code());
        }
        Err(Failure::Output(error)) => {
            tell(&format_args!(
                "haul: could not write to standard output, so the list is not complete: {error}"
            ));
            return Ok(Reason::Unwritten.code());
        }
        Err(Failure::Connection(_)) if interrupted => {
            (Reason::Interrupted, Some(String::from("interrupted")))
        }
        Err(Failure::Connection(error)) => {
            (Reason::of(&error, is_reached.get()), Some(unreached::told(&error)))
        }
    };
    Ok(ended(&options, reason, error))
}

/// The last words of a list that is not complete, and its exit code.
fn ended(options: &LsOptions, reason: Reason, error: Option<String>) -> u8 {
    let error = error.map(aliases::explained);
    if let Some(error) = &error {
        tell(&format_args!("haul: {error}"));
    }
    if options.json {
        if let Some(error) = error {
            console::json(&Event::Error { error });
        }
        console::json(&Event::over(reason));
    }
    reason.code()
}

/// The entries of a directory at a server whose names begin so, for completion: no more than one answer holds.
///
/// # Errors
/// If the server can't be asked in time.
pub fn beginning(
    directory: &Destination,
    start: &[u8],
    trust: &Trust,
    over: &dyn Fn() -> bool,
) -> Result<Vec<Entry>, ConnectionError> {
    let mut poller = Poller::new().map_err(ConnectionError::Poller)?;
    let client = random().map_err(|error| ConnectionError::Poller(io::Error::other(error)))?;
    let client = client.to_string();
    let server = &directory.server;
    let route = Route { server, trust, timeout: TIMEOUT, over, prepare: NOTHING, direct: None };
    // Without a token the server answers nothing, and the next command says why.
    let login = access::login(directory).unwrap_or_else(|_| Login::without_token(directory));
    let mut asking = Asking::connect(route, &login, &NEEDS, &client, &mut poller)?;
    let name = directory.path.clone();
    let after = match &name {
        Some(name) => name.join(start),
        None => Name::parse(start),
    };
    let after = after.ok().as_ref().and_then(before);
    asking.ask(&Op::List { name: name.clone(), after: after.clone() })?;
    let mut found = match asking.answer()?.1 {
        Said::Answered(Reply::Listed { .. }, body) => {
            entries(name.as_ref(), after.as_ref(), &body)?
        }
        _ => Vec::new(),
    };
    found.retain(|entry| entry.name.split().1.starts_with(start));
    Ok(found)
}

/// The reason for the early end of a list.
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

/// Output that is due, in its order.
enum Next {
    Entry(Box<Entry>),
    Page(Page),
}

/// A directory, or a page of it.
struct Page {
    /// The directory; `None` for the server's root.
    name: Option<Name>,
    after: Option<Name>,
    state: State,
}

enum State {
    Waiting,
    Asked(u64),
    Answered(Result<(Vec<u8>, bool, u64), Refusal>),
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
    /// Tells all entries; returns whether any request was refused.
    fn run(mut self) -> Result<bool, Failure> {
        let mut queue = VecDeque::from([Next::Page(Page::new(self.base.cloned(), None))]);
        let mut first = true;
        while let Some(next) = queue.pop_front() {
            let (name, after, answer) = match next {
                Next::Entry(entry) => {
                    self.entry(&entry)?;
                    continue;
                }
                Next::Page(Page { name, after, state: State::Answered(answer) }) => {
                    (name, after, answer)
                }
                Next::Page(page) => {
                    queue.push_front(Next::Page(page));
                    self.ask_ahead(&mut queue)?;
                    self.take_answer(&mut queue)?;
                    continue;
                }
            };
            match answer {
                Ok((body, more, left_out)) => {
                    if left_out > 0 {
                        self.failed(name.as_ref(), &FileError::Unlisted(left_out))?;
                    }
                    let found = self.page(name, after.as_ref(), &body, more)?;
                    for next in found.into_iter().rev() {
                        queue.push_front(next);
                    }
                }
                // The name is a file's or a link's.
                Err(refusal) if first && matches!(refusal.code, Code::Conflict | Code::Escape) => {
                    self.single(refusal)?;
                }
                // The directory has gone since it was listed.
                Err(refusal) if !first && refusal.code == Code::NotFound => {}
                Err(refusal) => self.refuse(name.as_ref(), &refusal)?,
            }
            first = false;
        }
        self.out.flush()?;
        Ok(self.refused)
    }

    /// Asks for the next pages, as many as may be ahead.
    fn ask_ahead(&mut self, queue: &mut VecDeque<Next>) -> Result<(), Failure> {
        let pages = queue.iter_mut().filter_map(|next| match next {
            Next::Page(page) => Some(page),
            Next::Entry(_) => None,
        });
        for page in pages.take(AHEAD) {
            if matches!(page.state, State::Waiting) && self.asking.has_room() {
                let op = Op::List { name: page.name.clone(), after: page.after.clone() };
                page.state = State::Asked(self.asking.ask(&op)?);
            }
        }
        Ok(())
    }

    /// Waits for the next answer, which is about one of the first pages.
    fn take_answer(&mut self, queue: &mut VecDeque<Next>) -> Result<(), Failure> {
        let (answered, said) = self.asking.answer()?;
        let page = queue.iter_mut().find_map(|next| match next {
            Next::Page(page) if matches!(page.state, State::Asked(id) if id == answered) => {
                Some(page)
            }
            _ => None,
        });
        if let Some(page) = page {
            page.state = State::Answered(match said {
                Said::Answered(Reply::Listed { more, left_out }, body) => {
                    Ok((body, more, left_out))
                }
                Said::Refused(refusal) => Err(refusal),
                _ => return Err(ConnectionError::from(ProtocolError::Kind).into()),
            });
        }
        Ok(())
    }

    /// Makes one page the next output: its entries, each directory followed by its own entries if these are asked for as
    /// well, and the next page.
    fn page(
        &self,
        directory: Option<Name>,
        after: Option<&Name>,
        body: &[u8],
        more: bool,
    ) -> Result<Vec<Next>, Failure> {
        let entries = entries(directory.as_ref(), after, body)?;
        let last = entries.last().map(|entry| entry.name.clone());
        let mut found = Vec::with_capacity(entries.len());
        for entry in entries {
            let inner = (self.options.recursive && entry.kind == EntryKind::Directory)
                .then(|| Next::Page(Page::new(Some(entry.name.clone()), None)));
            found.push(Next::Entry(Box::new(entry)));
            found.extend(inner);
        }
        match (more, last) {
            (true, None) => return Err(ConnectionError::from(ProtocolError::List).into()),
            (true, last) => found.push(Next::Page(Page::new(directory, last))),
            (false, _) => {}
        }
        Ok(found)
    }

    /// The destination is no directory, so it is told itself.
    fn single(&mut self, refusal: Refusal) -> Result<(), Failure> {
        let Some(name) = self.base else {
            return self.refuse(None, &refusal);
        };
        match lookup::entry(&mut self.asking, name)? {
            Ok(Some(entry)) => self.entry(&entry),
            Ok(None) | Err(_) => self.refuse(Some(name), &refusal),
        }
    }

    fn refuse(&mut self, name: Option<&Name>, refusal: &Refusal) -> Result<(), Failure> {
        self.failed(name, &Refused(refusal))
    }

    fn failed(&mut self, name: Option<&Name>, why: &dyn Display) -> Result<(), Failure> {
        self.refused = true;
        let name = name.map_or_else(|| String::from("the server's root"), Name::to_string);
        let error = format!("{name}: {why}");
        tell(&format_args!("haul: {error}"));
        if self.options.json {
            let line = json_line(&Event::Error { error }).unwrap_or_default();
            self.out.write_all(&line)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), Failure> {
        if self.options.json {
            let mut line = Vec::new();
            encode_entry(entry, &mut line).map_err(ConnectionError::from)?;
            // JSON is UTF-8.
            let line = String::from_utf8_lossy(&line);
            return Ok(writeln!(self.out, "{}", plain_json(line.trim_end()))?);
        }
        if self.options.long {
            write!(self.out, "{} ", long(entry))?;
        }
        let name = entry.name.as_bytes();
        let below = match self.base {
            Some(base) => {
                name.strip_prefix(base.as_bytes()).and_then(|rest| rest.strip_prefix(b"/"))
            }
            None => Some(name),
        };
        // Otherwise the entry is the destination itself.
        let shown = below.unwrap_or(entry.name.split().1);
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
        write!(self.out, "{}", ShownBytes(bytes))
    }
}

/// Mode, size and mtime, as `ls -l` has them.
fn long(entry: &Entry) -> String {
    let (kind, size) = match entry.kind {
        EntryKind::File { size, .. } => ('-', Some(size)),
        EntryKind::Directory => ('d', None),
        EntryKind::Link { .. } => ('l', None),
        _ => ('?', None),
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
