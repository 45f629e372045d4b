//! Removing what the source lacks: a list of a directory at the server comes in, what is to go goes out.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use haul_protocol::{Attributes, Entry, EntryKind, Name, decode_entry};

use super::Connection;
use crate::doomed::Doomed;
use crate::error::{ConnectionError, FileError, ProtocolError};
use crate::source::{attributes, from_bytes, link};
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
        let (mut found, mut next, mut refused) = (Vec::new(), None, false);
        let entries = entries(listing.name.as_ref(), listing.after.as_ref(), body)?;
        let last = entries.last().map(|entry| entry.name.clone());
        let looked = entries.into_iter().map(|entry| {
            let path = item.path.join(from_bytes(entry.name.split().1));
            (self.is_lacking(listing, &path, &entry), path, entry)
        });
        let looked: Vec<_> = looked.collect();
        // Only now: a disk that is unplugged while its entries are looked for seems to lack them.
        if let Err(error) = listing.anchor.check_at(&item.path) {
            listing.anchor.tell(&error, self.run.progress);
            self.list_over(&item, false);
            self.run.work.settle(1);
            return Ok(());
        }
        for (is_lacking, path, entry) in looked {
            if is_lacking && self.is_refused(listing) {
                refused = true;
            } else if is_lacking {
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
        let more = more && !refused;
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

    /// Whether nothing may be removed because the source has nothing in it, which is told.
    fn is_refused(&self, listing: &Listing) -> bool {
        let all = self.run.sync.delete.as_ref().is_some_and(|delete| delete.all);
        let refused = !all && listing.anchor.is_empty();
        if refused {
            listing.anchor.tell(
                &"there is nothing in it to send, so --delete would remove everything at the destination; nothing is \
                  removed, --delete-all does that",
                self.run.progress,
            );
        }
        refused
    }

    /// Whether the source has nothing that belongs under an entry's name.
    fn is_lacking(&self, listing: &Listing, path: &Path, entry: &Entry) -> bool {
        let is_dir = entry.kind == EntryKind::Directory;
        let sync = self.run.sync;
        let excluded = || sync.filter.excludes(listing.anchor.path(), path, is_dir);
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
            anchor: Arc::clone(&listing.anchor),
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
