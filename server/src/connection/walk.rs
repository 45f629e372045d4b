//! A walk through a directory and all below it: some entries whenever the connection has a turn.

use std::collections::VecDeque;

use haul_protocol::{Code, Entry, EntryKind, LinkTarget, Name};

use super::failed::{Failed, is_below};
use super::turn::Turn;
use crate::accounts::ClientId;
use crate::refusal::Refusal;
use crate::services::places::Place;
use crate::store::{Enough, Listed, Listing};

/// Entries that are found at once.
const AT_ONCE: usize = 64;

/// The purpose of a walk.
#[derive(Debug)]
pub(super) enum Doing {
    Remove,
    /// A copy, of this name.
    Copy {
        to: Name,
    },
    /// Only a look at symlinks, before a move to this name.
    Look {
        to: Name,
    },
}

/// The next thing to do.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    Remove(Name),
    /// An entry, its new name and its kind.
    Copy(Name, Name, EntryKind),
    /// A symlink, its new name and its target.
    Link(Name, Name, LinkTarget),
}

/// A walk. All names are those of the store.
#[derive(Debug)]
pub(super) struct Walk {
    doing: Doing,
    top: Name,
    /// The directory that is listed.
    at: Name,
    listing: Listing,
    /// Entries that were found. A directory is the last one.
    batch: VecDeque<Entry>,
    /// The last entry that was looked at.
    last: Option<Name>,
    /// The end of the list was reached; there is more to ask for or not.
    ended: Option<bool>,
    /// The directory that is listed next, once it can be.
    entering: Option<Name>,
    is_over: bool,
    place: Option<Place>,
}

impl Walk {
    pub(super) fn begin(doing: Doing, top: Name, client: &ClientId) -> Self {
        let listing = Listing::new(client, Some(top.clone()), None);
        let (batch, last, ended, entering, place) = (VecDeque::new(), None, None, None, None);
        let at = top.clone();
        Self { doing, top, at, listing, batch, last, ended, entering, is_over: false, place }
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether it only looks. The directory at its top stays as it is if anything is in the way.
    pub(super) fn only_looks(&self) -> Option<&Name> {
        matches!(self.doing, Doing::Look { .. }).then_some(&self.top)
    }

    pub(super) fn has_place(&self) -> bool {
        self.place.is_some()
    }

    /// Bytes of memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        let batch: usize = self.batch.iter().map(|entry| entry.name.as_bytes().len() + 64).sum();
        self.listing.held_bytes() + batch
    }

    /// Lists this directory when all changes so far are over, unless it is among those that have failed.
    pub(super) fn enters(&mut self, name: Name) {
        self.entering = Some(name);
    }

