//! A directory at the server that the source lacks: it goes when everything in it is gone.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use haul_protocol::{Entry, Name};

use super::Lacking;

/// One of them.
#[derive(Debug)]
pub struct Doomed {
    /// Its name there.
    pub name: Name,
    /// Its mode there, as it was listed.
    pub mode: Option<u32>,
    /// Where it would be here.
    pub path: PathBuf,
    /// The one that it is in, unless that one stays.
    pub above: Option<Arc<Self>>,
    /// The directory here that lacks it, or lacks the outermost one that it is in.
    pub lacking: Arc<Lacking>,
    /// Entries that are not removed yet, and the list of them.
    open: AtomicUsize,
    /// Something in it stays.
    stays: AtomicBool,
}

impl Doomed {
    /// Its list is asked for.
    #[must_use]
    pub fn new(
        entry: &Entry,
        path: PathBuf,
        above: Option<Arc<Self>>,
        lacking: Arc<Lacking>,
    ) -> Arc<Self> {
        let (open, stays) = (AtomicUsize::new(1), AtomicBool::new(false));
        let (name, mode) = (entry.name.clone(), entry.mode);
        Arc::new(Self { name, mode, path, above, lacking, open, stays })
    }

    /// An entry of it is found.
    pub fn found(&self) {
        self.open.fetch_add(1, Ordering::AcqRel);
    }

    /// One entry, or the list, is over. Returns the directory that has nothing in it any more by that, if
    /// there is one.
    #[must_use]
    pub fn over(self: &Arc<Self>, removed: bool) -> Option<Arc<Self>> {
        let (mut directory, mut removed) = (Arc::clone(self), removed);
        loop {
            if !removed {
                directory.stays.store(true, Ordering::Release);
            }
            if directory.open.fetch_sub(1, Ordering::AcqRel) > 1 {
                return None;
            }
            if !directory.stays.load(Ordering::Acquire) {
                return Some(directory);
            }
            removed = false;
            let above = directory.above.clone()?;
            directory = above;
        }
    }
}

#[cfg(test)]
mod tests {
    use haul_protocol::EntryKind;

    use super::*;
    use crate::source::anchor::Anchor;

    fn doomed(above: Option<Arc<Doomed>>) -> Arc<Doomed> {
        let anchor = Arc::new(Anchor::new(&PathBuf::new()));
        let lacking = Arc::new(Lacking { anchor, path: PathBuf::new() });
        let (name, kind) = (Name::parse(b"d").unwrap(), EntryKind::Directory);
        let entry = Entry { name, kind, mode: Some(0o755), mtime: None };
        Doomed::new(&entry, PathBuf::new(), above, lacking)
    }

    #[test]
    fn goes_when_everything_in_it_is_gone() {
        let outer = doomed(None);
        outer.found();
        let inner = doomed(Some(Arc::clone(&outer)));
        inner.found();
        assert!(outer.over(true).is_none(), "the list of the outer one");
        assert!(inner.over(true).is_none(), "the list of the inner one");
        let empty = inner.over(true).unwrap();
        assert!(Arc::ptr_eq(&empty, &inner));
        assert!(Arc::ptr_eq(&outer.over(true).unwrap(), &outer));
    }

    #[test]
    fn stays_with_all_above_it_if_something_in_it_stays() {
        let outer = doomed(None);
        outer.found();
        let inner = doomed(Some(Arc::clone(&outer)));
        inner.found();
        assert!(outer.over(true).is_none());
        assert!(inner.over(false).is_none());
        assert!(inner.over(true).is_none());
        assert!(outer.stays.load(Ordering::Acquire));
    }
}
