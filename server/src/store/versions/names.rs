//! The names of the trees of one directory's versions, below their home in `.haul/trees`; see the table in
//! [`version`](super::version).

use haul_protocol::{Digest, Name};

/// A draft; the boot and the token follow.
pub(super) const NEXT: &str = "next-";
/// A draft that is complete; the inode of the present version, the boot and the token follow.
pub(super) const READY: &str = "ready-";
/// A version that comes back; its inode follows.
pub(in crate::store) const BACK: &str = "back-";
/// A note that a draft was published; its token follows.
pub(super) const DONE: &str = "done-";
/// The version before the present one.
pub(in crate::store) const PREVIOUS: &str = "previous";

/// The name of the home of a directory's versions.
pub(super) fn home_of(name: &Name) -> String {
    Digest::of(name.as_bytes()).to_string().chars().take(32).collect()
}
