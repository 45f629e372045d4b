//! The claim of an entry of the server to a name here.

use std::ffi::{OsStr, OsString};
use std::hash::BuildHasher;

use haul_protocol::{Entry, EntryKind};

use super::namesakes::{Claim, Known};
use super::node::Node;
use super::run::Run;

impl Run<'_> {
    /// Whether an entry of the server may come to a name here.
    pub(super) fn claim(&self, node: &Node, component: &OsStr, entry: &Entry) -> Claim {
        let Some(namesakes) = &self.namesakes else { return Claim::First };
        let mut place = node.components();
        place.push(component.to_owned());
        let is_directory = entry.kind == EntryKind::Directory;
        let entry = self.hasher.hash_one(&entry.name);
        namesakes.claim(
            self.hasher.hash_one(&place),
            Known { source: node.source(), entry, is_directory },
        )
    }

    /// Whether the contents of a source may give the target itself mode and mtime.
    pub(super) fn claim_target(&self, source: usize) -> Claim {
        let place = self.hasher.hash_one(Vec::<OsString>::new());
        let wanted = Known { source, entry: 0, is_directory: true };
        self.namesakes.as_ref().map_or(Claim::First, |namesakes| namesakes.claim(place, wanted))
    }
}
