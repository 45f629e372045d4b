//! A file that comes in one body: its limits, and how it is staged.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use haul_protocol::{Attributes, Code, Digest, FileHasher, Mtime, Name, RequestId, limits};

use super::http::stated::Checked;
use super::turn::Turn;
use crate::commit::notify::ReplyTo;
use crate::refusal::Refusal;
use crate::services::Services;
use crate::services::places::Place;
use crate::store::{Parents, Reserved, Share, Staged, StoreError};

/// A file that comes in one body.
#[derive(Debug)]
pub(super) struct Incoming {
    /// The request's id; a classic one has none and is never answered.
    pub(super) id: Option<RequestId>,
    pub(super) name: Name,
    pub(super) size: u64,
    /// How a client of HTTP sends it.
    pub(super) sent: Option<Box<Sent>>,
    /// The digest of the bytes; a classic client does not state it, and a bundle has one for all.
    pub(super) digest: Option<Digest>,
    /// When its header came.
    pub(super) begun: Instant,
    /// The digest is wanted also if nobody states it.
    hashes: bool,
    pub(super) attributes: Attributes,
    /// Until its bytes are written, and for its name until that is there.
    pub(super) room: Reserved,
    /// Its part of the quotas that it counts for.
    pub(super) share: Option<Share>,
    /// Made when the first bytes come without the last ones.
    pub(super) stream: Option<Box<Stream>>,
}

/// How a client of HTTP sends a file.
#[derive(Debug)]
pub(super) struct Sent {
    /// The digests that it has stated, and the bytes that have come.
    pub(super) checked: Checked,
    /// It may not replace anything.
    pub(super) only_new: bool,
    /// Nobody has told the size, which grows with the bytes.
    pub(super) grows: bool,
    /// Its place among the entries of its request, if that makes several.
    pub(super) index: Option<u32>,
}

/// An mtime that is so old is over, whatever ticks the clock of the file system has.
const OVER: Duration = Duration::from_millis(2_100);

/// Bytes for which a file has room before its body comes, and after which it counts as going on.
pub(super) const ADVANCE: u64 = 64 * 1024;

/// Bytes for which it has room once its body comes: a file of the haul dialect is hardly larger.
pub(super) const AHEAD: u64 = 4 * 1024 * 1024;

/// A file of which some bytes have come.
#[derive(Debug)]
pub(super) struct Stream {
    staged: Staged,
    hasher: FileHasher,
    pub(super) offset: u64,
    /// When the last [`ADVANCE`] bytes were complete, in milliseconds of the server's clock.
    pub(super) advanced: u64,
    _place: Place,
}

impl Incoming {
    /// A file that may come: it is not too large, and there is room.
    pub(super) fn admit(
        (services, parents): (&Services, &Parents),
        (id, name, size): (Option<RequestId>, Name, u64),
        digest: Option<Digest>,
        attributes: Attributes,
    ) -> Result<Self, Refusal> {
        within(size, services.tuning().limits.max_file)?;
        let share = services.store.share(parents, &name, size)?;
        let room = services.store.admit(&name, size)?;
        // A header keeps no room from others before its body comes.
        room.used(room.left().saturating_sub(ADVANCE));
        let hashes = services.tells_digests();
        let (sent, stream, begun) = (None, None, Instant::now());
        Ok(Self { id, name, size, sent, digest, begun, hashes, attributes, room, share, stream })
    }

    /// The same from a client of HTTP, which states no digest that the server could keep: the server makes it.
    pub(super) fn of_http(self, sent: Sent) -> Self {
        Self { sent: Some(Box::new(sent)), hashes: true, ..self }
    }

    /// Whether it may not replace anything, because its client has said so.
    pub(super) fn is_only_new(&self) -> bool {
        self.sent.as_ref().is_some_and(|sent| sent.only_new)
    }

    /// The mtime of a file that a client of HTTP has sent, if it has stated none.
    fn mtime_of_http(&self) -> Option<Mtime> {
        self.sent.as_ref()?;
        past()
    }

    /// Whether nobody has told its size.
    pub(super) fn grows(&self) -> bool {
        self.sent.as_ref().is_some_and(|sent| sent.grows)
    }

    /// All bytes are here.
    pub(super) fn verify(&self, bytes: &[u8]) -> Result<(), StoreError> {
        self.check_stated(bytes)?;
        if self.digest.is_some() { self.check(Digest::of(bytes)) } else { Ok(()) }
    }

    /// Notes the digest of the bytes, which were verified, if it is wanted.
    pub(super) fn note_digest(&mut self, bytes: &[u8]) {
        if self.hashes && self.digest.is_none() {
            self.digest = Some(Digest::of(bytes));
        }
    }

