//! A file that waits to be read for its verdict in a comparison, and is taken over from the present version then.

use haul_protocol::{Digest, Entry, Verdict};

use super::turn::Turn;
use crate::refusal::Refusal;
use crate::store::{Adopted, Believe, Copying, DEEP, Reading, StoreError};

/// A file that has to be read for its verdict.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) place: InOrder,
    pub(super) entry: Entry,
    pub(super) size: u64,
    /// To be compared, if it was stated.
    pub(super) digest: Option<Digest>,
    /// It is that of the present version; if its bytes are right, it is taken over.
    pub(super) present: Option<Present>,
}

/// The place of an entry among all.
#[derive(Debug, Clone, Copy)]
pub(super) struct InOrder {
    /// The index of its letter.
    pub(super) index: usize,
    /// It is decided for the second time.
    pub(super) again: bool,
}

/// A file of the present version.
#[derive(Debug, Clone, Copy)]
pub(super) struct Present {
    /// The difference of the entry.
    pub(super) there: Verdict,
    /// The difference of the entry in the draft then: if the verdict is another by now, the entry is newer.
    pub(super) before: Verdict,
}

/// A file that is read: for its digest, or to be copied.
#[derive(Debug)]
pub(super) enum Read {
    Hash(Box<Reading>),
    Copy(Box<Copying>),
}

/// The result of opening a file that waits.
pub(super) enum Opened {
    Read(Read),
    /// Whether it is right is known without.
    Decided(bool),
    /// Another entry is there than when it was compared.
    Other,
}

impl Unread {
    /// Makes missing directories above a deep name for which the file is taken over, since there may be two thousand;
    /// tells whether nothing of it is left for the next turn. `None`: they can't be made.
    pub(super) fn makes_parents(&self, turn: &Turn<'_>) -> Result<Option<bool>, Refusal> {
        if self.present.is_none() || !is_deep(&self.entry) {
            return Ok(Some(true));
        }
        let share = turn.share;
        let is_over = || share.is_over(false);
        let _leave = turn.base.enter()?;
        let (store, name) = (&turn.services.store, &self.entry.name);
        spared(store.make_parents_unseen(&turn.base.parents, name, &is_over))
    }

    pub(super) fn open(&self, believe: Believe, turn: &Turn<'_>) -> Result<Opened, Refusal> {
        let store = &turn.services.store;
        let (name, size) = (&self.entry.name, self.size);
        let hash = |parents| {
            let reading = store.read(parents, name, size, believe)?;
            Ok(reading.map_or(Opened::Decided(false), |reading| {
                Opened::Read(Read::Hash(Box::new(reading)))
            }))
        };
        match (turn.base.present.as_ref().zip(self.present), self.digest) {
            (None, _) => hash(&turn.base.parents),
            (Some((present, _)), Some(_)) => hash(present),
            (Some((_, file)), None) if self.is_as_before(turn)? => {
                Ok(match adopt(&self.entry, size, file, turn)? {
                    Adopted::Copying(copying) => Opened::Read(Read::Copy(copying)),
                    Adopted::Yes => Opened::Decided(true),
                    Adopted::No => Opened::Decided(false),
                })
            }
            (Some(_), None) => Ok(Opened::Other),
        }
    }

    /// Whether draft and present version have the same entries under this name as when it was compared.
    pub(super) fn is_as_before(&self, turn: &Turn<'_>) -> Result<bool, Refusal> {
        let Some((present, file)) = turn.base.present.as_ref().zip(self.present) else {
            return Ok(true);
        };
        let store = &turn.services.store;
        let same = |parents, verdict| Ok(store.compare(parents, &self.entry)? == verdict);
        let same_there: Result<bool, StoreError> = same(present, file.there);
        Ok(same_there? && same(&turn.base.parents, file.before)?)
    }
}

/// Takes a file over from the present version, unless this is not the connection's to do any more. An error that is about
/// this one name alone leaves the others as they are.
pub(super) fn adopt(
    entry: &Entry,
    size: u64,
    file: Present,
    turn: &Turn<'_>,
) -> Result<Adopted, Refusal> {
    let Some(present) = &turn.base.present else { return Ok(Adopted::No) };
    let _leave = turn.base.enter()?;
    let adopted = turn.services.store.adopt(present, &turn.base.parents, entry, size, file.there);
    match adopted {
        Err(error) if error.is_of_one_name() => Ok(Adopted::No),
        adopted => Ok(adopted?),
    }
}

/// `None`: it did not happen, for a reason that is about one name alone.
pub(super) fn spared<T>(done: Result<T, StoreError>) -> Result<Option<T>, Refusal> {
    match done {
        Err(error) if error.is_of_one_name() => Ok(None),
        done => Ok(Some(done?)),
    }
}

/// Whether the directories above may be too many to be made at once.
pub(super) fn is_deep(entry: &Entry) -> bool {
    entry.name.depth() > DEEP
}
