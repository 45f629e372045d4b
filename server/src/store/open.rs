//! Flags with which the store opens entries below its root.

use rustix::fs::{OFlags, ResolveFlags};

/// Flags for a handle on a directory; `O_PATH` would not do, since it can't be synced. No
/// `O_NOFOLLOW`: with it a link at the end would be ENOTDIR, as a file is, and not ELOOP.
pub(super) const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The kernel resolves names below the root: never out of it, over a symlink, or into another file system (openat2(2)).
pub(super) const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);
