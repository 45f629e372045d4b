//! Removes entries that the source lacks: the list of a directory at the server comes in, requests to remove go out.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use haul_protocol::{Attributes, Entry, EntryKind, Name, decode_entry, trim_line};

use super::Connection;
use crate::error::{ConnectionError, FileError, ProtocolError};
use crate::plan::policy::Policy;
use crate::source::anchor::{Adrift, Directory, Found};
use crate::source::held::{self, Here};
use crate::source::links::Links;
use crate::source::{from_bytes, identity, link};
use crate::work::pending_delete::Doomed;
use crate::work::{Item, Kind, Lacking, Listing, Removal};

/// Where entries are looked for.
enum Look<'a> {
    /// In a directory that is what it was.
    In(Directory<'a>),
    /// Under their paths.
    Unseen,
    /// Nowhere.
    Doomed,
}

impl Connection<'_> {
    /// Entries of a directory at the server.
    pub(super) fn listed(
        &mut self,
        mut item: Item,
        body: &[u8],
        more: bool,
        left_out: u64,
    ) -> Result<(), ConnectionError> {
        let Kind::List(listing) = &mut item.kind else {
            return Err(ProtocolError::Kind.into());
        };
        let mut next = None;
        let entries = entries(listing.name.as_ref(), listing.after.as_ref(), body)?;
        let last = entries.last().map(|entry| entry.name.clone());
        let Some(directory) = self.directory(listing, &item.path) else {
            self.list_over(&item, false);
            self.run.work.settle(1);
            return Ok(());
        };
        let looked = entries.into_iter().map(|entry| {
            let path = item.path.join(from_bytes(entry.name.split().1));
            (self.is_lacking(listing, &directory, &path, &entry), path, entry)
        });
        let looked: Vec<_> = looked.collect();
        // Only now: a disk that is unplugged while its entries are looked for seems to lack them.
        let is_adrift = listing.anchor.check_at(&item.path).map_err(|error| {
            let _ = self.run.course.halt();
            listing.anchor.tell(&error, self.run.progress);
        });
        let (policy, course) = (self.run.policy, self.run.course);
        if !policy.is_publish() && policy.filter.changed().is_some() {
            // The walk tells it in the end.
            let _ = course.halt();
        }
        if is_adrift.is_err() || course.is_halted() {
            self.list_over(&item, false);
            self.run.work.settle(1);
            return Ok(());
        }
        let (found, refused) = self.too_many(listing, &directory, &item.path, looked);
        if left_out > 0 {
            self.run.progress.failed(&item.path, FileError::Unlisted(left_out));
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

    /// The entries of a directory that are removed, or looked through because nobody has. The other result: whether the rest of
    /// the directory stays, because nothing may be removed.
    fn too_many(
        &mut self,
        listing: &Listing,
        directory: &Look<'_>,
        above: &Path,
        looked: Vec<(bool, PathBuf, Entry)>,
    ) -> (Vec<Item>, bool) {
        let (mut found, mut refused) = (Vec::new(), false);
        let (anchor, mut changed) = (Arc::clone(&listing.anchor), None);
        let lacking = match &listing.doomed {
            Some(doomed) => Arc::clone(&doomed.lacking),
            None => Arc::new(Lacking { anchor, path: above.to_owned() }),
        };
        for (is_lacking, path, entry) in looked {
            if is_lacking && self.is_moved(directory, above, &entry, &mut changed) {
                // It is told, and stays.
            } else if is_lacking && self.is_refused(listing) {
                refused = true;
            } else if is_lacking {
                found.extend(self.doom(listing, &lacking, path, entry));
            } else if self.run.policy.is_publish() && entry.kind == EntryKind::Directory {
                // The walk may not have seen it: of a tree that nobody has seen everything is looked through.
                let name = Some(entry.name.clone());
                let inner = Listing { name, after: None, ..listing.clone() };
                found.push(Item::new(path, entry.name, Kind::List(Box::new(inner))));
            }
        }
        (found, refused)
    }

    /// Whether nothing may be removed because the source has nothing in it, which is told.
    fn is_refused(&self, listing: &Listing) -> bool {
        let all = self.run.policy.delete().is_some_and(|delete| delete.all);
        let refused = !all && listing.anchor.is_empty();
        if refused {
            listing.anchor.tell(
                &"there is nothing in it to send, so --delete would remove everything at its destination; none of \
                  that is removed, --delete-all does that",
                self.run.progress,
            );
        }
        refused
    }

    /// Whether an entry that a directory lacks may have been moved while haul ran, before the walk came by. That is told
    /// once for a list, and known by `changed` then. Only now: the entry was looked for before.
    fn is_moved(
        &self,
        look: &Look<'_>,
        path: &Path,
        entry: &Entry,
        changed: &mut Option<bool>,
    ) -> bool {
        let Look::In(directory) = look else { return false };
        // A source that changes is walked again before its version is published; one that has stood still had nothing that
        // the walk has not seen; and a dry run removes nothing.
        let (policy, course) = (self.run.policy, self.run.course);
        if policy.is_publish() || course.has_stood_still() || !policy.removes() {
            return false;
        }
        if !self.run.policy.needs_all() && entry.kind != EntryKind::Directory {
            return false;
        }
        *changed.get_or_insert_with(|| {
            let checked = directory.check_unchanged();
            checked.map_err(|error| self.run.progress.failed(path, &error)).is_err()
        })
    }

    /// Where the entries of a listed directory are looked for. `None`: nothing is removed of them.
    fn directory<'a>(&self, listing: &'a Listing, path: &Path) -> Option<Look<'a>> {
        let (policy, course) = (self.run.policy, self.run.course);
        if course.is_halted() {
            return None;
        }
        // Below a doomed directory the client looks for nothing: at the source it may be a file.
        if listing.doomed.is_some() {
            return Some(Look::Doomed);
        }
        // A version has nothing that is left out, whatever the directory shows.
        let is_beyond = |found: Metadata| listing.anchor.is_beyond(identity(&found));
        if policy.is_whole() && policy.one_file_system && path.metadata().is_ok_and(is_beyond) {
            return Some(Look::Doomed);
        }
        match listing.anchor.directory(path, policy.links) {
            Ok(Some(directory)) => Some(Look::In(directory)),
            // Of a version that nobody publishes before all of it was looked at.
            Ok(None) if policy.is_publish() => Some(Look::Unseen),
            // It has come since the walk, perhaps from elsewhere: the next run looks through it.
            Ok(None) => None,
            Err(error) => {
                self.adrift(path, &error);
                None
            }
        }
    }

    /// A directory of the source is not what it was: nothing more is removed, which is told once, or the source is walked
    /// again.
    pub(super) fn adrift(&self, path: &Path, error: &Adrift) {
        let (policy, course) = (self.run.policy, self.run.course);
        if !course.halt() && !policy.is_publish() {
            self.run.progress.failed(path, error);
        }
    }

    /// Looks at the source's entry of the same name. `None`: the server's entry must stay, whatever the source has.
    fn look(&self, look: &Look<'_>, path: &Path, entry: &Entry) -> Option<Option<Here>> {
        let (policy, course, progress) = (self.run.policy, self.run.course, self.run.progress);
        let found = match look {
            Look::Doomed => return Some(None),
            Look::In(directory) => {
                directory.look(&from_bytes(entry.name.split().1), path, policy.links)
            }
            Look::Unseen => held::look_spelled(path, policy.links)
                .map(|here| here.map_or(Found::Nothing, Found::Here)),
        };
        match found {
            Ok(Found::Here(here)) => Some(Some(here)),
            Ok(Found::Nothing) => Some(None),
            Ok(Found::Gone) => {
                if policy.needs_all() && !course.halt() {
                    progress.failed(
                        path,
                        &"gone since it was found; it may have been moved, so nothing more is removed: run it again, \
                          or with --force-delete",
                    );
                }
                Some(None)
            }
            Err(error) => {
                let is_told = policy.needs_all() && course.halt();
                if !is_told {
                    progress.failed(path, FileError::local("look at")(error));
                }
                None
            }
        }
    }

    /// Whether the source has nothing that belongs under an entry's name.
    fn is_lacking(&self, listing: &Listing, look: &Look<'_>, path: &Path, entry: &Entry) -> bool {
        let is_dir = entry.kind == EntryKind::Directory;
        let (policy, course) = (self.run.policy, self.run.course);
        let excluded = || self.is_excluded(listing, look, path, is_dir);
        let Some(here) = self.look(look, path, entry) else { return false };
        let is_doomed = matches!(look, Look::Doomed);
        if !is_doomed && !here.is_some_and(|here| here.is_dir) && listing.anchor.had_directory(path)
        {
            self.adrift(path, &Adrift::Below);
            return false;
        }
        if policy.is_whole() {
            let stays = here.is_some_and(|here| belongs(path, &here, entry, policy)) && !excluded();
            if !stays && policy.is_publish() {
                // It may have been taken for what is here now: everything is looked at once more.
                course.look_again();
            }
            return !stays;
        }
        if let Some(here) = here {
            let is_special = !here.is_file && !here.is_dir && !here.is_symlink;
            if policy.verifies() && is_special && entry.kind != EntryKind::Other {
                // The client sends no FIFO, socket or device, so the server has another entry of that name.
                return !excluded();
            }
            let replaces = here.is_file || (here.is_symlink && policy.links == Links::Copy);
            return is_dir && replaces && !policy.ignore_existing && !excluded();
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

    /// Whether a rule leaves an entry of the server out. If that is not known, it may be: an entry of a version, of which
    /// then nothing is published, or one that stays.
    fn is_excluded(&self, listing: &Listing, look: &Look<'_>, path: &Path, is_dir: bool) -> bool {
        let (anchor, filter) = (&listing.anchor, &self.run.policy.filter);
        let root = anchor.path();
        let excluded = if matches!(look, Look::Doomed | Look::Unseen) {
            // The source may have nothing at such a path, or a symlink, whose target has rules for others.
            let mut above = path.ancestors().skip(1);
            let directory = above.find(|above| *above == root || anchor.had_directory(above));
            filter.excludes_by(root, directory.unwrap_or(root), path, is_dir)
        } else {
            filter.excludes(root, path, is_dir)
        };
        excluded.unwrap_or_else(|error| {
            if self.run.policy.is_publish() && !error.is_changed() {
                self.run.progress.failed(path, FileError::Rules(error));
            }
            true
        })
    }

    /// Decides about an entry that the source lacks.
    fn doom(
        &self,
        listing: &Listing,
        lacking: &Arc<Lacking>,
        path: PathBuf,
        entry: Entry,
    ) -> Option<Item> {
        let above = listing.doomed.clone();
        if let Some(above) = &above {
            above.found();
        }
        if entry.kind != EntryKind::Directory {
            return self.removal(path, entry, above, lacking);
        }
        let doomed = Doomed::new(&entry, path.clone(), above, Arc::clone(lacking));
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
        entry: Entry,
        above: Option<Arc<Doomed>>,
        lacking: &Arc<Lacking>,
    ) -> Option<Item> {
        let is_halted = self.run.course.is_halted();
        let allows =
            || self.run.policy.delete().is_some_and(|delete| self.run.course.may_remove(&delete));
        if is_halted || !allows() {
            if !is_halted {
                self.run.progress.kept(&entry.name);
            }
            if let Some(above) = above {
                self.gone(&above, false);
            }
            return None;
        }
        let (name, lacking) = (entry.name.clone(), Arc::clone(lacking));
        Some(Item::new(path, name, Kind::Remove(Box::new(Removal { entry, above, lacking }))))
    }

    /// An entry of a doomed directory, or the list of it, is over: the directory may be the next.
    pub(super) fn gone(&self, doomed: &Arc<Doomed>, removed: bool) {
        if let Some(empty) = doomed.over(removed) {
            let (path, name, mode) = (empty.path.clone(), empty.name.clone(), empty.mode);
            let entry = Entry { name, kind: EntryKind::Directory, mode, mtime: None };
            if let Some(item) = self.removal(path, entry, empty.above.clone(), &empty.lacking) {
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
    let lines = body.split(|&byte| byte == b'\n').map(trim_line).filter(|line| !line.is_empty());
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
fn belongs(path: &Path, here: &Here, entry: &Entry, policy: &Policy) -> bool {
    let is_dir = entry.kind == EntryKind::Directory;
    let is_link = here.is_symlink && policy.links == Links::Copy;
    if policy.dry_run {
        return here.is_dir || (!is_dir && (here.is_file || is_link));
    }
    let Attributes { mode, mtime } = here.attributes;
    match &entry.kind {
        EntryKind::Directory => here.is_dir,
        EntryKind::File { size, .. } => {
            here.is_file && here.size == *size && entry.mtime == mtime && entry.mode == mode
        }
        EntryKind::Link { target } => {
            is_link && link(path).is_ok_and(|link| link.target == *target)
        }
        _ => false,
    }
}
