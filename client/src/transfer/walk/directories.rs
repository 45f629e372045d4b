//! Every directory once more, when its entries are settled; and which directories give the server a mode.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use haul_protocol::{Attributes, Name};
use walkdir::DirEntry;

use super::{Found, Walk, name};
use crate::plan::Root;
use crate::plan::policy::Mode;
use crate::source::anchor::Anchor;
use crate::source::{attributes, has_special_bits, identity};
use crate::work::{BATCH, Item, Kind, Stopped};

impl Walk<'_> {
    /// Every directory once more, children before parents. Those that are remembered are not searched
    /// for: in a large tree of small files, reading all directories again would cost a twentieth of the
    /// run. `unread` gets what can't be read: that was told in the first walk, or has come since.
    pub(super) fn each_directory<E>(
        &self,
        root: &Root,
        found: &Found,
        mut then: impl FnMut(PathBuf) -> Result<(), E>,
        mut unread: impl FnMut(PathBuf) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some(found) = found {
            return found.iter().rev().try_for_each(|path| then(path.clone()));
        }
        // If rules can't be read, that was told in the first walk; if they have changed, it will be.
        let filter = &self.policy.filter;
        let excluded = |path: &Path| filter.excludes_above(&root.source, path, true);
        let walker = self.walker(root).same_file_system(self.policy.one_file_system);
        for entry in walker.contents_first(true) {
            match entry {
                Ok(entry) if entry.file_type().is_dir() => {
                    if matches!(excluded(entry.path()), Ok(false)) {
                        then(entry.into_path())?;
                    }
                }
                Ok(_) => {}
                // A user who leaves a directory out need not be able to read it.
                Err(error) => match error.path() {
                    Some(path) if !matches!(excluded(path), Ok(true)) => unread(path.to_owned())?,
                    _ => {}
                },
            }
        }
        Ok(())
    }

    /// Whether the destination itself gets mode and mtime of a source. `sync` makes it like the source. `put` makes it so if it
    /// is missing; otherwise `put` adds to a directory that may be others' as well. Nobody gives the server's root a mode.
    pub(super) fn gives_attributes(&self, root: &Root) -> bool {
        let is_new = |name| self.course.was_missing(name);
        root.contents
            && root.target.as_ref().is_some_and(|name| match self.policy.mode {
                Mode::Sync(_) => true,
                Mode::Put => is_new(name),
                Mode::Verify(_) | Mode::Publish(..) => false,
            })
    }

    /// Whether a source before this one has the same directory. Otherwise each run would set mode and mtime of both.
    pub(super) fn is_of_earlier_source(&self, root: &Root, name: &Name) -> bool {
        let names = self.names.as_ref();
        names.is_some_and(|names| names.namesakes.has_earlier_directory(root, name, self.policy))
    }

    /// Gives every directory its final attributes.
    pub(super) fn directories(
        &self,
        root: &Root,
        anchor: &Anchor,
        found: &Found,
    ) -> Result<(), Stopped> {
        let mut batch = Vec::with_capacity(BATCH);
        // Only a walk that looks for directories once more comes to those that were refused.
        let is_refused = |path: &Path| match (&self.names, found) {
            (Some(names), None) => name(root, path, self.progress)
                .is_some_and(|name| names.is_at_or_below_other(root, &name, self.policy)),
            _ => false,
        };
        let each = |path: PathBuf| match is_refused(&path) {
            true => Ok(()),
            false => self.directory(root, anchor, path, &mut batch),
        };
        self.each_directory(root, found, each, |_| Ok(()))?;
        if self.gives_attributes(root) {
            self.directory(root, anchor, root.source.clone(), &mut batch)?;
        }
        self.work.push(batch)?;
        // The next root may be inside this one.
        self.work.drain()
    }

    /// The source is a directory whose entries are sent.
    pub(super) fn found_source(&self, root: &Root, anchor: &Anchor) {
        // The path of the directory as its entries have it: `s/` ends otherwise.
        let entry = root.source.join("entry");
        if let (Some(directory), Some(inode)) = (entry.parent(), anchor.directory_identity()) {
            self.found_directory(directory, inode);
        }
    }

    /// The walk has found a directory. In a later walk another directory does not take its place, unless everything is sent
    /// again.
    pub(super) fn found_directory(&self, path: &Path, inode: [i64; 2]) {
        if self.policy.is_publish() || !self.directories.had_directory(path) {
            self.directories.directory_is(path, inode);
        }
    }

    /// Whether a directory is not the one that an earlier walk has found, or is a source that was replaced: it gives no mode.
    pub(super) fn is_another_by_now(
        &self,
        anchor: &Anchor,
        entry: &DirEntry,
        inode: Option<[i64; 2]>,
    ) -> bool {
        let (path, known) = (entry.path(), self.directories);
        if entry.depth() == 0 {
            return anchor.check().is_err();
        }
        let is_known = |inode| known.was_directory(path, inode);
        !self.policy.is_publish()
            && self.course.is_again()
            && known.had_directory(path)
            && (!inode.is_some_and(is_known) || self.is_another(anchor, path))
    }

    /// The last batch of a source. If the source may be refused, because it can't be read or has nothing in it, its directory at
    /// the server gets no mode yet: others may have made that private.
    pub(super) fn of_refused(&self, anchor: &Anchor, mut batch: Vec<Item>) -> Vec<Item> {
        let may_be_empty = self.policy.delete().is_none_or(|delete| delete.all);
        if anchor.has_failed() || (anchor.is_empty() && !may_be_empty) {
            for item in &mut batch {
                let is_own = matches!(item.kind, Kind::Directory(_)) && item.path == anchor.path();
                if is_own && !self.course.was_missing(&item.name) {
                    item.kind = Kind::Directory(None);
                }
            }
        }
        batch
    }

    /// Whether the walk has found this directory at this path. A server's private directory gets no mode from a directory that
    /// has come since, such as the mount point of a disk that is unmounted, and none from a source that was refused.
    fn is_as_found(&self, root: &Root, anchor: &Anchor, path: &Path, found: &Metadata) -> bool {
        if path == root.source {
            return !anchor.has_failed() && anchor.check().is_ok();
        }
        let links = self.policy.links;
        self.sources.is_as_found(path, identity(found), links)
            && (!anchor.had_directory(path) || anchor.check_below(path, links).is_ok())
    }

    /// Gives one directory its final attributes.
    pub(super) fn directory(
        &self,
        root: &Root,
        anchor: &Anchor,
        path: PathBuf,
        batch: &mut Vec<Item>,
    ) -> Result<(), Stopped> {
        let work = self.work;
        let (Some(name), Ok(metadata)) =
            (name(root, &path, self.progress), self.policy.links.look(&path))
        else {
            return Ok(());
        };
        if !metadata.is_dir() || self.is_of_earlier_source(root, &name) {
            return Ok(());
        }
        if !self.is_as_found(root, anchor, &path, &metadata) {
            // Otherwise the code that removes nothing because of that tells it.
            if path != root.source
                && !self.policy.removes()
                && self.directories.had_directory(&path)
            {
                self.progress.vanished(&path);
            }
            return Ok(());
        }
        if has_special_bits(&metadata) && !self.course.is_again() {
            self.progress.special_bits_dropped();
        }
        let attributes: Attributes = attributes(&metadata);
        // Batches overtake each other, so nothing below may be on its way when the owner loses the
        // right to read it and to pass through.
        let closes = attributes.mode.is_some_and(|mode| mode & 0o500 != 0o500);
        if closes {
            work.push(std::mem::take(batch))?;
            work.drain()?;
        }
        batch.push(Item::new(path, name, Kind::Attributes(attributes)));
        if closes || batch.len() >= BATCH {
            work.push(std::mem::take(batch))?;
        }
        if closes { work.drain() } else { Ok(()) }
    }
}
