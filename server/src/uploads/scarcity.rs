//! Who makes room when a client opens an upload and there is none. Pure: shares in, decisions out.
//!
//! Either uploads are scarce (there are `MAX_OPEN`) or parts are. These make room, in this order:
//!
//! 1. an upload of which no part has come for `IDLE`;
//! 2. an upload of which no part has come at all, if its client has more of what is scarce than the newcomer will have, or
//!    if the newcomer has no upload;
//! 3. an upload of the client that has most of what is scarce, if that is more than the newcomer will have.
//!
//! In each of these, the client with the largest share is first, then the upload that has been idle for longest. A client
//! that has `MAX_OPEN_A_CLIENT` uploads has room made by its own uploads only, and only by idle ones: its uploads that go
//! on never make room for another of its own.
//!
//! Clients do not take an upload from each other in turn: by 2 and 3 nobody takes from a smaller share than its own. A
//! client that has had to make room before its upload was idle no longer takes what is not a larger share, even if it has
//! no upload: it waits.

use std::time::Duration;

use super::{Entry, IDLE};

/// What uploads of one client take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) uploads: usize,
    pub(super) parts: usize,
}

impl Share {
    pub(super) fn add(&mut self, entry: &Entry) {
        self.uploads += 1;
        self.parts += entry.parts;
    }

    pub(super) fn remove(&mut self, entry: &Entry) {
        self.uploads -= 1;
        self.parts -= entry.parts;
    }

    /// The most that any client has of either.
    pub(super) fn most<'a>(shares: impl Iterator<Item = &'a Self>) -> Self {
        shares.fold(Self::default(), |most, share| Self {
            uploads: most.uploads.max(share.uploads),
            parts: most.parts.max(share.parts),
        })
    }
}

/// What a client lacks for one more upload.
#[derive(Debug)]
pub(super) struct Scarcity {
    /// The client has as many uploads as it may.
    pub(super) of_own: bool,
    /// There are as many uploads as there may be.
    pub(super) of_uploads: bool,
    /// There would be more parts than there may be.
    pub(super) of_parts: bool,
    /// What the client will have.
    pub(super) after: Share,
    /// The client has no upload, and has not had to give one.
    pub(super) may_take_any: bool,
    /// The most that any client has.
    pub(super) most: Share,
}

/// How much is to be said for an upload making room; the largest is first.
type Weight = (Rank, usize, Duration);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Largest,
    Untouched,
    Idle,
}

impl Scarcity {
    pub(super) fn is_over(&self) -> bool {
        !self.of_own && !self.of_uploads && !self.of_parts
    }

    /// Whether an upload makes room, and before which others; `share` is what its client has.
    pub(super) fn weigh(
        &self,
        idle: Duration,
        has_come: bool,
        share: Share,
        is_own: bool,
    ) -> Option<Weight> {
        let (after, most) = (self.after, self.most);
        let is_larger = (self.of_uploads && share.uploads > after.uploads)
            || (self.of_parts && share.parts > after.parts);
        let is_largest =
            (self.of_uploads && share.uploads == most.uploads && most.uploads > after.uploads)
                || (self.of_parts && share.parts == most.parts && most.parts > after.parts);
        let is_others = !is_own && !self.of_own;
        let rank = if idle >= IDLE && (is_own || !self.of_own) {
            Rank::Idle
        } else if is_others && !has_come && (is_larger || self.may_take_any) {
            Rank::Untouched
        } else if is_others && is_largest {
            Rank::Largest
        } else {
            return None;
        };
        let share = match rank {
            // Whose they are does not matter.
            Rank::Idle => 0,
            _ if self.of_parts => share.parts,
            _ => share.uploads,
        };
        Some((rank, share, idle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Duration = Duration::ZERO;

    fn share(uploads: usize, parts: usize) -> Share {
        Share { uploads, parts }
    }

    /// Parts are scarce for a client that will have this.
    fn parts(after: Share, may_take_any: bool) -> Scarcity {
        let (of_own, of_uploads, of_parts, most) = (false, false, true, share(9, 1000));
        Scarcity { of_own, of_uploads, of_parts, after, may_take_any, most }
    }

    #[test]
    fn idle_ones_make_room_first_then_untouched_ones_then_those_of_the_largest_share() {
        let scarcity = parts(share(2, 10), false);
        let rank = |idle, has_come, share| {
            scarcity.weigh(idle, has_come, share, false).map(|weight| weight.0)
        };
        assert_eq!(rank(IDLE, true, share(1, 5)), Some(Rank::Idle));
        assert_eq!(rank(NEW, false, share(1, 11)), Some(Rank::Untouched));
        assert_eq!(rank(NEW, true, share(1, 1000)), Some(Rank::Largest));
        assert!(Rank::Idle > Rank::Untouched && Rank::Untouched > Rank::Largest);
        // Who has no more than the newcomer will have keeps it; that others have more uploads does not matter.
        assert_eq!(rank(NEW, false, share(9, 10)), None);
        assert_eq!(rank(NEW, true, share(9, 999)), None);
    }

    #[test]
    fn client_without_uploads_takes_any_untouched_one_unless_it_had_to_give_its_own() {
        let giant = share(1, 500);
        assert!(parts(giant, true).weigh(NEW, false, giant, false).is_some());
        assert!(parts(giant, false).weigh(NEW, false, giant, false).is_none());
        assert!(parts(giant, true).weigh(NEW, true, giant, false).is_none(), "parts have come");
    }

    #[test]
    fn own_uploads_make_room_only_if_they_are_idle() {
        let scarcity = Scarcity { of_own: true, ..parts(share(65, 10), false) };
        assert!(scarcity.weigh(IDLE, true, share(64, 1000), true).is_some());
        assert!(scarcity.weigh(NEW, false, share(64, 1000), true).is_none());
        // It has its share: nobody else makes room for it.
        assert!(scarcity.weigh(IDLE, false, share(1, 1000), false).is_none());
    }
}
