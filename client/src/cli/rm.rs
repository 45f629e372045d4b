//! `haul rm`: removing entries at a server.

mod tree;

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use clap::Args;
use haul_protocol::{Code, Entry, EntryKind, Name, Op, Refusal, Right};

use super::ending::Ending;
use super::exit::Reason;
use super::lookup::{self, There};
use super::oneshot;
use super::options::Reaching;
use crate::connection::rpc::{Asking, Said};
use crate::credentials::Need;
use crate::error::ConnectionError;
use crate::net::destination::Destination;
use crate::net::root::root_above;
use crate::net::ssh::Access;
use tree::Tree;

/// The rights that it can't do without.
const NEEDS: [Need; 2] = [(Right::Delete, "rm"), (Right::List, "rm")];

/// The way of a removal.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct How {
    /// Remove directories with all that is in them.
    #[arg(long, short)]
    pub recursive: bool,

    /// An entry that is not there is no failure.
    #[arg(long, short)]
    pub force: bool,
}

/// Removes entries, and returns the exit code.
pub(super) fn rm(
    destinations: &[Destination],
    how: How,
    reaching: Reaching,
    ending: &Ending<'_>,
) -> u8 {
    if destinations.iter().any(|destination| destination.path.is_none()) {
        let error = "the server's root can't be removed; name an entry in it: HOST/NAME, or HOST:NAME over ssh";
        return ending.fail(Reason::Usage, &error);
    }
    let mut destinations = destinations.to_vec();
    root_above(&mut destinations, Access::Changes);
    let mut reason = Reason::Done;
    for same in destinations.chunk_by(Destination::is_beside) {
        let names = same.iter().filter_map(|destination| destination.path.as_ref());
        let mut left: VecDeque<_> = names.map(|name| Removal::new(name, how, ending)).collect();
        let done = oneshot::at(&same[0], &NEEDS, reaching, ending, &mut |asking, _| {
            while let Some(removal) = left.front_mut() {
                removal.run(asking)?;
                if removal.has_failed {
                    reason = Reason::Failed;
                }
                left.pop_front();
            }
            Ok(())
        });
        match done {
            // No directory, so no entry in it.
            Err(ended) if ended.is_missing && how.force => {}
            Err(ended) => return ended.tell(ending),
            Ok(()) => {}
        }
    }
    ending.asked(reason)
}

/// One entry that is to go, with all below it.
struct Removal<'a> {
    name: &'a Name,
    how: How,
    ending: &'a Ending<'a>,
    /// The kind that it had when a removal began: if it is gone when it is looked for again, it was removed before an answer
    /// was lost.
    was: Option<There>,
    /// Entries as they were when their removal was asked for, as long as it is not answered. `None`: nobody knows.
    unanswered: HashMap<Name, Option<Entry>>,
    /// Hashes of the names of removed entries: under such a name, only a new entry can be found over a later connection.
    gone: HashSet<u64>,
    hashing: RandomState,
    has_failed: bool,
    /// Entries whose refusal was told, over whichever connection.
    told: HashSet<Name>,
}

/// An entry that came while the connection was lost is not removed.
const NEWER: &str = "the connection was lost before an answer, and an entry that is there now may have come since, so haul \
    removes nothing more of it; look with haul ls, and run the command again to remove it too";

impl<'a> Removal<'a> {
    fn new(name: &'a Name, how: How, ending: &'a Ending<'a>) -> Self {
        Self {
            name,
            how,
            ending,
            was: None,
            unanswered: HashMap::new(),
            gone: HashSet::new(),
            hashing: RandomState::new(),
            has_failed: false,
            told: HashSet::new(),
        }
    }

    fn run(&mut self, asking: &mut Asking<'_>) -> Result<(), ConnectionError> {
        self.has_failed = false;
        match lookup::kind(asking, self.name)? {
            Err(refusal) => self.refused(self.name, &refusal),
            Ok(There::Nothing) if self.was.is_some() => {}
            Ok(There::Nothing) => match lookup::why_nothing(asking, self.name)? {
                Some(refusal) if self.how.force && refusal.code == Code::NotFound => {}
                Some(refusal) => self.refused(self.name, &refusal),
                None => self.failed("it came just now; run the command again"),
            },
            Ok(there) if self.was.is_some_and(|was| was != there) => self.failed(NEWER),
            Ok(There::Directory) if self.how.recursive => {
                self.was = Some(There::Directory);
                let name = self.name.clone();
                let mode = lookup::entry(asking, &name)?.ok().flatten().and_then(|it| it.mode);
                let top = tree::directory(name, mode);
                if self.unanswered.contains_key(self.name) && self.is_newer(&top) {
                    self.failed(NEWER);
                    return Ok(());
                }
                Tree::new(self, asking).remove(top)?;
            }
            Ok(There::Directory) => {
                self.failed("is a directory; haul rm -r removes it with all that is in it");
            }
            Ok(There::Other) => {
                let entry = lookup::entry(asking, self.name)?.ok().flatten();
                let before = self.unanswered.get(self.name);
                if before.is_some_and(|before| before.is_none() || *before != entry) {
                    self.failed(NEWER);
                    return Ok(());
                }
                asking.ask(&Op::Remove { name: self.name.clone() })?;
                self.was = Some(There::Other);
                self.unanswered.insert(self.name.clone(), entry);
                if let Said::Refused(refusal) = asking.answer()?.1 {
                    self.refused(self.name, &refusal);
                }
            }
        }
        Ok(())
    }

    /// Whether an entry has come since its name was removed, or since that may have happened.
    fn is_newer(&self, entry: &Entry) -> bool {
        let is_directory = entry.kind == EntryKind::Directory;
        match self.unanswered.get(&entry.name) {
            // Its mtime changes with each entry that is removed from it.
            Some(Some(before)) if is_directory => {
                before.kind != EntryKind::Directory || before.mode != entry.mode
            }
            Some(before) => before.as_ref() != Some(entry),
            // A directory is removed when nothing is left in it.
            None => {
                self.gone.contains(&self.hashing.hash_one(&entry.name))
                    || Name::parse(entry.name.split().0)
                        .is_ok_and(|directory| self.unanswered.contains_key(&directory))
            }
        }
    }

    fn failed(&mut self, why: &str) {
        self.ending.failed(self.name, &why);
        self.has_failed = true;
    }

    fn refused(&mut self, name: &Name, refusal: &Refusal) {
        if self.told.insert(name.clone()) {
            self.ending.refused(name, refusal);
        }
        self.has_failed = true;
    }
}
