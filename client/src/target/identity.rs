//! The identity of a directory of the target, which no other directory has.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::source::held::Place;

/// Tells a directory from any other: device, inode, mount, and the time of birth where a file system has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity([u64; 5]);

impl Identity {
    pub(super) fn of(directory: &OwnedFd) -> io::Result<Self> {
        Place::of_open(directory.as_fd()).map(|place| Self(place.identity))
    }
}
