//! The meaning of the kernel's error numbers, by the operation that they come from.

use haul_protocol::Name;
use rustix::io::Errno;

use super::bounds::SizeLimit;
use super::error::StoreError;

/// The operation that makes a symlink.
pub(super) const MAKE_LINK: &str = "make link";

/// The operations that rename or link an entry from one directory to another.
const MOVES: [&str; 6] = ["publish", "rename", "replace", "remove", MAKE_LINK, "make directory"];

impl StoreError {
    /// The meaning of an error number that comes from `op` on `name`.
    pub(crate) fn new(op: &'static str, name: &Name, errno: Errno) -> Self {
        Self::at(op, name.to_string(), errno)
    }

    /// As [`new`](Self::new), for what has no [`Name`] of its own.
    pub(crate) fn at(op: &'static str, name: String, errno: Errno) -> Self {
        match errno {
            Errno::NOSPC => Self::NoSpace { name },
            Errno::FBIG => Self::TooLarge { name, limit: SizeLimit::now() },
            Errno::DQUOT => Self::Quota { name },
            Errno::MLINK => Self::TooMany { op, name },
            Errno::NAMETOOLONG if op == MAKE_LINK => {
                Self::NameRefused { op, name, what: "target of a symlink that is so long" }
            }
            Errno::NAMETOOLONG => Self::NameRefused { op, name, what: "name that is so long" },
            Errno::ILSEQ => Self::NameRefused { op, name, what: "name of such bytes" },
            // The store has made sure that nothing but the name is wrong with making an entry (vfat).
            Errno::INVAL if matches!(op, "publish" | "make directory" | MAKE_LINK) => {
                Self::NameRefused { op, name, what: "name of such characters" }
            }
            // symlink(2): that is what a file system without symlinks says.
            Errno::PERM | Errno::OPNOTSUPP if op == MAKE_LINK => Self::NoSymlinks { name },
            Errno::ACCESS | Errno::PERM => Self::Permission { op, name },
            Errno::ROFS => Self::ReadOnly { op, name },
            Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS | Errno::AGAIN => {
                Self::Scarce { op, name, source: errno.into() }
            }
            Errno::LOOP => Self::Conflict { name, found: "a symbolic link" },
            // Names are resolved on one file system (`openat2`), so both directories of a rename are on one mount.
            Errno::XDEV if MOVES.contains(&op) => Self::Apart { op, name },
            Errno::XDEV | Errno::BUSY => Self::CrossDevice { name },
            Errno::NOENT => Self::NotFound { name },
            Errno::ISDIR | Errno::NOTEMPTY => Self::Conflict { name, found: "a directory" },
            Errno::NOTDIR => Self::Conflict { name, found: "not a directory" },
            errno => Self::Io { op, name, source: errno.into() },
        }
    }
}
