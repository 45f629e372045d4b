//! The side that has the files.

use std::ffi::{CStr, CString};
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, fstat, openat, statat};
use rustix::net::{RecvFlags, recv};

use crate::wire::{
    ANSWER, Attributes, BATCH, CONNECTIONS, Entry, Kind, LONGEST_ENTRY, PIECE, Pages, send_batch,
    size,
};
use crate::{on_all, open};

/// Bytes of the largest file that goes with others.
pub(crate) const SMALL: u64 = 64 * 1024;

/// Bytes of a list of names that the kernel gives at once.
const NAMES: usize = 32 * 1024;

/// Batches after which the answers to them are read.
const UNANSWERED: u64 = 16;

/// Sends a tree or a file over all connections.
pub(crate) fn all(source: &Path, streams: Vec<TcpStream>) -> io::Result<()> {
    let (above, name) = (source.parent(), source.file_name().unwrap_or_default());
    let above = above.filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let above = open(CWD, above)?;
    let name = CString::new(name.as_bytes())?;
    let found = statat(&above, &*name, AtFlags::SYMLINK_NOFOLLOW)?;
    let work = Work::default();
    if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
        work.given(|given| given.push(Directory { path: name, id: 1, parent: 0 }));
        work.ids.store(2, Ordering::Relaxed);
        on_all(streams, |_, stream| {
            let mut sender = Sender::new(stream);
            sender.tree(&work, &above)?;
            sender.end()
        });
    } else {
        let file = openat(&above, &*name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let (size, attributes) = (found.st_size.cast_unsigned(), Attributes::from(&found));
        on_all(streams, |index, stream| {
            let mut sender = Sender::new(stream);
            if index == 0 {
                sender.entry(&Entry::File { size, attributes, name: &name })?;
            }
            // The connections take one piece after the other.
            sender.pieces(file.as_fd(), size, || {
                work.offset.fetch_add(PIECE as u64, Ordering::Relaxed)
            })?;
            sender.end()
        });
    }
    Ok(())
}

/// A directory that is to be sent.
#[derive(Debug)]
struct Directory {
    path: CString,
    id: u32,
    parent: u32,
}

/// All connections share this.
#[derive(Debug, Default)]
struct Work {
    given: Mutex<(Vec<Directory>, usize)>,
    changed: Condvar,
    /// Whether a connection has nothing to do.
    is_wanted: AtomicBool,
    ids: AtomicU32,
    offset: AtomicU64,
}

impl Work {
    fn given(&self, give: impl FnOnce(&mut Vec<Directory>)) {
        give(&mut self.given.lock().unwrap_or_else(PoisonError::into_inner).0);
        self.is_wanted.store(false, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Waits for directories of others; none when all have waited.
    fn take(&self) -> Vec<Directory> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.1 += 1;
        while given.0.is_empty() && given.1 < CONNECTIONS {
            self.is_wanted.store(true, Ordering::Relaxed);
            given = self.changed.wait(given).unwrap_or_else(PoisonError::into_inner);
        }
        if given.0.is_empty() {
            self.changed.notify_all();
        } else {
            given.1 -= 1;
        }
        std::mem::take(&mut given.0)
    }
}

/// One connection.
#[derive(Debug)]
struct Sender {
    stream: TcpStream,
    pages: Pages,
    /// Bytes of the batch so far.
    len: usize,
    sent: u64,
    answered: usize,
}

impl Sender {
    fn new(stream: TcpStream) -> Self {
        Self { stream, pages: Pages::new(), len: 0, sent: 0, answered: 0 }
    }

    /// Sends directories, the last one that was found first, and gives some to a connection that has none.
    fn tree(&mut self, work: &Work, base: &OwnedFd) -> io::Result<()> {
        let mut names = Vec::with_capacity(NAMES);
        let mut own = Vec::new();
        loop {
            while let Some(directory) = own.pop() {
                self.directory(work, base, &directory, names.spare_capacity_mut(), &mut own)?;
                if own.len() > 1 && work.is_wanted.load(Ordering::Relaxed) {
                    // The receiver has the directories above them from this connection.
                    self.flush()?;
                    let half = own.len() / 2;
                    work.given(|given| given.extend(own.drain(..half)));
                }
            }
            self.flush()?;
            own = work.take();
            if own.is_empty() {
                return Ok(());
            }
        }
    }

