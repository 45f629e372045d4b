//! The files under one root: staged privately, committed atomically.
//!
//! Knows names, attributes and bytes; knows nothing of connections or requests. [`root`] alone
//! opens the root's path, and resolves clients' names.

mod abilities;
mod attributes;
mod bounds;
mod commit;
mod copy;
#[cfg(test)]
mod crash;
mod directory;
mod errno;
mod error;
mod holds;
mod identity;
mod inherit;
mod kept_digest;
mod leave;
mod link;
mod list;
mod look;
mod mark;
mod mode;
mod mounted;
mod open;
mod present;
mod private;
mod properties;
mod quota;
mod read_only;
mod readable;
mod reading;
mod recover;
mod remove;
mod rename;
pub(crate) mod replaces;
mod rights;
mod root;
mod space;
mod spelled;
mod spelling;
mod staged_tree;
mod sys;
mod temp;
mod unserved;
mod uploads;
mod versions;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::Mode;
use rustix::io::Errno;

pub(crate) use commit::change::{Change, DEEP};
pub(crate) use commit::group::Committing;
pub(crate) use commit::kind::ChangeKind;
pub(crate) use copy::Copy;
pub(crate) use error::StoreError;
pub(crate) use list::{Enough, Listed, Listing};
pub(crate) use properties::Properties;
pub(crate) use quota::{Limits, Quotas, Share, Usage};
pub(crate) use readable::{Readable, Sent};
pub(crate) use reading::{Believe, Reading};
pub(crate) use replaces::Replaces;
pub(crate) use root::Parents;
pub(crate) use space::{Disk, Reserved};
pub(crate) use staged_tree::Fresh;
pub(crate) use temp::staged::Staged;
pub(crate) use temp::trash::Rung;
pub(crate) use unserved::OpenError;
pub(crate) use uploads::facts::OrderedFacts;
pub(crate) use uploads::ordered::{FoundOrdered, OrderedUpload, Restoring};
pub(crate) use uploads::partial::{Flush, Key, Partial};
pub(crate) use uploads::reading::JournalReading;
pub(crate) use uploads::resume::{Published, Resumed};
pub(crate) use uploads::verifying::Verifying;
pub(crate) use versions::adopt::{Adopted, Copying};
pub(crate) use versions::closed::Closed;
pub(crate) use versions::guard::meet;
pub(crate) use versions::home::Owner;
pub(crate) use versions::notes::Facts;
pub(crate) use versions::swap::{Rollback, Swap};
pub(crate) use versions::version::{Earlier, Room, State, Version, given_up};

use present::Present;
use root::Root;
use temp::staging::Staging;

/// The store of one server process, which holds the root's lock for life.
#[derive(Debug)]
pub(crate) struct Store {
    root: Arc<Root>,
    /// Tells whether the root is still where it was.
    present: Present,
    /// `.haul/staged`: on the root's file system, named by no client, swept at start.
    staging: Staging,
    /// `.haul/partials`: large files under way and their journals.
    partials: OwnedFd,
    /// `.haul/trees`: versions of directories that are published as a whole.
    trees: OwnedFd,
    /// The names of the directories that these are of.
    names: OwnedFd,
    /// `.haul/trash`: trees that are to be removed.
    pub(crate) trash: temp::trash::Trash,
    /// The guard of directories that are being published.
    guard: versions::guard::Guard,
    /// Whether files can share their blocks, once it was tried.
    shares_blocks: OnceLock<bool>,
    /// Flushes of the whole file system that have failed.
    flush_failures: AtomicU64,
    /// Whether many files or directories are flushed by a flush of the whole file system.
    flushes_all: AtomicBool,
    /// Changes are flushed before they are told to be done.
    durable: bool,
    /// Digests are kept with files, and believed.
    keeps_digests: bool,
    /// Names this boot of the machine.
    boot: String,
    space: Arc<space::Space>,
    /// Quotas of accounts.
    pub(crate) quotas: Arc<Quotas>,
    /// Whether the root's file system takes two spellings for one name.
    spelling: spelling::Spelling,
    /// Whether there can be versions, and what tells them apart.
    abilities: abilities::Abilities,
    /// Directories that are opened up just now.
    rights: Arc<rights::Rights>,
    mtimes: attributes::mtimes::Mtimes,
    /// Held while properties that only clients know are read and written.
    properties: crate::locks::Mutex<()>,
    /// Sorted names of the entries of directories that are being listed.
    ahead: list::ahead::Ahead,
    /// Bits that absent modes lose. The process's own umask is 0, so that sent modes are exact.
    umask: Mode,
    _lock: OwnedFd,
}

