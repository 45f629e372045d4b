//! Makes a staged tree durable, and visible.

use std::sync::Arc;

use haul_protocol::{Attributes, LinkTarget, Name};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::tree::{Kind, Tree, open};
use crate::store::attributes::mode_of_file;
use crate::store::commit::dirty::Touched;
use crate::store::error::StoreError;
use crate::store::inherit::gives_to_children;
use crate::store::look::mtime;
use crate::store::quota::{Amount, Share};
use crate::store::replaces::Replaces;
use crate::store::root::Parents;
use crate::store::sys;
use crate::store::versions::guard::is_at_or_below;

/// Directories of a tree that may be flushed one by one.
const FEW: usize = 4;

/// A client whose changes may replace nothing gets no tree.
const ANYTHING: Replaces = Replaces::Anything;

/// Bytes that are copied at once.
const COPIED: usize = 64 * 1024;

impl Tree {
    /// The number of entries that were taken, and so of its results.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Entries and the directories that they imply.
    pub(in crate::store) fn weight(&self) -> usize {
        self.entries.len().max(self.directories.len())
    }

    /// Whether it can be flushed alone: directories are few, and there are handles on all else that is in it.
    pub(in crate::store) fn is_small(&self) -> bool {
        self.directories.len() <= FEW && (self.only.is_some() || self.holds_directories_only())
    }

    /// Flushes one that is [small](Self::is_small).
    pub(in crate::store) fn sync(&mut self) -> Result<(), Errno> {
        self.open_again()?;
        self.only.iter().try_for_each(sys::sync)?;
        self.handles.iter().try_for_each(sys::sync_directory)?;
        self.rest();
        Ok(())
    }

    /// As [`publish`](Self::publish), but for entries in a directory that is being published.
    pub(in crate::store) fn publish_guarded(
        mut self,
        parents: &Parents,
        touched: &mut Touched,
    ) -> Vec<Result<(), StoreError>> {
        let store = Arc::clone(&self.store);
        if let Ok(_leave) = store.guard.enter_tree(self.top()) {
            parents.refresh(store.guard.swaps());
            return self.publish(parents, touched);
        }
        if let Err(errno) = self.open_again() {
            return self.refused(|| StoreError::new("publish", self.top(), errno));
        }
        // Each entry takes a share of its own.
        self.share = Share::default();
        let results = self.entries.iter().map(|entry| {
            let _leave = store.guard.enter(&entry.0)?;
            parents.refresh(store.guard.swaps());
            self.merge(parents, entry, touched)
        });
        results.collect()
    }

    /// Makes it visible, and tells what became of each entry, in the order of taking.
    pub(in crate::store) fn publish(
        mut self,
        parents: &Parents,
        touched: &mut Touched,
    ) -> Vec<Result<(), StoreError>> {
        if !self.spoiled && self.rename(parents, touched).is_ok() {
            self.published = true;
            let (top, share) = (self.top().clone(), std::mem::take(&mut self.share));
            let amount = self.amount_below(&top);
            self.counting.came(top.as_bytes(), Some(share), amount);
            let (directories, handles) = (&mut self.directories, &mut self.handles);
            parents.remember(directories.drain(..).zip(handles.drain(..)).collect());
            return self.entries.iter().map(|_| Ok(())).collect();
        }
        if let Err(errno) = self.open_again() {
            return self.refused(|| StoreError::new("publish", self.top(), errno));
        }
        // Somebody else has made the directory meanwhile, most likely. Those in it may still be moved whole.
        self.share = Share::default();
        let mut whole: Vec<&Name> = Vec::new();
        let results = self.entries.iter().map(|entry| {
            let (name, kind) = entry;
            if whole.iter().any(|directory| is_at_or_below(name, directory)) {
                return Ok(());
            }
            if matches!(kind, Kind::Directory(_)) && self.move_whole(parents, name, touched) {
                whole.push(name);
                return Ok(());
            }
            self.merge(parents, entry, touched)
        });
        results.collect()
    }

    /// The same result for all that is in it.
    fn refused(&self, error: impl Fn() -> StoreError) -> Vec<Result<(), StoreError>> {
        self.entries.iter().map(|_| Err(error())).collect()
    }

    /// Opens its directories, if it rests.
    fn open_again(&mut self) -> Result<(), Errno> {
        if self.handles.is_empty() {
            let (staged, temporary) = self.store.staging.at(self.place);
            self.handles.push(open(staged, temporary.as_bytes())?);
            for name in &self.directories[1..] {
                let parent = self.parent(name).ok_or(Errno::NOENT)?;
                let opened = open(parent, name.split().1)?;
                self.handles.push(opened);
            }
        }
        Ok(())
    }

