//! The wishes of a run's user.

use super::decide::{Mode, Policy};
use crate::plan::policy::Delete;
use crate::source::filter::Filter;
use crate::source::links::Links;
use crate::target::Over;
use crate::work::settings::Settings;

/// Everything that a run needs to know of its user's wishes.
#[derive(Debug)]
pub(super) struct Wishes {
    /// The settings of the connections.
    pub(super) settings: Settings,
    pub(super) links: Links,
    pub(super) filter: Filter,
    /// The names of the sources, each with a slash behind it: rules are about the rest.
    pub(super) bases: Vec<Vec<u8>>,
    pub(super) mode: Mode,
    /// Several sources may have entries of one name here.
    pub(super) merges: bool,
    /// The bounds within which entries are removed here that the server lacks.
    pub(super) delete: Option<Delete>,
    pub(super) dry_run: bool,
    pub(super) ignore_existing: bool,
    /// Files of one size are compared by their digests.
    pub(super) by_digest: bool,
    /// A file that is counted survives a loss of power.
    pub(super) durable: bool,
}

impl Wishes {
    /// The word for what holds of a file that is counted.
    pub(super) fn durability(&self) -> &'static str {
        if self.durable { "group" } else { "none" }
    }

    /// The part of them that decides about entries.
    pub(super) fn policy(&self) -> Policy {
        let Self { mode, ignore_existing, by_digest, .. } = *self;
        Policy { mode, ignore_existing, by_digest }
    }

    /// The entries that make way for a file or symlink that comes.
    pub(super) fn over(&self) -> Over {
        if self.ignore_existing { Over::Nothing } else { Over::File }
    }
}
