//! The root, and directories below it: the only module that resolves clients' names of several components.
//!
//! Names are resolved by the kernel with `openat2` (openat2(2)): beneath the root, through no link,
//! on one file system. After that the store reaches a file by a handle on its parent and a
//! single component.

mod handles;

use std::cell::{Cell, RefCell, RefMut};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use haul_protocol::Name;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode};
use rustix::io::Errno;

use super::error::StoreError;
use super::inherit::{Giver, HandsDown, left_by_acl};
use super::open::{BENEATH, DIRECTORY};
use super::quota::{Amount, Counting};
use super::rights::Rights;
use super::space::Space;
use super::spelled::Spelled;
use super::sys;
use super::unserved::OpenError;
use handles::Recent;

/// Number of times that the store calls `openat2` again if it says that a rename or mount raced with it, and that it makes
/// missing directories anew if others have renamed or removed one of them meanwhile.
const RACES: usize = 16;

/// The directory under which everything happens.
#[derive(Debug)]
pub(super) struct Root {
    directory: OwnedFd,
    path: PathBuf,
}

impl Root {
    /// Makes the directory if it is missing.
    pub(super) fn make(path: &Path, mode: Mode) -> Result<(), OpenError> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(mode.as_raw_mode())
            .create(path)
            .map_err(|source| OpenError::Io { op: "make", path: path.to_owned(), source })
    }

    /// Opens the root itself, making it if it is missing. The store opens no other path without a handle, but for the boot's id in /proc.
    pub(super) fn open(path: &Path, mode: Mode) -> Result<Self, OpenError> {
        Self::make(path, mode)?;
        Self::open_existing(path)
    }

    /// The same, and makes nothing.
    pub(super) fn open_existing(path: &Path) -> Result<Self, OpenError> {
        let failed = |op, source| OpenError::Io { op, path: path.to_owned(), source };
        let path = path.canonicalize().map_err(|source| failed("resolve", source))?;
        let directory = rustix::fs::openat(CWD, &path, DIRECTORY, Mode::empty())
            .map_err(|errno| failed("open", errno.into()))?;
        Self::at(directory, &path)
    }

    /// With a directory that is open already.
    pub(super) fn at(directory: OwnedFd, path: &Path) -> Result<Self, OpenError> {
        let root = Self { directory, path: path.to_owned() };
        match root.resolve(b".") {
            Ok(_) => Ok(root),
            Err(errno) => Err(OpenError::NoOpenat2(errno.into())),
        }
    }

    /// Opens the root of a server that may run, if it is there.
    pub(super) fn of_another(path: &Path) -> Result<Option<Self>, Errno> {
        match rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty()) {
            Ok(directory) => Ok(Some(Self { directory, path: path.to_owned() })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Whether a directory is there; an error tells why nothing can be below its name.
    pub(super) fn has_directory(&self, name: &[u8]) -> Result<bool, StoreError> {
        match self.resolve(name) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.explain("open", name, errno)),
        }
    }

    /// A directory of ours as a root of its own.
    pub(super) fn of(directory: OwnedFd, path: &Path) -> Self {
        Self { directory, path: path.to_owned() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A handle on a directory below the root. `name` is a valid name, or `.` for the root.
    pub(super) fn resolve(&self, name: &[u8]) -> Result<OwnedFd, Errno> {
        let mut races = 0;
        loop {
            let opened =
                rustix::fs::openat2(&self.directory, name, DIRECTORY, Mode::empty(), BENEATH);
            match opened {
                Err(Errno::AGAIN) if races < RACES => races += 1,
                Err(Errno::INTR) => {}
                opened => return opened,
            }
        }
    }

    /// Why `name` could not be resolved: finds the first component that is in the way, by halving, since looking at
    /// each of them would take the square of their number. Only for the message; nothing is decided by it.
    fn explain(&self, op: &'static str, name: &[u8], errno: Errno) -> StoreError {
        let shown = |end| String::from_utf8_lossy(&name[..end]).into_owned();
        let ends = ends(name);
        // Everything above a directory is one, too.
        let at = ends.partition_point(|&end| self.resolve(&name[..end]).is_ok());
        // A look at what is mounted there may take as long as that file system is out of reach.
        if errno != Errno::XDEV
            && let Some(&end) = ends.get(at)
            && let Ok(stat) =
                rustix::fs::statat(&self.directory, &name[..end], AtFlags::SYMLINK_NOFOLLOW)
        {
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => {}
                FileType::Symlink => return StoreError::Escape { link: shown(end) },
                _ => {
                    return StoreError::Conflict { name: shown(end), found: "not a directory" };
                }
            }
        }
        match errno {
            Errno::LOOP => StoreError::Escape { link: shown(name.len()) },
            errno => StoreError::at(op, shown(name.len()), errno),
        }
    }
}

