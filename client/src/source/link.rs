//! One symbolic link of a source.

use std::ffi::OsStr;
use std::path::Path;

use haul_protocol::{LinkTarget, Mtime};

#[cfg(not(target_os = "linux"))]
use super::stamp;
use super::{Stamp, bytes};
use crate::error::FileError;

/// A symbolic link.
#[derive(Debug)]
pub struct Link {
    /// Where it points.
    pub target: LinkTarget,
    /// Its own.
    pub mtime: Option<Mtime>,
    /// The stamp of the link when it was read.
    pub stamp: Stamp,
}

impl Link {
    pub(crate) fn new(stamp: Stamp, target: &OsStr) -> Result<Self, FileError> {
        let target = LinkTarget::parse(&bytes(target)?)?;
        Ok(Self { target, mtime: stamp.mtime, stamp })
    }
}

/// Reads a symbolic link.
///
/// # Errors
/// If it can't be read or is no link any more.
#[cfg(target_os = "linux")]
pub fn link(path: &Path) -> Result<Link, FileError> {
    let found = super::directory::link_at(rustix::fs::CWD, path);
    let (stamp, target) = found.map_err(FileError::local("read link"))?;
    Link::new(stamp, &target)
}

/// Reads a symbolic link.
///
/// # Errors
/// If it can't be read, is no link any more, or another one has come meanwhile.
#[cfg(not(target_os = "linux"))]
pub fn link(path: &Path) -> Result<Link, FileError> {
    let look = || path.symlink_metadata().map_err(FileError::local("look at"));
    let before = stamp(&look()?);
    let target = path.read_link().map_err(FileError::local("read link"))?;
    if stamp(&look()?) != before {
        return Err(FileError::Changed);
    }
    Link::new(before, target.as_os_str())
}
