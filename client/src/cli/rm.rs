//! `haul rm`: removing entries at a server.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use clap::Args;
use haul_protocol::{Code, Entry, EntryKind, Name, Op, Refusal, Reply};

use super::ending::Ending;
use super::exit::Reason;
use super::lookup::{self, There};
use super::oneshot;
use super::options::Tries;
use crate::connection::delete::entries;
use crate::connection::rpc::{Asking, Said};
use crate::error::{ConnectionError, ProtocolError};
use crate::net::destination::Destination;

/// Lists that are asked for at once: the answer to each may be a MiB.
const AHEAD: usize = 16;

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
pub(super) fn rm(destinations: &[Destination], how: How, tries: Tries, ending: &Ending<'_>) -> u8 {
    if destinations.iter().any(|destination| destination.path.is_none()) {
        let error = "the server's root can't be removed; name an entry in it: HOST/NAME";
        return ending.fail(Reason::Usage, &error);
    }
    let mut reason = Reason::Done;
    for same in destinations.chunk_by(|one, other| one.server == other.server) {
        let names = same.iter().filter_map(|destination| destination.path.as_ref());
        let mut left: VecDeque<_> = names.map(|name| Removal::new(name, how, ending)).collect();
        let done = oneshot::at(&same[0].server, tries, ending, &mut |asking, _| {
            while let Some(removal) = left.front_mut() {
                removal.run(asking)?;
                if removal.has_failed {
                    reason = Reason::Failed;
                }
                left.pop_front();
            }
            Ok(())
        });
        if let Err(ended) = done {
            return ended.tell(ending);
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

/// The subject of a question on its way.
enum Asked {
    /// A directory, and the entry after which the list begins.
    List(Name, Option<Name>),
    Remove(Name),
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
                Tree {
                    removal: self,
                    asking,
                    asked: HashMap::new(),
                    lists: 0,
                    kept: HashSet::new(),
                    has_newer: false,
                }
                .remove(name)?;
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
            Some(Some(before)) if is_directory => before.kind != EntryKind::Directory,
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

/// A directory that goes with all below it: first everything but directories, then these, the lowest first.
struct Tree<'a, 'b, 'c> {
    removal: &'a mut Removal<'b>,
    asking: &'a mut Asking<'c>,
    asked: HashMap<u64, Asked>,
    /// Lists among these.
    lists: usize,
    /// Directories above an entry that could not be removed.
    kept: HashSet<Box<[u8]>>,
    /// An entry has come while the connection was lost: nothing more is removed.
    has_newer: bool,
}

impl Tree<'_, '_, '_> {
    fn remove(mut self, top: Name) -> Result<(), ConnectionError> {
        let directory =
            |name: Name| Entry { name, kind: EntryKind::Directory, mode: None, mtime: None };
        let mut directories = BTreeMap::from([(top.depth(), vec![top.clone()])]);
        let mut lists = VecDeque::from([(top, None)]);
        while !self.has_newer {
            if self.lists < AHEAD
                && let Some((name, after)) = lists.pop_front()
            {
                let op = Op::List { name: Some(name.clone()), after: after.clone() };
                self.ask(&op, Asked::List(name, after))?;
                self.lists += 1;
            } else if self.lists > 0 {
                for found in self.answer()? {
                    match found {
                        Found::Directory(name) => {
                            directories.entry(name.depth()).or_default().push(name.clone());
                            lists.push_back((name, None));
                        }
                        Found::More(name, after) => lists.push_front((name, Some(after))),
                        Found::Entry(entry) => self.ask_to_remove(entry)?,
                    }
                }
            } else {
                break;
            }
        }
        self.settle()?;
        if self.has_newer {
            return Ok(());
        }
        for (_, level) in directories.into_iter().rev() {
            for name in level {
                // Why it stays is told.
                if !self.kept.contains(name.as_bytes()) {
                    self.ask_to_remove(directory(name))?;
                }
            }
            self.settle()?;
        }
        Ok(())
    }

    /// Asks, once the server takes one more question. Only removals are answered meanwhile.
    fn ask(&mut self, op: &Op, about: Asked) -> Result<(), ConnectionError> {
        let id = self.asking.ask_in_turn(op)?;
        self.asked.insert(id, about);
        Ok(())
    }

    fn ask_to_remove(&mut self, entry: Entry) -> Result<(), ConnectionError> {
        let name = entry.name.clone();
        self.ask(&Op::Remove { name: name.clone() }, Asked::Remove(name.clone()))?;
        self.removal.unanswered.insert(name, Some(entry));
        Ok(())
    }

    /// Waits until all removals are answered.
    fn settle(&mut self) -> Result<(), ConnectionError> {
        while !self.asked.is_empty() {
            self.answer()?;
        }
        Ok(())
    }

    /// Waits for one answer; returns what it has told of.
    fn answer(&mut self) -> Result<Vec<Found>, ConnectionError> {
        let (id, said) = self.asking.answer()?;
        let about = self.asked.remove(&id).ok_or(ProtocolError::Kind)?;
        self.lists -= usize::from(matches!(about, Asked::List(..)));
        if let Asked::Remove(name) = &about {
            self.removal.unanswered.remove(name);
        }
        Ok(match (about, said) {
            (Asked::Remove(name), Said::Done) => {
                let hash = self.removal.hashing.hash_one(&name);
                self.removal.gone.insert(hash);
                Vec::new()
            }
            // It has gone by itself.
            (Asked::List(..), Said::Refused(refusal)) if refusal.code == Code::NotFound => {
                Vec::new()
            }
            (Asked::Remove(name) | Asked::List(name, _), Said::Refused(refusal)) => {
                self.keep(&name, &refusal);
                Vec::new()
            }
            (Asked::List(name, after), Said::Answered(Reply::Listed { more }, body)) => {
                let entries = entries(Some(&name), after.as_ref(), &body)?;
                if !self.has_newer
                    && let Some(newer) = entries.iter().find(|entry| self.removal.is_newer(entry))
                {
                    self.removal.ending.failed(&newer.name, &NEWER);
                    (self.has_newer, self.removal.has_failed) = (true, true);
                }
                match self.has_newer {
                    true => Vec::new(),
                    false => found(&name, entries, more)?,
                }
            }
            _ => return Err(ProtocolError::Kind.into()),
        })
    }

    /// An entry can't be removed, so neither can the directories above it.
    fn keep(&mut self, name: &Name, refusal: &Refusal) {
        self.removal.refused(name, refusal);
        let mut above = name.as_bytes();
        while self.kept.insert(above.into())
            && let Some(slash) = above.iter().rposition(|&byte| byte == b'/')
        {
            above = &above[..slash];
        }
    }
}

/// An entry of a list, or the place where the list goes on.
enum Found {
    Directory(Name),
    Entry(Entry),
    More(Name, Name),
}

fn found(directory: &Name, entries: Vec<Entry>, more: bool) -> Result<Vec<Found>, ConnectionError> {
    let last = entries.last().map(|entry| entry.name.clone());
    let mut found: Vec<_> = entries
        .into_iter()
        .map(|entry| match entry.kind {
            EntryKind::Directory => Found::Directory(entry.name),
            _ => Found::Entry(entry),
        })
        .collect();
    match (more, last) {
        (true, None) => return Err(ProtocolError::List.into()),
        (true, Some(last)) => found.push(Found::More(directory.clone(), last)),
        (false, _) => {}
    }
    Ok(found)
}
