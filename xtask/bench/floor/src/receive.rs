//! The side at which the files arrive.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::io::{self, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Barrier, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, RenameFlags, chmodat, futimens, mkdirat, openat, renameat_with,
    symlinkat, unlinkat, utimensat,
};

use crate::wire::{
    ANSWER, Attributes, CONNECTIONS, Entry, Fields, Kind, Pages, receive_batch, size,
};
use crate::{on_all, open};

/// The directory in which others are filled before they show.
const STAGED: &CStr = c".floor";

/// The file that is no entry of a directory, while it is filled.
const ALONE: &CStr = c"file";

/// Receives a tree or a file over all connections.
pub(crate) fn all(root: &Path, streams: Vec<TcpStream>) -> io::Result<()> {
    let root = open(CWD, root)?;
    mkdirat(&root, STAGED, Mode::RWXU)?;
    let staged = open(&root, STAGED)?;
    let end = Barrier::new(CONNECTIONS);
    let target = Target { root, staged, shared: Mutex::default(), changed: Condvar::new(), end };
    on_all(streams, |index, stream| target.receive(index, stream));
    Ok(unlinkat(&target.root, STAGED, AtFlags::REMOVEDIR)?)
}

/// All connections share this.
#[derive(Debug)]
struct Target {
    root: OwnedFd,
    staged: OwnedFd,
    shared: Mutex<Shared>,
    /// Told when a directory has its name, or the single file is open.
    changed: Condvar,
    end: Barrier,
}

#[derive(Debug, Default)]
struct Shared {
    /// Directories that have their names.
    placed: HashSet<u32>,
    /// Directories that get mode and mtime in the end, parents first.
    late: Vec<(CString, Attributes)>,
    /// A file that is no entry of a directory.
    alone: Option<Alone>,
}

#[derive(Debug, Clone)]
struct Alone {
    file: Arc<OwnedFd>,
    name: CString,
    attributes: Attributes,
}

/// A directory that is being filled.
#[derive(Debug)]
struct Filled {
    handle: OwnedFd,
    /// The name under which nobody looks.
    temporary: CString,
    path: CString,
    id: u32,
    parent: u32,
    attributes: Attributes,
    /// A file of which pieces come.
    file: Option<(OwnedFd, Attributes, u64)>,
}

impl Target {
    fn receive(&self, index: usize, mut stream: TcpStream) -> io::Result<()> {
        let (mut pages, mut filled, mut directories) = (Pages::new(), None, 0);
        while let Some((kind, bytes)) = receive_batch(&stream, &mut pages)? {
            match kind {
                Kind::Piece(offset) => self.piece(&mut filled, offset, bytes)?,
                Kind::Entries => {
                    let mut fields = Fields(bytes);
                    while !fields.0.is_empty() {
                        let entry = Entry::decode(&mut fields)?;
                        let temporary = (index, &mut directories);
                        self.entry(&entry, &mut fields, &mut filled, temporary)?;
                    }
                }
            }
            stream.write_all(&[0; ANSWER])?;
        }
        if self.end.wait().is_leader() {
            self.finish()?;
        }
        self.end.wait();
        stream.write_all(&[0; ANSWER])
    }