    /// The next thing to do. An entry with an error is left out, and a directory with all that is in it.
    pub(super) fn next(
        &mut self,
        (turn, client): (&Turn<'_>, &ClientId),
        failed: &[Failed],
    ) -> Result<Found, (Name, Refusal)> {
        if let Some(name) = self.entering.take() {
            // A directory that could not be made is not filled.
            let made = self.new_name(&name).map_err(|refusal| (name.clone(), refusal))?;
            if !made.is_some_and(|made| failed.iter().any(|one| one.name == made)) {
                self.list(name, None, client);
            }
            return Ok(Found::Nothing);
        }
        if let Some(entry) = self.batch.pop_front() {
            let name = entry.name.clone();
            return self.take(entry, client).map_err(|refusal| (name, refusal));
        }
        match self.ended {
            None => match self.look(turn) {
                Ok(left_out) if left_out > 0 && matches!(self.doing, Doing::Copy { .. }) => {
                    let why =
                        "it has entries whose paths are too long to be named; they are not copied";
                    Err((self.at.clone(), Refusal::new(Code::BadName, why)))
                }
                Ok(_) => Ok(Found::Nothing),
                Err(refusal) => {
                    let left = self.rise(client);
                    let is_gone =
                        matches!(self.doing, Doing::Remove) && *refusal.code() == Code::NotFound;
                    if is_gone { Ok(Found::Nothing) } else { Err((left, refusal)) }
                }
            },
            Some(true) => {
                let (at, last) = (self.at.clone(), self.last.take());
                self.list(at, last, client);
                Ok(Found::Nothing)
            }
            Some(false) => Ok(self.leave(failed, client)),
        }
    }

    fn take(&mut self, entry: Entry, client: &ClientId) -> Result<Found, Refusal> {
        let Entry { name, kind, .. } = entry;
        let only_looks = self.only_looks().is_some();
        Ok(match (self.new_name(&name)?, kind) {
            (Some(to), kind) if !only_looks => Found::Copy(name, to, kind),
            (_, EntryKind::Directory) => {
                self.list(name, None, client);
                Found::Nothing
            }
            (Some(to), EntryKind::Link { target }) => Found::Link(name, to, target),
            (Some(_), _) => Found::Nothing,
            (None, _) => Found::Remove(name),
        })
    }

    /// The new name of an entry, or that of its copy; `None`: it gets none.
    fn new_name(&self, name: &Name) -> Result<Option<Name>, Refusal> {
        let (Doing::Copy { to } | Doing::Look { to }) = &self.doing else { return Ok(None) };
        let rest = name.as_bytes().strip_prefix(self.top.as_bytes()).unwrap_or_default();
        let rest = rest.strip_prefix(b"/").unwrap_or_default();
        let joined = if rest.is_empty() { Ok(to.clone()) } else { to.join(rest) };
        joined
            .map(Some)
            .map_err(|_| Refusal::new(Code::BadName, "the new name of an entry in it is too long"))
    }

    fn list(&mut self, name: Name, after: Option<Name>, client: &ClientId) {
        self.listing = Listing::new(client, Some(name.clone()), after.as_ref());
        (self.at, self.last, self.ended, self.place) = (name, after, None, None);
    }

    /// Finds some entries; returns how many others no name can say.
    fn look(&mut self, turn: &Turn<'_>) -> Result<u64, Refusal> {
        let share = turn.share;
        let view = &turn.base.view;
        let Self { listing, batch, last, .. } = self;
        let is_over = || share.is_over(false);
        let listed = listing.advance(&turn.services.store, &turn.base.parents, &is_over, |entry| {
            *last = Some(entry.name.clone());
            let mut is_seen = false;
            let Ok(()) = view.shown(entry, |_| -> Result<(), std::convert::Infallible> {
                is_seen = true;
                Ok(())
            });
            if is_seen {
                batch.push_back(entry.clone());
            }
            let is_directory = is_seen && matches!(entry.kind, EntryKind::Directory);
            if is_directory || batch.len() >= AT_ONCE { Enough::Yes } else { Enough::No }
        });
        let listed = listed?;
        let mut unnamed = 0;
        if let Listed::Over { more, left_out } = listed {
            if left_out > 0 && self.only_looks().is_some() {
                let why = "it has entries whose paths are too long, so nobody can look at all symlinks in it";
                return Err(Refusal::new(Code::Symlink, why));
            }
            (self.ended, unnamed) = (Some(more), left_out);
        }
        let is_open = listed == Listed::NotYet && self.listing.is_reading();
        self.place = if is_open { self.place.take().or_else(|| turn.place()) } else { None };
        if is_open && self.place.is_none() {
            return Err(Refusal::new(Code::Busy, "too many files are open at once"));
        }
        Ok(unnamed)
    }

    /// Goes on in the directory above; returns the one that it leaves.
    fn rise(&mut self, client: &ClientId) -> Name {
        let left = self.at.clone();
        self.is_over = left == self.top;
        if !self.is_over
            && let Ok(above) = Name::parse(left.split().0)
        {
            self.list(above, Some(left.clone()), client);
        }
        left
    }

    /// The directory is at its end: it goes, if it is removed and nothing in it stays.
    fn leave(&mut self, failed: &[Failed], client: &ClientId) -> Found {
        let left = self.rise(client);
        match self.doing {
            Doing::Remove if !failed.iter().any(|one| is_below(&one.name, &left)) => {
                Found::Remove(left)
            }
            _ => Found::Nothing,
        }
    }
}
