//! Start: the private directory `.haul`, the lock, and the rests of an earlier server.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::private::{PRIVATE, check_lock, private_directory};
use super::root::Root;
use super::spelling::Spelling;
use super::temp::staging::{DIRECTORIES, Staging, sweep};
use super::unserved::OpenError;

pub(super) const STAGED: &str = "staged";
pub(super) const PARTIALS: &str = "partials";
pub(super) const TREES: &str = "trees";
pub(super) const NAMES: &str = "names";
pub(super) const TRASH: &str = "trash";
pub(super) const OPENED: &str = "opened";
pub(super) const HOOKS: &str = "hooks";
pub(super) const LOCK: &str = "lock";
pub(super) const SOCKET: &str = "socket";
pub(super) const STATUS: &str = "status";

/// Attempts to lock `.haul` if servers that end remove it meanwhile.
const RACES: usize = 100;

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
    /// `.haul` was not there, so no earlier server was killed here.
    pub(super) is_new: bool,
}

/// Locks the root before anything in it is touched, then sweeps.
pub(super) fn recover(root: &Root) -> Result<Recovered, OpenError> {
    let at = |name: &str| root.path().join(PRIVATE).join(name);
    let io = |op, path, errno: Errno| OpenError::Io { op, path, source: errno.into() };

    let (private, mut file, is_new) = locked(root)?;
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
    Ok(Recovered {
        lock,
        staging,
        swept,
        partials,
        trees,
        names,
        trash,
        opened,
        spelling,
        boot,
        is_new,
    })
}

/// Opens or makes `.haul`, and locks it. Also tells whether it was made.
fn locked(root: &Root) -> Result<(OwnedFd, File, bool), OpenError> {
    let mut races = 0;
    loop {
        match try_lock(root) {
            Ok(Some(locked)) => return Ok(locked),
            // A server that ended has removed it in this moment.
            Ok(None) if races < RACES => races += 1,
            Err(OpenError::Io { source, .. })
                if source.kind() == ErrorKind::NotFound && races < RACES =>
            {
                races += 1;
            }
            Ok(None) => {
                let path = root.path().join(PRIVATE).join(LOCK);
                return Err(OpenError::Io { op: "lock", path, source: Errno::NOENT.into() });
            }
            Err(error) => return Err(error),
        }
    }
}

/// The same once. `None`: the file that is locked has lost its name.
fn try_lock(root: &Root) -> Result<Option<(OwnedFd, File, bool)>, OpenError> {
    let path = || root.path().join(PRIVATE).join(LOCK);
    let io = |op, errno: Errno| OpenError::Io { op, path: path(), source: errno.into() };
    let found = rustix::fs::statat(root, PRIVATE, AtFlags::SYMLINK_NOFOLLOW);
    let is_new = found.is_err_and(|errno| errno == Errno::NOENT);
    let private = private_directory(root, root.as_fd(), PRIVATE)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = rustix::fs::openat(&private, LOCK, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|errno| io("open", errno))?;
    check_lock(&lock).or_else(|errno| {
        if has_no_name(&lock) { Ok(()) } else { Err(io("use as a lock", errno)) }
    })?;
    let mut file = File::from(lock);
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            let read = (&mut file).take(20).read_to_string(&mut pid);
            let pid = if read.is_ok() { pid.trim().to_owned() } else { String::from("?") };
            return Err(OpenError::InUse { path: root.path().to_owned(), pid });
        }
        Err(errno) => return Err(io("lock", errno)),
    }
    if has_no_name(&file) {
        return Ok(None);
    }
    Ok(Some((private, file, is_new)))
}

fn has_no_name(file: impl AsFd) -> bool {
    rustix::fs::fstat(file).is_ok_and(|stat| stat.st_nlink == 0)
}
