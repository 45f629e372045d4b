//! The files of the spool: each is appended to until it is long enough, and removed when all in it is delivered.

use std::fs::File;
use std::io::{self, Write};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;

/// The name of the file with the number of the first record that was not delivered.
const DELIVERED: &str = "delivered";

/// Digits of a number in a name.
const DIGITS: usize = 20;

/// The directory of the spool.
#[derive(Debug)]
pub(super) struct Directory(OwnedFd);

/// A file of the spool that is being written.
#[derive(Debug)]
pub(super) struct Segment {
    /// The least number that a record in it may have. Its name.
    pub(super) first: u64,
    pub(super) file: File,
    pub(super) len: u64,
    /// A write has failed, and the bytes that it has left could not be taken back.
    pub(super) is_torn: bool,
}

impl Directory {
    pub(super) fn new(directory: OwnedFd) -> Self {
        Self(directory)
    }

    /// The files of the spool, in their order: the least number that a record of each may have.
    pub(super) fn segments(&self) -> io::Result<Vec<u64>> {
        let mut found = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let name = entry?.file_name().to_str().unwrap_or_default().to_owned();
            if name.len() == DIGITS
                && let Ok(first) = name.parse()
            {
                found.push(first);
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Begins a file.
    pub(super) fn begin(&self, first: u64) -> io::Result<Segment> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::APPEND;
        let file = self.open(&name(first), flags | OFlags::CLOEXEC)?;
        Ok(Segment { first, file, len: 0, is_torn: false })
    }

    /// Opens a file to be read.
    pub(super) fn read(&self, first: u64) -> io::Result<File> {
        self.open(&name(first), OFlags::RDONLY | OFlags::CLOEXEC)
    }

    fn open(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW;
        Ok(File::from(rustix::fs::openat(&self.0, name, flags, Mode::RUSR | Mode::WUSR)?))
    }

    /// Removes a file.
    pub(super) fn remove(&self, first: u64) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.0, name(first), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes the names of files durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(self.0.as_fd())?)
    }

    /// The number of the first record that was not delivered, as far as it was noted.
    pub(super) fn first_undelivered(&self) -> u64 {
        let mut text = String::new();
        let read = self.open(DELIVERED, OFlags::RDONLY | OFlags::CLOEXEC);
        let read = read.and_then(|file| io::Read::read_to_string(&mut &file, &mut text));
        read.ok().and_then(|_| text.trim().parse().ok()).unwrap_or(0)
    }

    /// Opens the file for that note. It always has the same length, so that a full disk has room for it.
    pub(super) fn note(&self) -> io::Result<File> {
        self.open(DELIVERED, OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC)
    }
}

/// Notes the number of the first record that was not delivered.
pub(super) fn note(file: &File, first: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, format!("{}\n", name(first)).as_bytes(), 0)
}

fn name(first: u64) -> String {
    format!("{first:0DIGITS$}")
}

impl Segment {
    /// Appends whole lines, or nothing.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.is_torn {
            return Err(io::Error::other("the file of the spool is torn"));
        }
        match self.file.write_all(lines) {
            Ok(()) => {
                self.len += lines.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.is_torn = self.file.set_len(self.len).is_err();
                Err(error)
            }
        }
    }
}
