//! `hauld --stdio`: one client over standard input and output, as `ssh box hauld --stdio` connects them.
//!
//! The client's first line says which directory it wants (`greeting`, `place`). Then the process starts another one that
//! serves that directory (`host`), or joins a process that serves it already, and relays between a socket to that one and
//! standard input and output (`relay`, `session`).
//!
//! ```text
//!   ssh ~~ stdin  → relay → socket → server → store
//!   ssh ~~ stdout ← relay ← socket ←
//! ```

mod direct;
mod greeting;
mod host;
mod options;
mod place;
mod relay;
mod session;
#[cfg(test)]
mod tests;

use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use thiserror::Error;

use greeting::{Beginning, Declined, Failure, Reason, Wishes};
pub use host::{Stopper as HostStopper, host};
pub use options::Options;
use place::{Place, Search};
pub use session::{Session, Stopper};

/// The sentence for a person who has typed `hauld --stdio`.
pub const WHAT_FOR: &str = "--stdio is for programs: `haul put FILE user@this-machine:DIR` starts `hauld --stdio` over ssh \
                            and speaks to it over standard input and output; `hauld --help` says more";

/// A client was not served, or not to its end.
#[derive(Debug, Error)]
pub enum StdioError {
    /// The client has been told why, on standard output.
    #[error("the client was told why it is not served: {0}")]
    Told(String),
    /// Nobody has been told why the client is not served.
    #[error("{0}")]
    Untold(String),
    /// The time was over before all was done.
    #[error("{0}")]
    CutOff(String),
}

/// A client that has said what it wants, or speaks frames at once.
#[derive(Debug)]
pub struct Caller {
    options: Options,
    /// `None`: it speaks frames.
    wishes: Option<Wishes>,
    /// Bytes that came after its line.
    first: Vec<u8>,
}

impl Caller {
    /// Reads the client's line from standard input. `None`: the input has ended before its first byte.
    ///
    /// # Errors
    /// If no line comes, or it can't be read. The client is told that.
    pub fn receive(options: Options) -> Result<Option<Self>, StdioError> {
        let deadline = Instant::now() + options.config.timeouts.idle;
        let mut bytes = Vec::new();
        let (line, rest) = loop {
            match greeting::beginning(&bytes) {
                Beginning::Frames => return Ok(Some(Self { options, wishes: None, first: bytes })),
                Beginning::Line(len) => {
                    let rest = bytes.split_off(len);
                    break (bytes, rest);
                }
                Beginning::Endless => return Err(decline(malformed("it is too long"))),
                Beginning::Unknown => {}
            }
            match read(&mut bytes, deadline) {
                Ok(0) if bytes.is_empty() => return Ok(None),
                Ok(0) => return Err(decline(malformed("standard input ended in it"))),
                Ok(_) => {}
                Err(error) => {
                    let message =
                        format!("nobody has said on standard input what is wanted: {error}");
                    return Err(StdioError::Untold(message));
                }
            }
        };
        let wishes = greeting::parse(&line).map_err(decline)?;
        Ok(Some(Self { options, wishes: Some(wishes), first: rest }))
    }

    /// Opens the root that the client wants, and tells the client that the protocol follows.
    ///
    /// # Errors
    /// If there can be no server. The client is told that.
    pub fn open(self) -> Result<Session, StdioError> {
        let Self { mut options, wishes, first } = self;
        // A client that only reads needs neither lock nor `.haul`, and gets no more than it has asked for.
        let only_reads = wishes.as_ref().is_some_and(|wishes| !wishes.change);
        options.only_reads = only_reads && !options.config.read_only;
        options.is_direct = wishes.as_ref().is_some_and(|wishes| wishes.direct);
        let nonce = wishes.as_ref().map(|wishes| wishes.nonce.clone());
        let fail = |failure| match &wishes {
            Some(wishes) => decline(Declined { nonce: Some(wishes.nonce.clone()), failure }),
            None => StdioError::Untold(failure.message),
        };
        let place = find(&options, wishes.as_ref()).map_err(fail)?;
        let (session, offer) = Session::open(&options, place, first).map_err(fail)?;
        if let Some(nonce) = nonce {
            let line = greeting::welcome(&nonce, session.root(), session.is_joined(), offer);
            relay::write_all(rustix::stdio::stdout(), &line).map_err(|errno| {
                StdioError::Untold(format!("the client takes no answer: {errno}"))
            })?;
        }
        Ok(session)
    }
}

/// Finds the root.
fn find(options: &Options, wishes: Option<&Wishes>) -> Result<Place, Failure> {
    let (given, may_change) = (options.root.as_deref(), !options.config.read_only);
    match (wishes, given) {
        (Some(wishes), given) => {
            let make = wishes.make && wishes.change && may_change;
            Search { given, make }.wanted(&wishes.root)
        }
        (None, Some(given)) => Search { given: None, make: may_change }.open(given),
        (None, None) => Err(Failure::new(
            Reason::Malformed,
            "standard input begins with no greeting of haul, and without one --root has to say which directory is served",
        )),
    }
}

fn malformed(what: &str) -> Declined {
    let failure = Failure::new(Reason::Malformed, format!("the first line is no greeting: {what}"));
    Declined { nonce: None, failure }
}

/// Tells the client why it is not served.
fn decline(declined: Declined) -> StdioError {
    let line = greeting::refusal(&declined);
    let written = relay::write_all(rustix::stdio::stdout(), line.as_bytes());
    let message = declined.failure.message;
    // Without its own word the client may take the line for anything.
    match (written, declined.nonce) {
        (Ok(()), Some(_)) => StdioError::Told(message),
        _ => StdioError::Untold(message),
    }
}

/// Reads more of standard input.
fn read(bytes: &mut Vec<u8>, deadline: Instant) -> io::Result<usize> {
    let mut piece = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left == Duration::ZERO {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let stdin = rustix::stdio::stdin();
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let mut ready = [PollFd::from_borrowed_fd(stdin, PollFlags::IN)];
        match poll(&mut ready, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        match rustix::io::read(stdin, &mut piece) {
            Ok(len) => {
                bytes.extend_from_slice(&piece[..len]);
                return Ok(len);
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
