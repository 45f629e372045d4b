//! A small file that is whole under a temporary name, and has no final name yet.

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;

use haul_protocol::Attributes;
use rustix::fd::AsFd;
use rustix::io::Errno;

use super::directory::Directory;
use super::incoming::Incoming;
use super::names::{For, single};
use super::standing::Over;
use super::temporary::Temporary;
use super::unnamed::Unnamed;
use crate::error::FileError;

/// A file with all of its bytes and attributes, but not its name. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Staged {
    held: Held,
    over: Over,
    size: u64,
}

/// How it is there.
#[derive(Debug)]
enum Held {
    Unnamed(Unnamed),
    Named { temporary: Temporary, is_placed: bool },
}

impl Directory {
    /// Writes a file whole, under no name or a temporary one. The caller has verified its bytes.
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
        let component = single(component)?;
        let make = || {
            Ok(match Unnamed::make(self, component, attributes.mode)? {
                Some(unnamed) => Held::Unnamed(unnamed),
                None => {
                    let temporary = Temporary::make(self, For::Whole, component)?;
                    Held::Named { temporary, is_placed: false }
                }
            })
        };
        let held = make().map_err(FileError::target::<io::Error>("make the file"))?;
        let staged = Staged { held, over, size: bytes.len() as u64 };
        let incoming = staged.incoming();
        write_at(&incoming.file, bytes, 0).map_err(FileError::target("write it"))?;
        incoming.complete(attributes)?;
        Ok(staged)
    }
}

impl Staged {
    /// Its bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The file itself.
    pub(super) fn incoming(&self) -> &Incoming {
        match &self.held {
            Held::Unnamed(unnamed) => unnamed.incoming(),
            Held::Named { temporary, .. } => temporary.incoming(),
        }
    }

    /// Gives it its final name.
    pub(super) fn place(mut self) -> Result<(), FileError> {
        match &mut self.held {
            Held::Unnamed(unnamed) => unnamed.place(self.over),
            Held::Named { temporary, is_placed } => {
                temporary.place(self.over)?;
                *is_placed = true;
                Ok(())
            }
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Held::Named { temporary, is_placed: false } = &self.held {
            temporary.remove();
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