    /// Whether the bytes that were appended, and these, are those that a client of HTTP has stated.
    fn check_stated(&self, rest: &[u8]) -> Result<(), StoreError> {
        match &self.sent {
            Some(sent) if !sent.checked.holds_with(rest) => {
                Err(StoreError::DigestMismatch { name: self.name.to_string() })
            }
            _ => Ok(()),
        }
    }

    fn check(&self, actual: Digest) -> Result<(), StoreError> {
        if self.digest.is_some_and(|digest| digest != actual) {
            return Err(StoreError::DigestMismatch { name: self.name.to_string() });
        }
        Ok(())
    }

    /// The request, or the classic file, that the result is about.
    pub(super) fn reply_to(&self) -> ReplyTo {
        let index = self.sent.as_ref().and_then(|sent| sent.index);
        match (self.id, index) {
            (Some(id), Some(index)) => ReplyTo::One(id, index),
            (Some(id), None) => ReplyTo::Ack(id),
            (None, _) => ReplyTo::Classic(Box::new(self.name.clone())),
        }
    }

    /// All bytes are here at once.
    pub(super) fn stage(&mut self, bytes: &[u8], turn: &Turn<'_>) -> Result<Staged, StoreError> {
        self.verify(bytes)?;
        self.note_digest(bytes);
        self.attributes.mtime = self.attributes.mtime.or_else(|| self.mtime_of_http());
        let (store, parents) = (&turn.services.store, &turn.base.parents);
        let staged = store.stage_whole(parents, &self.name, &self.attributes, bytes)?;
        if bytes.len() as u64 > limits::MAX_FETCHED_SIZE {
            staged.keep_digest(self.digest);
        }
        Ok(staged)
    }

    /// Some bytes are here.
    pub(super) fn append(&mut self, bytes: &[u8], turn: &Turn<'_>) -> Result<(), Refusal> {
        let busy = || Refusal::new(Code::Busy, "too many files are half written at once");
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(Box::new(Stream {
                _place: turn.place().ok_or_else(busy)?,
                staged: turn.services.store.stage(
                    &turn.base.parents,
                    &self.name,
                    &self.attributes,
                )?,
                hasher: FileHasher::new(),
                offset: 0,
                advanced: turn.services.now(),
            })),
        };
        let next = bytes.len() as u64;
        if let Some(sent) = &mut self.sent {
            sent.checked.update(bytes);
            if sent.grows {
                self.size = stream.offset + next;
                within(self.size, turn.services.tuning().limits.max_file)?;
                let (parents, store) = (&turn.base.parents, &turn.services.store);
                store.raise_share(parents, &self.name, &mut self.share, self.size)?;
            }
        }
        if self.room.left() < next {
            // A bounded advance, or as much again as has come, if so much is still to come.
            let ahead = (self.size - stream.offset).min(stream.offset.max(AHEAD));
            self.room.grow(&self.name, ahead)?;
        }
        stream.staged.write_at(&self.name, stream.offset, bytes)?;
        if (stream.offset + next) / ADVANCE > stream.offset / ADVANCE {
            stream.advanced = turn.services.now();
        }
        stream.offset += next;
        self.room.used(bytes.len() as u64);
        if self.digest.is_some() || self.hashes {
            stream.hasher.update(bytes);
        }
        Ok(())
    }

    /// The last bytes were here.
    pub(super) fn staged(&mut self, stream: Stream) -> Result<Staged, StoreError> {
        self.check_stated(&[])?;
        self.attributes.mtime = self.attributes.mtime.or_else(|| self.mtime_of_http());
        if self.digest.is_some() || self.hashes {
            let actual = stream.hasher.finish();
            self.check(actual)?;
            self.digest = Some(actual);
        }
        stream.staged.complete(&self.name, &self.attributes)?;
        if self.size > limits::MAX_FETCHED_SIZE {
            stream.staged.keep_digest(self.digest);
        }
        Ok(stream.staged)
    }
}

/// Whether a file of this size may come.
pub(super) fn within(size: u64, max_file: u64) -> Result<(), Refusal> {
    if size > max_file {
        let message = format!("a file of {size} bytes is over the server's limit of {max_file}");
        return Err(Refusal::new(Code::TooLarge, message));
    }
    Ok(())
}

/// The mtime of a file whose client has told none: a whole second, since `Last-Modified` has no parts of one, and one that is
/// over, since the digest is kept only with such an mtime.
pub(super) fn past() -> Option<Mtime> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let s = i64::try_from(now.saturating_sub(OVER).as_secs()).ok()?;
    Some(Mtime { s, ns: 0 })
}
