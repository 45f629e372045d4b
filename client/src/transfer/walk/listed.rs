//! Instead of a walk: the entries that a list names.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::private::PrivateOfList;
use super::{Walk, is_special, name, special};
use crate::error::FileError;
use crate::plan::Root;
use crate::source::anchor::Anchor;
use crate::source::descent::Descent;
use crate::source::facts::Facts;
use crate::source::file_list::{Later, Names, ReadBefore, below};
use crate::source::links::Links;
use crate::source::stdin::is_descriptor;
use crate::source::{is_aside, is_unfinished};
use crate::work::{BATCH, Item, Kind, Stopped};

/// Directories of a list that are remembered for the names that follow, which are usually in them.
const RECENT: usize = 64;

impl Walk<'_> {
    /// Puts in the entries that a list names below a directory, and no others; then the attributes of directories in
    /// it, the last ones first.
    pub(super) fn named(
        &self,
        root: &Root,
        anchor: &Anchor,
        names: &mut Names,
    ) -> Result<(), Stopped> {
        let (mut batch, mut directories) = (Vec::with_capacity(BATCH), Later::default());
        let mut asked = ReadBefore::default();
        self.found_source(root, anchor);
        let links = self.policy.links;
        let mut recent =
            Recent::new(Descent::new(&root.source, anchor.directory_identity(), links));
        let mut private = PrivateOfList::of(self.policy);
        let mut known = ReadBefore::default();
        loop {
            let name = match names.next(&|| self.work.is_stopped()) {
                Ok(Some(name)) => name,
                Ok(None) => break,
                Err(error) => {
                    let error = FileError::List(Arc::new(error));
                    self.progress.failed(Path::new("--files-from"), error);
                    break;
                }
            };
            // Sent twice, and removed here in between, it would count as gone or changed.
            if below(&name).is_some_and(|name| !known.is_new(&name)) {
                continue;
            }
            let item = match self.name_of_list(root, anchor, &name, &mut directories, &mut recent) {
                Ok(Some(item)) => item,
                Ok(None) => continue,
                Err(error) => {
                    self.progress.failed(&name, &error);
                    continue;
                }
            };
            batch.extend(self.above_name(root, &item, &mut asked));
            batch.extend(private.above(&item.path));
            private.names(&item, self.course);
            let is_new_destination =
                item.path == root.source && self.course.was_missing(&item.name);
            batch.push(item);
            let is_settled = is_new_destination || private.is_full();
            if is_settled || batch.len() >= BATCH {
                self.work.push(std::mem::replace(&mut batch, Vec::with_capacity(BATCH)))?;
                private.begins_batch();
            }
            if is_settled {
                self.work.drain()?;
                private.have_arrived();
            }
        }
        self.work.push(std::mem::take(&mut batch))?;
        self.progress.walk_ended();
        self.work.drain()?;
        loop {
            match directories.pop() {
                Ok(Some(path)) => self.directory(root, anchor, path, &mut batch)?,
                Ok(None) => break,
                Err(error) => {
                    let error = FileError::local("read the directories of the list again")(error);
                    self.progress.failed(Path::new("--files-from"), &error);
                    break;
                }
            }
        }
        self.work.push(batch)?;
        self.work.drain()
    }

    /// The entry that a name in a list stands for, if it is to be sent.
    fn name_of_list(
        &self,
        root: &Root,
        anchor: &Anchor,
        listed: &Path,
        directories: &mut Later,
        recent: &mut Recent,
    ) -> Result<Option<Item>, FileError> {
        let elsewhere = || FileError::local("send")(std::io::Error::other("it is not below SRC"));
        let below = below(listed).ok_or_else(elsewhere)?;
        let itself = below.as_os_str().is_empty();
        let path = if itself { root.source.clone() } else { root.source.join(below) };
        if self.policy.links != Links::Follow {
            recent.check(&root.source, &path)?;
        }
        let metadata = self.policy.links.look(&path).map_err(FileError::local("look at"))?;
        let (is_dir, mut facts) = (metadata.is_dir(), Facts::from(&metadata));
        if let Some(parent) = path.parent().filter(|_| !itself && recent.is_other_parent(&path)) {
            let found = recent.descent.look(parent)?;
            self.found_directory(parent, found.identity);
            parent.clone_into(&mut recent.parent);
        }
        if is_dir && !itself {
            facts = recent.descent.look(&path)?;
        }
        let above = path.ancestors().skip(usize::from(!is_dir));
        for directory in above.take_while(|above| above.starts_with(&root.source)) {
            self.committed.needs_rules(directory);
        }
        let excluded = self.policy.filter.excludes_above(&root.source, &path, is_dir);
        let excluded = excluded.map_err(FileError::Rules)?;
        if excluded {
            return Ok(None);
        }
        if itself && root.contents {
            return self.destination_of_list(root, anchor, directories);
        }
        if !is_dir && path.file_name().is_some_and(is_aside) {
            return Err(FileError::Aside);
        }
        // Only a tree may hold what is skipped; a name in a list is meant.
        if is_special(metadata.file_type()) {
            return Err(FileError::NoFile(special(metadata.file_type())));
        }
        if metadata.is_symlink() && is_descriptor(&path) {
            return Err(FileError::NoFile("a descriptor"));
        }
        let is_left = |name| metadata.is_file() && is_unfinished(name);
        if path.file_name().is_some_and(is_left) {
            self.leave_unfinished(&path);
            return Ok(None);
        }
        if self.committed.is_receipt(&path, || Some(metadata.clone())) {
            self.leave_receipt(&path);
            return Ok(None);
        }
        let Some(kind) = self.kind(&path, metadata.file_type(), || Ok(facts))? else {
            return Ok(None);
        };
        let Some(name) = name(root, &path, self.progress) else { return Ok(None) };
        if matches!(kind, Kind::Directory(_)) && !self.policy.verifies() {
            self.found_directory(&path, facts.identity);
            directories.push(&path).map_err(FileError::local("remember"))?;
        }
        let inside =
            path.parent().is_some_and(|parent| recent.sent.iter().any(|known| known == parent));
        if matches!(kind, Kind::Directory(_)) {
            recent.sent.truncate(RECENT - 1);
            recent.sent.push_front(path.clone());
        }
        Ok(Some(Item { inside, named: true, ..Item::new(path, name, kind) }))
    }

    /// The destination, which the list names as `.`: the directory that takes the contents of the source.
    fn destination_of_list(
        &self,
        root: &Root,
        anchor: &Anchor,
        directories: &mut Later,
    ) -> Result<Option<Item>, FileError> {
        let found = anchor.check().ok().filter(|_| self.gives_attributes(root));
        let (Some(found), Some(name)) = (found, &root.target) else { return Ok(None) };
        let Some(kind) = self.kind(&root.source, found.file_type(), || Ok(Facts::from(&found)))?
        else {
            return Ok(None);
        };
        directories.push(&root.source).map_err(FileError::local("remember"))?;
        Ok(Some(Item::new(root.source.clone(), name.clone(), kind)))
    }
}

/// Directories that names of a list were in last.
#[derive(Debug)]
struct Recent {
    /// Directories that are in the list themselves.
    sent: VecDeque<PathBuf>,
    /// One to which no symlink leads from the source.
    checked: PathBuf,
    /// The directory of the last name.
    parent: PathBuf,
    descent: Descent,
}

impl Recent {
    fn new(descent: Descent) -> Self {
        let (checked, parent) = (PathBuf::new(), PathBuf::new());
        Self { sent: VecDeque::new(), checked, parent, descent }
    }

    /// Whether a name is in another directory than the one before.
    fn is_other_parent(&self, path: &Path) -> bool {
        path.parent().is_some_and(|parent| parent.as_os_str() != self.parent.as_os_str())
    }

    /// A name may lead through a symlink to what is not in the source, and would be stored as if it were.
    fn check(&mut self, root: &Path, path: &Path) -> Result<(), FileError> {
        let Some(parent) = path.parent().filter(|parent| *parent != self.checked) else {
            return Ok(());
        };
        for above in parent.ancestors().take_while(|above| *above != root) {
            if above.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
                return Err(FileError::Through(above.to_owned()));
            }
        }
        parent.clone_into(&mut self.checked);
        Ok(())
    }
}
