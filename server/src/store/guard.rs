//! Directories whose next version is being put together: nobody changes the present one meanwhile, since what
//! would be told to be done would be gone when the versions change places.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use haul_protocol::Name;

use super::error::StoreError;

/// The names of these directories.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    names: RwLock<Vec<Name>>,
    /// How often versions have changed places: a handle from before may lead to an old one.
    swaps: AtomicU64,
}

impl Guard {
    /// Leave to change something, which takes effect while this is held.
    pub(super) fn enter(&self, name: &Name) -> Result<RwLockReadGuard<'_, Vec<Name>>, StoreError> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        match names.iter().find(|guarded| is_at_or_below(name, guarded)) {
            None => Ok(names),
            Some(guarded) => Err(StoreError::Publishing { name: guarded.to_string() }),
        }
    }

    /// The same for a directory that appears with something in it.
    pub(super) fn enter_tree(
        &self,
        top: &Name,
    ) -> Result<RwLockReadGuard<'_, Vec<Name>>, StoreError> {
        let names = self.enter(top)?;
        match names.iter().find(|guarded| is_at_or_below(guarded, top)) {
            None => Ok(names),
            Some(guarded) => Err(StoreError::Publishing { name: guarded.to_string() }),
        }
    }

    /// From when this returns, nothing changes there any more. `false`: somebody else has it, something in it,
    /// or something that it is in.
    pub(super) fn close(&self, name: &Name) -> bool {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        let meets = |other: &Name| is_at_or_below(name, other) || is_at_or_below(other, name);
        let free = !names.iter().any(meets);
        if free {
            names.push(name.clone());
        }
        free
    }

    /// It may be changed again.
    pub(super) fn open(&self, name: &Name) {
        self.names.write().unwrap_or_else(PoisonError::into_inner).retain(|other| other != name);
    }

    /// Whether anything is being published.
    pub(super) fn is_any_closed(&self) -> bool {
        !self.names.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Versions have changed places.
    pub(super) fn swapped(&self) {
        self.swaps.fetch_add(1, Ordering::AcqRel);
    }

    /// How often that has happened.
    pub(super) fn swaps(&self) -> u64 {
        self.swaps.load(Ordering::Acquire)
    }
}

/// Whether a name is another one, or below it.
pub(super) fn is_at_or_below(name: &Name, other: &Name) -> bool {
    let rest = name.as_bytes().strip_prefix(other.as_bytes());
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn only_what_is_there_or_below_is_closed() {
        let guard = Guard::default();
        assert!(guard.close(&name("a/b")));
        for closed in ["a/b", "a/b/c", "a/b/c/d"] {
            assert!(guard.enter(&name(closed)).is_err(), "{closed}");
        }
        for open in ["a", "a/bc", "b", "a/c/b"] {
            assert!(guard.enter(&name(open)).is_ok(), "{open}");
        }
        for taken in ["a", "a/b", "a/b/c"] {
            assert!(!guard.close(&name(taken)), "{taken}");
        }
        assert!(guard.close(&name("a/c")));
        guard.open(&name("a/b"));
        assert!(guard.enter(&name("a/b/c")).is_ok() && guard.close(&name("a/b/c")));
    }
}
