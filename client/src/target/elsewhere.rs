//! Systems on which haul writes no trees yet: no directory can be opened, so the rest never happens.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use haul_protocol::{Attributes, Cv, Digest, Geometry, LinkTarget, Mtime};

use super::kind::Kind;
use super::subject::Subject;
use crate::error::FileError;
use crate::error::target::TargetError;

/// The entries that make way for one that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// No entry.
    Nothing,
    /// A file or symlink.
    File,
}

/// The fate of parts of large files that no run uses at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parts {
    /// They stay.
    Stay,
    /// They are removed.
    Go,
}

/// An entry that stands under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Its kind.
    pub kind: Kind,
    /// Bytes of a file.
    pub size: u64,
    /// The path that a symlink points to.
    pub link: Option<LinkTarget>,
    /// Permission bits.
    pub mode: u32,
    /// The time of the last change.
    pub mtime: Option<Mtime>,
    /// It has other names.
    pub has_other_names: bool,
    /// This user may change its mode and mtime.
    pub is_own: bool,
}

/// There is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity(Infallible);

/// There is none.
#[derive(Debug)]
pub(crate) struct Directory(Infallible);

/// There is none.
#[derive(Debug)]
pub(crate) struct Staged(Infallible);

/// There is none.
#[derive(Debug)]
pub(crate) struct Partial(Infallible);

/// Stays empty.
#[derive(Debug, Default)]
pub(crate) struct Group<T>(PhantomData<T>);

/// Directories that are open, one in the other.
pub(crate) fn may_be_deep() -> u64 {
    0
}

/// There are no directories to be open.
pub(crate) fn open_more() {}

/// Directories that are open at once.
pub(crate) fn may_open() -> u64 {
    0
}

impl Directory {
    pub fn open(_: &Path) -> Result<Self, FileError> {
        Err(TargetError::Unsupported.into())
    }

    pub fn make(_: &Path) -> Result<Self, FileError> {
        Err(TargetError::Unsupported.into())
    }

    pub fn look(&self, _: &OsStr) -> Result<Option<Standing>, FileError> {
        match self.0 {}
    }

    pub fn enter(&self, _: &OsStr, _: Over) -> Result<(Self, bool), FileError> {
        match self.0 {}
    }

    pub fn visit(&self, _: &OsStr) -> Result<Self, FileError> {
        match self.0 {}
    }

    pub fn identity(&self) -> Identity {
        match self.0 {}
    }

    pub fn stands(&self) -> Result<(), FileError> {
        match self.0 {}
    }

    pub fn holds(&self, _: &OsStr, _: &Identity) -> Result<(), FileError> {
        match self.0 {}
    }

    pub fn enter_known(&self, _: &OsStr, _: &Identity, _: bool) -> Result<Self, FileError> {
        match self.0 {}
    }

    pub fn is_removed(&self) -> bool {
        match self.0 {}
    }

    pub fn is_mounted(&self) -> bool {
        match self.0 {}
    }

    pub fn set_attributes(&self, _: &Attributes) -> Result<(), FileError> {
        match self.0 {}
    }

    pub fn has(&self, _: &Attributes) -> bool {
        match self.0 {}
    }

    pub fn takes_entries(&self, _: &'static str, _: bool) -> Result<(), FileError> {
        match self.0 {}
    }

    pub fn makes_way(&self, _: &OsStr) -> Result<(), FileError> {
        match self.0 {}
    }

    pub fn takes_attributes(&self, _: &Attributes) -> Result<(), FileError> {
        match self.0 {}
    }

    pub fn can_be_made(_: &Path) -> Result<(), FileError> {
        Err(TargetError::Unsupported.into())
    }

    pub fn open_up(&self) {
        match self.0 {}
    }

    pub fn sync_file_system(&self) -> Result<(), FileError> {
        match self.0 {}
    }

    pub fn entries(
        &self,
    ) -> Result<impl Iterator<Item = Result<(OsString, Kind), FileError>> + '_, FileError> {
        Err::<std::iter::Empty<_>, _>(TargetError::Unsupported.into())
    }

    pub fn sweep(&self, _: Parts) -> Result<usize, FileError> {
        match self.0 {}
    }

    pub fn sweep_but(&self, _: &std::collections::HashSet<OsString>) -> Result<(), FileError> {
        match self.0 {}
    }

    pub fn keeps_parts(&self) -> bool {
        match self.0 {}
    }

    pub fn remove(&self, _: &OsStr) -> Result<(), FileError> {
        match self.0 {}
    }

    pub fn set_attributes_of(&self, _: &OsStr, _: &Attributes) -> Result<(), FileError> {
        match self.0 {}
    }

    pub fn open_to_read(&self, _: &OsStr) -> Result<std::fs::File, FileError> {
        match self.0 {}
    }

    pub fn takes_for_one(&self, _: &std::collections::HashSet<&OsStr>) -> bool {
        match self.0 {}
    }

    pub fn folds_case(&self) -> bool {
        match self.0 {}
    }

    pub fn symlink(
        &self,
        _: &OsStr,
        _: &LinkTarget,
        _: Option<Mtime>,
        _: Over,
    ) -> Result<(), FileError> {
        match self.0 {}
    }

    pub fn stage(
        self: &Arc<Self>,
        _: &OsStr,
        _: &[u8],
        _: &Attributes,
        _: Over,
    ) -> Result<Staged, FileError> {
        match self.0 {}
    }
}

impl Staged {
    pub fn size(&self) -> u64 {
        match self.0 {}
    }
}

impl<T> Group<T> {
    pub fn new() -> Self {
        Self(PhantomData)
    }

    pub fn add(&mut self, file: Staged, _: T) {
        match file.0 {}
    }

    pub fn is_empty(&self) -> bool {
        true
    }

    pub fn is_full(&self) -> bool {
        false
    }

    pub fn commit(&mut self, _: bool) -> Vec<(T, Result<(), FileError>)> {
        Vec::new()
    }
}

impl Partial {
    pub fn open(
        directory: &Arc<Directory>,
        _: &OsStr,
        _: Subject,
        _: Geometry,
        _: bool,
    ) -> Result<(Self, Vec<usize>), FileError> {
        match directory.0 {}
    }

    pub fn left(directory: &Arc<Directory>, _: &OsStr, _: Geometry) -> Option<(Subject, usize)> {
        match directory.0 {}
    }

    pub fn write(&self, _: usize, _: u64, _: &[u8]) -> Result<(), FileError> {
        match self.0 {}
    }

    pub fn hold(&self, _: usize, _: Cv) -> Result<bool, FileError> {
        match self.0 {}
    }

    pub fn is_whole(&self) -> bool {
        match self.0 {}
    }

    pub fn missing(&self) -> usize {
        match self.0 {}
    }

    pub fn promised(&self) -> Option<Digest> {
        match self.0 {}
    }

    pub fn stays(&self) -> bool {
        match self.0 {}
    }

    pub fn digest(&self) -> Option<Digest> {
        match self.0 {}
    }

    pub fn commit(self, _: &Attributes, _: Over, _: bool) -> Result<(), FileError> {
        match self.0 {}
    }

    pub fn discard(self) {
        match self.0 {}
    }
}
