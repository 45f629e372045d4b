//! Small files for the peer, many in one answer, read one after the other.

use haul_protocol::{
    self as protocol, Code, Digest, Name, Reply, RequestId, decode_wanted, encode_fetched,
    encode_unfetched, limits,
};

use super::Connection;
use super::turn::Turn;
use crate::refusal::Refusal;
use crate::store::Readable;

/// Milliseconds after which the server gives up on a file that changes all the time.
const RESTLESS: u64 = 200;

/// Letters of the reason why a file does not come.
const REASON: usize = 200;

/// Bytes that the body of an answer may have.
const MOST: usize = 256 * 1024;
const _: () = assert!(MOST as u64 == limits::MAX_BUNDLE_LEN);

/// The names that a peer wants, as their body comes.
#[derive(Debug)]
pub(super) struct Wants {
    pub(super) id: RequestId,
    /// The length of the whole body.
    length: u64,
    body: Vec<u8>,
}

impl Wants {
    /// # Errors
    /// If it is longer than the names may be.
    pub(super) fn begin(id: RequestId, length: u64) -> Result<Self, Refusal> {
        if length > limits::MAX_BUNDLE_LEN {
            let message = format!("names of {length} bytes are over {}", limits::MAX_BUNDLE_LEN);
            return Err(Refusal::new(Code::BadRequest, message));
        }
        Ok(Self { id, length, body: Vec::new() })
    }

    /// The next bytes of the body.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        if self.body.is_empty() {
            // No more than names may have, which was checked.
            self.body.reserve_exact(usize::try_from(self.length).unwrap_or(0));
        }
        self.body.extend_from_slice(bytes);
    }

    /// Bytes of memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        self.body.capacity()
    }
}

/// Files that are read for the peer.
#[derive(Debug)]
pub(super) struct Fetch {
    id: RequestId,
    /// Names of files, as the client has sent them.
    names: std::vec::IntoIter<Name>,
    /// Bytes of those, when none of them was answered.
    names_bytes: usize,
    /// The file that is next, since it was first found to have changed just then, in milliseconds of the server's clock.
    restless_since: Option<u64>,
    /// The body of the answer.
    body: Vec<u8>,
}

/// The outcome of a look at the next file.
enum Next {
    /// It is in the body, or the reason why it does not come.
    There,
    /// It is to be looked at again: it has changed just now.
    Restless,
    /// It has no room in the body.
    Full,
}

impl Fetch {
    /// Bytes of memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        self.names_bytes + self.body.capacity()
    }
}

impl Connection {
    /// The whole body is there.
    pub(super) fn begin_fetch(&mut self, wants: &Wants) -> Option<Box<Fetch>> {
        match decode_wanted(&wants.body) {
            Ok(names) => {
                let names_bytes = wants.body.len() + names.capacity() * size_of::<Name>();
                let (id, names, body) = (wants.id, names.into_iter(), Vec::new());
                let fetch = Fetch { id, names, names_bytes, restless_since: None, body };
                Some(Box::new(fetch))
            }
            Err(error) => {
                let code = match error {
                    protocol::WantedError::Name(_) => Code::BadName,
                    _ => Code::BadRequest,
                };
                self.refuse(wants.id, Refusal::new(code, error));
                None
            }
        }
    }

    /// Reads the next files, as many as the turn and the answer allow; returns it if it is to go on.
    pub(super) fn go_on_fetching(
        &mut self,
        mut fetch: Box<Fetch>,
        turn: &mut Turn<'_>,
    ) -> Option<Box<Fetch>> {
        let more = loop {
            let Some(name) = fetch.names.as_slice().first() else { break false };
            match self.fetch(name.clone(), &mut fetch.body, fetch.restless_since, turn) {
                Next::There => fetch.restless_since = None,
                Next::Restless => {
                    fetch.restless_since.get_or_insert(turn.services.now());
                    return Some(fetch);
                }
                Next::Full => break true,
            }
            fetch.names.next();
            if self.is_over(turn) && fetch.names.len() > 0 {
                return Some(fetch);
            }
        };
        let Fetch { id, body, .. } = *fetch;
        self.answer_with(id, Reply::Fetched { more, digest: Digest::of(&body) }, body);
        None
    }

    /// Appends one file to the body of the answer, or the reason why it does not come.
    fn fetch(
        &self,
        name: Name,
        body: &mut Vec<u8>,
        restless_since: Option<u64>,
        turn: &mut Turn<'_>,
    ) -> Next {
        let before = body.len();
        let restless_for =
            restless_since.map_or(0, |since| turn.services.now().saturating_sub(since));
        let next = self.read_whole(name, body, restless_for, turn).unwrap_or_else(|refusal| {
            body.truncate(before);
            self.tell_refusal(&refusal);
            let refusal = self.told(refusal);
            let message = refusal.message.chars().take(REASON).collect();
            encode_unfetched(&protocol::Refusal { message, ..refusal }, body);
            Next::There
        });
        // One always fits.
        if matches!(next, Next::There) && body.len() <= MOST {
            return Next::There;
        }
        body.truncate(before);
        if matches!(next, Next::Restless) { next } else { Next::Full }
    }

    fn read_whole(
        &self,
        name: Name,
        body: &mut Vec<u8>,
        restless_for: u64,
        turn: &mut Turn<'_>,
    ) -> Result<Next, Refusal> {
        let name = turn.base.view.inward(name)?;
        let store = &turn.services.store;
        store.refresh(&turn.base.parents);
        let file = store.open_for_client(&turn.base.parents, &name)?;
        if file.size() > limits::MAX_FETCHED_SIZE {
            let message = format!(
                "a file of {} bytes is over {}, and comes by `get`",
                file.size(),
                limits::MAX_FETCHED_SIZE
            );
            return Err(Refusal::new(Code::TooLarge, message));
        }
        if !file.is_settled() {
            return match restless_for > RESTLESS {
                true => Err(file.has_changed().into()),
                false => Ok(Next::Restless),
            };
        }
        encode_fetched(file.size(), &file.attributes(), body)
            .map_err(|error| Refusal::new(Code::Io, error))?;
        let size = usize::try_from(file.size()).unwrap_or(MOST);
        if body.len() + size > MOST {
            return Ok(Next::Full);
        }
        read_all(&file, size, body)?;
        self.is_read(&name, None, size);
        turn.share.took(size);
        Ok(Next::There)
    }
}

/// Appends all bytes of a file.
fn read_all(file: &Readable, size: usize, body: &mut Vec<u8>) -> Result<(), Refusal> {
    let start = body.len();
    body.resize(start + size, 0);
    let mut read = 0;
    while read < size {
        read += file.read(read as u64, &mut body[start + read..])?;
    }
    Ok(file.check_unchanged()?)
}
