//! A file without a name (`O_TMPFILE`, open(2)), which gets the name of its entry in one step: the file system makes and
//! removes no entry for it, and nothing is left of it after a kill.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, FlockOperation, Mode, flock, renameat, unlinkat};
use rustix::io::Errno;

use super::attributes::plain;
use super::directory::Directory;
use super::incoming::Incoming;
use super::kind::Kind;
use super::names::{For, random};
use super::standing::Over;
use super::temporary::check;
use super::way::{Way, create};
use crate::error::FileError;

/// A file that has no name yet.
#[derive(Debug)]
pub(super) struct Unnamed {
    incoming: Incoming,
    way: Way,
}

impl Unnamed {
    /// A new file for an entry; `None` if files can't be without a name in this directory. `mode`: its final one if that is known,
    /// since nobody else reaches the file.
    pub(super) fn make(
        directory: &Arc<Directory>,
        component: &OsStr,
        mode: Option<u32>,
    ) -> io::Result<Option<Self>> {
        let way = directory.way();
        if way == Way::None {
            return Ok(None);
        }
        let file = create(directory.handle(), mode.map_or(Mode::RUSR | Mode::WUSR, plain))?;
        Ok(Some(Self { incoming: Incoming::new(directory, component, file), way }))
    }

    /// The file itself.
    pub(super) fn incoming(&self) -> &Incoming {
        &self.incoming
    }

    /// Gives it its final name.
    pub(super) fn place(&self, over: Over) -> Result<(), FileError> {
        let failed = FileError::target::<io::Error>("give it its name");
        let Incoming { directory, component, file } = &self.incoming;
        let directory = directory.handle();
        // The entry in the way may go meanwhile.
        for _ in 0..2 {
            match self.way.link(file, directory, component) {
                Ok(()) => return Ok(()),
                Err(Errno::EXIST) => check(directory, component, over)?,
                Err(errno) => return Err(failed(errno.into())),
            }
            if over == Over::File {
                return match self.replace(directory, component) {
                    Err(error) if error.raw_os_error() == Some(Errno::ISDIR.raw_os_error()) => {
                        Err(Kind::Directory.in_the_way())
                    }
                    replaced => replaced.map_err(failed),
                };
            }
        }
        Err(Kind::File.in_the_way())
    }

    /// Takes the place of a file or symlink: linkat(2) replaces nothing, so the file has a temporary name for a moment. Its lock
    /// keeps other runs from taking that for a leftover.
    fn replace(&self, directory: &OwnedFd, component: &OsStr) -> io::Result<()> {
        let file = &self.incoming.file;
        let name = random(For::Whole, component)?;
        flock(file, FlockOperation::NonBlockingLockExclusive)?;
        self.way.link(file, directory, &name)?;
        let renamed = renameat(directory, &name, directory, component);
        if renamed.is_err() {
            let _ = unlinkat(directory, &name, AtFlags::empty());
        }
        Ok(renamed?)
    }
}
