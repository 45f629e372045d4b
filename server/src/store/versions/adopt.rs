//! Taking a file over from the present version of a directory into the next one.
//!
//! Where the file system can, the two share their blocks (`FICLONE`, ioctl_ficlone(2)). Otherwise it gets a second
//! name if mode and mtime are right: nothing that haul does writes through a name (files are replaced, and
//! `setattr` refuses those with several), so neither version can change the other. Else it is copied.

use std::sync::Arc;

use haul_protocol::{Attributes, Entry, Mtime, Name, Verdict};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::store::commit::dirty::Touched;
use crate::store::error::StoreError;
use crate::store::look::mtime;
use crate::store::mode::kept;
use crate::store::open::BENEATH;
use crate::store::root::Parents;
use crate::store::{Reserved, Staged, Store, sys};

/// A file that is copied, piece by piece.
#[derive(Debug)]
pub(crate) struct Copying {
    from: OwnedFd,
    /// The state of the file when it was opened.
    before: Stamp,
    to: Staged,
    /// For its bytes if they are not shared, and for its inode and name.
    room: Option<Reserved>,
    name: Name,
    attributes: Attributes,
    offset: u64,
}

/// The result of a try.
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
        // The draft of an earlier run may have it under another spelling.
        if self.check_spelling(next, name).is_err() {
            return Ok(Adopted::No);
        }
        let Ok(from) = present.find(above) else { return Ok(Adopted::No) };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let counts = |parents: &Parents| kept(entry.mode).map(|mode| parents.counts(name, mode));
        // In the next version the directory may have another default ACL.
        let same = verdict == Verdict::Same && counts(present) == counts(next);
        // For its name and its inode, whether its bytes need room or not.
        let room = self.admit(name, 0)?;
        if same
            && !self.shares_blocks()
            && is_linked(&from, last)
            && let Some(adopted) =
                self.counted_as_present(next, name, || self.second_name(&from, next, name))?
        {
            return Ok(adopted);
        }
        let open = || rustix::fs::openat2(&from, last, flags, Mode::empty(), BENEATH);
        let Ok(file) = self.rights.in_directory(&from, open) else {
            return Ok(Adopted::No);
        };
        let before = stamp(&file).map_err(failed("look at"))?;
        if before.size != size {
            return Ok(Adopted::No);
        }
        // A mode or mtime that the client did not state stays as it is in the present version.
        let attributes = Attributes {
            mode: entry.mode.or(Some(before.mode)),
            mtime: entry.mtime.or(before.mtime),
        };
        let to = self.stage(next, name, &attributes)?;
        let name = name.clone();
        let mut copying =
            Copying { from: file, before, to, room: None, name, attributes, offset: 0 };
        if copying.to.share_blocks(&copying.from) {
            copying.offset = size;
            copying.room = Some(room);
            // Otherwise nobody could tell the file from another one of that size.
            copying.to.counts = attributes.mtime != before.mtime;
        } else {
            drop(room);
            copying.room = Some(self.admit(&entry.name, size)?);
            copying.to.share = self.share(next, &entry.name, size)?;
        }
        Ok(Adopted::Copying(Box::new(copying)))
    }

    /// Whether the file system lets files share their blocks; tried once.
    pub(in crate::store) fn shares_blocks(&self) -> bool {
        *self.shares_blocks.get_or_init(|| {
            let place = self.staging.place();
            let directory = self.staging.directory(place);
            let make = || sys::create_unnamed(directory, Mode::RUSR | Mode::WUSR);
            match (make(), make()) {
                (Ok(one), Ok(other)) => sys::share_blocks(one, other).is_ok(),
                _ => false,
            }
        })
    }

    /// Gives a file its name in the next version too; `None` if it has to be copied.
    fn second_name(
        &self,
        from: &OwnedFd,
        next: &Parents,
        name: &Name,
    ) -> Result<Option<Adopted>, StoreError> {
        let last = name.split().1;
        let to = next.of(name)?;
        let rights = &self.rights;
        let link = || sys::second_name(from, last, &to);
        let mut linked = rights.in_directory(&to, link);
        if linked == Err(Errno::EXIST) {
            // An interrupted run has left something else there; nobody sees it.
            rights
                .in_directory(&to, || sys::unlink(&to, last))
                .map_err(|errno| StoreError::new("replace", name, errno))?;
            linked = rights.in_directory(&to, link);
        }
        match linked {
            Ok(()) => Ok(Some(Adopted::Yes)),
            Err(Errno::NOENT) => Ok(Some(Adopted::No)),
            // It belongs to somebody else (protected_hardlinks, proc_sys_fs(5)), has too many names, or the file
            // system has no such thing.
            Err(_) => Ok(None),
        }
    }
}

