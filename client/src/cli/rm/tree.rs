//! Removing a directory at a server with all that is in it.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;

use haul_protocol::{Code, Entry, EntryKind, Name, Op, Refusal, Reply};

use super::{NEWER, Removal};
use crate::connection::delete::entries;
use crate::connection::rpc::{Asking, Said};
use crate::error::{ConnectionError, ProtocolError};

/// Lists that are asked for at once: the answer to each may be a MiB.
const AHEAD: usize = 16;

/// The subject of a question on its way.
enum Asked {
    /// A directory, and the entry after which the list begins.
    List(Name, Option<Name>),
    Remove(Name),
}

/// A directory that goes with all below it: first everything but directories, then these, the lowest first.
pub(super) struct Tree<'a, 'b, 'c> {
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

impl<'a, 'b, 'c> Tree<'a, 'b, 'c> {
    /// Nothing is asked yet.
    pub(super) fn new(removal: &'a mut Removal<'b>, asking: &'a mut Asking<'c>) -> Self {
        Self {
            removal,
            asking,
            asked: HashMap::new(),
            lists: 0,
            kept: HashSet::new(),
            has_newer: false,
        }
    }

    /// Removes the directory of this name.
    ///
    /// # Errors
    /// If the connection breaks.
    pub(super) fn remove(mut self, top: Entry) -> Result<(), ConnectionError> {
        let Entry { name, mode, .. } = top;
        let mut directories = BTreeMap::from([(name.depth(), vec![(name.clone(), mode)])]);
        let mut lists = VecDeque::from([(name, None)]);
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
                        Found::Directory(name, mode) => {
                            let level: &mut Vec<_> = directories.entry(name.depth()).or_default();
                            level.push((name.clone(), mode));
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
            for (name, mode) in level {
                // Why it stays is told.
                if !self.kept.contains(name.as_bytes()) {
                    self.ask_to_remove(directory(name, mode))?;
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
            (Asked::List(name, after), Said::Answered(Reply::Listed { more, .. }, body)) => {
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

/// A directory of which the mtime does not count.
pub(super) fn directory(name: Name, mode: Option<u32>) -> Entry {
    Entry { name, kind: EntryKind::Directory, mode, mtime: None }
}

/// An entry of a list, or the place where the list goes on.
enum Found {
    /// With its mode.
    Directory(Name, Option<u32>),
    Entry(Entry),
    More(Name, Name),
}

fn found(directory: &Name, entries: Vec<Entry>, more: bool) -> Result<Vec<Found>, ConnectionError> {
    let last = entries.last().map(|entry| entry.name.clone());
    let mut found: Vec<_> = entries
        .into_iter()
        .map(|entry| match entry.kind {
            EntryKind::Directory => Found::Directory(entry.name, entry.mode),
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
