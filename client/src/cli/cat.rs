//! `haul cat`: the bytes of files at a server, on standard output.
//!
//! Each part is written when it has come and its bytes are right, so nothing wrong is ever written; a file that changes
//! meanwhile ends the command, since its first part is out already.

use std::collections::VecDeque;
use std::io::{self, Write};

use haul_protocol::{Code, Cv, Digest, Geometry, Name, Op, PartFacts, Reply, Right, limits, merge};

use super::ending::Ending;
use super::exit::{self, Reason};
use super::get_words::CatCommand;
use super::oneshot;
use super::options::{BasicOutput, Reaching};
use crate::connection::rpc::{Asking, Said};
use crate::credentials::Need;
use crate::error::refused::Refused;
use crate::error::{ConnectionError, ProtocolError};
use crate::get::source::Source;
use crate::net::root::root_above;
use crate::net::ssh::Access;

/// The right that it can't do without.
const NEEDS: [Need; 1] = [(Right::Get, "cat")];

/// Bytes of a part: little enough that the first bytes come soon.
const PART: u64 = limits::MIN_PART_LEN;

/// Bytes of a part of a file that has too many of the others.
const LARGE_PART: u64 = limits::MAX_BODY_LEN;

/// Bytes that are asked for ahead of those that are written: a long line costs little, and they bound the memory.
const AHEAD: u64 = 8 * PART;

/// Carries `haul cat` out, and returns the exit code.
pub(super) fn run(words: &CatCommand, signals: &super::signals::Signals) -> u8 {
    let ending = Ending::of_requests(BasicOutput { quiet: true, json: false }, signals);
    cat(&words.sources, words.reaching, &ending)
}

/// Writes files to standard output, one after the other.
pub(super) fn cat(sources: &[Source], reaching: Reaching, ending: &Ending<'_>) -> u8 {
    let mut sources = sources.to_vec();
    root_above(sources.iter_mut().map(Source::place_mut), Access::Reads);
    let Some((first, others)) = sources.split_first() else {
        return ending.fail(Reason::Usage, &"there is no SRC");
    };
    if others.iter().any(|other| !other.place().is_beside(first.place())) {
        return ending.fail(Reason::Usage, &"all SRC are at one server, as one account");
    }
    let mut out = io::stdout().lock();
    let (mut cats, mut failed, mut broken) = (VecDeque::new(), false, None);
    for source in &sources {
        match &source.place().path {
            Some(name) if !source.contents => cats.push_back(Cat::new(name.clone())),
            _ => {
                ending.error(&format_args!("{}: a directory, not a file", shown(source)));
                failed = true;
            }
        }
    }
    // Over a new connection the file that was under way goes on where it was.
    let done = oneshot::at(first.place(), &NEEDS, reaching, ending, &mut |asking, _| {
        if !asking.has_feature("get") {
            return Err(ConnectionError::GivesNothingBack);
        }
        while let Some(cat) = cats.front_mut() {
            match cat.go_on(asking, &mut out) {
                Ok(()) => {}
                Err(Failure::Connection(error)) => return Err(error),
                Err(Failure::File(why)) => {
                    ending.failed(&cat.name, &why);
                    failed = true;
                    if cat.written > 0 {
                        // The rest would stand behind half a file.
                        return Ok(());
                    }
                }
                Err(Failure::Output(error)) => {
                    broken = Some(error);
                    return Ok(());
                }
            }
            cats.pop_front();
        }
        Ok(())
    });
    let flushed = out.flush().err().filter(|_| broken.is_none());
    match (broken.or(flushed), done) {
        // The reader has had enough, and knows that.
        (Some(error), _) if error.kind() == io::ErrorKind::BrokenPipe => Reason::Unwritten.code(),
        (Some(error), _) => {
            ending.error(&format_args!("could not write to standard output: {error}"));
            Reason::Unwritten.code()
        }
        (None, Err(ended)) => ended.tell(ending),
        (None, Ok(())) if failed => exit::FAILED,
        (None, Ok(())) => exit::OK,
    }
}

fn shown(source: &Source) -> String {
    let place = source.place();
    place.path.as_ref().map_or_else(|| place.server.to_string(), Name::to_string)
}

/// The end of one file that is not whole.
enum Failure {
    Connection(ConnectionError),
    File(String),
    Output(io::Error),
}

