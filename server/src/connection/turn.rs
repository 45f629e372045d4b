//! One turn of a connection: the things that it works with, and its bounds.
//!
//! A turn is bounded in bytes and in time. One byte can cost a millisecond, so bytes alone bound nothing.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::accounts::{Login, View};
use crate::commit::notify::{ConnectionId, Notify};
use crate::locks::ReadGuard;
use crate::net::buffer::Buffer;
use crate::net::peer_end::PeerEnd;
use crate::refusal::Refusal;
use crate::services::Services;
use crate::services::fence::{self, Fence};
use crate::services::places::Place;
use crate::store::{Fresh, Parents, State, Store, Version};

/// Bytes that one turn may read.
const BYTES: usize = 4 * 1024 * 1024;

/// The same while new directories are filled: a file that comes for one after the turn costs more. The window lets no
/// more than some thousand files come before one becomes visible, so also of the smallest it is no longer than of large ones.
const FILLING_BYTES: usize = 16 * BYTES;

/// Time after which a turn leaves its next step to the next turn. A step is one request, one slice of a long
/// one, or one read of the socket.
const TIME: Duration = Duration::from_millis(10);

/// The same while new directories are filled: they become visible when the turn ends.
const FILLING_TIME: Duration = Duration::from_millis(50);

/// Requests of HTTP that begin in one turn. A client needs no window for them, nor a login, and a few bytes each: of a crowd
/// of clients that send thousands at once, each would use all of its time.
const REQUESTS: usize = 2;

/// Locks that a worker holds while it changes a draft.
pub(super) type Leave<'a> = (fence::Leave<'a>, ReadGuard<'a, State>);

/// One turn.
pub(crate) struct Turn<'a> {
    pub(super) services: &'a Services,
    pub(super) notify: &'a Arc<dyn Notify>,
    /// Whether connections are scarce.
    pub(super) is_scarce: bool,
    /// The login and the connection whose turn it is.
    pub(super) asker: (Option<Arc<Login>>, ConnectionId),
    pub(super) base: Base,
    pub(super) fresh: Fresh<'a>,
    /// The worker's buffer; its bytes are of no use between two turns.
    pub(super) buffer: Buffer,
    pub(super) share: Share,
    /// The peer's end of the socket, once it has been looked at.
    pub(super) peer_end: Option<PeerEnd>,
    /// Bytes of the present read that a login may be in, and that nobody needs any more.
    secrets: Range<usize>,
    has_seen_root: Cell<bool>,
}

/// The directory that names are below.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) parents: Parents,
    /// The root that names of the client are below: of a draft, the draft's own.
    pub(super) view: View,
    /// If that is the next version of a directory: the present one, if there is one.
    pub(super) present: Option<Parents>,
    /// The next version itself, and the connection's right to change anything in it.
    pub(super) version: Option<(Arc<Version>, Arc<Fence>)>,
}

impl<'a> Turn<'a> {
    /// A turn that begins now. `is_scarce`: whether there is no room for more connections.
    pub(crate) fn begin(
        services: &'a Services,
        notify: &'a Arc<dyn Notify>,
        is_scarce: bool,
        buffer: Buffer,
    ) -> Self {
        Self {
            services,
            notify,
            is_scarce,
            asker: (None, ConnectionId(0)),
            base: Base::of_root(&services.store),
            fresh: Fresh::new(&services.store),
            buffer,
            share: Share::new(),
            peer_end: None,
            secrets: 0..0,
            has_seen_root: Cell::new(false),
        }
    }

    /// These bytes of the present read have been taken, and a login may be in them.
    pub(super) fn add_secret(&mut self, bytes: Range<usize>) {
        if self.secrets.is_empty() {
            self.secrets = bytes;
        } else if !bytes.is_empty() {
            self.secrets.end = bytes.end;
        }
    }

    /// The bytes of the present read that a login may be in; another read begins.
    pub(super) fn take_secrets(&mut self) -> Range<usize> {
        std::mem::take(&mut self.secrets)
    }

    /// Whether the roots were there after the last bytes were read.
    pub(super) fn has_seen_root(&self) -> bool {
        self.has_seen_root.get()
    }

    /// They are.
    pub(super) fn saw_root(&self) {
        self.has_seen_root.set(true);
    }

    /// Bytes have been read that a peer may have sent after the last look for the root.
    pub(super) fn look_again(&self) {
        self.has_seen_root.set(false);
    }

    /// A place for a file that is open for more than a turn. If there is none, another connection gives one back, for
    /// the next that asks.
    pub(super) fn place(&self) -> Option<Place> {
        self.places().map(|[place]| place)
    }

