//! The server as it would be after what a dry run has told: nothing is changed, so the server's answers don't show it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use haul_protocol::Name;

use crate::source::from_bytes;
use crate::source::seen::Seen;

/// The fate that an entry of the server would have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It stays where the source has a directory, into which nothing can be put then.
    Blocks,
    /// A directory takes its place.
    Replaced,
    /// It goes, because the source lacks it.
    Removed,
    /// It is a directory, and entries in it come, go or are replaced, which changes its mtime.
    Filled,
}

/// Entries of the server of which a dry run has told. Its memory is bounded: of very many it may know a few too many.
#[derive(Debug, Default)]
pub struct Foreseen {
    told: Seen,
    any: AtomicBool,
}

impl Foreseen {
    /// This would become of an entry.
    pub fn tell(&self, name: &Name, fate: Fate) {
        self.told.entry(Path::new(&from_bytes(name.as_bytes())), fate as u32);
        self.any.store(true, Ordering::Release);
    }

    /// An entry comes, goes or is replaced: so much is told of the directory that it is in.
    pub fn fills_parent(&self, name: &Name) {
        if let Ok(parent) = Name::parse(name.split().0) {
            self.tell(&parent, Fate::Filled);
        }
    }

    /// Whether this would become of an entry.
    #[must_use]
    pub fn is(&self, name: &Name, fate: Fate) -> bool {
        self.has(name.as_bytes(), fate)
    }

    /// Whether this would become of an entry or of one above it.
    #[must_use]
    pub fn is_at_or_above(&self, name: &Name, fate: Fate) -> bool {
        let name = name.as_bytes();
        let above = (0..name.len()).filter(|&at| name[at] == b'/').map(|at| &name[..at]);
        self.any.load(Ordering::Acquire) && above.chain([name]).any(|name| self.has(name, fate))
    }

    /// Whether nothing can be put under a name, because an entry there or above it stays where the source has a directory.
    #[must_use]
    pub fn is_blocked(&self, name: &Name) -> bool {
        let name = name.as_bytes();
        let above = (0..name.len()).filter(|&at| name[at] == b'/').map(|at| &name[..at]);
        self.any.load(Ordering::Acquire)
            && above
                .chain([name])
                .any(|name| self.has(name, Fate::Blocks) && !self.has(name, Fate::Replaced))
    }

    fn has(&self, name: &[u8], fate: Fate) -> bool {
        self.told.had_entry(Path::new(&from_bytes(name)), fate as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_that_blocks_a_directory_blocks_all_that_is_below() {
        let (foreseen, name) =
            (Foreseen::default(), |name: &str| Name::parse(name.as_bytes()).unwrap());
        foreseen.tell(&name("a/b"), Fate::Blocks);
        for (below, is_blocked) in [("a/b", true), ("a/b/c/d", true), ("a", false), ("a/bc", false)]
        {
            assert_eq!(foreseen.is_at_or_above(&name(below), Fate::Blocks), is_blocked, "{below}");
            assert_eq!(foreseen.is_blocked(&name(below)), is_blocked, "{below}");
            assert!(!foreseen.is_at_or_above(&name(below), Fate::Replaced));
        }
        // A list has named the directory later.
        foreseen.tell(&name("a/b"), Fate::Replaced);
        assert!(!foreseen.is_blocked(&name("a/b/c")));
    }
}