    fn directory(
        &mut self,
        work: &Work,
        base: &OwnedFd,
        Directory { path, id, parent }: &Directory,
        names: &mut [MaybeUninit<u8>],
        own: &mut Vec<Directory>,
    ) -> io::Result<()> {
        let directory = open(base, &**path)?;
        let attributes = Attributes::from(&fstat(&directory)?);
        self.entry(&Entry::Directory { id: *id, parent: *parent, attributes, path })?;
        let (before, mut listed) = (own.len(), RawDir::new(&directory, names));
        while let Some(entry) = listed.next() {
            let entry = entry?;
            let name = entry.file_name();
            match entry.file_type() {
                FileType::RegularFile => self.file(&directory, name)?,
                FileType::Symlink => self.link(&directory, name)?,
                FileType::Directory if !matches!(name.to_bytes(), b"." | b"..") => {
                    let path = [path.to_bytes(), b"/", name.to_bytes()].concat();
                    let (path, next) = (CString::new(path)?, &work.ids);
                    let new = next.fetch_add(1, Ordering::Relaxed);
                    own.push(Directory { path, id: new, parent: *id });
                }
                _ => {}
            }
        }
        self.entry(&Entry::End { has_directories: own.len() > before })
    }

    fn file(&mut self, directory: &OwnedFd, name: &CStr) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(directory, name, flags, Mode::empty())?;
        let found = fstat(&file)?;
        let (len, attributes) = (found.st_size.cast_unsigned(), Attributes::from(&found));
        let entry = Entry::File { size: len, attributes, name };
        if len > SMALL {
            self.entry(&entry)?;
            let mut offset = 0;
            return self.pieces(file.as_fd(), len, || {
                offset += PIECE as u64;
                offset - PIECE as u64
            });
        }
        let len = size(len);
        self.make_room(LONGEST_ENTRY + len)?;
        let room = &mut self.pages.room()[self.len..];
        let from = entry.encode(room);
        if len > 0 && rustix::io::read(&file, &mut room[from..from + len])? != len {
            return Err(io::Error::other("a file has become shorter"));
        }
        self.len += from + len;
        Ok(())
    }

    fn link(&mut self, directory: &OwnedFd, name: &CStr) -> io::Result<()> {
        let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let target = rustix::fs::readlinkat(directory, name, Vec::new())?;
        let attributes = Attributes::from(&found);
        self.entry(&Entry::Link { attributes, name, target: &target })
    }

    /// Sends those pieces of a file that begin at the offsets told by `next`.
    fn pieces(
        &mut self,
        file: BorrowedFd<'_>,
        len: u64,
        mut next: impl FnMut() -> u64,
    ) -> io::Result<()> {
        self.flush()?;
        loop {
            let offset = next();
            if offset >= len {
                return Ok(());
            }
            let room = self.pages.room();
            let most = room.len().min(size(len - offset));
            if rustix::io::pread(file, &mut room[..most], offset)? != most {
                return Err(io::Error::other("a file has become shorter"));
            }
            self.batch(Kind::Piece(offset), most)?;
        }
    }

    fn entry(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        self.make_room(LONGEST_ENTRY)?;
        self.len += entry.encode(&mut self.pages.room()[self.len..]);
        Ok(())
    }

    fn make_room(&mut self, len: usize) -> io::Result<()> {
        if self.len + len > BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        match std::mem::take(&mut self.len) {
            0 => Ok(()),
            len => self.batch(Kind::Entries, len),
        }
    }

    fn batch(&mut self, kind: Kind, len: usize) -> io::Result<()> {
        send_batch(&mut self.stream, kind, &self.pages.room()[..len])?;
        self.sent += 1;
        if self.sent.is_multiple_of(UNANSWERED) {
            let mut answers = [0; ANSWER * 64];
            let read = recv(&self.stream, &mut answers, RecvFlags::DONTWAIT);
            self.answered += read.map_or(0, |(len, _)| len);
        }
        Ok(())
    }

    /// Waits for an answer to each batch, and to the end.
    fn end(mut self) -> io::Result<()> {
        self.flush()?;
        self.stream.shutdown(Shutdown::Write)?;
        let mut answers = Vec::new();
        self.answered += self.stream.read_to_end(&mut answers)?;
        if self.answered != size(self.sent + 1) * ANSWER {
            return Err(io::Error::other("an answer is missing"));
        }
        Ok(())
    }
}
