//! A store that only reads: it makes no `.haul`, takes no lock, and works where this user may write nothing.
//!
//! Another server may change the same root meanwhile, as any other program may: each file is seen whole, since it appears by
//! a rename. All requests for changes are refused before they reach the store. Should one reach it nevertheless, it fails: the
//! handles on the store's own directories are those of a file.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{MemfdFlags, Mode};

use super::root::Root;
use super::temp::staging::Staging;
use super::temp::trash::Trash;
use super::unserved::OpenError;
use super::{Store, abilities, attributes, list, present, rights, space, spelling, versions};

impl Store {
    /// Opens a root that must be there, to read only.
    pub(crate) fn open_read_only(path: &Path, umask: Mode) -> Result<Self, OpenError> {
        Self::reading(Root::open_existing(path)?, umask)
    }

    /// The same with a root that is open already, whose path is for people.
    pub(crate) fn open_read_only_at(
        directory: OwnedFd,
        path: &Path,
        umask: Mode,
    ) -> Result<Self, OpenError> {
        Self::reading(Root::at(directory, path)?, umask)
    }

    fn reading(root: Root, umask: Mode) -> Result<Self, OpenError> {
        let io = |source: std::io::Error| OpenError::Io {
            op: "open",
            path: root.path().to_owned(),
            source,
        };
        let file = rustix::fs::memfd_create(c"hauld", MemfdFlags::CLOEXEC);
        let file = file.map_err(|errno| io(errno.into()))?;
        let copy = |it: &dyn AsFd| it.as_fd().try_clone_to_owned().map_err(io);
        let staging = Staging::new(vec![copy(&file)?]);
        let present = present::Present::of_root_alone(&root).map_err(|errno| io(errno.into()))?;
        let abilities = abilities::Abilities::of(&root, &root, &staging);
        let abilities = abilities.map_err(|errno| io(errno.into()))?;
        Ok(Self {
            abilities,
            space: Arc::new(space::Space::new(copy(&root)?, 0)),
            quotas: Arc::default(),
            rights: Arc::new(rights::Rights::of_a_reader(root.path())),
            spelling: spelling::Spelling::of_a_reader(),
            present,
            staging,
            partials: copy(&file)?,
            trees: copy(&file)?,
            names: copy(&file)?,
            trash: Trash::new(copy(&file)?),
            guard: versions::guard::Guard::default(),
            shares_blocks: OnceLock::new(),
            flush_failures: AtomicU64::new(0),
            flushes_all: AtomicBool::new(true),
            durable: false,
            keeps_digests: true,
            boot: String::new(),
            mtimes: attributes::mtimes::Mtimes::new(copy(&file)?),
            properties: crate::locks::Mutex::new(crate::locks::Rank::Properties, ()),
            ahead: list::ahead::Ahead::default(),
            umask,
            _lock: file,
            root: Arc::new(root),
        })
    }
}
