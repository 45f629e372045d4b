//! Items: the single pieces of work of a run.

use std::path::PathBuf;
use std::sync::Arc;

use haul_protocol::{Attributes, Digest, Entry, Name, Verdict};

use super::earlier::Earlier;
use super::known::Known;
use super::pending_delete::Doomed;
use crate::error::Retry;
use crate::source::anchor::Anchor;
use crate::source::spool::Opened;
use crate::source::{Source, Stamp};

/// One thing to make on the server.
#[derive(Debug, Clone)]
pub struct Item {
    /// Where it is on this machine.
    pub path: PathBuf,
    /// Its name at the server.
    pub name: Name,
    /// The kind of entry that it is.
    pub kind: Kind,
    /// It was named on the command line itself.
    pub named: bool,
    /// The directory that it is in is sent as well, so its attributes are this run's to set.
    pub inside: bool,
    /// It is the destination or a directory above it, about which the client asks and nothing else.
    pub above: bool,
    /// It is a directory that another source has as well, of which a dry run has told.
    pub is_told: bool,
    /// It is a directory that another batch has as well, whose failure is told.
    pub is_repeated: bool,
    /// Its size is not what it says, so it has to be read to its end.
    pub untrue: bool,
    /// Its bytes, if they are not found at its path.
    pub opened: Option<Arc<Opened>>,
    /// Its comparison with the server's entry.
    pub compared: Comparison,
    /// Its tries so far.
    pub tries: Tries,
}

/// The comparison of an item with the server's entry of its name.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The answer of the server about it.
    pub known: Known,
    /// The facts that were stated about a file when the server was asked.
    pub stated: Option<Stated>,
    /// The server has a file of the same size, and is asked for its digest next.
    pub by_digest: bool,
}

/// The tries of an item, and the knowledge that is left of them.
#[derive(Debug, Clone, Default)]
pub struct Tries {
    /// Number of tries that the server refused.
    pub attempts: u32,
    /// Number of losses of a connection for which it is blamed.
    pub losses: u32,
    /// It had no answer when a connection was lost.
    pub lost: bool,
    /// Number of times in a row that its upload was gone after the loss of a connection.
    pub interrupted: u32,
    /// Number of times in a row that the server was too busy for it.
    pub busy: u32,
    /// Number of times that it was opened again, for whatever reason.
    pub reopened: u32,
    /// The server has refused to take it in parts: it is sent in one request, if it is not too long for that.
    pub in_one: bool,
    /// Knowledge from an earlier opening of a large file.
    pub earlier: Option<Arc<Earlier>>,
}

impl Tries {
    /// It was tried, and is tried again like this or not at all. A server that is busy has not tried it.
    pub(crate) fn count(&mut self, retry: Retry) {
        if matches!(retry, Retry::Later(_)) {
            self.busy += 1;
        } else {
            self.busy = 0;
            self.attempts += 1;
        }
    }

    /// Counts a loss of a connection for which the item is blamed. Returns whether the client may send it again: not after
    /// more than `most` losses.
    pub fn count_loss(&mut self, most: u32) -> bool {
        self.losses += 1;
        self.losses <= most
    }
}

impl Item {
    /// Whether it is a removal whose answer was lost, of which nobody has looked since whether it has happened.
    #[must_use]
    pub fn is_doubtful_removal(&self) -> bool {
        matches!(self.kind, Kind::Remove(_))
            && self.tries.lost
            && self.compared.known == Known::Unasked
    }

    /// Not tried yet.
    #[must_use]
    pub fn new(path: PathBuf, name: Name, kind: Kind) -> Self {
        Self {
            path,
            name,
            kind,
            named: false,
            inside: false,
            above: false,
            is_told: false,
            is_repeated: false,
            untrue: false,
            opened: None,
            compared: Comparison { known: Known::Unasked, stated: None, by_digest: false },
            tries: Tries::default(),
        }
    }

    /// Whether the server was not asked what it has of it, or not since that has changed, and could be.
    #[must_use]
    pub fn is_unchecked(&self) -> bool {
        matches!(self.compared.known, Known::Unasked | Known::Adjusted)
            && !matches!(self.kind, Kind::List(_) | Kind::Remove(_) | Kind::Publish(_))
    }

    /// Whether the server has the bytes of this file already, and only its mode or mtime differ; what they
    /// are to be. If the mtime is right it is left out: should another file have come there since, that file keeps its own.
    #[must_use]
    pub fn only_attributes(&self) -> Option<Attributes> {
        let stated = self.compared.stated.filter(|_| matches!(self.kind, Kind::File))?;
        match self.compared.known {
            Known::Is(Verdict::Mode) => Some(Attributes { mtime: None, ..stated.attributes }),
            Known::Is(Verdict::Mtime) if stated.digest.is_some() => Some(stated.attributes),
            _ => None,
        }
    }

    /// The stamp that the source must still have at its path to be removed there, now that it has arrived; `None` if it is
    /// not found by its path.
    #[must_use]
    pub fn stamp(&self, source: &Source) -> Option<Stamp> {
        match &self.opened {
            Some(opened) => opened.stamp(),
            None => Some(source.stamp()),
        }
    }
}

/// The facts that the client stated about a file that the server was asked to compare.
#[derive(Debug, Clone, Copy)]
pub struct Stated {
    /// Mode and mtime.
    pub attributes: Attributes,
    /// Bytes.
    pub size: u64,
    /// BLAKE3 of its bytes, if they were compared.
    pub digest: Option<Digest>,
}

/// The kind of an item.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
    /// A directory, with the mode that it has until everything is in it.
    Directory(Option<u32>),
    /// The final mode and mtime of a directory.
    Attributes(Attributes),
    /// The entries of a directory at the server, of which those go that the source lacks.
    List(Box<Listing>),
    /// The next version is complete; mode and mtime of the directory itself.
    Publish(Attributes),
    /// An entry at the server that the source lacks.
    Remove(Box<Removal>),
}

/// An entry at the server that goes.
#[derive(Debug, Clone)]
pub struct Removal {
    /// The entry as the server has listed it. The mtime of a directory is left out: it changes while the directory is emptied.
    pub entry: Entry,
    /// The directory that it is in, if that goes too.
    pub above: Option<Arc<Doomed>>,
    /// The directory here that lacks it.
    pub lacking: Arc<Lacking>,
}

/// A directory of the source that lacks entries of the server.
#[derive(Debug)]
pub struct Lacking {
    /// The source that it belongs to.
    pub anchor: Arc<Anchor>,
    /// Where it is.
    pub path: PathBuf,
}

/// A directory at the server that is looked through.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The source that it belongs to.
    pub anchor: Arc<Anchor>,
    /// Its name there; `None` for the server's root.
    pub name: Option<Name>,
    /// The last name that was told.
    pub after: Option<Name>,
    /// It goes itself, with everything in it.
    pub doomed: Option<Arc<Doomed>>,
}