    fn rename(&self, parents: &Parents, touched: &mut Touched) -> Result<(), StoreError> {
        let name = self.top();
        let (above, last) = name.split();
        let (staged, temporary) = self.store.staging.at(self.place);
        let parent = parents.of(name)?;
        let rename = || sys::rename_new(staged, temporary.as_bytes(), &parent, last);
        let rights = &self.store.rights;
        rights
            .in_directory(&parent, rename)
            .map_err(|errno| StoreError::new("publish", name, errno))?;
        touched.directory(above, &parent);
        Ok(())
    }

    /// Makes a directory visible with all entries in it, if nothing has its name yet.
    fn move_whole(&self, parents: &Parents, name: &Name, touched: &mut Touched) -> bool {
        let (above, last) = name.split();
        let (Some(staged), Ok(parent)) = (self.parent(name), parents.of(name)) else {
            return false;
        };
        let amount = self.amount_below(name);
        let Ok(share) = self.counting.share(name.as_bytes(), amount) else { return false };
        let moved = !self.spoiled && !gives_to_children(&parent) && {
            let rename = || sys::rename_new(staged, last, &parent, last);
            self.store.rights.in_directory(&parent, rename).is_ok()
        };
        if moved {
            self.counting.came(name.as_bytes(), share, amount);
            touched.directory(above, &parent);
        }
        moved
    }

    /// Makes one entry visible by itself.
    fn merge(
        &self,
        parents: &Parents,
        (name, kind): &(Name, Kind),
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        let (has_mode, size) = match kind {
            Kind::Directory(mode) => {
                let make = || self.store.make_directory(parents, name, *mode, ANYTHING, touched);
                return self.store.counted(parents, name, Some(Amount::DIRECTORY), None, make);
            }
            Kind::File { has_mode, size } => (*has_mode, *size),
            Kind::Link { size } => (true, *size),
        };
        let staged =
            self.parent(name).ok_or_else(|| StoreError::new("publish", name, Errno::NOENT))?;
        let keeps_mode =
            || mode_of_file(parents, name).map_err(|errno| StoreError::new("look at", name, errno));
        if parents.giver(name).is_some() || (!has_mode && keeps_mode()?.is_some()) {
            return self.merge_again(parents, (staged, has_mode), name, touched);
        }
        let rename = || self.store.rename(parents, staged, name.split().1, name, ANYTHING, touched);
        self.store.counted(parents, name, Some(Amount::file(size)), None, rename)
    }

    /// Makes one entry visible in a directory that somebody else has made meanwhile, and that hands its group or
    /// an ACL down, or has a file whose mode stays: the entry is made again, for that directory.
    fn merge_again(
        &self,
        parents: &Parents,
        (tree, has_mode): (&OwnedFd, bool),
        name: &Name,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        let failed = |op| move |errno| StoreError::new(op, name, errno);
        let last = name.split().1;
        let stat =
            rustix::fs::statat(tree, last, AtFlags::SYMLINK_NOFOLLOW).map_err(failed("look at"))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            let target = rustix::fs::readlinkat(tree, last, Vec::new()).map_err(failed("read"))?;
            let target = LinkTarget::parse(target.as_bytes())
                .map_err(|_| StoreError::new("read", name, Errno::INVAL))?;
            return self.store.make_link(parents, name, (&target, mtime(&stat)), ANYTHING, touched);
        }
        // Its mode may forbid its owner to read it.
        let readable = Mode::RUSR | Mode::WUSR;
        sys::set_mode_at(tree, last, FileType::RegularFile, readable).map_err(failed("read"))?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let from = rustix::fs::openat(tree, last, flags, Mode::empty()).map_err(failed("read"))?;
        let mode = has_mode.then_some(stat.st_mode & 0o777);
        let attributes = Attributes { mode, mtime: mtime(&stat) };
        let _room = self.store.admit(name, stat.st_size.unsigned_abs())?;
        let staged = self.store.stage(parents, name, &attributes)?;
        let (mut offset, mut buffer) = (0, vec![0; COPIED]);
        loop {
            match rustix::io::pread(&from, &mut buffer, offset) {
                Ok(0) => break,
                Ok(len) => {
                    staged.write_at(name, offset, &buffer[..len])?;
                    offset += len as u64;
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(StoreError::new("read", name, errno)),
            }
        }
        staged.complete(name, &attributes)?;
        if self.store.durable {
            staged.sync(name)?;
        }
        staged.publish(name, parents, touched)
    }
}
