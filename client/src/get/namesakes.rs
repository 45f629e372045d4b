//! Names that several sources have: only one file of a name can be here, and no file where a directory is. The first source
//! that has a name gets it, and the others fail. So the server lists one source after the other, and the first one is
//! always the same.
//!
//! Each name costs a few bytes of memory, however long it is.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use haul_protocol::{Entry, EntryKind, Name};

use super::node::Node;
use super::run::Run;
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
struct Known {
    /// The number of its source.
    source: usize,
    /// A hash of its name at the server.
    entry: u64,
    is_directory: bool,
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

    fn claim(&self, place: u64, wanted: Known) -> Claim {
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

impl Run<'_> {
    /// Whether an entry of the server may come to a name here.
    pub(super) fn claim(&self, node: &Node, component: &OsStr, entry: &Entry) -> Claim {
        let Some(namesakes) = &self.namesakes else { return Claim::First };
        let mut place = node.components();
        place.push(component.to_owned());
        let is_directory = entry.kind == EntryKind::Directory;
        let entry = self.hasher.hash_one(&entry.name);
        namesakes.claim(
            self.hasher.hash_one(&place),
            Known { source: node.source(), entry, is_directory },
        )
    }

    /// Whether the contents of a source may give the target itself mode and mtime.
    pub(super) fn claim_target(&self, source: usize) -> Claim {
        let place = self.hasher.hash_one(Vec::<OsString>::new());
        let wanted = Known { source, entry: 0, is_directory: true };
        self.namesakes.as_ref().map_or(Claim::First, |namesakes| namesakes.claim(place, wanted))
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
