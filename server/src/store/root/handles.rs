//! Handles that are kept, and getting one where directories must be opened up on the way.

use std::rc::Rc;

use haul_protocol::Name;
use rustix::fd::OwnedFd;
use rustix::fs::Mode;
use rustix::io::Errno;

use super::{Parents, ends};
use crate::store::open::{BENEATH, DIRECTORY};

/// Directories above one another that are opened up for one name: each costs some system calls.
const MOST_OPENED_UP: usize = 16;

/// A directory by name, and its handle.
#[derive(Debug)]
pub(super) struct Recent {
    name: Box<[u8]>,
    handle: Rc<OwnedFd>,
    /// So many directories were opened up on the way to it.
    opened_up: usize,
}

impl Parents {
    /// Handles kept at once: the depth of a usual tree.
    pub(super) const KEPT: usize = 8;

    /// As [`existing`](Self::existing), for who need not tell why it can't be had.
    pub(in crate::store) fn find(&self, name: &[u8]) -> Result<Rc<OwnedFd>, Errno> {
        if let Some(known) = self.recent.borrow().iter().rfind(|known| *known.name == *name) {
            return Ok(Rc::clone(&known.handle));
        }
        if self.refused.borrow().as_deref() == Some(name) {
            return Err(Errno::ACCESS);
        }
        match self.root.resolve(if name.is_empty() { b"." } else { name }) {
            Ok(opened) => {
                let directory = Rc::new(opened);
                self.keep(name, &directory, 0);
                Ok(directory)
            }
            Err(Errno::ACCESS) => {
                let found = self.open_up_to(name);
                if let Err(Errno::ACCESS) = found {
                    *self.refused.borrow_mut() = Some(name.into());
                }
                found
            }
            Err(errno) => Err(errno),
        }
    }

    /// A handle on a directory that its owner may not list, or that is below one that he may not enter. The lowest directory
    /// that is reached is kept, whatever becomes of the rest.
    fn open_up_to(&self, name: &[u8]) -> Result<Rc<OwnedFd>, Errno> {
        let (rights, root, ends) = (self.rights(), &self.root.directory, ends(name));
        // Bytes of the name that lead to the directory, and components.
        let (there, mut directory, mut opened_up) = match self.nearest(name) {
            Some(nearest) => nearest,
            None => (0, Rc::new(rights.in_directory(root, || self.root.resolve(b"."))?), 0),
        };
        let mut at = ends.partition_point(|&end| end <= there);
        let found = loop {
            let start = at.checked_sub(1).map_or(0, |at| ends[at] + 1);
            let open = |end| {
                let below = &name[start..end];
                rustix::fs::openat2(&directory, below, DIRECTORY, Mode::empty(), BENEATH)
            };
            if at == ends.len() {
                break Ok(());
            }
            // Whatever the others are: `refused` can't be opened, and the one above it can.
            let refused = match open(name.len()) {
                Ok(_) => ends.len(),
                Err(Errno::ACCESS) if opened_up == MOST_OPENED_UP => break Err(Errno::ACCESS),
                Err(Errno::ACCESS) => at + ends[at..].partition_point(|&end| open(end).is_ok()),
                Err(errno) => break Err(errno),
            };
            let reached = match refused {
                _ if refused > at => open(ends[refused - 1]),
                _ => rights.open_in(&directory, &name[start..ends[at]]).inspect(|_| opened_up += 1),
            };
            match reached {
                Ok(reached) => directory = Rc::new(reached),
                Err(errno) => break Err(errno),
            }
            at = refused.max(at + 1);
        };
        if let Some(last) = at.checked_sub(1) {
            self.keep(&name[..ends[last]], &directory, opened_up);
        }
        found.map(|()| directory)
    }

    /// The part that is there of a name that is not, as directories: its bytes and components. The search halves the name,
    /// since each try goes through the whole name, and begins below the lowest handle that is kept.
    pub(super) fn existing_part(&self, name: &[u8], ends: &[usize]) -> (usize, usize) {
        let nearest = self.nearest(name).map_or(0, |(nearest, ..)| nearest);
        let known = ends.partition_point(|&end| end <= nearest);
        let above = ends.split_last().map_or(ends, |(_, above)| above);
        let below = above.get(known..).unwrap_or_default();
        let at = known + below.partition_point(|&end| self.root.resolve(&name[..end]).is_ok());
        (at.checked_sub(1).map_or(0, |at| ends[at]), at)
    }

    /// The number of directories above this name that are not there. Costs no system call if the parent's handle is kept, and
    /// one if the parent is there.
    pub(crate) fn missing(&self, name: &Name) -> usize {
        let above = name.split().0;
        if above.is_empty() || self.recent.borrow().iter().any(|known| *known.name == *above) {
            return 0;
        }
        match self.root.resolve(above) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                let ends = ends(above);
                ends.len() - self.existing_part(above, &ends).1
            }
            _ => 0,
        }
    }

    /// Of the handles that are kept, that of the lowest directory on the way to `name`: bytes of the name that lead to it,
    /// and how many directories were opened up for it.
    fn nearest(&self, name: &[u8]) -> Option<(usize, Rc<OwnedFd>, usize)> {
        let recent = self.recent.borrow();
        let is_above = |known: &&Recent| {
            !known.name.is_empty()
                && name
                    .strip_prefix(&*known.name)
                    .is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
        };
        let known = recent.iter().filter(is_above).max_by_key(|known| known.name.len())?;
        Some((known.name.len(), Rc::clone(&known.handle), known.opened_up))
    }

    /// The mode of a directory was set: more or less may have to be opened up from now on.
    pub(in crate::store) fn forget_opened_up(&self) {
        self.recent.borrow_mut().retain(|known| known.opened_up == 0);
        self.refused.borrow_mut().take();
    }

    pub(super) fn keep(&self, name: &[u8], directory: &Rc<OwnedFd>, opened_up: usize) {
        let mut recent = self.recent.borrow_mut();
        if recent.len() == Self::KEPT {
            recent.remove(0);
        }
        recent.push(Recent { name: name.into(), handle: Rc::clone(directory), opened_up });
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::Store;

    #[test]
    fn directories_that_are_missing_above_a_name_are_counted() {
        let root = tempfile::TempDir::new().unwrap();
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        fs::write(root.path().join("f"), "").unwrap();
        let store = Store::open(root.path(), Mode::from_raw_mode(0o022), false, 0).unwrap();
        let parents = store.parents();
        let missing = |name: &str| parents.missing(&Name::parse(name.as_bytes()).unwrap());
        for (name, expected) in [
            ("x", 0),
            ("a/x", 0),
            ("a/b/x", 0),
            ("a/c/x", 1),
            ("c/d/e/x", 3),
            ("f/x", 1),
            ("f/a/x", 2),
        ] {
            assert_eq!(missing(name), expected, "{name}");
        }
        parents.find(b"a").unwrap();
        assert_eq!((missing("a/x"), missing("a/b/c/d/x"), missing("a/c/d/x")), (0, 2, 2));
    }
}
