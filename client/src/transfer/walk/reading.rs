//! One walk over a source: every entry becomes an item, parents before children.

use std::cell::RefCell;
use std::path::PathBuf;

use walkdir::DirEntry;

use super::private::Private;
use super::{Found, WRITABLE, Walk, is_put_aside, is_special, last_name, name, special};
use crate::error::FileError;
use crate::plan::Root;
use crate::plan::namesakes::Sort;
use crate::source::anchor::{Adrift, Anchor};
use crate::source::descent::Descent;
use crate::source::facts::Facts;
use crate::source::links::Links;
use crate::source::{attributes, is_unfinished};
use crate::work::{BATCH, Item, Kind, Stopped};

/// Items of one batch, if they are all in one directory.
const MAX_BATCH: usize = 256 * BATCH;

/// A walk over one source, as far as it has come.
pub(super) struct Reading<'r> {
    walk: &'r Walk<'r>,
    root: &'r Root,
    anchor: &'r Anchor,
    descent: Descent,
    private: Private,
    /// Items that go over one connection.
    batch: Vec<Item>,
    /// The directories that it has found.
    found: Found,
    /// Directories that may still be remembered.
    room: &'r mut usize,
}

/// The way on from an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goes {
    /// To the next one, which is in it if it is a directory.
    On,
    /// Past all that is in this directory.
    Past,
}

/// Device and inode of an entry, if it was looked at.
type Identity = Option<[i64; 2]>;

impl<'r> Reading<'r> {
    pub(super) fn new(
        walk: &'r Walk<'r>,
        root: &'r Root,
        anchor: &'r Anchor,
        room: &'r mut usize,
    ) -> Self {
        let links = walk.policy.links;
        Self {
            walk,
            root,
            anchor,
            descent: Descent::new(&root.source, anchor.directory_identity(), links),
            private: Private::of(walk.policy),
            batch: Vec::with_capacity(BATCH),
            found: Some(Vec::new()),
            room,
        }
    }

    /// Puts every entry in. Returns the directories.
    pub(super) fn put_all(mut self) -> Result<Found, Stopped> {
        let Self { walk, root, anchor, .. } = self;
        if root.contents {
            walk.reads_directory(anchor, &root.source);
            self.destination()?;
        }
        let told = RefCell::new(PathBuf::new());
        let kept =
            |entry: &DirEntry| entry.depth() == 0 || walk.is_kept(root, anchor, entry, &told);
        let mut entries = walk.walker(root).into_iter().filter_entry(kept);
        let is_entered = !root.contents || walk.enter(root, &root.source, None);
        if !is_entered {
            anchor.unreadable();
        }
        while is_entered && let Some(entry) = entries.next() {
            let goes = match entry {
                Ok(entry) => self.entry(entry)?,
                Err(error) => {
                    self.failed(error);
                    Goes::On
                }
            };
            if goes == Goes::Past {
                entries.skip_current_dir();
            }
        }
        walk.work.push(walk.of_refused(anchor, self.batch))?;
        Ok(self.found)
    }

    /// The directory into which the contents of the source go: made if it is missing, also for a source with nothing in it.
    fn destination(&mut self) -> Result<(), Stopped> {
        let Self { walk, root, anchor, .. } = *self;
        let Some(name) = root.target.clone().filter(|_| anchor.is_directory()) else {
            return Ok(());
        };
        let mode = || attributes(&anchor.check().ok()?).mode;
        let is_own = walk.gives_attributes(root) && !walk.is_of_earlier_source(root, &name);
        let mode = Some(mode).filter(|_| is_own).and_then(|mode| mode());
        let kind = Kind::Directory(mode.map(|mode| mode | WRITABLE));
        let is_told = walk.before(root, &name, Sort::Directory).is_some();
        let is_new = walk.course.was_missing(&name);
        self.put(Item { is_told, ..Item::new(root.source.clone(), name, kind) });
        if is_new {
            // Over another connection an entry could come first, and its missing parent would have another mode.
            walk.work.push(walk.of_refused(anchor, std::mem::take(&mut self.batch)))?;
            walk.work.drain()?;
        }
        Ok(())
    }