/// Directories that are made between two looks at the clock.
const SOME: usize = 8;

/// Where each component of a name ends.
pub(super) fn ends(name: &[u8]) -> Vec<usize> {
    let slashes = name.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    slashes.chain((!name.is_empty()).then_some(name.len())).collect()
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// Handles on directories that were used a moment ago.
///
/// A handle follows its directory when that is moved, out of the root as well, so a cache lives for
/// one turn of one connection at most and is then dropped whole.
#[derive(Debug)]
pub(crate) struct Parents {
    root: Arc<Root>,
    /// For parents that nobody sent.
    making: Making,
    recent: RefCell<Vec<Recent>>,
    /// The directory that was refused last: many names may be below it, and each try costs as much.
    refused: RefCell<Option<Box<[u8]>>>,
    /// Group and ACL that each directory hands down to new entries, or would if it were there.
    givers: RefCell<Vec<KnownGiver>>,
    /// Names that directories have, where the file system takes two spellings for one name.
    spelled: RefCell<Spelled>,
    /// Number of swaps of versions before these handles were opened.
    swaps: Cell<u64>,
}

/// Everything that the store needs to make directories that nobody sent.
#[derive(Debug)]
pub(super) struct Making {
    pub(super) mode: Mode,
    pub(super) space: Arc<Space>,
    pub(super) rights: Arc<Rights>,
    pub(super) counting: Counting,
}

/// A directory by name, and what new entries of it inherit from.
type KnownGiver = (Box<[u8]>, Option<Giver>);

impl Parents {
    pub(super) fn new(root: &Arc<Root>, making: Making) -> Self {
        let recent = RefCell::new(Vec::with_capacity(Self::KEPT));
        let (refused, givers, spelled, swaps) = Default::default();
        Self { root: Arc::clone(root), making, recent, refused, givers, spelled, swaps }
    }

    /// Forgets all handles if versions of directories have changed places since, or directories were renamed.
    pub(super) fn refresh(&self, swaps: u64) {
        if self.swaps.replace(swaps) != swaps {
            self.clear();
        }
    }

    /// Where the root is, for people.
    pub(super) fn path(&self) -> &Path {
        self.root.path()
    }

    /// Forgets all handles.
    pub(crate) fn clear(&self) {
        self.recent.borrow_mut().clear();
        self.refused.borrow_mut().take();
        self.givers.borrow_mut().clear();
        self.spelled().clear();
    }

    /// Names that directories have.
    pub(super) fn spelled(&self) -> RefMut<'_, Spelled> {
        self.spelled.borrow_mut()
    }

    /// A handle on the directory `name` (empty: the root), which must exist.
    pub(super) fn existing(&self, name: &[u8]) -> Result<Rc<OwnedFd>, StoreError> {
        self.find(name).map_err(|errno| self.root.explain("open", name, errno))
    }

    /// A handle on the parent of `name`; missing directories on the way are made.
    pub(super) fn of(&self, name: &Name) -> Result<Rc<OwnedFd>, StoreError> {
        let name = name.split().0;
        match self.make(name, &|| false)? {
            Some(directory) => Ok(directory),
            None => self.existing(name),
        }
    }

    /// Makes the missing directories above `name` until `is_over` says that it is enough for now; tells whether all are
    /// there. The next call goes on.
    pub(super) fn make_some(
        &self,
        name: &Name,
        is_over: &dyn Fn() -> bool,
    ) -> Result<bool, StoreError> {
        Ok(self.make(name.split().0, is_over)?.is_some())
    }

    /// Makes a directory, and those above it that are missing.
    pub(super) fn directory(&self, name: &Name) -> Result<(), StoreError> {
        self.make(name.as_bytes(), &|| false).map(drop)
    }

    fn make(
        &self,
        name: &[u8],
        is_over: &dyn Fn() -> bool,
    ) -> Result<Option<Rc<OwnedFd>>, StoreError> {
        for _ in 1..RACES {
            match self.make_missing(name, is_over) {
                // Others have renamed or removed a directory on the way since it was opened or made.
                Err(StoreError::NotFound { .. }) => self.clear(),
                made => return made,
            }
        }
        self.make_missing(name, is_over)
    }

    fn make_missing(
        &self,
        name: &[u8],
        is_over: &dyn Fn() -> bool,
    ) -> Result<Option<Rc<OwnedFd>>, StoreError> {
        match self.find(name) {
            Err(Errno::NOENT) if !name.is_empty() => {}
            Ok(found) => return Ok(Some(found)),
            Err(errno) => return Err(self.root.explain("open", name, errno)),
        }
        let ends = ends(name);
        // Nearly always only the last one is missing.
        let above = ends.len().checked_sub(2).map_or(0, |at| ends[at]);
        let (mut at, mut directory) = match self.find(&name[..above]) {
            Ok(directory) => (ends.len() - 1, directory),
            Err(_) => {
                let (there, at) = self.existing_part(name, &ends);
                let found = self.find(&name[..there]);
                (at, found.map_err(|errno| self.root.explain("open", name, errno))?)
            }
        };
        // From handle to handle: the kernel goes through a whole name anew each time.
        while let Some(&end) = ends.get(at) {
            let failed = |op| {
                move |errno| StoreError::at(op, String::from_utf8_lossy(&name[..end]).into(), errno)
            };
            let start = at.checked_sub(1).map_or(0, |at| ends[at] + 1);
            let last = &name[start..end];
            let Making { mode, space, rights, counting } = &self.making;
            let share = counting.share(&name[..end], Amount::DIRECTORY)?;
            let _room = space.reserve(&String::from_utf8_lossy(&name[..end]), 0)?;
            // A default ACL takes the place of the umask (umask(2)).
            let mode = match left_by_acl(&directory) {
                Ok(Some(_)) => Mode::RWXU | Mode::RWXG | Mode::RWXO,
                _ => *mode,
            };
            match rights.in_directory(&directory, || sys::make_directory(&directory, last, mode)) {
                Ok(()) => counting.came(&name[..end], share, Amount::DIRECTORY),
                // The first change that needs a directory makes it.
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(failed("make directory")(errno)),
            }
            directory = match rights.open_in(&directory, last) {
                Ok(opened) => Rc::new(opened),
                // Something else stands there.
                Err(errno) => return Err(self.root.explain("open", name, errno)),
            };
            at += 1;
            if at < ends.len() && at.is_multiple_of(SOME) && is_over() {
                return Ok(None);
            }
        }
        self.keep(name, &directory, 0);
        Ok(Some(directory))
    }

    /// Keeps handles on directories that a staged tree has opened.
    pub(super) fn remember(&self, directories: Vec<(Name, OwnedFd)>) {
        for (name, directory) in directories {
            self.keep(name.as_bytes(), &Rc::new(directory), 0);
        }
    }

    /// The directory that hands something down to a new entry of this name: its parent, or if that is not there
    /// yet, the nearest directory above, from which the parent will have it: a file or symlink in its place is about to make
    /// way. `None` if there is no such directory. Looked at once as long as the handles are kept.
    pub(super) fn giver(&self, name: &Name) -> Option<Giver> {
        self.giver_at(name.split().0)
    }

    fn giver_at(&self, above: &[u8]) -> Option<Giver> {
        if let Some((_, giver)) = self.givers.borrow().iter().rfind(|(known, _)| **known == *above)
        {
            return giver.clone();
        }
        let giver = match self.find(above) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if !above.is_empty() => {
                let (there, _) = self.existing_part(above, &ends(above));
                self.giver_at(&above[..there])
            }
            found => {
                // If there is none, the commit of the entry will be told why, or find that it can be had.
                let handle = found.ok()?;
                HandsDown::of(&handle).ok()?.map(|given| (handle, given))
            }
        };
        let mut givers = self.givers.borrow_mut();
        if givers.len() == Self::KEPT {
            givers.remove(0);
        }
        givers.push((above.into(), giver.clone()));
        giver
    }

    /// The mode that an entry gets for one that its client has stated: as creation in the entry's directory leaves it.
    pub(super) fn counts(&self, name: &Name, mode: Mode) -> Mode {
        self.giver(name).map_or(mode, |(_, given)| given.leaves(mode))
    }

    /// Whether a new entry gets a default ACL of its directory.
    pub(super) fn has_acl(&self, name: &Name) -> bool {
        self.giver(name).is_some_and(|(_, given)| given.acl.is_some())
    }

    /// A directory has come in the place of another entry, and hands down its own group and ACL.
    pub(super) fn forget_giver(&self, directory: &Name) {
        let is_in = |known: &[u8]| {
            known
                .strip_prefix(directory.as_bytes())
                .is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
        };
        self.givers.borrow_mut().retain(|(known, _)| !is_in(known));
    }

    /// Where new entries count.
    pub(super) fn counting(&self) -> &Counting {
        &self.making.counting
    }

    /// For looking at the entries of a directory.
    pub(super) fn rights(&self) -> &Rights {
        &self.making.rights
    }
}