/// Fails if a directory can't be what a client sees as its root: it, or what is above it, is a symlink, no directory or on
/// another file system. One that is not there yet can be made.
pub(crate) fn may_be_root(server: &Path, name: &haul_protocol::Name) -> Result<(), StoreError> {
    let failed = |errno| StoreError::new("open the root above", name, errno);
    match Root::of_another(server).map_err(failed)? {
        Some(root) => root.has_directory(name.as_bytes()).map(drop),
        None => Ok(()),
    }
}

impl Store {
    /// Makes the root if it is missing, and opens nothing.
    pub(crate) fn make_root(path: &Path, umask: Mode) -> Result<(), OpenError> {
        Root::make(path, Mode::from_raw_mode(0o777) - umask)
    }

    /// Opens (or makes) the root, locks it and removes what an earlier server left half-written.
    ///
    /// If changes are to be durable, so is from here on all that an earlier server left visible.
    pub(crate) fn open(
        path: &Path,
        umask: Mode,
        durable: bool,
        keep_free: u64,
    ) -> Result<Self, OpenError> {
        let root = Root::open(path, Mode::from_raw_mode(0o777) - umask)?;
        Self::open_root(root, umask, durable, keep_free)
    }

    /// The same with a root that is open already, whose path is for people.
    pub(crate) fn open_at(
        directory: OwnedFd,
        path: &Path,
        umask: Mode,
        durable: bool,
        keep_free: u64,
    ) -> Result<Self, OpenError> {
        Self::open_root(Root::at(directory, path)?, umask, durable, keep_free)
    }

    fn open_root(
        root: Root,
        umask: Mode,
        durable: bool,
        keep_free: u64,
    ) -> Result<Self, OpenError> {
        let recovered = recover::recover(&root)?;
        if recovered.swept > 0 {
            tracing::info!(files = recovered.swept, "removed half-written files of an earlier run");
        }
        let path = root.path().to_owned();
        let failed = |op, source: io::Error| OpenError::Io { op, path: path.clone(), source };
        // An earlier server that was killed has left `.haul` behind.
        if durable && !recovered.is_new {
            let flushed = sys::sync_file_system(&root);
            flushed.map_err(|errno| failed("flush", errno.into()))?;
        }
        let lock = recovered.lock.try_clone().map_err(|error| failed("use the lock of", error))?;
        let device = root.as_fd().try_clone_to_owned().map_err(|error| failed("open", error))?;
        let present = Present::of(&root).map_err(|errno| failed("open", errno.into()))?;
        let abilities = abilities::Abilities::of(&recovered.trees, &lock, &recovered.staging)
            .map_err(|errno| failed("look at", errno.into()))?;
        let root = Arc::new(root);
        let store = Self {
            abilities,
            space: Arc::new(space::Space::new(device, keep_free)),
            quotas: Arc::default(),
            rights: Arc::new(rights::Rights::new(recovered.opened, root.path(), abilities.marking)),
            root,
            spelling: recovered.spelling,
            present,
            staging: recovered.staging,
            partials: recovered.partials,
            trees: recovered.trees,
            names: recovered.names,
            trash: temp::trash::Trash::new(recovered.trash),
            guard: versions::guard::Guard::default(),
            shares_blocks: OnceLock::new(),
            flush_failures: AtomicU64::new(0),
            flushes_all: AtomicBool::new(true),
            durable,
            keeps_digests: true,
            boot: recovered.boot,
            mtimes: attributes::mtimes::Mtimes::new(lock),
            properties: crate::locks::Mutex::new(crate::locks::Rank::Properties, ()),
            ahead: list::ahead::Ahead::default(),
            umask,
            _lock: recovered.lock,
        };
        let settled = store.settle_all();
        settled.map_err(|errno| failed("settle the versions in", errno.into()))?;
        let closed = store.close_up();
        closed.map_err(|errno| failed("give directories their modes back in", errno.into()))?;
        Ok(store)
    }