    /// One entry becomes an item, or is left out.
    fn entry(&mut self, entry: DirEntry) -> Result<Goes, Stopped> {
        let Self { walk, root, anchor, .. } = *self;
        if self.stays_here(&entry) {
            return Ok(Goes::On);
        }
        let Some(name) = name(root, entry.path(), walk.progress) else { return Ok(Goes::On) };
        if self.is_no_source(&entry) {
            return Ok(Goes::On);
        }
        let (mut kind, identity) = match self.look_at(&entry) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Goes::On),
            Err(error) => return Ok(self.not_looked_at(&entry, &error)),
        };
        let is_directory = matches!(kind, Kind::Directory(_));
        if is_directory && walk.is_alone {
            anchor.tell(Adrift::Another, walk.progress);
            return Ok(Goes::Past);
        }
        if is_directory
            && (walk.is_of_earlier_source(root, &name)
                || walk.is_another_by_now(anchor, &entry, identity))
        {
            kind = Kind::Directory(None);
        }
        let sort = if is_directory { Sort::Directory } else { Sort::Other };
        let before = walk.before(root, &name, sort);
        if before.is_some_and(|before| before != sort || sort == Sort::Other) {
            walk.progress.failed(entry.path(), FileError::SameName(name.to_string()));
            return Ok(if is_directory { Goes::Past } else { Goes::On });
        }
        self.make_room(&entry, is_directory)?;
        if entry.depth() > 0 {
            anchor.found_entry();
        }
        let goes = if is_directory { self.directory(&entry, identity) } else { Goes::On };
        // Only who may not remove anything if one is gone asks for it.
        if !is_directory && walk.policy.needs_all() {
            anchor.found_file(entry.path());
        }
        let is_in_destination = root.contents && !walk.gives_attributes(root);
        let inside = entry.depth() > usize::from(is_in_destination);
        let named = entry.depth() == 0;
        let is_told = before.is_some();
        self.put(Item { inside, named, is_told, ..Item::new(entry.into_path(), name, kind) });
        Ok(goes)
    }

    /// The next item of the batch.
    fn put(&mut self, item: Item) {
        self.batch.push(item);
        self.private.enters(self.batch.last(), self.walk.course);
    }

    /// haul has made the entry for itself: it is told, and not sent.
    fn stays_here(&self, entry: &DirEntry) -> bool {
        let walk = self.walk;
        if is_put_aside(entry) {
            walk.progress.failed(entry.path(), FileError::Aside);
            return true;
        }
        if !entry.file_type().is_file() {
            return false;
        }
        if is_unfinished(last_name(entry)) {
            walk.leave_unfinished(entry.path());
            return true;
        }
        let is_receipt = walk.committed.is_receipt(entry.path(), || entry.metadata().ok());
        if is_receipt {
            walk.leave_receipt(entry.path());
        }
        is_receipt
    }

    /// The entry is the source itself, and of a kind that is not carried: a failure, since the user has named it.
    fn is_no_source(&self, entry: &DirEntry) -> bool {
        if entry.depth() > 0 {
            return false;
        }
        let kind = if is_special(entry.file_type()) {
            special(entry.file_type())
        } else if entry.path_is_symlink() && self.walk.policy.links == Links::Skip {
            "a symbolic link with --links skip"
        } else {
            return false;
        };
        self.walk.progress.failed(entry.path(), FileError::NoFile(kind));
        true
    }

    /// The kind of an entry, and what it is if it was looked at. `None`: it is left out.
    fn look_at(&mut self, entry: &DirEntry) -> Result<Option<(Kind, Identity)>, FileError> {
        let (descent, mut identity) = (&mut self.descent, None);
        let look = FileError::local("look at");
        let look = || {
            let is_below = entry.depth() > 0 && entry.file_type().is_dir();
            let found = match is_below {
                true => descent.look(entry.path())?,
                false => Facts::from(&entry.metadata().map_err(|error| look(error.into()))?),
            };
            identity = Some(found.identity);
            Ok(found)
        };
        let kind = self.walk.kind(entry.path(), entry.file_type(), look)?;
        Ok(kind.map(|kind| (kind, identity)))
    }

    /// An entry could not be looked at.
    fn not_looked_at(&self, entry: &DirEntry, error: &FileError) -> Goes {
        let (walk, path) = (self.walk, entry.path());
        let is_directory = entry.file_type().is_dir();
        // The walk would read the entries of another directory.
        let goes = if is_directory { Goes::Past } else { Goes::On };
        if is_directory && walk.is_gone(path) {
            return goes;
        }
        if error.is_replaced() && walk.policy.is_publish() {
            walk.progress.vanished(path);
        } else {
            walk.progress.failed(path, error);
        }
        goes
    }

    /// The entries of a directory could not be read, or one of them.
    fn failed(&self, error: walkdir::Error) {
        let Self { walk, root, anchor, .. } = *self;
        // An error while the entries of the source itself are read has no path.
        let depth = error.depth();
        if error.path().is_some_and(|path| depth > 0 && walk.is_gone(path)) {
            return;
        }
        if depth == 0 || (depth == 1 && error.path().is_none()) {
            anchor.unreadable();
        }
        let path = error.path().unwrap_or(&root.source).to_owned();
        let source = error
            .into_io_error()
            .unwrap_or_else(|| std::io::Error::other("links lead back to a directory above"));
        walk.progress.failed(&path, FileError::local("read")(source));
    }

    /// Sends the batch before this entry, if that is due. The entries of a directory go with it, over one connection: a
    /// server can fill a new directory before it appears.
    fn make_room(&mut self, entry: &DirEntry, is_directory: bool) -> Result<(), Stopped> {
        let ends = is_directory && self.batch.len() >= BATCH;
        if ends || self.batch.len() >= MAX_BATCH {
            let full = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
            self.walk.work.push(full)?;
            self.batch.extend(self.private.above(entry.path()));
        }
        Ok(())
    }

    /// The walk has found a directory. Returns whether it goes on in it.
    fn directory(&mut self, entry: &DirEntry, identity: Identity) -> Goes {
        let Self { walk, root, anchor, .. } = *self;
        let path = entry.path();
        if let Some(identity) = identity {
            anchor.found_directory(path, identity);
            // A source that has come since the run began is what it is now.
            if entry.depth() > 0 || !anchor.is_directory() {
                walk.found_directory(path, identity);
            }
        }
        self.found = self.found.take().filter(|_| *self.room > 0);
        if let Some(found) = &mut self.found {
            found.push(path.to_owned());
            *self.room -= 1;
        }
        let is_beyond = walk.policy.one_file_system
            && identity.is_some_and(|identity| anchor.is_beyond(identity));
        if is_beyond {
            walk.leave_beyond(path);
            return Goes::Past;
        }
        walk.reads_directory(anchor, path);
        if walk.enter(root, path, identity) {
            return Goes::On;
        }
        if entry.depth() == 0 {
            anchor.unreadable();
        }
        Goes::Past
    }
}
