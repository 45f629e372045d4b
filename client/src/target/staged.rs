//! A small file that is whole under a temporary name, and has no final name yet.

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;

use haul_protocol::Attributes;
use rustix::fd::AsFd;
use rustix::io::Errno;

use super::directory::Directory;
use super::names::{For, single};
use super::standing::Over;
use super::temporary::Temporary;
use crate::error::FileError;

/// A file with all of its bytes and attributes, but a temporary name. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Staged {
    temporary: Temporary,
    over: Over,
    size: u64,
    is_placed: bool,
}

impl Directory {
    /// Writes a file whole, under a temporary name. The caller has verified its bytes.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn stage(
        self: &Arc<Self>,
        component: &OsStr,
        bytes: &[u8],
        attributes: &Attributes,
        over: Over,
    ) -> Result<Staged, FileError> {
        let temporary = Temporary::make(self, For::Whole, single(component)?)
            .map_err(FileError::target("make the file"))?;
        let staged = Staged { temporary, over, size: bytes.len() as u64, is_placed: false };
        write_at(staged.temporary.file(), bytes, 0).map_err(FileError::target("write it"))?;
        staged.temporary.complete(attributes)?;
        Ok(staged)
    }
}

impl Staged {
    /// Its bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn start_writeback(&self) {
        self.temporary.start_writeback();
    }

    pub(super) fn sync(&self) -> Result<(), FileError> {
        self.temporary.sync()
    }

    /// Gives it its final name.
    pub(super) fn place(mut self) -> Result<(), FileError> {
        self.temporary.place(self.over)?;
        self.is_placed = true;
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_placed {
            self.temporary.remove();
        }
    }
}

/// Writes all of the bytes at an offset.
pub(super) fn write_at(file: impl AsFd, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(&file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