    fn entry(
        &self,
        entry: &Entry<'_>,
        bytes: &mut Fields<'_>,
        filled: &mut Option<Filled>,
        (connection, directories): (usize, &mut u32),
    ) -> io::Result<()> {
        match (entry, filled.as_mut()) {
            (&Entry::Directory { id, parent, attributes, path }, _) => {
                let temporary = CString::new(format!("{connection}-{directories}"))?;
                *directories += 1;
                mkdirat(&self.staged, &*temporary, Mode::from(attributes.mode | 0o700))?;
                let (handle, path) = (open(&self.staged, &*temporary)?, path.to_owned());
                let file = None;
                *filled = Some(Filled { handle, temporary, path, id, parent, attributes, file });
            }
            (&Entry::File { size: len, attributes, name }, Some(directory)) => {
                let file = create(&directory.handle, name, &attributes)?;
                // So the sender has decided.
                if len > crate::send::SMALL {
                    directory.file = Some((file, attributes, len));
                } else {
                    write(&file, bytes.bytes(size(len)), 0)?;
                    futimens(&file, &attributes.times())?;
                }
            }
            (&Entry::File { attributes, name, .. }, None) => {
                let file = Arc::new(create(&self.staged, ALONE, &attributes)?);
                self.shared().alone = Some(Alone { file, name: name.to_owned(), attributes });
                self.changed.notify_all();
            }
            (&Entry::Link { attributes, name, target }, Some(directory)) => {
                symlinkat(target, &directory.handle, name)?;
                let (at, times) = (&directory.handle, attributes.times());
                utimensat(at, name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            (Entry::End { has_directories }, Some(_)) => {
                if let Some(directory) = filled.take() {
                    self.place(directory, *has_directories)?;
                }
            }
            (Entry::Link { .. } | Entry::End { .. }, None) => {
                return Err(io::Error::other("an entry of no directory"));
            }
        }
        Ok(())
    }

    fn piece(&self, filled: &mut Option<Filled>, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let Some(directory) = filled else {
            let mut shared = self.shared();
            let file = loop {
                if let Some(alone) = &shared.alone {
                    break Arc::clone(&alone.file);
                }
                shared = self.wait(shared);
            };
            drop(shared);
            return write(&file, bytes, offset);
        };
        let Some((file, attributes, len)) = &directory.file else {
            return Err(io::Error::other("a piece of no file"));
        };
        write(file, bytes, offset)?;
        if offset + bytes.len() as u64 == *len {
            futimens(file, &attributes.times())?;
            directory.file = None;
        }
        Ok(())
    }

    /// Gives a directory its name, below one that has its own.
    fn place(&self, directory: Filled, has_directories: bool) -> io::Result<()> {
        let Filled { handle, temporary, path, id, parent, attributes, .. } = directory;
        // Entries that come into it later change its mtime, and may need a right that it lacks.
        let is_late = has_directories || attributes.mode & 0o700 != 0o700;
        if !is_late {
            futimens(&handle, &attributes.times())?;
        }
        drop(handle);
        let mut shared = self.shared();
        while parent != 0 && !shared.placed.contains(&parent) {
            shared = self.wait(shared);
        }
        drop(shared);
        let flags = RenameFlags::NOREPLACE;
        renameat_with(&self.staged, &*temporary, &self.root, &*path, flags)?;
        if is_late {
            let mut shared = self.shared();
            shared.placed.insert(id);
            shared.late.push((path, attributes));
            self.changed.notify_all();
        }
        Ok(())
    }

    /// When all connections have ended: the single file has its name, directories their mode and mtime.
    fn finish(&self) -> io::Result<()> {
        let mut shared = self.shared();
        if let Some(Alone { file, name, attributes }) = shared.alone.take() {
            futimens(&file, &attributes.times())?;
            renameat_with(&self.staged, ALONE, &self.root, &*name, RenameFlags::NOREPLACE)?;
        }
        for (path, attributes) in shared.late.iter().rev() {
            let times = attributes.times();
            utimensat(&self.root, &**path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
            if attributes.mode & 0o700 != 0o700 {
                let mode = Mode::from(attributes.mode);
                chmodat(&self.root, &**path, mode, AtFlags::empty())?;
            }
        }
        Ok(())
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, shared: MutexGuard<'a, Shared>) -> MutexGuard<'a, Shared> {
        self.changed.wait(shared).unwrap_or_else(PoisonError::into_inner)
    }
}

fn create(directory: &OwnedFd, name: &CStr, attributes: &Attributes) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    Ok(openat(directory, name, flags, Mode::from(attributes.mode))?)
}

fn write(file: &OwnedFd, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = rustix::io::pwrite(file, bytes, offset)?;
        (bytes, offset) = (&bytes[written..], offset + written as u64);
    }
    Ok(())
}
