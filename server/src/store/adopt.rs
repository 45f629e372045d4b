//! Taking a file over from the present version of a directory into the next one.
//!
//! Where the file system can, the two share their blocks (`FICLONE`, ioctl_ficlone(2)). Otherwise it gets a second
//! name if mode and mtime are right: nothing that haul does writes through a name (files are replaced, and
//! `setattr` refuses those with several), so neither version can change the other. Else it is copied.

use std::sync::Arc;

use haul_protocol::{Attributes, Entry, Name, Verdict};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::error::StoreError;
use super::group::Touched;
use super::root::{BENEATH, Parents};
use super::{Staged, Store, disk};

/// A file that is copied, piece by piece.
#[derive(Debug)]
pub(crate) struct Copying {
    from: OwnedFd,
    to: Staged,
    name: Name,
    attributes: Attributes,
    offset: u64,
    size: u64,
}

/// What came of a try.
#[derive(Debug)]
pub(crate) enum Adopted {
    /// It is in the next version.
    Yes,
    /// It has to be copied.
    Copying(Box<Copying>),
    /// It has gone, or is another by now.
    No,
}

impl Store {
    /// Takes a file over that differs from `entry` in its mode or mtime at the most, as `verdict` says.
    pub(crate) fn adopt(
        self: &Arc<Self>,
        present: &Parents,
        next: &Parents,
        entry: &Entry,
        size: u64,
        verdict: Verdict,
    ) -> Result<Adopted, StoreError> {
        let name = &entry.name;
        let failed = |op| move |errno| StoreError::new(op, name, errno);
        let (above, last) = name.split();
        let Ok(from) = present.existing(above) else { return Ok(Adopted::No) };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let same = verdict == Verdict::Same;
        if same && !self.shares_blocks() && is_linked(&from, last) {
            return self.second_name(&from, next, name);
        }
        let file = match rustix::fs::openat2(&from, last, flags, Mode::empty(), BENEATH) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::LOOP | Errno::ACCESS) => return Ok(Adopted::No),
            Err(errno) => return Err(failed("open")(errno)),
        };
        let attributes = Attributes { mode: entry.mode, mtime: entry.mtime };
        let to = self.stage(name, &attributes)?;
        let mut copying =
            Copying { from: file, to, name: name.clone(), attributes, offset: 0, size };
        if copying.to.share_blocks(&copying.from) {
            copying.offset = size;
        } else if same && is_linked(&from, last) {
            return self.second_name(&from, next, name);
        }
        Ok(Adopted::Copying(Box::new(copying)))
    }

    /// Whether the file system lets files share their blocks; tried once.
    fn shares_blocks(&self) -> bool {
        *self.shares_blocks.get_or_init(|| {
            let place = self.staging.place();
            let directory = self.staging.directory(place);
            let make = || disk::create_unnamed(directory, Mode::RUSR | Mode::WUSR);
            match (make(), make()) {
                (Ok(one), Ok(other)) => disk::share_blocks(one, other).is_ok(),
                _ => false,
            }
        })
    }

    fn second_name(
        &self,
        from: &OwnedFd,
        next: &Parents,
        name: &Name,
    ) -> Result<Adopted, StoreError> {
        let last = name.split().1;
        let to = next.of(name)?;
        let mut linked = disk::second_name(from, last, &to);
        if linked == Err(Errno::EXIST) {
            // An interrupted run has left something else there; nobody sees it.
            disk::unlink(&to, last).map_err(|errno| StoreError::new("replace", name, errno))?;
            linked = disk::second_name(from, last, &to);
        }
        match linked {
            Ok(()) => Ok(Adopted::Yes),
            Err(Errno::NOENT) => Ok(Adopted::No),
            Err(errno) => Err(StoreError::new("take over", name, errno)),
        }
    }
}

/// Whether a file may have one more name: it has no bits that are not carried.
fn is_linked(directory: &OwnedFd, last: &[u8]) -> bool {
    rustix::fs::statat(directory, last, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| stat.st_mode & 0o7000 == 0 && stat.st_nlink < MOST_NAMES)
}

/// Names of one file, from which on it is copied: fewer than any file system allows.
const MOST_NAMES: u64 = 1000;

impl Copying {
    /// Copies the next bytes, through `buffer`; returns how many, and whether the file is over.
    pub(crate) fn advance(&mut self, buffer: &mut [u8]) -> Result<(usize, bool), StoreError> {
        if self.offset >= self.size {
            return Ok((0, true));
        }
        match rustix::io::pread(&self.from, &mut *buffer, self.offset) {
            Ok(0) | Err(Errno::INTR) => Ok((0, self.offset >= self.size)),
            Ok(len) => {
                self.to.write_at(&self.name, self.offset, &buffer[..len])?;
                self.offset += len as u64;
                Ok((len, self.offset >= self.size))
            }
            Err(errno) => Err(StoreError::new("read", &self.name, errno)),
        }
    }

    /// Gives the copy its name in the next version.
    pub(crate) fn publish(self, next: &Parents) -> Result<(), StoreError> {
        self.to.complete(&self.name, &self.attributes)?;
        self.to.publish(&self.name, next, &mut Touched::ignored())
    }
}
