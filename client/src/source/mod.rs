//! Sources: reading files that don't hold still.

pub mod anchor;
pub(crate) mod base;
pub mod command;
pub(crate) mod descent;
#[cfg(unix)]
pub(crate) mod descriptor;
pub(crate) mod dir_cache;
#[cfg(target_os = "linux")]
pub(crate) mod directory;
pub(crate) mod facts;
#[cfg(unix)]
pub(crate) mod fifo;
pub mod file_list;
pub mod filter;
pub(crate) mod hashing;
pub(crate) mod held;
mod link;
pub mod links;
mod mounted;
mod renumbering;
pub(crate) mod seen;
pub(crate) mod settled;
pub(crate) mod sources;
pub mod spool;
pub mod start;
pub mod stdin;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use haul_protocol::limits::{MAX_NUMBER, NANOS_PER_SECOND};
use haul_protocol::{Attributes, Mtime};

use crate::error::FileError;
use crate::source::links::Links;
pub use link::{Link, link};
pub use platform::{bytes, from_bytes};
#[cfg(unix)]
use unix as platform;
#[cfg(target_os = "linux")]
pub(crate) use unix::open_flags;
#[cfg(windows)]
use windows as platform;

/// A file that is open, and its stamp at that time.
#[derive(Debug)]
pub struct Source {
    file: File,
    /// Bytes, when it was opened.
    pub size: u64,
    /// Mode and mtime, when it was opened.
    pub attributes: Attributes,
    /// It has setuid, setgid or sticky, which are not sent.
    pub special_bits: bool,
    stamp: Stamp,
}

/// The beginning of the names that `--remove-source` gives to files for a moment.
pub(crate) const ASIDE: &str = ".haul-removes-";

/// The beginning of the name that a receipt has for a moment, before it gets its own.
pub(crate) const UNFINISHED: &str = ".haul-receipt-";

/// The beginning of the names that entries from a server have here until they are whole.
pub(crate) const ARRIVING: &str = ".haul-arrives-";

/// Whether a run of haul has not finished an entry from a server under such a name, in whatever case: the file system may
/// ignore that.
pub(crate) fn is_arriving(name: &OsStr) -> bool {
    let start = name.as_encoded_bytes().get(..ARRIVING.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(ARRIVING.as_bytes()))
}

/// Whether a run of haul that was killed has left a receipt under such a name.
pub(crate) fn is_unfinished(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(UNFINISHED.as_bytes())
}

/// Whether a run of haul that was killed has left a file under such a name.
pub(crate) fn is_aside(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(ASIDE.as_bytes())
}

/// Some editors put this at the start of a file in UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Symlinks that are followed one after the other at most, as the kernel does (path_resolution(7)).
pub(crate) const HOPS: usize = 40;

/// Changes whenever the bytes of a file may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    size: u64,
    mtime: Option<Mtime>,
    /// Device, inode and change time, where there are such things.
    inode: [i64; 4],
    /// Hard links.
    names: u64,
}

/// A file or symlink compared with its stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Now {
    /// It is the very one, unchanged.
    Same,
    /// It has lost another name, by haul itself for example. Its change time is that of this, so only its bytes can tell
    /// whether it was written as well.
    FewerNames,
    /// It is another one, changed or gone.
    Other,
}

impl Stamp {
    /// Compares the stamp with that of an entry now.
    pub(crate) fn now(self, mut now: Self) -> Now {
        let has_fewer = self.names > now.names;
        now.names = self.names;
        if now == self {
            return Now::Same;
        }
        now.changed_as(self);
        if has_fewer && now == self { Now::FewerNames } else { Now::Other }
    }

    /// Whether it had other names. If it loses one, only its bytes tell whether it was written as well.
    pub(crate) fn has_other_names(self) -> bool {
        self.names > 1
    }

    /// Whether this is its stamp now that it has just got another name.
    pub(crate) fn is_moved(self, mut now: Self) -> bool {
        now.changed_as(self);
        now.names = self.names;
        now == self
    }

    /// A file that is renamed or loses another name gets a new change time.
    fn changed_as(&mut self, other: Self) {
        (self.inode[2], self.inode[3]) = (other.inode[2], other.inode[3]);
    }
}

