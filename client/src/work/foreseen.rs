//! The server as it would be after what a dry run has told: nothing is changed, so the server's answers don't show it.

use std::path::Path;
use std::sync::OnceLock;
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
    refusals: OnceLock<Refusals>,
    has_changes: AtomicBool,
    has_version: AtomicBool,
}

/// The reason why the run itself would publish nothing.
const HAS_VERSION: &str = "the directory is there, and the account lacks the right `replace`: the run itself would be refused (exists)";

/// The refusals that the run itself would get, because the account lacks rights.
#[derive(Debug, Default)]
pub struct Refusals {
    /// That of the whole run, for people.
    pub run: Option<String>,
    /// The account may not replace what stands at the server.
    pub keeps: bool,
}

impl Foreseen {
    /// The server has told the rights of the account; those that are told first hold.
    pub fn know(&self, refusals: Refusals) {
        let _ = self.refusals.set(refusals);
    }

    /// The run itself would change something.
    pub fn changes(&self) {
        self.has_changes.store(true, Ordering::Relaxed);
    }

    /// The directory that would get its next version has a version, which the account may not replace.
    pub fn keeps_version(&self) {
        self.has_version.store(true, Ordering::Relaxed);
    }

    /// The refusal that the whole run would get, and whether something is left undone by it.
    #[must_use]
    pub fn refusal(&self) -> Option<(&str, bool)> {
        let refusal = self.refusals.get()?.run.as_deref();
        match refusal {
            Some(refusal) => Some((refusal, self.has_changes.load(Ordering::Relaxed))),
            None => self.has_version.load(Ordering::Relaxed).then_some((HAS_VERSION, true)),
        }
    }

    /// Whether the account may not replace what stands at the server.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.refusals.get().is_some_and(|refusals| refusals.keeps)
    }

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
