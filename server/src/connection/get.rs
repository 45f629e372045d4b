//! One part of a file for the peer, read a little in each turn.
//!
//! The part is in memory as a whole before its answer begins, because the answer tells the chaining value first. If the client
//! needs none, since it compares the digest of the whole file, and the server knows this digest, nothing is hashed, and over
//! a plain transport the part [is sent](super::sending) from the file.

use haul_protocol::{
    Code, Cv, Digest, FileHasher, Geometry, Name, PartFacts, PartHasher, Reply, RequestId, Token,
};

use super::Connection;
use super::sending::Sending;
use super::turn::Turn;
use crate::refusal::Refusal;
use crate::services::places::Place;
use crate::store::Readable;

/// Milliseconds after which the server gives up on a file that changes all the time.
const RESTLESS: u64 = 200;

/// Bytes of the next part that the kernel is to read while the client takes this one; then its own read-ahead goes on. To look for
/// bytes that are in memory costs a tenth of copying them, so they are no more.
const AHEAD: u64 = 1 << 20;

/// The part that is asked for.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) id: RequestId,
    pub(super) name: Name,
    pub(super) offset: u64,
    pub(super) part_size: u64,
    /// The state that the file must be in.
    pub(super) state: Option<Token>,
    /// Whether the digest of the whole file will do instead of a chaining value.
    pub(super) whole: bool,
}

/// A part on its way out of its file.
#[derive(Debug)]
pub(super) struct Get {
    wanted: Wanted,
    /// When it was asked for, in milliseconds of the server's clock.
    since: u64,
    reading: Option<Reading>,
}

/// The part of a file that is open.
#[derive(Debug)]
struct Reading {
    file: Readable,
    hasher: Hasher,
    /// Bytes of the part.
    len: usize,
    /// Those that have been read, with room for the others.
    bytes: Vec<u8>,
    place: Place,
}

#[derive(Debug)]
enum Hasher {
    /// Of a file that has only this part.
    Whole(FileHasher),
    Part(PartHasher),
    /// The client compares this digest of the whole file.
    Known(Digest),
}

/// A part that can be sent.
#[derive(Debug)]
enum Ready {
    /// From memory.
    Read(PartFacts, Vec<u8>),
    /// From the file.
    File(PartFacts, Box<Sending>, u64),
}

impl Get {
    /// `now`: the moment, in milliseconds of the server's clock.
    pub(super) fn new(wanted: Wanted, now: u64) -> Self {
        Self { wanted, since: now, reading: None }
    }

    /// Bytes of memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        let held = |reading: &Reading| reading.bytes.capacity() + reading.file.held_bytes();
        let bytes = self.reading.as_ref().map_or(0, held);
        self.wanted.name.as_bytes().len() + bytes
    }

    /// Whether it has a file open.
    pub(super) fn has_place(&self) -> bool {
        self.reading.is_some()
    }

    /// Opens the file, or reads a little; returns the part if it can be sent. `sends`: bytes can be sent from a file.
    fn advance(&mut self, sends: bool, turn: &mut Turn<'_>) -> Result<Option<Ready>, Refusal> {
        let Some(reading) = &mut self.reading else {
            self.reading = self.open(turn)?;
            return Ok(None);
        };
        if sends && let Hasher::Known(digest) = reading.hasher {
            reading.read_ahead(&self.wanted);
            let facts = reading.facts(None, Some(digest));
            let Some(Reading { file, place, len, .. }) = self.reading.take() else {
                return Ok(None);
            };
            let sending = Sending::new(file, self.wanted.offset, place, turn.services.now());
            return Ok(Some(Ready::File(facts, Box::new(sending), len as u64)));
        }
        let left = reading.len - reading.bytes.len();
        if left > 0 {
            let offset = self.wanted.offset + reading.bytes.len() as u64;
            // The bytes are hashed and copied while they are in the second-level cache.
            let room = turn.buffer.room(offset);
            let most = room.len().min(left);
            let read = reading.file.read(offset, &mut room[..most])?;
            reading.hasher.update(&room[..read]);
            // All of it at once, so that nothing is copied twice.
            reading.bytes.reserve_exact(left);
            reading.bytes.extend_from_slice(&room[..read]);
            turn.share.took(read);
            if read < left {
                return Ok(None);
            }
        }
        reading.file.check_unchanged()?;
        reading.read_ahead(&self.wanted);
        let (cv, digest) = match &reading.hasher {
            Hasher::Whole(hasher) => (None, Some(hasher.finish())),
            // The client compares it once all parts are there.
            Hasher::Part(hasher) => {
                (hasher.finish(), reading.file.kept_digest(&turn.services.store))
            }
            Hasher::Known(digest) => (None, Some(*digest)),
        };
        let facts = reading.facts(cv, digest);
        Ok(Some(Ready::Read(facts, std::mem::take(&mut reading.bytes))))
    }

    /// Opens the file. `None`: it has changed just now, so that another change might not show.
    fn open(&self, turn: &Turn<'_>) -> Result<Option<Reading>, Refusal> {
        let Wanted { name, offset, part_size, state, whole, .. } = &self.wanted;
        let busy = || Refusal::new(Code::Busy, "too many files are open at once");
        let place = turn.place().ok_or_else(busy)?;
        let store = &turn.services.store;
        store.refresh(&turn.base.parents);
        let file = store.open_for_client(&turn.base.parents, name)?;
        if state.is_some_and(|state| state != file.state()) {
            return Err(file.has_changed().into());
        }
        let (mut hasher, len) = part(file.size(), *offset, *part_size)?;
        if *whole && matches!(hasher, Hasher::Part(_)) {
            hasher = file.kept_digest(store).map_or(hasher, Hasher::Known);
        }
        if !file.is_settled() {
            return match turn.services.now().saturating_sub(self.since) > RESTLESS {
                true => Err(file.has_changed().into()),
                false => Ok(None),
            };
        }
        Ok(Some(Reading { file, hasher, len, bytes: Vec::new(), place }))
    }
}

