//! `haul rm`: removing entries at a server.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use haul_protocol::{Code, EntryKind, Name, Op, Refusal, Reply};

use super::console::tell;
use super::exit;
use super::lookup::{self, There};
use super::oneshot::{self, Tries};
use super::signals::Signals;
use crate::connection::delete::entries;
use crate::connection::rpc::{Asking, Said};
use crate::error::{ConnectionError, ProtocolError};
use crate::net::destination::Destination;

/// Lists that are asked for at once: the answer to each may be a MiB.
const AHEAD: usize = 16;

/// Removes entries, and returns the exit code. Directories go only if it is `recursive`.
///
/// # Errors
/// If the system has no room.
pub(super) fn rm(
    destinations: &[Destination],
    recursive: bool,
    tries: Tries,
    signals: &Signals,
) -> anyhow::Result<u8> {
    if destinations.iter().any(|destination| destination.path.is_none()) {
        tell(&"haul: the server's root can't be removed; name an entry in it: HOST/NAME");
        return Ok(exit::USAGE);
    }
    let mut worst = exit::OK;
    for same in destinations.chunk_by(|one, other| one.server == other.server) {
        let names = same.iter().filter_map(|destination| destination.path.as_ref());
        let mut left: VecDeque<_> = names.map(|name| Removal::new(name, recursive)).collect();
        let ended = oneshot::at(&same[0].server, tries, signals, &mut |asking, _| {
            while let Some(removal) = left.front_mut() {
                removal.run(asking)?;
                worst = worst.max(if removal.has_failed { exit::FAILED } else { exit::OK });
                left.pop_front();
            }
            Ok(())
        })?;
        if let Some(ended) = ended {
            return Ok(ended.tell());
        }
    }
    Ok(worst)
}

/// One entry that is to go, with all below it.
struct Removal<'a> {
    name: &'a Name,
    recursive: bool,
    /// It was there: if it is not when it is looked for again, it was removed before an answer was lost.
    was_there: bool,
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

impl<'a> Removal<'a> {
    fn new(name: &'a Name, recursive: bool) -> Self {
        Self { name, recursive, was_there: false, has_failed: false, told: HashSet::new() }
    }

    fn run(&mut self, asking: &mut Asking<'_>) -> Result<(), ConnectionError> {
        self.has_failed = false;
        match lookup::kind(asking, self.name)? {
            Err(refusal) => self.refused(self.name, &refusal),
            Ok(There::Nothing) if self.was_there => {}
            Ok(There::Nothing) => match lookup::why_nothing(asking, self.name)? {
                Some(refusal) => self.refused(self.name, &refusal),
                None => self.failed("it came just now; run the command again"),
            },
            Ok(There::Directory) if self.recursive => {
                self.was_there = true;
                let name = self.name.clone();
                Tree {
                    removal: self,
                    asking,
                    asked: HashMap::new(),
                    lists: 0,
                    kept: HashSet::new(),
                }
                .remove(name)?;
            }
            Ok(There::Directory) => {
                self.failed("is a directory; haul rm -r removes it with all that is in it");
            }
            Ok(There::Other) => {
                self.was_there = true;
                asking.ask(&Op::Remove { name: self.name.clone() })?;
                if let Said::Refused(refusal) = asking.answer()?.1 {
                    self.refused(self.name, &refusal);
                }
            }
        }
        Ok(())
    }

    fn failed(&mut self, why: &str) {
        tell(&format_args!("haul: {}: {why}", self.name));
        self.has_failed = true;
    }

    fn refused(&mut self, name: &Name, refusal: &Refusal) {
        if self.told.insert(name.clone()) {
            oneshot::refused(name, refusal);
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
}

impl Tree<'_, '_, '_> {
    fn remove(mut self, top: Name) -> Result<(), ConnectionError> {
        let mut directories = BTreeMap::from([(top.depth(), vec![top.clone()])]);
        let mut lists = VecDeque::from([(top, None)]);
        loop {
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
                        Found::Entry(name) => {
                            self.ask(&Op::Remove { name: name.clone() }, Asked::Remove(name))?;
                        }
                    }
                }
            } else {
                break;
            }
        }
        self.settle()?;
        for (_, level) in directories.into_iter().rev() {
            for name in level {
                // Why it stays is told.
                if !self.kept.contains(name.as_bytes()) {
                    self.ask(&Op::Remove { name: name.clone() }, Asked::Remove(name))?;
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
        Ok(match (about, said) {
            (Asked::Remove(_), Said::Done) => Vec::new(),
            // It has gone by itself.
            (Asked::List(..), Said::Refused(refusal)) if refusal.code == Code::NotFound => {
                Vec::new()
            }
            (Asked::Remove(name) | Asked::List(name, _), Said::Refused(refusal)) => {
                self.keep(&name, &refusal);
                Vec::new()
            }
            (Asked::List(name, after), Said::Answered(Reply::Listed { more }, body)) => {
                found(&name, after.as_ref(), &body, more)?
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
    Entry(Name),
    More(Name, Name),
}

fn found(
    directory: &Name,
    after: Option<&Name>,
    body: &[u8],
    more: bool,
) -> Result<Vec<Found>, ConnectionError> {
    let entries = entries(Some(directory), after, body)?;
    let last = entries.last().map(|entry| entry.name.clone());
    let mut found: Vec<_> = entries
        .into_iter()
        .map(|entry| match entry.kind {
            EntryKind::Directory => Found::Directory(entry.name),
            _ => Found::Entry(entry.name),
        })
        .collect();
    match (more, last) {
        (true, None) => return Err(ProtocolError::List.into()),
        (true, Some(last)) => found.push(Found::More(directory.clone(), last)),
        (false, _) => {}
    }
    Ok(found)
}
