//! Empty drafts: they make room, and nothing is left of them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use haul_protocol::{Code, Refusal, Token};

use super::{State, Version};
use crate::store::versions::home::NEXT;
use crate::store::{Store, sys};

/// The draft of an earlier run, as the client knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// The client knows of none: if there is a draft, the client goes on with it.
    Any,
    /// This draft and no other.
    Tree(Token),
    /// This draft, which was empty when it was given up: unless there is another one, it is made again.
    GivenUp(Token),
}

/// The fate of a draft that makes room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// It was empty.
    Removed,
    /// Another run goes on with it.
    Kept,
}

impl Version {
    /// Something is done for the draft.
    pub(crate) fn touch(&self) {
        let since = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.active.store(since, Ordering::Relaxed);
    }

    /// The time for which nothing was done for the draft.
    pub(crate) fn idle(&self) -> Duration {
        let active = Duration::from_millis(self.active.load(Ordering::Relaxed));
        self.begun.elapsed().saturating_sub(active)
    }

    /// Whether somebody was refused a change in the present version.
    pub(crate) fn is_wanted(&self) -> bool {
        self.store.guard.is_wanted(&self.name)
    }

    /// Whether it has made room: its connections end.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }

    /// Makes room for others: the present version may be changed again. An empty draft is removed. A draft with entries
    /// stays for the next run, and makes room only if nothing was done for it for so long.
    pub(crate) fn give_up(&self, long: Duration) -> Option<Room> {
        // A change under way puts something in.
        let mut state = self.state.try_write()?;
        if !matches!(*state, State::Next) || self.is_closing() {
            return None;
        }
        let room = match self.forget() {
            true => Room::Removed,
            false if self.idle() >= long => Room::Kept,
            false => return None,
        };
        // Only now: its connections end once they see that.
        self.given_up.store(true, Ordering::Release);
        *state = State::GivenUp;
        self.store.guard.open(&self.name);
        Some(room)
    }

    /// Removes the draft if it is empty; tells whether it was removed.
    fn forget(&self) -> bool {
        let next = format!("{NEXT}{}-{}", self.store.boot_tag(), self.tag);
        let is_removed = sys::remove_directory(&self.home, next.as_bytes()).is_ok();
        if is_removed {
            self.store.quotas.forget_draft((&self.id, &self.tag));
            self.store.forget_home(&self.id);
        }
        is_removed
    }
}

impl Drop for Version {
    fn drop(&mut self) {
        // Others may have closed the directory by now.
        if self.is_given_up() {
            return;
        }
        // A draft into which nobody has put anything is not kept.
        if !self.is_done() {
            self.forget();
        }
        self.store.guard.open(&self.name);
    }
}

impl Store {
    /// Removes the home of a directory's versions if nothing is in it.
    pub(in crate::store) fn forget_home(&self, id: &str) {
        if sys::remove_directory(&self.trees, id.as_bytes()).is_ok() {
            self.forget_name(id);
        }
    }
}

/// The refusal of connections whose draft has made room.
pub(crate) fn given_up() -> Refusal {
    let message = "nothing came for this version while others needed room";
    Refusal::new(Code::Busy, message)
}
