//! Removing what the source lacks: a list of a directory at the server comes in, what is to go goes out.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use haul_protocol::{Attributes, Entry, EntryKind, Name, decode_entry};

use super::Connection;
use crate::doomed::Doomed;
use crate::error::{ConnectionError, FileError, ProtocolError};
use crate::source::{attributes, from_bytes, identity, link};
use crate::sync::{Links, Sync};
use crate::work::{Item, Kind, Listing};

impl Connection<'_> {
    /// What is in a directory at the server.
    pub(super) fn listed(
        &mut self,
        mut item: Item,
        body: &[u8],
        more: bool,
    ) -> Result<(), ConnectionError> {
        let Kind::List(listing) = &mut item.kind else {
            return Err(ProtocolError::Kind.into());
        };
        let (mut found, mut next) = (Vec::new(), None);
        let entries = entries(listing.name.as_ref(), listing.after.as_ref(), body)?;
        let last = entries.last().map(|entry| entry.name.clone());
        if !self.is_same_source(listing) {
            // A disk that was unplugged looks like a source that lacks everything.
            self.run
                .progress
                .failed(&listing.root, &"gone or another since this began; nothing is removed");
            self.list_over(&item, false);
            self.run.work.settle(1);
            return Ok(());
        }
        for entry in entries {
            let path = item.path.join(from_bytes(entry.name.split().1));
            if self.is_lacking(listing, &path, &entry) {
                found.extend(self.doom(listing, path, entry));
            } else if self.run.sync.publish.is_some() && entry.kind == EntryKind::Directory {
                // The walk may not have seen it: of a tree that nobody has seen everything is looked through.
                let name = Some(entry.name.clone());
                let inner = Listing { name, after: None, ..(**listing).clone() };
                found.push(Item::new(path, entry.name, Kind::List(Box::new(inner))));
            }
        }
        if more && last.is_none() {
            return Err(ProtocolError::Kind.into());
        }
        listing.after = last;
        let over = listing.doomed.clone().filter(|_| !more);
        if more {
            next = Some(item);
        }
        // These count as open before the list is settled. The rest of the directory comes when its first entries have
        // been dealt with, so that the entries that wait are bounded by the length of an answer.
        let work = self.run.work;
        work.found(found.len() + usize::from(next.is_some()));
        next.into_iter().chain(found).for_each(|item| work.add_next(item));
        if let Some(doomed) = over {
            self.gone(&doomed, true);
        }
        work.settle(1);
        Ok(())
    }

    /// Whether a source is still what it was when the run began.
    fn is_same_source(&self, listing: &Listing) -> bool {
        listing.identity == listing.root.metadata().ok().as_ref().map(identity)
    }

    /// Whether the source has nothing that belongs under an entry's name.
    fn is_lacking(&self, listing: &Listing, path: &Path, entry: &Entry) -> bool {
        let is_dir = entry.kind == EntryKind::Directory;
        let sync = self.run.sync;
        let excluded = || sync.filter.excludes(&listing.root, path, is_dir);
        let here = match sync.links.look(path) {
            // Below what is doomed nothing is looked for: it may be a file here.
            _ if listing.doomed.is_some() => None,
            Ok(here) => Some(here),
            Err(error) => match error.kind() {
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => None,
                _ => {
                    self.run.progress.failed(path, &FileError::local("look at")(error));
                    return false;
                }
            },
        };
        if sync.whole {
            let stays = here.is_some_and(|here| belongs(path, &here, entry, sync)) && !excluded();
            if !stays && sync.publish.is_some() {
                // It may have been taken for what is here now: everything is looked at once more.
                sync.look_again();
            }
            return !stays;
        }
        if let Some(here) = here {
            return is_dir && (here.is_file() || (here.is_symlink() && sync.links != Links::Skip));
        }
        if !excluded() {
            return true;
        }
        if let Some(doomed) = &listing.doomed {
            doomed.found();
            self.gone(doomed, false);
        }
        false
    }

    /// What becomes of an entry that the source lacks.
    fn doom(&self, listing: &Listing, path: PathBuf, entry: Entry) -> Option<Item> {
        let above = listing.doomed.clone();
        if let Some(above) = &above {
            above.found();
        }
        if entry.kind != EntryKind::Directory {
            return self.removal(path, entry.name, above);
        }
        let doomed = Doomed::new(entry.name.clone(), path.clone(), above);
        let listing = Listing {
            root: listing.root.clone(),
            identity: listing.identity,
            name: Some(entry.name.clone()),
            after: None,
            doomed: Some(doomed),
        };
        Some(Item::new(path, entry.name, Kind::List(Box::new(listing))))
    }

    /// An item that removes one entry, if there may be one more.
    fn removal(
        &self,
        path: PathBuf,
        name: haul_protocol::Name,
        above: Option<Arc<Doomed>>,
    ) -> Option<Item> {
        let allowed = self.run.sync.delete.as_ref().is_some_and(crate::sync::Delete::allows);
        if !allowed {
            self.run.progress.kept(&path);
            if let Some(above) = above {
                self.gone(&above, false);
            }
            return None;
        }
        Some(Item::new(path, name, Kind::Remove(above)))
    }

    /// An entry of a doomed directory, or the list of it, is over: the directory may be the next.
    pub(super) fn gone(&self, doomed: &Arc<Doomed>, removed: bool) {
        if let Some(empty) = doomed.over(removed) {
            let (path, name) = (empty.path.clone(), empty.name.clone());
            if let Some(item) = self.removal(path, name, empty.above.clone()) {
                self.run.work.found(1);
                self.run.work.add_next(item);
            }
        }
    }
}

/// All entries of an answer to `list`, which are of this directory, and in order after that name.
///
/// # Errors
/// If they are not: whoever believed that could be led anywhere.
pub(crate) fn entries(
    directory: Option<&Name>,
    after: Option<&Name>,
    body: &[u8],
) -> Result<Vec<Entry>, ConnectionError> {
    let directory = directory.map_or(&b""[..], Name::as_bytes);
    let mut last: Box<[u8]> = after.map_or(&b""[..], |after| after.split().1).into();
    let lines = body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let mut entries = Vec::new();
    for line in lines {
        let entry = decode_entry(line).map_err(ProtocolError::from)?;
        let (above, name) = entry.name.split();
        if above != directory || *name <= *last {
            return Err(ProtocolError::List.into());
        }
        last = name.into();
        entries.push(entry);
    }
    Ok(entries)
}

/// Whether what is there is what is here; in a dry run, whether it would make way for that without being removed.
fn belongs(path: &Path, here: &Metadata, entry: &Entry, sync: &Sync) -> bool {
    let is_dir = entry.kind == EntryKind::Directory;
    let is_link = here.is_symlink() && sync.links == Links::Copy;
    if sync.dry_run {
        return here.is_dir() || (!is_dir && (here.is_file() || is_link));
    }
    let Attributes { mode, mtime } = attributes(here);
    match &entry.kind {
        EntryKind::Directory => here.is_dir(),
        EntryKind::File { size, .. } => {
            here.is_file() && here.len() == *size && entry.mtime == mtime && entry.mode == mode
        }
        EntryKind::Link { target } => {
            is_link && link(path).is_ok_and(|link| link.target == *target)
        }
        EntryKind::Other => false,
    }
}