impl Source {
    /// Opens a regular file, and nothing else: not through a link that was put there since the walk,
    /// unless links are followed, and without waiting for the other end of a FIFO.
    ///
    /// # Errors
    /// If it can't be opened or is no regular file any more.
    pub fn open(path: &Path, links: Links) -> Result<Self, FileError> {
        Self::of(open(path, links).map_err(FileError::local("open"))?)
    }

    /// A file that was opened in the same way.
    ///
    /// # Errors
    /// If it can't be looked at or is no regular file.
    pub fn of(file: File) -> Result<Self, FileError> {
        let Look { is_file, mode, stamp } =
            platform::look(&file).map_err(FileError::local("look at"))?;
        if !is_file {
            return Err(FileError::Changed);
        }
        Ok(Self {
            size: stamp.size,
            attributes: Attributes { mode: mode.map(|mode| mode & 0o777), mtime: stamp.mtime },
            special_bits: mode.is_some_and(|mode| mode & 0o7000 != 0),
            stamp,
            file,
        })
    }

    /// Reads as many bytes at `offset` as `buffer` has.
    ///
    /// # Errors
    /// [`FileError::Changed`] or [`FileError::Size`] if the file is shorter.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FileError> {
        match platform::read_exact_at(&self.file, buffer, offset) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.other_size()),
            Err(error) => Err(FileError::local("read")(error)),
        }
    }

    /// Reads all of the file into a buffer with room for one byte more than it says that it has. A read that ends just
    /// there has seen the end, so this takes no more system calls than [`read`](Self::read).
    ///
    /// # Errors
    /// [`FileError::Changed`] or [`FileError::Size`] if the file has fewer or more.
    pub fn read_whole(&self, buffer: &mut [u8]) -> Result<(), FileError> {
        let mut len = 0;
        loop {
            let read = self.read_some(len as u64, &mut buffer[len..])?;
            len += read;
            if read == 0 || len + 1 >= buffer.len() {
                break;
            }
        }
        if len as u64 == self.size { Ok(()) } else { Err(self.other_size()) }
    }

    /// Reads some bytes at `offset`; returns how many, none at the end.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn read_some(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, FileError> {
        loop {
            match platform::read_at(&self.file, buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(FileError::local("read")),
            }
        }
    }

    /// Reads from the start until the buffer is full or the file ends; returns how many bytes.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn fill(&self, buffer: &mut [u8]) -> Result<usize, FileError> {
        let mut len = 0;
        while len < buffer.len() {
            match self.read_some(len as u64, &mut buffer[len..])? {
                0 => break,
                read => len += read,
            }
        }
        Ok(len)
    }

    /// Whether the file ends where it says.
    ///
    /// # Errors
    /// [`FileError::Changed`] or [`FileError::Size`] if not.
    pub fn check_end(&self) -> Result<(), FileError> {
        let is_byte = |offset| self.read_some(offset, &mut [0]).map(|read| read > 0);
        let is_longer = is_byte(self.size)?;
        if is_longer || (self.size > 0 && !is_byte(self.size - 1)?) {
            return Err(self.other_size());
        }
        Ok(())
    }

    /// The number of bytes that can be read from the file, whatever size its metadata state.
    ///
    /// # Errors
    /// If they can't be read, or `stopped`.
    pub fn measure(&self, stopped: &dyn Fn() -> bool) -> Result<u64, FileError> {
        let (mut buffer, mut size) = (vec![0; 128 * 1024], 0);
        while !stopped() {
            match self.read_some(size, &mut buffer)? {
                0 => return self.check_unchanged().map(|()| size),
                read => size += read as u64,
            }
        }
        Err(FileError::Changed)
    }

    /// There are fewer or more bytes than the file has said. Some file systems make files up as they are read.
    fn other_size(&self) -> FileError {
        match self.check_unchanged() {
            Ok(()) => FileError::Size,
            Err(error) => error,
        }
    }

    /// Whether the file still has the stamp that it had when it was opened.
    ///
    /// # Errors
    /// [`FileError::Changed`] if not.
    pub fn check_unchanged(&self) -> Result<(), FileError> {
        let now = platform::look(&self.file).map_err(FileError::local("look at"))?;
        if now.stamp == self.stamp { Ok(()) } else { Err(FileError::Changed) }
    }

    /// The stamp of the file when it was opened.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// A text that changes whenever the file does.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let Stamp { size, mtime, inode: [device, inode, ctime, ctime_ns], .. } = self.stamp;
        let (s, ns) = mtime.map_or((0, 0), |mtime| (mtime.s, mtime.ns));
        format!("{device:x}-{inode:x}-{size:x}-{s:x}.{ns:x}-{ctime:x}.{ctime_ns:x}")
    }
}

