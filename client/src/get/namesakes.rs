//! Names that several sources have: only one file of a name can be here, and no file where a directory is. The first source
//! that has a name gets it, and the others fail. So the server lists one source after the other, and the first one is
//! always the same.
//!
//! Each name costs a few bytes of memory, however long it is.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use haul_protocol::Name;

use super::source::{Source, Top};
use crate::error::FileError;
use crate::error::target::TargetError;

/// The names here that entries have come to, and the sources that are not looked at yet.
#[derive(Debug)]
pub(super) struct Namesakes {
    names: Mutex<HashMap<u64, Known>>,
    /// The next one last.
    waiting: Mutex<Vec<Top>>,
}

/// The entry that a name here is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// The number of its source.
    pub(super) source: usize,
    /// A hash of its name at the server.
    pub(super) entry: u64,
    pub(super) is_directory: bool,
}

/// The answer to an entry that wants a name here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// No source before has an entry for it.
    First,
    /// A source before has a directory for it, and gives that mode and mtime. This one is a directory as well.
    Merged,
    /// A source before has another entry for it.
    Refused,
}

/// Whether several sources may have entries of one name here: all contents go to the target itself.
pub(super) fn may_repeat(sources: &[Source]) -> bool {
    sources.len() > 1 && sources.iter().any(|source| source.contents)
}

impl Namesakes {
    /// `tops`: all sources.
    pub(super) fn new(mut tops: Vec<Top>) -> Self {
        tops.reverse();
        Self { names: Mutex::default(), waiting: Mutex::new(tops) }
    }

    /// The next source that is to be looked at.
    pub(super) fn next(&self) -> Option<Top> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Whether an entry may come to the place of this hash.
    pub(super) fn claim(&self, place: u64, wanted: Known) -> Claim {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let known = *names.entry(place).or_insert(wanted);
        // A list that is asked for once more has the same entries.
        if known.source == wanted.source {
            return Claim::First;
        }
        match (known.is_directory, wanted.is_directory) {
            (true, true) => Claim::Merged,
            // One entry of the server, which two sources have.
            (false, false) if known.entry == wanted.entry => Claim::First,
            _ => Claim::Refused,
        }
    }
}

/// The error of an entry that was refused.
pub(super) fn same_name(name: &Name) -> FileError {
    let (_, last) = name.split();
    TargetError::SameName(String::from_utf8_lossy(last).into_owned()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_source_has_the_name_however_often_it_is_listed() {
        let namesakes = Namesakes::new(Vec::new());
        let claim =
            |source, entry, is_directory| namesakes.claim(7, Known { source, entry, is_directory });
        assert_eq!(claim(0, 1, false), Claim::First);
        assert_eq!(claim(0, 1, false), Claim::First);
        assert_eq!(claim(1, 2, false), Claim::Refused);
        assert_eq!(claim(1, 2, true), Claim::Refused);
        assert_eq!(claim(1, 1, false), Claim::First);
        let claim =
            |source, entry, is_directory| namesakes.claim(8, Known { source, entry, is_directory });
        assert_eq!(claim(1, 1, true), Claim::First);
        assert_eq!(claim(2, 2, true), Claim::Merged);
        assert_eq!(claim(2, 2, false), Claim::Refused);
    }
}
