//! A rename of a directory that goes further up: first the server looks at all symlinks in it.
//!
//! A symlink counts its `..` from the place where it stands. Where the server stores only symlinks that stay inside, a rename
//! may not make one lead out.

use haul_protocol::{Name, RequestId};

use super::walk::Walk;
use crate::accounts::ClientId;
use crate::store::{Change, Replaces};

/// A rename that waits until all symlinks have been looked at.
#[derive(Debug)]
pub(super) struct Renaming {
    pub(super) id: RequestId,
    pub(super) client: ClientId,
    pub(super) walk: Walk,
    pub(super) name: Name,
    pub(super) to: Name,
    pub(super) replace: bool,
}

impl Renaming {
    pub(super) fn has_place(&self) -> bool {
        self.walk.has_place()
    }

    /// Bytes of memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        self.walk.held_bytes() + self.name.as_bytes().len() + self.to.as_bytes().len()
    }

    /// The change that the committer or the worker carries out after the look.
    pub(super) fn change(self) -> Change {
        let Self { name, to, replace, .. } = self;
        Change::Rename { name, to, replace, replaces: Replaces::Anything }
    }
}
