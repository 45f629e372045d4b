//! A client of a resumable upload. It sends pieces, asks how far the upload is whenever it is not sure, and goes on from the
//! offset that it is told.

use std::io;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use haul_tests::http::Reply;
use haul_tests::random::Random;
use haul_tests::tus::TUS;

use super::line::{Line, Request, Way, may_be_lost};
use super::plan::Dialect;
use super::report::{Counts, What};
use super::requests::{self, Piece};
use super::upload::{End, Known, Upload};

/// Time before a client tries again.
const PAUSE: Duration = Duration::from_millis(5);

/// The reason why a request has no answer, or a wrong one.
pub(super) enum Trouble {
    /// The connection is lost.
    Lost(io::Error),
    /// The server has broken a promise.
    Wrong(anyhow::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Wrong(error)
    }
}

type Outcome<T> = Result<T, Trouble>;

/// A client.
#[derive(Debug)]
pub(crate) struct Sender<'a> {
    upload: &'a Upload,
    way: Way<'a>,
    /// The first one begins the upload.
    is_first: bool,
    /// Refusals for want of space are no fault.
    may_be_full: bool,
    random: Random,
    line: Option<Line>,
    /// The offset, as long as the client is sure of it.
    offset: Option<u64>,
    pub(crate) counts: Counts,
}

impl<'a> Sender<'a> {
    /// One of the clients of an upload, the first of which has the number 0.
    pub(crate) fn new(upload: &'a Upload, way: Way<'a>, number: u64, may_be_full: bool) -> Self {
        let random = Random::new(upload.plan.seed, 2 + number);
        let (is_first, counts) = (number == 0, Counts::default());
        Self { upload, way, is_first, may_be_full, random, line: None, offset: None, counts }
    }

    /// Sends until the file is whole, the upload is removed, or the bout is over.
    pub(super) fn run(&mut self, is_over: impl Fn() -> bool) -> anyhow::Result<()> {
        while !self.upload.is_over() && !is_over() {
            let about = || format!("{} ({:?})", self.upload.name, self.upload.plan);
            match self.step() {
                Ok(()) => {}
                Err(Trouble::Lost(error)) => {
                    may_be_lost(error).with_context(about)?;
                    self.is_lost();
                }
                Err(Trouble::Wrong(error)) => return Err(error).with_context(about),
            }
        }
        Ok(())
    }

    /// Asks once, over a connection that nothing disturbs; whether there is such an upload by now.
    pub(crate) fn ask_once(&mut self) -> anyhow::Result<bool> {
        let Some(location) = self.upload.location() else { return Ok(false) };
        self.upload.is_shared();
        match self.ask_how_far(&location) {
            Ok(()) => Ok(true),
            Err(Trouble::Lost(error)) => Err(error).context(self.upload.name.clone()),
            Err(Trouble::Wrong(error)) => Err(error).context(self.upload.name.clone()),
        }
    }

    fn is_lost(&mut self) {
        self.counts.one(What::Lost);
        self.leaves_line();
        std::thread::sleep(PAUSE);
    }

    /// Ends the connection. A request may be on its way still, and come to the server later than the next one.
    fn leaves_line(&mut self) {
        (self.line, self.offset) = (None, None);
        self.upload.is_shared();
    }

    fn step(&mut self) -> Outcome<()> {
        let stop = self.upload.plan.removed_at;
        match (self.upload.location(), self.offset) {
            (None, _) if self.is_first => self.begin(),
            (None, _) => {
                std::thread::sleep(PAUSE);
                Ok(())
            }
            (Some(location), None) => self.ask_how_far(&location),
            (Some(location), Some(offset)) if stop.is_some_and(|stop| stop <= offset) => {
                self.remove(&location)
            }
            (Some(location), Some(offset)) => self.append(&location, offset),
        }
    }

    /// Sends a request, and returns the answer; none if this client ends the connection after so many bytes of the body.
    fn ask(&mut self, request: &Request<'_>, cut: Option<usize>) -> Outcome<Option<Reply>> {
        if self.line.is_none() || self.random.chance(10) {
            // Without accounts the server takes none on loopback.
            let is_tls = self.random.chance(30) && self.way.token.is_some();
            self.line = Some(Line::connect(self.way, is_tls)?);
            self.counts.one(What::Connections);
        }
        let Some(line) = &mut self.line else { return Ok(None) };
        self.counts.one(What::Requests);
        if let Some(cut) = cut {
            let body = &request.body[..cut];
            let (first, fields) = (request.first.clone(), request.fields.clone());
            line.send(&Request { first, fields, body })?;
            self.counts.one(What::CutHere);
            self.leaves_line();
            return Ok(None);
        }
        line.send(request)?;
        loop {
            let reply = line.receive(request)?;
            // The draft tells the address of an upload before its answer.
            if reply.status == 104 && !reply.field("Location").is_empty() {
                self.upload.is_at(reply.field("Location"), false);
            }
            if reply.status >= 200 {
                return Ok(Some(reply));
            }
        }
    }