impl Reading {
    /// The client takes this part before it gets another one, and most often that is the next one of the file.
    fn read_ahead(&self, wanted: &Wanted) {
        self.file.read_ahead(wanted.offset + self.len as u64, wanted.part_size.min(AHEAD));
    }

    fn facts(&self, cv: Option<Cv>, digest: Option<Digest>) -> PartFacts {
        let (size, attributes) = (self.file.size(), self.file.attributes());
        PartFacts { size, attributes, state: self.file.state(), cv, digest }
    }
}

impl Hasher {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Whole(hasher) => hasher.update(bytes),
            // There are as many bytes as the part has.
            Self::Part(hasher) => drop(hasher.update(bytes)),
            Self::Known(_) => {}
        }
    }
}

/// The hasher and the length of the part at an offset in a file of `size` bytes.
fn part(size: u64, offset: u64, part_size: u64) -> Result<(Hasher, usize), Refusal> {
    let bad = |message: &dyn std::fmt::Display| Refusal::new(Code::BadRequest, message);
    let past = || bad(&format_args!("offset {offset} is past the end of a file of {size} bytes"));
    let length = |len: u64| usize::try_from(len).map_err(|error| bad(&error));
    if size <= part_size {
        return match offset {
            0 => Ok((Hasher::Whole(FileHasher::new()), length(size)?)),
            _ => Err(past()),
        };
    }
    let geometry = Geometry::new(size, part_size).map_err(|error| bad(&error))?;
    let index = usize::try_from(offset / part_size).map_err(|error| bad(&error))?;
    let (Some(range), Some(hasher)) = (geometry.range(index), geometry.hasher(index)) else {
        return Err(past());
    };
    Ok((Hasher::Part(hasher), length(range.end - range.start)?))
}

impl Connection {
    /// Reads a little of the part that the peer wants, and answers if that was all; returns it otherwise.
    pub(super) fn go_on_getting(
        &mut self,
        mut get: Box<Get>,
        turn: &mut Turn<'_>,
    ) -> Option<Box<Get>> {
        let id = get.wanted.id;
        match get.advance(self.transport.sends_files(), turn) {
            Ok(None) => return Some(get),
            Ok(Some(Ready::Read(facts, bytes))) => {
                self.is_read(&get.wanted.name, facts.digest, bytes.len());
                self.answer_with(id, Reply::Part(facts), bytes);
            }
            Ok(Some(Ready::File(facts, sending, len))) => {
                let reading = self.reading(&get.wanted.name, facts.digest, len);
                self.answer_from(id, Reply::Part(facts), sending.told_by(reading), len);
            }
            Err(refusal) => self.refuse(id, refusal),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_those_of_the_geometry_and_no_others() {
        let len = |size, offset, part_size| part(size, offset, part_size).ok().map(|(_, len)| len);
        for (size, offset, part_size, expected) in [
            (0, 0, 1024, Some(0)),
            (0, 1024, 1024, None),
            (1024, 0, 1024, Some(1024)),
            (1024, 1024, 1024, None),
            (1025, 0, 1024, Some(1024)),
            (1025, 1024, 1024, Some(1)),
            (1025, 2048, 1024, None),
            (131_072 * 1024, 131_071 * 1024, 1024, Some(1024)),
            (131_072 * 1024 + 1, 0, 1024, None),
            (u64::MAX, u64::MAX - 1023, 1024, None),
            (u64::MAX, 0, 8_388_608, None),
        ] {
            assert_eq!(len(size, offset, part_size), expected, "{offset} of {size}");
        }
    }
}