/// An open file at one moment.
struct Look {
    is_file: bool,
    /// With setuid, setgid and sticky.
    mode: Option<u32>,
    stamp: Stamp,
}

/// The stamp of a file. Another file has another one, and so has the same file once it was written.
pub(crate) fn stamp(metadata: &Metadata) -> Stamp {
    Stamp {
        size: metadata.len(),
        mtime: mtime(metadata),
        inode: platform::inode(metadata),
        names: platform::names(metadata),
    }
}

/// The number of hard links to a file.
pub(crate) fn names(metadata: &Metadata) -> u64 {
    platform::names(metadata)
}

/// Tells a directory from another one under its name.
#[must_use]
pub fn identity(metadata: &Metadata) -> [i64; 2] {
    let [device, inode, ..] = platform::inode(metadata);
    [device, inode]
}

/// Device and inode of a regular file, if the platform has such.
pub(crate) fn regular(found: &Metadata) -> Option<[i64; 2]> {
    Some(identity(found)).filter(|identity| found.is_file() && *identity != [0, 0])
}

/// The attributes of a file or directory that are sent: not setuid, setgid and sticky.
#[must_use]
pub fn attributes(metadata: &Metadata) -> Attributes {
    Attributes { mode: platform::mode(metadata).map(|mode| mode & 0o777), mtime: mtime(metadata) }
}

/// Whether a mode has bits that are not carried.
#[must_use]
pub fn has_special_bits(metadata: &Metadata) -> bool {
    platform::mode(metadata).is_some_and(|mode| mode & 0o7000 != 0)
}

/// The path of an entry relative to a directory; empty for the directory itself, and for a path that is not below it.
#[must_use]
pub fn below<'a>(path: &'a Path, root: &Path) -> &'a Path {
    let rest = platform::below(path, root).or_else(|| path.strip_prefix(root).ok());
    rest.unwrap_or_else(|| Path::new(""))
}

/// The directory that a path is in and its name there, as [`Path::parent`] and [`Path::file_name`] have them; `None` if a
/// path has not both.
pub(crate) fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    platform::split(path).or_else(|| path.parent().zip(path.file_name()))
}

/// Opens what may be a source, in the way of [`Source::open`].
pub(crate) fn open(path: &Path, links: Links) -> io::Result<File> {
    platform::open(path, links)
}

/// A time, if the protocol can carry it.
pub(crate) fn carried(mtime: Mtime) -> Option<Mtime> {
    Some(mtime).filter(|mtime| mtime.s.unsigned_abs() <= MAX_NUMBER)
}

/// The time of the last change; `None` where the file system has none, or none that the protocol
/// can carry.
#[must_use]
pub fn mtime(metadata: &Metadata) -> Option<Mtime> {
    let time = metadata.modified().ok()?;
    carried(match time.duration_since(std::time::UNIX_EPOCH) {
        Ok(since) => Mtime { s: i64::try_from(since.as_secs()).ok()?, ns: since.subsec_nanos() },
        // Before 1970 seconds count backward, nanoseconds forward.
        Err(error) => {
            let before = error.duration();
            let s = -i64::try_from(before.as_secs()).ok()?;
            match before.subsec_nanos() {
                0 => Mtime { s, ns: 0 },
                ns => Mtime { s: s - 1, ns: NANOS_PER_SECOND - ns },
            }
        }
    })
}

#[cfg(test)]
mod tests;