    fn begin(&mut self) -> Outcome<()> {
        let (upload, plan) = (self.upload, &self.upload.plan);
        let completes = plan.first == plan.size && plan.dialect != Dialect::Deferred;
        upload.begins(completes);
        let answer = self.ask(&requests::begin(upload)?, None);
        if matches!(answer, Err(Trouble::Lost(_))) && upload.location().is_none() {
            self.counts.one(What::LostCreations);
        }
        let Some(reply) = answer? else { return Ok(()) };
        if reply.status != 201 {
            return self.has_refused("POST", &reply);
        }
        upload.is_at(reply.field("Location"), true);
        let offset = offset(&reply)?;
        wrong_unless(offset == plan.first, || {
            format!("{} first bytes came, {offset} are told", plan.first)
        })?;
        upload.is_told(Known::default(), offset)?;
        self.offset = Some(offset);
        if completes {
            self.is_whole()?;
        }
        Ok(())
    }

    /// `HEAD`, and everything that its answer promises.
    fn ask_how_far(&mut self, location: &str) -> Outcome<()> {
        let before = self.upload.known();
        let request = requests::head(self.upload, location);
        let Some(reply) = self.ask(&request, None)? else { return Ok(()) };
        if reply.status != 200 {
            return self.has_refused("HEAD", &reply);
        }
        let (offset, size) = (offset(&reply)?, self.upload.plan.size);
        self.upload.is_told(before, offset)?;
        self.counts.one(What::Offsets);
        requests::agrees(self.upload, &reply)?;
        if offset == size && requests::is_whole(self.upload, &reply) {
            return self.is_whole();
        }
        wrong_unless(before.end != End::Whole, || format!("it was whole, and is not at {offset}"))?;
        self.offset = Some(offset);
        Ok(())
    }

    fn append(&mut self, location: &str, offset: u64) -> Outcome<()> {
        let piece = Piece::new(&mut self.random, self.upload, offset);
        let before = self.upload.known();
        let body = piece.body(self.upload)?;
        let request = requests::append(self.upload, location, &piece, &body);
        if let Some(end) = piece.counts_to() {
            self.upload.sends(end, piece.completes(self.upload));
        }
        let Some(reply) = self.ask(&request, piece.cut)? else { return Ok(()) };
        match reply.status {
            460 if piece.is_wrong => {
                self.counts.one(What::WrongBytes);
                self.offset = None;
                Ok(())
            }
            204 => {
                let told = self::offset(&reply)?;
                wrong_unless(!piece.is_wrong, || {
                    String::from("bytes unlike their checksum were taken")
                })?;
                wrong_unless(told == piece.end(), || {
                    format!("after {piece:?} the offset is {told}")
                })?;
                self.upload.is_told(before, told)?;
                self.offset = Some(told);
                if piece.completes(self.upload) {
                    self.is_whole()?;
                }
                Ok(())
            }
            _ => {
                if let Ok(told) = self::offset(&reply) {
                    self.upload.is_told(before, told)?;
                }
                self.has_refused("PATCH", &reply)
            }
        }
    }

    fn remove(&mut self, location: &str) -> Outcome<()> {
        self.upload.is_removed();
        let (first, fields) = (format!("DELETE {location}"), TUS.to_owned());
        let request = Request { first, fields, body: b"" };
        let Some(reply) = self.ask(&request, None)? else { return Ok(()) };
        match reply.status {
            204 => Ok(self.upload.is_unknown()?),
            _ => self.has_refused("DELETE", &reply),
        }
    }

    fn is_whole(&mut self) -> Outcome<()> {
        self.upload.is_whole()?;
        self.counts.one(What::Files);
        Ok(())
    }

    /// A refusal that is no fault: of an upload that is gone, that another client has, or in need.
    fn has_refused(&mut self, what: &str, reply: &Reply) -> Outcome<()> {
        self.offset = None;
        match reply.status {
            404 | 410 => {
                self.upload.is_unknown()?;
                self.counts.one(What::GoneFor);
            }
            409 if self.upload.has_rivals() => self.counts.one(What::Overtaken),
            // Another client has sent the last word of the draft meanwhile.
            400 if self.upload.has_rivals() && reply.text().contains("is complete") => {
                self.counts.one(What::Overtaken);
            }
            503 => self.counts.one(What::Busy),
            507 if self.may_be_full => self.counts.one(What::NoSpace),
            // The server could not write the journal of the upload, and opens it anew for the next request.
            500 if self.may_be_full => self.counts.one(What::Unwritten),
            status => {
                let found = (|| bail!("{what} got {status}: {}", reply.text().trim()))();
                return Err(Trouble::Wrong(found.unwrap_or_else(|error| error)));
            }
        }
        std::thread::sleep(PAUSE);
        Ok(())
    }
}

/// `Upload-Offset` of an answer.
fn offset(reply: &Reply) -> anyhow::Result<u64> {
    let field = reply.field("Upload-Offset");
    field
        .parse()
        .with_context(|| format!("Upload-Offset of an answer is {field:?}: {}", reply.head))
}

fn wrong_unless(holds: bool, why: impl FnOnce() -> String) -> anyhow::Result<()> {
    ensure!(holds, "{}", why());
    Ok(())
}
