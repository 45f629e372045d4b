//! A file that comes for an entry, open and not under the entry's name.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use haul_protocol::Attributes;
use rustix::fs::{AtFlags, Mode, OFlags, fstat, openat, unlinkat};

use super::attributes::{set_mode, set_mtime};
use super::directory::Directory;
use super::kind::Kind;
use super::names::{For, random};
use super::standing::{kind, stat, wide};
use crate::error::FileError;

/// Files of this process that are coming and open.
static OPEN: AtomicU64 = AtomicU64::new(0);

/// How many files of this process are coming and open.
pub(super) fn open_now() -> u64 {
    OPEN.load(Ordering::Relaxed)
}

/// A file that comes for an entry.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) directory: Arc<Directory>,
    /// The entry's name.
    pub(super) component: OsString,
    pub(super) file: OwnedFd,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Incoming {
    pub(super) fn new(directory: &Arc<Directory>, component: &OsStr, file: OwnedFd) -> Self {
        OPEN.fetch_add(1, Ordering::Relaxed);
        Self { directory: Arc::clone(directory), component: component.to_owned(), file }
    }

    /// All bytes are there: sets its mtime, and then its mode. A mode that nobody states is that of the file which it
    /// replaces, or else 0666 as the directory's new files get it.
    pub(super) fn complete(&self, attributes: &Attributes) -> Result<(), FileError> {
        if let Some(mtime) = attributes.mtime {
            set_mtime(&self.file, mtime).map_err(FileError::target("set its mtime"))?;
        }
        let failed = FileError::target::<io::Error>("set its mode");
        let mode = match attributes.mode {
            Some(mode) => mode,
            None => self.usual_mode().map_err(&failed)?,
        };
        set_mode(&self.file, mode, false).map_err(&failed)
    }

    fn usual_mode(&self) -> io::Result<u32> {
        let directory = self.directory.handle();
        if let Some(found) = stat(directory, &self.component)?
            && kind(&found) == Kind::File
        {
            return Ok(wide(found.st_mode) & 0o777);
        }
        // Only a new file tells umask and default ACL without changing the process.
        let name = random(For::Moment, &self.component)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let all = Mode::from_bits_truncate(0o666);
        let file = openat(directory, &name, flags | OFlags::CLOEXEC, all)?;
        let found = fstat(&file);
        unlinkat(directory, &name, AtFlags::empty())?;
        Ok(wide(found?.st_mode) & 0o777)
    }

    /// Starts to write it to the disk.
    pub(super) fn start_writeback(&self) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed);
    }

    /// Waits until its bytes and attributes would survive a loss of power.
    pub(super) fn sync(&self) -> Result<(), FileError> {
        rustix::fs::fsync(&self.file).map_err(FileError::target("flush it"))
    }
}
