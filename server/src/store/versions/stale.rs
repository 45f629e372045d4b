//! Drafts that other accounts have left when a version is published. Whoever asks for one by its token would undo that version,
//! so their tokens hold no more.

use rustix::fd::OwnedFd;
use rustix::io::Errno;

use super::home::Owner;
use crate::store::sys;
use crate::store::temp::entries;

/// The drafts, each with its name before and after.
#[derive(Debug)]
pub(super) struct Stale(Vec<(String, String)>);

impl Stale {
    /// Takes the tokens from all drafts of a home. The one that is published has another name by now.
    pub(super) fn make(home: &OwnedFd) -> Result<Self, Errno> {
        let mut stale = Self(Vec::new());
        for draft in entries(home)? {
            let Some(new) = Owner::stale(&draft) else { continue };
            if let Err(errno) = sys::rename(home, draft.as_bytes(), home, new.as_bytes()) {
                stale.take_back(home);
                return Err(errno);
            }
            stale.0.push((draft, new));
        }
        Ok(stale)
    }

    /// Gives them back, as nothing was published.
    pub(super) fn take_back(self, home: &OwnedFd) {
        for (draft, stale) in self.0 {
            if let Err(errno) = sys::rename(home, stale.as_bytes(), home, draft.as_bytes()) {
                tracing::warn!(draft, %errno, "the draft of another account has lost its token");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn drafts_of_all_owners_get_their_tokens_back_if_nothing_was_published() {
        let directory = tempfile::tempdir().unwrap();
        let home = OwnedFd::from(File::open(directory.path()).unwrap());
        let names = |expected: &[&str]| {
            let mut found = entries(&home).unwrap();
            found.sort();
            assert_eq!(found, expected);
        };
        let before = ["done-f0~ab", "next-b00t-f1~cd", "next-b00t-f2", "ready-1-b00t-f0~ab"];
        for name in before {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let after = ["done-f0~ab", "next-b00t-stale", "next-b00t-stale~cd", "ready-1-b00t-f0~ab"];
        let stale = Stale::make(&home).unwrap();
        names(&after);
        // Such a draft has no token that another publish could take.
        Stale::make(&home).unwrap().take_back(&home);
        names(&after);
        stale.take_back(&home);
        names(&before);
    }
}