/// Tells whether a file has changed while it was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    mode: u32,
    mtime: Option<Mtime>,
    ctime: (i64, u64),
}

fn stamp(file: &OwnedFd) -> Result<Stamp, Errno> {
    let stat = rustix::fs::fstat(file)?;
    Ok(Stamp {
        size: stat.st_size.unsigned_abs(),
        mode: stat.st_mode & 0o777,
        mtime: mtime(&stat),
        ctime: (stat.st_ctime, stat.st_ctime_nsec),
    })
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
        let left = self.before.size.saturating_sub(self.offset);
        let len = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if len == 0 {
            return Ok((0, true));
        }
        match rustix::io::pread(&self.from, &mut buffer[..len], self.offset) {
            // Shorter by now, which the stamp tells.
            Ok(0) => Ok((0, true)),
            Err(Errno::INTR) => Ok((0, false)),
            Ok(len) => {
                self.to.write_at(&self.name, self.offset, &buffer[..len])?;
                self.offset += len as u64;
                if let Some(room) = &self.room {
                    room.used(len as u64);
                }
                Ok((len, self.offset >= self.before.size))
            }
            Err(errno) => Err(StoreError::new("read", &self.name, errno)),
        }
    }

    /// Gives the copy its name in the next version; `false` if the file has changed meanwhile.
    pub(crate) fn publish(self, next: &Parents) -> Result<bool, StoreError> {
        let whole = self.offset == self.before.size;
        if !whole || stamp(&self.from).ok() != Some(self.before) {
            return Ok(false);
        }
        self.to.complete(&self.name, &self.attributes)?;
        self.to.publish(&self.name, next, &mut Touched::ignored())?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haul_protocol::EntryKind;

    /// A file that gets shorter, or longer, or other bytes while it is copied is not taken over.
    #[test]
    fn file_that_changes_while_it_is_copied_is_not_taken_over() {
        let root = tempfile::TempDir::new().unwrap();
        let store = Store::open(root.path(), Mode::from_raw_mode(0o022), false, 0).unwrap();
        let store = Arc::new(store);
        let parents = store.parents();
        let path = root.path().join("file");
        let entry = Entry {
            name: Name::parse(b"file").unwrap(),
            kind: EntryKind::File { size: 1000, digest: None },
            mode: Some(0o600),
            mtime: Some(Mtime { s: 1, ns: 2 }),
        };
        for len in [1000, 10, 5000] {
            std::fs::write(&path, vec![1; 1000]).unwrap();
            let adopted = store.adopt(&parents, &parents, &entry, 1000, Verdict::Mode).unwrap();
            let Adopted::Copying(mut copying) = adopted else { panic!("{adopted:?}") };
            let mut buffer = [0; 100];
            assert_eq!(copying.advance(&mut buffer).unwrap(), (100, false));
            if len != 1000 {
                std::fs::File::options().write(true).open(&path).unwrap().set_len(len).unwrap();
            }
            let turns = (0..100).take_while(|_| !copying.advance(&mut buffer).unwrap().1).count();
            assert!(turns < 20, "{len}: it never ends");
            assert_eq!(copying.publish(&parents).unwrap(), len == 1000, "{len}");
        }
    }
}