impl From<ConnectionError> for Failure {
    fn from(error: ConnectionError) -> Self {
        Self::Connection(error)
    }
}

fn damaged() -> Failure {
    Failure::File(String::from("arrived damaged; run it again"))
}

/// One file on its way to standard output.
struct Cat {
    name: Name,
    /// The facts from the first answer.
    facts: Option<PartFacts>,
    /// Bytes of a part.
    part: u64,
    /// Bytes that are written.
    written: u64,
    /// The chaining values of the parts that are written, if the file has several.
    cvs: Vec<Cv>,
}

impl Cat {
    fn new(name: Name) -> Self {
        Self { name, facts: None, part: PART, written: 0, cvs: Vec::new() }
    }

    /// Writes the rest of the file.
    fn go_on(&mut self, asking: &mut Asking<'_>, out: &mut impl Write) -> Result<(), Failure> {
        let mut next = self.written;
        let mut asked = VecDeque::new();
        loop {
            let size = self.facts.map_or(1, |facts| facts.size);
            let ahead = if self.facts.is_some() { AHEAD.max(2 * self.part) } else { 1 };
            while next - self.written < ahead && next < size && asking.has_room() {
                let (name, state) = (self.name.clone(), self.facts.map(|facts| facts.state));
                // haul can not take written bytes back, so it compares each part before.
                let whole = false;
                let op = Op::Get { name, offset: next, part_size: self.part, state, whole };
                asked.push_back((asking.ask(&op)?, next));
                next += self.part;
            }
            let Some((id, offset)) = asked.pop_front() else { return self.check() };
            let (answered, said) = asking.answer()?;
            if answered != id {
                return Err(ConnectionError::from(ProtocolError::Kind).into());
            }
            match said {
                Said::Answered(Reply::Part(facts), body) => {
                    self.write(offset, facts, &body, out)?
                }
                // A file of more parts than a file may have can't be told otherwise.
                Said::Refused(refusal)
                    if refusal.code == Code::BadRequest
                        && self.facts.is_none()
                        && self.part < LARGE_PART =>
                {
                    (self.part, next) = (LARGE_PART, self.written);
                }
                Said::Refused(refusal) => return Err(self.refused(&refusal)),
                _ => return Err(ConnectionError::from(ProtocolError::Kind).into()),
            }
        }
    }

    /// Compares the digest of a file in several parts, all of which are written, with the one that the server knows.
    fn check(&self) -> Result<(), Failure> {
        let known = self.facts.and_then(|facts| facts.digest).filter(|_| !self.cvs.is_empty());
        if known.is_some() && merge(&self.cvs) != known { Err(damaged()) } else { Ok(()) }
    }

    fn refused(&self, refusal: &haul_protocol::Refusal) -> Failure {
        Failure::File(match refusal.code {
            Code::Changed if self.written > 0 => String::from(
                "changed while it was read; what was written is the begin of the older file",
            ),
            _ => Refused(refusal).to_string(),
        })
    }

    /// A part has come.
    fn write(
        &mut self,
        offset: u64,
        facts: PartFacts,
        body: &[u8],
        out: &mut impl Write,
    ) -> Result<(), Failure> {
        let known = self.facts.get_or_insert(facts);
        let wrong = || Failure::from(ConnectionError::from(ProtocolError::Fetched));
        if (facts.state, facts.size) != (known.state, known.size) {
            return Err(wrong());
        }
        let is_right = match Geometry::new(facts.size, self.part) {
            Ok(geometry) => {
                let index = geometry.locate(offset, body.len() as u64).map_err(|_| wrong())?;
                let hasher = geometry.hasher(index);
                let cv = hasher.and_then(
                    |mut hasher| {
                        if hasher.update(body) { hasher.finish() } else { None }
                    },
                );
                self.cvs.extend(cv);
                cv == Some(facts.cv.ok_or_else(wrong)?)
            }
            Err(_) if body.len() as u64 != facts.size => return Err(wrong()),
            Err(_) => facts.digest.ok_or_else(wrong)? == Digest::of(body),
        };
        if facts.digest.is_some() {
            known.digest = facts.digest;
        }
        if !is_right {
            return Err(damaged());
        }
        out.write_all(body).map_err(Failure::Output)?;
        self.written += body.len() as u64;
        Ok(())
    }
}
