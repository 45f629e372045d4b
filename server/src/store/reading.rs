//! Reading a file for its digest.

use haul_protocol::{Digest, FileHasher, Name};
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode};
use rustix::io::Errno;

use super::Store;
use super::error::StoreError;
use super::kept_digest::forget;
use super::open::BENEATH;
use super::readable::READ;
use super::root::Parents;

/// A file that is read from its start, piece by piece.
#[derive(Debug)]
pub(crate) struct Reading {
    file: OwnedFd,
    hasher: FileHasher,
    offset: u64,
    /// Bytes that it must have.
    size: u64,
    failed: bool,
    kept: Kept,
}

/// The treatment of the digest that was kept with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Believe {
    /// It counts, and the file is not read.
    Kept,
    /// All bytes are read, and the digest goes if it is not theirs.
    Bytes,
}

#[derive(Debug, Clone, Copy)]
enum Kept {
    Nothing,
    Believed(Digest),
    Doubted(Digest),
}

impl Store {
    /// Opens a file of `size` bytes. `None`: it is another by now, or can't be read.
    pub(crate) fn read(
        &self,
        parents: &Parents,
        name: &Name,
        size: u64,
        believe: Believe,
    ) -> Result<Option<Reading>, StoreError> {
        let (above, last) = name.split();
        let Ok(parent) = parents.find(above) else { return Ok(None) };
        let open = || rustix::fs::openat2(&parent, last, READ, Mode::empty(), BENEATH);
        let file = match self.rights.in_directory(&parent, open) {
            Ok(file) => file,
            Err(errno @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => {
                return Err(StoreError::new("open", name, errno));
            }
            Err(errno) => {
                tracing::debug!(name = name.as_bytes(), %errno, "could not compare a file");
                return Ok(None);
            }
        };
        let stat =
            rustix::fs::fstat(&file).map_err(|errno| StoreError::new("look at", name, errno))?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !is_file || stat.st_size.unsigned_abs() != size {
            return Ok(None);
        }
        let kept = match (self.kept_digest(&file, &stat), believe) {
            (None, _) => Kept::Nothing,
            (Some(digest), Believe::Kept) => Kept::Believed(digest),
            (Some(digest), Believe::Bytes) => Kept::Doubted(digest),
        };
        let hasher = FileHasher::new();
        Ok(Some(Reading { file, hasher, offset: 0, size, failed: false, kept }))
    }
}

impl Reading {
    /// Reads the next bytes, through `buffer`; returns how many, and whether the file is over.
    pub(crate) fn advance(&mut self, buffer: &mut [u8]) -> (usize, bool) {
        if let Kept::Believed(_) = self.kept {
            return (0, true);
        }
        loop {
            match rustix::io::pread(&self.file, &mut *buffer, self.offset) {
                Ok(0) => return (0, true),
                Ok(len) => {
                    self.hasher.update(&buffer[..len]);
                    self.offset += len as u64;
                    return (len, self.offset >= self.size);
                }
                Err(Errno::INTR) => {}
                Err(errno) => {
                    tracing::warn!(%errno, "a file that is compared can't be read");
                    self.failed = true;
                    return (0, true);
                }
            }
        }
    }

    /// Whether another file, of the same size, has the same bytes.
    pub(super) fn has_bytes_of(&self, other: &OwnedFd, at_once: usize) -> Result<bool, Errno> {
        let (mut one, mut two) = (vec![0; at_once], vec![0; at_once]);
        let mut offset = 0;
        loop {
            let len = fill(&self.file, &mut one, offset)?;
            if len != fill(other, &mut two, offset)? || one[..len] != two[..len] {
                return Ok(false);
            }
            if len < at_once {
                return Ok(true);
            }
            offset += len as u64;
        }
    }

    /// The digest of the whole file; `None` if its bytes could not be read.
    pub(crate) fn digest(&self) -> Option<Digest> {
        if let Kept::Believed(digest) = self.kept {
            return Some(digest);
        }
        let digest = (!self.failed && self.offset == self.size).then(|| self.hasher.finish())?;
        if let Kept::Doubted(kept) = self.kept
            && kept != digest
        {
            let forgotten = forget(&self.file).err();
            tracing::warn!(
                kept = %kept, read = %digest, not_forgotten = ?forgotten,
                "the bytes of a file are not those that it came with, though its size and mtime are"
            );
        }
        Some(digest)
    }
}

/// Reads until the buffer is full or the file is over; returns how much.
fn fill(file: &OwnedFd, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
    let mut len = 0;
    while len < buffer.len() {
        match rustix::io::pread(file, &mut buffer[len..], at + len as u64) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(len)
}