    /// The server's own directory, for its socket.
    pub(crate) fn own_directory(&self) -> Result<OwnedFd, Errno> {
        self.root.resolve(private::PRIVATE.as_bytes())
    }

    /// The directory of what hooks are still to be told; made if it is missing.
    pub(crate) fn hooks_directory(&self) -> Result<OwnedFd, OpenError> {
        let own = self.own_directory().map_err(|errno| OpenError::Io {
            op: "open",
            path: self.path().join(private::PRIVATE),
            source: errno.into(),
        })?;
        private::private_directory(&self.root, own.as_fd(), recover::HOOKS)
    }

    /// Names this boot of the machine.
    pub(crate) fn boot(&self) -> &str {
        &self.boot
    }

    /// The absolute path of the root, for people.
    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    /// The root itself.
    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The directories in which files are made that are not to be seen yet.
    pub(crate) fn staging_directories(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.staging.directories().iter().map(AsFd::as_fd)
    }

    /// Fails if the root is not the directory any more that its path leads to.
    pub(crate) fn look_for_root(&self) -> Result<(), StoreError> {
        self.present.look()
    }

    /// An error, or its cause if that is the root.
    pub(crate) fn or_gone(&self, error: StoreError) -> StoreError {
        self.present.look().err().unwrap_or(error)
    }

    /// A cache of parent directories, to be kept for moments only (see [`Parents`]).
    pub(crate) fn parents(&self) -> Parents {
        self.rights.refresh_mounts();
        Parents::new(&self.root, self.making(None))
    }

    /// Makes a directory that a client sees as its root, unless it is there.
    pub(crate) fn make_account_root(&self, name: &haul_protocol::Name) -> Result<(), StoreError> {
        // A quota of another account, whose root is above, is no reason not to have it.
        let counting = quota::Counting { quotas: Arc::default(), draft: None };
        let making = root::Making { counting, ..self.making(None) };
        Parents::new(&self.root, making).directory(name)
    }

    /// Whether a directory that a client sees as its root is there now. If it can't be reached for another reason, each request
    /// learns that by itself.
    pub(crate) fn has_root(&self, name: &haul_protocol::Name) -> bool {
        let found = self.root.resolve(name.as_bytes());
        !matches!(found, Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV))
    }

    /// Forgets handles that may lead to another directory than their names do now.
    pub(crate) fn refresh(&self, parents: &Parents) {
        parents.refresh(self.guard.swaps());
    }

    /// So many bytes stay free on the file system of the root from now on.
    pub(crate) fn keep_free(&self, bytes: u64) {
        self.space.keep_free(bytes);
    }

    /// The file system of the root, and whether the root is there: for those who watch the server.
    pub(crate) fn disk(&self) -> Disk {
        self.space.disk(self.present.look().is_err())
    }

    /// Whether changes have to become durable.
    pub(crate) fn is_durable(&self) -> bool {
        self.durable
    }

    /// Names this boot of the machine in names of ours.
    fn boot_tag(&self) -> String {
        self.boot.chars().filter(|c| *c != '-').take(12).collect()
    }

    /// Everything that is needed to make directories that nobody sent.
    fn making(&self, draft: Option<&Arc<quota::Draft>>) -> root::Making {
        root::Making {
            mode: Mode::from_raw_mode(0o777) - self.umask,
            space: Arc::clone(&self.space),
            rights: Arc::clone(&self.rights),
            counting: quota::Counting {
                quotas: Arc::clone(&self.quotas),
                draft: draft.map(Arc::clone),
            },
        }
    }

    /// Whether a name may be changed now: not while the next version of a directory above it is under way.
    pub(crate) fn may_change(&self, name: &haul_protocol::Name) -> Result<(), StoreError> {
        self.guard.enter(name).map(drop)
    }
}
