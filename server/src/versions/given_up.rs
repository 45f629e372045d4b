//! Drafts that were empty when they made room: each begins again for the client that asks for it by its token, unless another
//! version of the directory was published since.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use haul_protocol::{Name, Token};

use crate::store::Version;

/// Drafts that are remembered (PROTOCOL.md, section 10.5).
const REMEMBERED: usize = 256;

/// Those that are remembered, the oldest first.
#[derive(Debug, Default)]
pub(super) struct GivenUp(VecDeque<Draft>);

#[derive(Debug)]
struct Draft {
    name: Name,
    tree: Token,
    /// Whether the last draft of the directory that was begun since was published; `None`: none was begun.
    since: Option<Arc<AtomicBool>>,
}

impl Draft {
    /// Whether it may begin again: no other version was published since.
    fn may_begin_again(&self) -> bool {
        self.since.as_ref().is_none_or(|published| !published.load(Ordering::Acquire))
    }
}

impl GivenUp {
    /// An empty draft has made room; the oldest one is forgotten if there are too many.
    pub(super) fn remember(&mut self, version: &Version) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        let (name, tree) = (version.name.clone(), version.token);
        self.0.push_back(Draft { name, tree, since: None });
    }

    /// Whether the draft of a directory with this token is one of them and may begin again.
    pub(super) fn may_begin(&self, name: &Name, tree: Token) -> bool {
        let is_it = |draft: &&Draft| (&draft.name, draft.tree) == (name, tree);
        self.0.iter().find(is_it).is_some_and(Draft::may_begin_again)
    }

    /// A version of a directory is open: something may be in it from now on.
    pub(super) fn begun(&mut self, version: &Version) {
        self.0.retain(|draft| draft.tree != version.token && draft.may_begin_again());
        // One that was published before only tells that again.
        let is_begun = |draft: &&mut Draft| draft.name == version.name && !version.is_done();
        for draft in self.0.iter_mut().filter(is_begun) {
            draft.since = Some(version.done());
        }
    }
}
