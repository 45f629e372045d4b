//! The user's wishes for a run: which entries of the server are replaced, kept or removed.

use haul_protocol::Name;

use crate::source::filter::Filter;
use crate::source::links::Links;

/// The task of a run. Nothing changes it while the run goes on.
#[derive(Debug)]
pub struct Policy {
    /// The command.
    pub mode: Mode,
    /// Files are compared by the digests of their bytes, whatever their mtimes.
    pub by_digest: bool,
    /// Files and symlinks that are there, whatever they are, stay as they are.
    pub ignore_existing: bool,
    /// Nothing is sent or removed, only told.
    pub dry_run: bool,
    /// What becomes of symlinks of the source.
    pub links: Links,
    /// What is left out, on both sides.
    pub filter: Filter,
}

/// The commands, and what only one of them has.
#[derive(Debug)]
pub enum Mode {
    /// `put`: everything is sent.
    Put,
    /// `sync`: only what the server lacks or holds differently is sent, and what the source lacks may go.
    Sync(Option<Delete>),
    /// `verify`: what differs is told and nothing else; modes and mtimes are not compared. What the source lacks is told
    /// as well, unless only some names are looked at.
    Verify(Option<Delete>),
    /// `publish`: this directory at the server gets its next version, which is just what is sent: what is left out by a
    /// rule or an option is not spared.
    Publish(Name, Delete),
}

/// Bounds of what is removed.
#[derive(Debug, Clone, Copy)]
pub struct Delete {
    /// Even if entries below the source could not be read or sent.
    pub force: bool,
    /// Even everything, because the source has nothing in it.
    pub all: bool,
    /// How many entries may be.
    pub max: Option<u64>,
}

impl Delete {
    /// Everything may go, as nobody loses anything by it.
    pub const HARMLESS: Self = Self { force: true, all: true, max: None };
}

impl Policy {
    /// Everything is sent and nothing removed, unless the fields say otherwise.
    #[must_use]
    pub fn new(mode: Mode, filter: Filter) -> Self {
        Self {
            mode,
            by_digest: false,
            ignore_existing: false,
            dry_run: false,
            links: Links::Copy,
            filter,
        }
    }

    /// Only what the server lacks or holds differently is sent.
    #[must_use]
    pub fn only_changed(&self) -> bool {
        !matches!(self.mode, Mode::Put)
    }

    /// Whether the server is asked what it has before anything is sent.
    #[must_use]
    pub fn compares(&self) -> bool {
        self.only_changed() || self.dry_run || self.ignore_existing
    }

    /// Whether a file or symlink of the server may stay where the source has a directory.
    #[must_use]
    pub fn may_block_directories(&self) -> bool {
        self.ignore_existing || !self.only_changed()
    }

    /// What differs is told, and nothing else.
    #[must_use]
    pub fn verifies(&self) -> bool {
        matches!(self.mode, Mode::Verify(_))
    }

    /// The destination is to be just what is sent.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self.mode, Mode::Publish(..))
    }

    /// The directory that gets its next version. In a dry run none does: its present version is looked at, as if it were
    /// to be synced.
    #[must_use]
    pub fn publishes(&self) -> Option<&Name> {
        match &self.mode {
            Mode::Publish(name, _) if !self.dry_run => Some(name),
            _ => None,
        }
    }

    /// Whether a directory gets its next version.
    #[must_use]
    pub fn is_publish(&self) -> bool {
        self.publishes().is_some()
    }

    /// What the source lacks is looked for at the server, within these bounds.
    #[must_use]
    pub fn delete(&self) -> Option<Delete> {
        match &self.mode {
            Mode::Put => None,
            Mode::Sync(delete) | Mode::Verify(delete) => *delete,
            Mode::Publish(_, delete) => Some(*delete),
        }
    }

    /// Whether what the source lacks is removed where everybody sees it.
    #[must_use]
    pub fn removes(&self) -> bool {
        matches!(self.mode, Mode::Sync(Some(_))) && !self.dry_run
    }

    /// Whether nothing may be removed once anything could not be read.
    #[must_use]
    pub fn needs_all(&self) -> bool {
        self.delete().is_some_and(|delete| !delete.force)
    }
}
