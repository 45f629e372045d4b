//! Start: the private directory `.haul`, the lock, and the rests of an earlier server.

use std::io::Read;
use std::io::Write;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::private::{PRIVATE, check_lock, private_directory};
use super::root::Root;
use super::spelling::Spelling;
use super::temp::staging::{DIRECTORIES, Staging, sweep};
use super::unserved::OpenError;

const STAGED: &str = "staged";
const PARTIALS: &str = "partials";
pub(super) const TREES: &str = "trees";
const NAMES: &str = "names";
const TRASH: &str = "trash";
const OPENED: &str = "opened";
const LOCK: &str = "lock";

/// See random(4).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The state with which a store starts.
pub(super) struct Recovered {
    /// Held for life; the kernel lets go of it however the process ends.
    pub(super) lock: OwnedFd,
    /// The directories of half-written files, now empty.
    pub(super) staging: Staging,
    /// Files removed from them.
    pub(super) swept: usize,
    /// The directory of large files under way.
    pub(super) partials: OwnedFd,
    /// The directory of versions, and that of trees that are to be removed.
    pub(super) trees: OwnedFd,
    /// The directory of the names that versions are of.
    pub(super) names: OwnedFd,
    pub(super) trash: OwnedFd,
    /// The directory of notes about modes.
    pub(super) opened: OwnedFd,
    /// How names are compared.
    pub(super) spelling: Spelling,
    /// Names this boot of the machine.
    pub(super) boot: String,
}

/// Locks the root before anything in it is touched, then sweeps.
pub(super) fn recover(root: &Root) -> Result<Recovered, OpenError> {
    let at = |name: &str| root.path().join(PRIVATE).join(name);
    let io = |op, path, errno: Errno| OpenError::Io { op, path, source: errno.into() };

    let private = private_directory(root, root.as_fd(), PRIVATE)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = rustix::fs::openat(&private, LOCK, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|errno| io("open", at(LOCK), errno))?;
    check_lock(&lock).map_err(|errno| io("use as a lock", at(LOCK), errno))?;
    let mut file = std::fs::File::from(lock);
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            let read = (&mut file).take(20).read_to_string(&mut pid);
            let pid = if read.is_ok() { pid.trim().to_owned() } else { String::from("?") };
            return Err(OpenError::InUse { path: root.path().to_owned(), pid });
        }
        Err(errno) => return Err(io("lock", at(LOCK), errno)),
    }
    // The lock is held; the number is for people, and a full disk is no reason not to start.
    if let Err(error) = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())) {
        tracing::warn!(%error, "could not write the process id into the lock file");
    }

    private_directory(root, private.as_fd(), STAGED)?;
    let mut directories = Vec::new();
    let mut swept = 0;
    for number in 0..DIRECTORIES {
        let name = format!("{STAGED}/{number}");
        let directory = private_directory(root, private.as_fd(), &name)?;
        swept += sweep(&directory).map_err(|errno| io("sweep", at(&name), errno))?;
        directories.push(directory);
    }
    let staging = Staging::new(directories);
    if !staging.may_rename() {
        return Err(OpenError::NoRefer { path: root.path().join(PRIVATE) });
    }
    let partials = private_directory(root, private.as_fd(), PARTIALS)?;
    let trees = private_directory(root, private.as_fd(), TREES)?;
    let names = private_directory(root, private.as_fd(), NAMES)?;
    let trash = private_directory(root, private.as_fd(), TRASH)?;
    let opened = private_directory(root, private.as_fd(), OPENED)?;
    let boot = std::fs::read_to_string(BOOT_ID).map_err(|source| OpenError::Io {
        op: "read",
        path: BOOT_ID.into(),
        source,
    })?;
    let boot = boot.trim().to_owned();
    let spelling = Spelling::of(&private);
    let lock = file.into();
    Ok(Recovered { lock, staging, swept, partials, trees, names, trash, opened, spelling, boot })
}