    /// So many of them at once.
    pub(super) fn places<const N: usize>(&self) -> Option<[Place; N]> {
        let (places, (login, connection)) = (&self.services.places, &self.asker);
        let account = login.as_ref().map(|login| login.account.name.clone());
        match places.take(&(account, *connection), self.services.now()) {
            Ok(taken) => Some(taken),
            Err(crowd) => {
                if let Some(freed) = self.notify.free_a_place(&crowd.if_idle, &crowd.in_any_case) {
                    places.leaves(freed);
                }
                None
            }
        }
    }

    /// Whether the peer has ended its sending side, and may be gone.
    pub(super) fn may_be_gone(&self) -> bool {
        matches!(self.peer_end, Some(PeerEnd::Sent | PeerEnd::Gone))
    }

    /// Ends it; returns the buffer.
    pub(crate) fn end(self) -> Buffer {
        self.buffer
    }
}

impl Base {
    fn of_root(store: &Store) -> Self {
        Self { parents: store.parents(), view: View::default(), present: None, version: None }
    }

    /// Of a connection that is about a directory: its draft.
    pub(super) fn of_version(version: &Arc<Version>, fence: &Arc<Fence>, view: View) -> Self {
        Self {
            parents: version.parents(),
            view,
            present: version.present(),
            version: Some((Arc::clone(version), Arc::clone(fence))),
        }
    }

    /// A permit for a change in the draft: not once it is complete, nor when a newer connection has
    /// taken this one's place.
    pub(super) fn enter(&self) -> Result<Option<Leave<'_>>, Refusal> {
        let Some((version, fence)) = &self.version else { return Ok(None) };
        Ok(Some((fence.enter()?, version.enter()?)))
    }
}

/// The bytes and the time that the present turn has taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    began: Instant,
    bytes: usize,
    /// Requests of HTTP that have begun.
    requests: usize,
}

impl Share {
    /// The bytes and the time of a turn that begins.
    fn new() -> Self {
        Self { began: Instant::now(), bytes: 0, requests: 0 }
    }

    /// So many bytes have been read.
    pub(super) fn took(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// A request of HTTP has begun.
    pub(super) fn was_asked(&mut self) {
        self.requests += 1;
    }

    /// Bytes that fit the time that is left, if they take as long as those before them; any number in a turn that begins.
    /// Bytes that are read and don't fit have to be copied, and the next turn stores a file in two pieces.
    pub(super) fn fits(&self, is_filling: bool) -> usize {
        let all = if is_filling { FILLING_TIME } else { TIME };
        fits(self.bytes, self.began.elapsed(), all)
    }

    /// Whether the turn has taken all that it may.
    pub(super) fn is_over(&self, is_filling: bool) -> bool {
        let bytes = if is_filling { FILLING_BYTES } else { BYTES };
        self.bytes >= bytes || self.is_used_up(is_filling)
    }

    /// Whether the turn has begun all the requests of HTTP that it may.
    pub(super) fn has_begun_all(&self) -> bool {
        self.requests >= REQUESTS
    }

    /// Whether the turn has taken all the time that it may, or has begun all the requests of HTTP. Bytes that are read already
    /// are left undecoded only then: keeping them copies them.
    pub(super) fn is_used_up(&self, is_filling: bool) -> bool {
        let time = if is_filling { FILLING_TIME } else { TIME };
        self.has_begun_all() || self.began.elapsed() >= time
    }
}

/// Bytes that fit the rest of the time if so many took so long.
fn fits(bytes: usize, took: Duration, all: Duration) -> usize {
    if bytes == 0 || took.is_zero() {
        return usize::MAX;
    }
    let left = all.saturating_sub(took);
    usize::try_from(bytes as u128 * left.as_nanos() / took.as_nanos()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turn_is_over_with_its_second_request_of_http() {
        let mut share = Share::new();
        share.was_asked();
        assert!(!share.is_over(true), "the body of the first may be long");
        share.was_asked();
        assert!(share.is_over(false) && share.is_used_up(true));
    }

    #[test]
    fn less_fits_a_turn_the_more_of_it_is_over() {
        let fits = |tenths| fits(1000, TIME * tenths / 10, TIME);
        assert_eq!([1, 5, 9, 10, 11].map(fits), [9000, 1000, 111, 0, 0]);
        assert_eq!(fits(0), usize::MAX);
        assert_eq!(super::fits(0, TIME, TIME), usize::MAX);
    }
}
